//! `steadfast list`, `stop` and `logs`: the commands about what runs.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use real_servers::process::Port;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    support::{Steadfast, command, finished, lives},
    template::{WAITS, project, start},
};

/// What `list` says of the sidecars of this id. Others of this user may run at the same time.
fn listed(folder: &Path, id: &str) -> Vec<Value> {
    let output = command(folder, &["list", "-o", "json"]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success());
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    all.into_iter().filter(|it| it["appId"] == id).collect()
}

/// An id that no other test on this machine has.
fn unique(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

#[test]
fn a_run_is_listed_stopped_and_gone() {
    let folder = TempDir::new().unwrap();
    let id = unique("listed");
    let script = "trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    let arguments =
        ["run", "-a", &id, "-H", "0", "-G", "0", "--log-file", "s.log", "--", "sh", "-c", script];
    let mut run = Steadfast::start(command(folder.path(), &arguments));
    run.line_with("ready");
    let [row] = &listed(folder.path(), &id)[..] else { panic!("one sidecar") };
    assert_eq!(row["daprdPid"], run.child.id());
    assert_eq!(row["cliPid"], run.child.id());
    assert!(
        row["httpPort"].as_u64().unwrap() > 0 && row["grpcPort"].as_u64().unwrap() > 0,
        "{row}"
    );
    assert!(row["command"].as_str().unwrap().starts_with("sh -c trap"), "{row}");
    let app = row["appPid"].to_string();
    assert!(lives(&app));

    let (code, table) = finished(folder.path(), &["list"]);
    assert_eq!(code, 0);
    assert!(table.starts_with("APP ID") && table.contains(&id), "{table}");
    let (_, yaml) = finished(folder.path(), &["list", "--output", "yaml"]);
    assert!(yaml.contains(&format!("appId: \"{id}\"")), "{yaml}");
    let (code, output) = finished(folder.path(), &["logs", "-a", &id, "--kind", "daprd"]);
    assert!(code == 0 && output.contains("dapr initialized"), "{output}");
    let (code, output) = finished(folder.path(), &["logs", "-a", &id]);
    assert!(code == 1 && output.contains("appLogDestination"), "it says how: {output}");

    let (code, output) = finished(folder.path(), &["stop", &id]);
    assert_eq!(code, 0, "{output}");
    assert!(output.contains(&format!("✅  app stopped successfully: {id}")), "{output}");
    assert!(!lives(&app), "it has waited");
    assert_eq!(run.wait().code(), Some(0));
    assert!(run.output().contains("asked"), "gracefully");
    assert!(listed(folder.path(), &id).is_empty());
    let (code, output) = finished(folder.path(), &["stop", "-a", &id]);
    assert_eq!(code, 1);
    assert!(
        output.contains(&format!("failed to stop app id {id}: couldn't find app id {id}")),
        "{output}"
    );
}

#[test]
fn a_sidecar_that_was_killed_is_not_listed() {
    let folder = TempDir::new().unwrap();
    let id = unique("killed");
    let (mut serve, _) =
        Steadfast::serve(folder.path(), &["--app-id", &id, "--state-store", "memory"]);
    assert_eq!(listed(folder.path(), &id).len(), 1);
    let files = || fs::read_dir(folder.path().join(".dapr/run")).unwrap().count();
    serve.signal("KILL");
    serve.wait();
    assert_eq!(files(), 1, "it had no time to remove its file");
    assert!(listed(folder.path(), &id).is_empty());
    assert_eq!(files(), 0, "the file is gone with the first look at it");
}

#[test]
fn a_token_hides_nothing_from_the_user_whose_sidecar_it_is() {
    let folder = TempDir::new().unwrap();
    let id = unique("token");
    let mut job = command(folder.path(), &["serve", "-a", &id, "-H", "0", "-G", "0"]);
    job.env("DAPR_API_TOKEN", "hunter2");
    let mut serve = Steadfast::start(job);
    let port = serve.port();
    let [row] = &listed(folder.path(), &id)[..] else { panic!("one sidecar") };
    assert_eq!(row["httpPort"], port);
    let (code, _) = finished(folder.path(), &["stop", &id]);
    assert_eq!(code, 0);
    assert_eq!(serve.wait().code(), Some(0));
}

#[test]
fn a_daprd_of_another_tool_is_found_by_its_name_and_flags() {
    let (theirs, ours) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let id = unique("foreign");
    let program = theirs.path().join("daprd");
    symlink(env!("CARGO_BIN_EXE_steadfast"), &program).unwrap();
    let free = Port::find().unwrap();
    let port = free.number().to_string();
    let mut job = Command::new(&program);
    // The home of another tool: none of our files is in ours.
    job.args(["--app-id", &id, "--dapr-http-port", &port, "--dapr-grpc-port", "0"])
        .current_dir(theirs.path())
        .env("HOME", theirs.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut daprd = Steadfast::start(job);
    daprd.line_with("dapr initialized");
    let mut client = crate::support::Client::new(free.number());
    assert_eq!(client.send("PUT", "/v1.0/metadata/appCommand", "python3 app.py").status, 204);
    let [row] = &listed(ours.path(), &id)[..] else { panic!("one sidecar") };
    assert_eq!(
        (&row["httpPort"], &row["command"]),
        (&free.number().into(), &"python3 app.py".into())
    );
    assert_eq!(row["daprdPid"], daprd.child.id());
    let (code, output) = finished(ours.path(), &["stop", &id]);
    assert_eq!(code, 0, "{output}");
    assert_eq!(daprd.wait().code(), Some(0));
}

#[test]
fn one_application_of_a_template_is_stopped_alone_and_the_rest_by_its_file() {
    let (cart, orders) = (unique("cart"), unique("orders"));
    let folder = project(WAITS, WAITS, "");
    let template = folder.path().join("dapr.yaml");
    let text = fs::read_to_string(&template).unwrap();
    let text = text.replace("./cart\n", &format!("./cart\n  appID: {cart}\n"));
    let text = text.replace("./orders\n", &format!("./orders\n  appID: {orders}\n"));
    fs::write(&template, text).unwrap();
    let mut run = start(&folder);
    run.line_with("You're up and running!");
    let [row] = &listed(folder.path(), &orders)[..] else { panic!("one sidecar") };
    assert_eq!(row["runTemplateName"], "shop");

    let (code, output) = finished(folder.path(), &["logs", "-a", &orders, "--tail", "1"]);
    assert!(code == 0 && output.starts_with("process "), "{output}");
    let (code, output) = finished(folder.path(), &["logs", "-a", &orders, "--kind", "daprd"]);
    assert!(code == 0 && output.contains("dapr initialized"), "{output}");
    let mut follows = Steadfast::start(command(folder.path(), &["logs", "-a", &cart, "--follow"]));
    follows.line_with("process ");

    let (code, output) = finished(folder.path(), &["stop", "-a", &cart]);
    assert_eq!(code, 0, "{output}");
    follows.line_with("asked to end");
    assert_eq!(follows.wait().code(), Some(0), "it ends with the sidecar");
    run.line_with(&format!("Exited Steadfast successfully: {cart}"));
    assert_eq!(listed(folder.path(), &orders).len(), 1, "the other goes on");

    let (code, output) = finished(folder.path(), &["stop", "-f", "."]);
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("Dapr and app processes stopped successfully"), "{output}");
    assert_eq!(run.wait().code(), Some(0));
    let (code, output) = finished(folder.path(), &["stop", "-f", "."]);
    assert!(code == 1 && output.contains("nothing runs that"), "{output}");

    // What has ended is shown where it was.
    let (code, output) = finished(&folder.path().join("orders"), &["logs", "-a", &orders]);
    assert!(code == 0 && output.contains("asked to end"), "{output}");
    let (code, output) = finished(folder.path(), &["logs", "-a", "nobody"]);
    assert!(code == 1 && output.contains("couldn't find app id nobody"), "{output}");
}
