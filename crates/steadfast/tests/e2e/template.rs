//! `steadfast run -f`: several applications of one `dapr.yaml`.

use std::{
    fs,
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Client, Steadfast, command, eventually, finished, lives};

/// A component that two applications share.
const SHARED: &str = "apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: statestore}
spec:
  type: state.sqlite
  version: v1
  metadata:
  - {name: connectionString, value: ../shop.db}
  - {name: keyPrefix, value: name}
";

/// A folder with two applications, whose scripts are given, and what else there is to say of each.
pub(crate) fn project(first: &str, second: &str, more: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("resources")).unwrap();
    fs::write(folder.path().join("resources/statestore.yaml"), SHARED).unwrap();
    let mut template =
        "version: 1\nname: shop\ncommon: {resourcesPath: ./resources}\napps:\n".to_owned();
    for (name, script) in [("cart", first), ("orders", second)] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("app.sh"), script).unwrap();
        template += &format!(
            "- appDirPath: ./{name}\n  command: [sh, app.sh]\n  daprHTTPPort: 0\n  daprGRPCPort: 0\n{more}"
        );
    }
    fs::write(folder.path().join("dapr.yaml"), template).unwrap();
    folder
}

/// An application that tells its process and its sidecar's port, and goes on until it is asked to end.
pub(crate) const WAITS: &str = "trap 'echo asked to end; exit 0' TERM
echo \"process $$ port $DAPR_HTTP_PORT\"
while :; do sleep 0.05; done
";

pub(crate) fn start(folder: &TempDir) -> Steadfast {
    Steadfast::start(command(folder.path(), &["run", "-f", "."]))
}

/// Those of both applications, once all is up.
fn up(run: &mut Steadfast) -> [(String, u16); 2] {
    up_and(run, &["You're up and running!"])
}

/// Those of both applications, once all of this was said.
fn up_and(run: &mut Steadfast, said: &[&str]) -> [(String, u16); 2] {
    let mut told: [Option<(String, u16)>; 2] = [None, None];
    let mut left = said.to_vec();
    // In whichever order the lines come.
    while !left.is_empty() || told.iter().any(Option::is_none) {
        let line = run.line_with("");
        left.retain(|it| !line.contains(it));
        let words: Vec<_> = line.split(' ').collect();
        if let [.., "process", pid, "port", port] = &words[..] {
            let number = usize::from(line.contains("== APP - orders =="));
            told[number] = Some(((*pid).to_owned(), port.parse().unwrap()));
        }
    }
    told.map(Option::unwrap)
}

/// The sidecar's own process and its log, as the metadata tells.
fn extended(port: u16) -> Value {
    let metadata = Client::new(port).send("GET", "/v1.0/metadata", "").body;
    serde_json::from_str::<Value>(&metadata).unwrap()["extended"].clone()
}

fn log(extended: &Value, name: &str) -> (PathBuf, String) {
    let path = PathBuf::from(extended[name].as_str().unwrap());
    let text = fs::read_to_string(&path).unwrap();
    (path, text)
}

/// The process of a sidecar, from the file that it has written.
fn host_of(folder: &Path, id: &str) -> String {
    let entries = fs::read_dir(folder.join(".dapr/run")).unwrap();
    let texts = entries.map(|it| fs::read_to_string(it.unwrap().path()).unwrap());
    let records = texts.map(|it| serde_json::from_str::<Value>(&it).unwrap());
    let record = records.into_iter().find(|it| it["appId"] == id).unwrap();
    record["sidecarPid"].to_string()
}

fn left_in_run(folder: &Path) -> usize {
    fs::read_dir(folder.join(".dapr/run")).map_or(0, Iterator::count)
}

#[test]
fn two_applications_share_a_store_and_end_together() {
    let colour = "printf '\\033[31mred\\033[0m\\n'\n";
    let folder = project(&format!("{colour}{WAITS}"), WAITS, "");
    let mut run = start(&folder);
    let [(cart, cart_port), (orders, orders_port)] = up(&mut run);
    assert_eq!(Client::new(cart_port).save("k", "1").status, 204);
    assert_eq!(Client::new(orders_port).get("k").body, "1", "keyPrefix: name");

    let told = extended(cart_port);
    let template = folder.path().canonicalize().unwrap().join("dapr.yaml");
    assert_eq!(told["runTemplatePath"], template.to_str().unwrap());
    assert_eq!(told["runTemplateName"], "shop");
    assert_eq!(told["cliPID"], run.child.id().to_string());
    assert_eq!(
        (&told["appPID"], &told["appCommand"]),
        (&cart.as_str().into(), &"sh app.sh".into())
    );
    let (path, text) = log(&told, "appLogPath");
    assert!(path.parent().unwrap().ends_with("cart/.dapr/logs"), "{path:?}");
    assert!(text.starts_with("red\nprocess "), "colours are not for files: {text:?}");
    let (_, text) = log(&told, "daprdLogPath");
    assert!(text.contains("dapr initialized. Status: Running"), "{text}");

    run.signal("TERM");
    assert_eq!(run.wait().code(), Some(0));
    let output = run.output();
    assert!(output.contains("== APP - cart == asked to end"), "{output}");
    assert!(output.contains("== APP - orders == asked to end"), "{output}");
    assert!(output.contains("Exited App successfully"), "{output}");
    assert!(!output.contains("dapr initialized"), "the log of sidecars is in files: {output}");
    assert!(!lives(&cart) && !lives(&orders));
    assert_eq!(left_in_run(folder.path()), 0);
    assert!(folder.path().join("shop.db").exists() && !folder.path().join("shop.db-wal").exists());
}

#[test]
fn ctrl_c_reaches_all_of_a_job_and_ends_it_once() {
    let folder = project(WAITS, WAITS, "  daprdLogDestination: console\n");
    let mut job = command(folder.path(), &["run", "-f", "dapr.yaml"]);
    job.process_group(0);
    let mut run = Steadfast::start(job);
    let [(cart, _), (orders, _)] = up(&mut run);
    let group = format!("-{}", run.child.id());
    assert!(Command::new("kill").args(["-s", "INT", "--", &group]).status().unwrap().success());
    assert_eq!(run.wait().code(), Some(0));
    let output = run.output();
    assert_eq!(output.matches("asked to end").count(), 2, "{output}");
    assert!(output.contains("== STEADFAST - cart == "), "{output}");
    assert!(output.contains("Daprd shutdown gracefully"), "{output}");
    assert!(!lives(&cart) && !lives(&orders));
}

#[test]
fn an_application_that_ends_does_not_end_the_run() {
    let folder = project("echo \"process $$ port $DAPR_HTTP_PORT\"; exit 3", WAITS, "");
    let mut run = start(&folder);
    let failed = "The App process of cart exited with error code: 3";
    let [(_, cart_port), _] = up_and(&mut run, &["You're up and running!", failed]);
    assert_eq!(Client::new(cart_port).save("k", "1").status, 204, "its sidecar goes on");
    run.signal("INT");
    assert_eq!(run.wait().code(), Some(1), "one has failed");
}

#[test]
fn nothing_survives_a_run_that_is_killed() {
    let script = format!("sleep 600 &\necho $! > background\n{WAITS}");
    let folder = project(&script, WAITS, "");
    let mut run = start(&folder);
    let [(cart, _), _] = up(&mut run);
    let background = fs::read_to_string(folder.path().join("cart/background")).unwrap();
    let background = background.trim();
    let hosts = ["cart", "orders"].map(|it| host_of(folder.path(), it));
    run.signal("KILL");
    run.wait();
    for it in [&cart, background, &hosts[0], &hosts[1]] {
        eventually("it ends with the run", || !lives(it));
    }
    assert_eq!(left_in_run(folder.path()), 0, "their end was a graceful one");
}

#[test]
fn a_sidecar_that_is_killed_takes_its_application_and_no_other_with_it() {
    let script = format!("sleep 600 &\necho $! > background\n{WAITS}");
    let folder = project(&script, WAITS, "");
    let mut run = start(&folder);
    up(&mut run);
    let background = fs::read_to_string(folder.path().join("cart/background")).unwrap();
    let background = background.trim();
    let pids = ["cart", "orders"].map(|it| host_of(folder.path(), it));
    assert!(Command::new("kill").args(["-s", "KILL", &pids[0]]).status().unwrap().success());
    run.line_with("The Steadfast process of cart exited with error code: 137");
    eventually("what the application has started ends", || !lives(background));
    assert!(lives(&pids[1]), "the other goes on");
    run.signal("TERM");
    assert_eq!(run.wait().code(), Some(1));
}

#[test]
fn the_second_signal_kills() {
    let stubborn = "trap '' INT TERM; echo \"process $$ port 0\"; while :; do sleep 0.05; done";
    let folder = project(stubborn, WAITS, "");
    let mut run = start(&folder);
    let [(cart, _), _] = up(&mut run);
    run.signal("INT");
    run.line_with("shutting down");
    run.signal("INT");
    assert_eq!(run.wait().code(), Some(1));
    assert!(!lives(&cart));
    assert!(run.output().contains("The App process of cart had to be killed"));
}

#[test]
fn one_that_cannot_be_started_stops_all() {
    let folder = project(WAITS, WAITS, "");
    let own = folder.path().join("orders/.dapr/resources");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("statestore.yaml"), SHARED.replace("state.sqlite", "state.sqlit")).unwrap();
    let (code, output) = finished(folder.path(), &["run", "-f", "."]);
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("orders could not be started: stopping all"), "{output}");
    assert!(output.contains("statestore.yaml:"), "it says why: {output}");
    assert_eq!(left_in_run(folder.path()), 0);
}

#[test]
fn mistakes_have_their_file_and_line_and_nothing_is_started() {
    let check = |template: &str| {
        let folder = project(WAITS, WAITS, "");
        fs::write(folder.path().join("dapr.yaml"), template).unwrap();
        let (code, output) = finished(folder.path(), &["run", "-f", "dapr.yaml"]);
        assert_eq!(code, 1, "{output}");
        assert!(!folder.path().join("cart/.dapr").exists(), "nothing is left behind");
        assert!(output.contains("nothing was started"), "{output}");
        output
    };
    let has = |template: &str, place: &str, text: &str| {
        let output = check(template);
        assert!(output.contains(place) && output.contains(text), "{output}");
    };
    has("apps: [{appDirPath: cart}]", "dapr.yaml:1:1: ", "write `version: 1`");
    has("version: 1\napps:\n- appDirPath: cart\n  appport: 1", "dapr.yaml:4:3: ", "`appPort`?");
    has("version: 1\napps:\n- appDirPath: card", "dapr.yaml:3:3: ", "there is no folder");
    has(
        "version: 1\napps:\n- appDirPath: cart\n  command: [nonesuch]",
        "dapr.yaml:4:3: ",
        "nonesuch",
    );
    has(
        "version: 1\napps:\n- appDirPath: cart\n  logLevel: loud",
        "dapr.yaml:4:3: ",
        "debug, info",
    );
    has("version: 1\napps:\n\t- appDirPath: cart", "dapr.yaml:3:", "not YAML");

    let empty = tempfile::tempdir().unwrap();
    let (code, output) = finished(empty.path(), &["run", "-f", "."]);
    assert!(code == 1 && output.contains("no dapr.yaml"), "{output}");
    let (code, output) = finished(empty.path(), &["run", "-f", "other.yaml"]);
    assert!(code == 1 && output.contains("other.yaml: the file cannot be opened"), "{output}");
}

#[test]
fn the_environment_of_the_template_is_for_the_application() {
    let folder = project(
        "echo \"$GREETING from $APP_ID, $DAPR_HTTP_PORT\"",
        "exit 0",
        "  env: {GREETING: hello, DAPR_HTTP_PORT: 7}\n",
    );
    let mut run = start(&folder);
    run.line_with("== APP - cart == hello from cart, 7");
    run.line_with("Exited App successfully");
    run.signal("TERM");
    assert_eq!(run.wait().code(), Some(0));
}

#[test]
fn the_template_may_come_from_standard_input_and_other_flags_are_warned_of() {
    let folder = project(WAITS, WAITS, "");
    let template = fs::read(folder.path().join("dapr.yaml")).unwrap();
    fs::remove_file(folder.path().join("dapr.yaml")).unwrap();
    let mut job =
        command(folder.path(), &["run", "-f", "-", "--app-id", "x", "--log-level", "debug"]);
    job.stdin(Stdio::piped());
    let mut run = Steadfast::start(job);
    run.child.stdin.take().unwrap().write_all(&template).unwrap();
    let warned = run.line_with("With --run-file these have no effect");
    assert!(warned.contains("--app-id, --log-level"), "{warned}");
    run.line_with("You're up and running!");
    run.signal("TERM");
    assert_eq!(run.wait().code(), Some(0));
}

#[test]
fn applications_without_a_store_get_one_file_for_all() {
    let folder = project(WAITS, WAITS, "");
    fs::remove_file(folder.path().join("resources/statestore.yaml")).unwrap();
    let mut run = start(&folder);
    let [(_, port), _] = up(&mut run);
    assert_eq!(Client::new(port).save("k", "1").status, 204);
    assert!(folder.path().join("data/statestore.db").exists());
    run.signal("TERM");
    assert_eq!(run.wait().code(), Some(0));
    let output = run.output();
    assert!(output.matches("No state store is configured").count() <= 1, "{output}");
}
