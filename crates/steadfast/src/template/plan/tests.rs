use std::fs;

use tempfile::TempDir;

use super::*;

/// A folder with a template and two applications.
fn folder(template: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for it in ["cart/.dapr/resources", "orders", "resources", "my.shop"] {
        fs::create_dir_all(folder.path().join(it)).unwrap();
    }
    fs::write(folder.path().join("orders/config.yaml"), "").unwrap();
    fs::write(folder.path().join("dapr.yaml"), template).unwrap();
    folder
}

/// What is wrong with a template, one line each.
fn check(template: &str) -> Vec<String> {
    let folder = folder(template);
    let place = format!("{}/", folder.path().canonicalize().unwrap().display());
    let plan = Plan::read(folder.path(), false);
    assert!(!folder.path().join("orders/.dapr").exists() || plan.is_ok(), "nothing is written");
    let lines = match plan {
        Ok(plan) => plan.warnings.iter().map(|it| format!("warning: {it}")).collect(),
        Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
    };
    let given = format!("{}/", folder.path().display());
    lines.iter().map(|it| it.replace(&place, "").replace(&given, "")).collect()
}

#[test]
fn paths_are_resolved_as_in_dapr() {
    let folder = folder(
        "version: 1
name: shop
common:
  resourcesPath: ./resources
  logLevel: debug
  env: {A: common, B: common}
apps:
- appDirPath: ./cart/
  command: [sh]
- appDirPath: orders
  appID: orders-1
  configFilePath: config.yaml
  logLevel: warn
  daprdLogDestination: console
  env: {A: own}
",
    );
    let base = folder.path().canonicalize().unwrap();
    let plan = Plan::read(&folder.path().join("dapr.yaml"), false).unwrap();
    let [cart, orders] = &plan.apps[..] else { panic!("two applications") };
    let flag = |name: &str, path: &str| flags::joined(name, base.join(path));
    assert_eq!(cart.app_id, "cart");
    assert!(
        cart.flags.contains(&flag("resources-path", "cart/.dapr/resources")),
        "{:?}",
        cart.flags
    );
    assert!(cart.flags.contains(&"--log-level=debug".into()), "{:?}", cart.flags);
    assert!(orders.flags.contains(&flag("resources-path", "./resources")), "{:?}", orders.flags);
    assert!(orders.flags.contains(&flag("config", "orders/config.yaml")), "{:?}", orders.flags);
    assert!(orders.flags.contains(&"--log-level=warn".into()), "{:?}", orders.flags);
    let last = orders.order.variables.iter().rfind(|(name, _)| name == "A").unwrap();
    assert_eq!(last.1, "own");
    assert_eq!(orders.order.template_path, Some(base.join("dapr.yaml")));
    assert_eq!(orders.order.template_name.as_deref(), Some("shop"));

    let log = cart.order.app_log.file.as_ref().unwrap();
    let name = log.file_name().unwrap().to_str().unwrap();
    assert_eq!(log.parent().unwrap(), base.join("cart/.dapr/logs"));
    let stamp = name.strip_prefix("cart_app_").and_then(|it| it.strip_suffix(".log")).unwrap();
    assert!(stamp.len() == 14 && stamp.bytes().all(|it| it.is_ascii_digit()), "{name}");
    assert!(cart.order.app_log.console && !cart.order.sidecar_log.console);
    assert!(orders.order.sidecar_log.console && orders.order.sidecar_log.file.is_none());
    assert!(!format!("{plan:?}").contains("own"), "values of the environment are not shown");
}

#[test]
fn replicas_of_one_application_have_logs_of_their_own() {
    let folder = folder("version: 1\napps: [{appDirPath: cart}, {appDirPath: cart}]");
    let plan = Plan::read(folder.path(), false).unwrap();
    let files: Vec<_> = plan.apps.iter().map(|it| it.order.app_log.file.clone()).collect();
    assert_ne!(files[0], files[1]);
}

#[test]
fn every_mistake_is_found_before_anything_starts() {
    const APP: &str = "version: 1\napps:\n- appDirPath: orders\n";
    let with = |more: &str| check(&format!("{APP}{more}"));
    assert_eq!(with(""), [""; 0]);
    assert_eq!(
        check("version: 1\napps:\n- appDirPath: order"),
        [
            "dapr.yaml:3:3: `appDirPath`: there is no folder order; paths are relative to the template"
        ]
    );
    assert_eq!(
        with("  appID: a.b\n"),
        ["dapr.yaml:4:3: `appID`: parameter app-id cannot contain dots; choose another id"]
    );
    assert_eq!(
        check("version: 1\napps:\n- appDirPath: my.shop"),
        [
            "dapr.yaml:3:3: `appDirPath`: the name of the folder becomes the id of the application, and parameter app-id \
          cannot contain dots; write `appID` as well"
        ]
    );
    assert_eq!(
        with("  resourcesPath: x\n  configFilePath: none.yaml\n  command: [no-such-program]\n"),
        [
            "dapr.yaml:4:3: `resourcesPath`: there is no folder orders/x; paths are relative to orders",
            "dapr.yaml:5:3: `configFilePath`: there is no file orders/none.yaml; paths are relative to orders",
            "dapr.yaml:6:3: `command`: there is no program \"no-such-program\"; check its name, and PATH",
        ]
    );
    assert_eq!(
        with("  appPort: 70000\n  logLevel: loud\n  appProtocol: smtp\n  maxBodySize: 4 apples\n"),
        [
            "dapr.yaml:4:3: `appPort`: not a port, from 0 to 65535",
            "dapr.yaml:5:3: `logLevel`: [possible values: debug, info, warn, error, fatal]",
            "dapr.yaml:6:3: `appProtocol`: [possible values: http, https, h2c, grpc, grpcs, \"\"]",
            "dapr.yaml:7:3: `maxBodySize`: not a size, such as 4Mi, 100k or 65536",
        ]
    );
    assert_eq!(
        with("  containerImage: x\n  placementHostAddress: localhost\n"),
        [
            "warning: dapr.yaml:4: `containerImage` has no effect: it is about Kubernetes, and nothing is deployed from here",
            "warning: dapr.yaml:5: `placementHostAddress` means nothing to a sidecar for state",
        ]
    );
}

#[test]
fn two_applications_cannot_have_one_port() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = format!(
        "version: 1\napps:\n- appDirPath: cart\n  daprHTTPPort: {port}\n- appDirPath: orders\n  appPort: {port}\n"
    );
    assert_eq!(
        check(&text),
        [
            format!(
                "dapr.yaml:4:3: `daprHTTPPort`: port {port} is in use by another process; choose another, or leave it \
                 out to get a free one"
            ),
            format!(
                "dapr.yaml:6:3: `appPort`: port {port} is also `daprHTTPPort` of cart in line 4; choose another, or leave \
                 it out to get a free one"
            ),
        ]
    );
}

#[test]
fn a_program_is_looked_for_as_the_system_does() {
    let folder = folder("");
    let script = folder.path().join("app.sh");
    fs::write(&script, "#!/bin/sh").unwrap();
    assert!(program::check("./app.sh", folder.path(), None).unwrap_err().contains("may be run"));
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(program::check("./app.sh", folder.path(), None), Ok(()));
    assert_eq!(program::check("app.sh", folder.path(), folder.path().to_str()), Ok(()));
    assert_eq!(program::check("sh", folder.path(), None), Ok(()));
    assert!(program::check("sh", folder.path(), Some("/nowhere")).is_err());
    assert!(program::check("./cart", folder.path(), None).is_err());
}
