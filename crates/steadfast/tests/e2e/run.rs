//! `steadfast run`: an application and its sidecar as one job.

use std::{fs, net::TcpListener};

use tempfile::TempDir;

use crate::support::{Client, Steadfast, command, eventually, finished, lives};

/// An application that is a shell script.
fn app(script: &str) -> [&str; 8] {
    ["run", "--app-id", "app", "--dapr-http-port=0", "--", "sh", "-c", script]
}

#[test]
fn the_exit_code_is_the_applications_own() {
    let folder = TempDir::new().unwrap();
    let check = |script| finished(folder.path(), &app(script)).0;
    assert_eq!(check("exit 0"), 0);
    assert_eq!(check("exit 7"), 7);
    assert_eq!(check("kill -9 $$"), 137);
    let (code, output) = finished(folder.path(), &["run", "--", "no-such-program"]);
    assert_eq!(code, 127);
    assert!(output.contains("cannot start \"no-such-program\""), "{output}");
}

#[test]
fn the_application_finds_its_sidecar_by_the_variables_of_dapr() {
    let folder = TempDir::new().unwrap();
    let script = "echo $APP_ID/$APP_PROTOCOL/$APP_PORT; echo rest=$1 grpc=$DAPR_GRPC_PORT \
                  metrics=$DAPR_METRICS_PORT; echo oops >&2";
    let arguments = [
        "run", "-a", "cart", "-H", "0", "-p", "8080", "-P", "grpc", "--", "sh", "-c", script, "--",
        "--app-id",
    ];
    let (code, output) = finished(folder.path(), &arguments);
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("== APP - cart == cart/grpc/8080"), "{output}");
    assert!(output.contains("== APP - cart == rest=--app-id grpc="), "{output}");
    assert!(output.contains("== APP - cart == oops"), "{output}");
    assert!(output.contains("== STEADFAST == "), "{output}");
    assert!(output.contains("You're up and running!"), "{output}");
    assert!(output.contains("Exited App successfully"), "{output}");
    assert!(!output.contains('\u{1b}'), "colours are for terminals only");
}

#[test]
fn no_process_is_left_behind() {
    let folder = TempDir::new().unwrap();
    // The application ends, and what it has started in the background would go on.
    let (code, output) = finished(folder.path(), &app("sleep 600 & echo child $!; exit 3"));
    assert_eq!(code, 3);
    let child = output.lines().find_map(|it| it.split("child ").nth(1)).unwrap();
    assert!(!lives(child), "{child} lives");

    // The job is killed with no chance to clean up.
    let script = "echo app $$; exec sleep 600";
    let mut job = Steadfast::start(command(folder.path(), &app(script)));
    let line = job.line_with("== app ");
    let pid = line.rsplit(' ').next().unwrap();
    assert!(lives(pid));
    job.signal("KILL");
    eventually("the application ends with its sidecar", || !lives(pid));
}

#[test]
fn signals_are_passed_on() {
    let folder = TempDir::new().unwrap();
    let script = "trap 'echo got usr1' USR1; trap 'echo got term; exit 42' TERM; echo ready
                  while :; do sleep 0.05; done";
    let mut job = Steadfast::start(command(folder.path(), &app(script)));
    job.line_with("ready");
    job.signal("USR1");
    job.line_with("got usr1");
    job.signal("TERM");
    job.line_with("got term");
    assert_eq!(job.wait().code(), Some(42));
    assert!(job.output().contains("Exited Steadfast successfully"));
}

#[test]
fn an_application_that_ignores_signals_is_killed_by_the_second() {
    let folder = TempDir::new().unwrap();
    let script = "trap '' INT TERM; echo ready; while :; do sleep 0.05; done";
    let mut job = Steadfast::start(command(folder.path(), &app(script)));
    job.line_with("ready");
    job.signal("INT");
    job.line_with("shutting down");
    job.signal("INT");
    assert_eq!(job.wait().code(), Some(137));
}

#[test]
fn a_port_that_was_asked_for_and_is_taken_fails_at_once() {
    let folder = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for flag in ["--dapr-http-port", "--dapr-grpc-port", "--metrics-port"] {
        let arguments = ["run", flag, &port, "--", "echo", "started"];
        let (code, output) = finished(folder.path(), &arguments);
        assert_eq!(code, 1, "{output}");
        assert!(output.contains(&format!("port {port} is in use")), "{output}");
        assert!(output.contains(flag) && !output.contains("== started"), "{output}");
    }
}

#[test]
fn the_default_store_is_written_once_and_can_be_replaced() {
    let folder = TempDir::new().unwrap();
    let components = folder.path().join(".dapr/components");
    let (code, output) = finished(folder.path(), &["run", "-H", "0", "--", "true"]);
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("No state store is configured: wrote"), "{output}");
    let file = components.join("statestore.yaml");
    assert!(fs::read_to_string(&file).unwrap().contains("state.sqlite"));
    assert!(folder.path().join(".dapr/data/statestore.db").exists());

    let (_, output) = finished(folder.path(), &["run", "-H", "0", "--", "true"]);
    assert!(!output.contains("No state store is configured"), "{output}");

    let replaced = fs::read_to_string(&file).unwrap().replace("state.sqlite", "state.in-memory");
    fs::write(&file, &replaced).unwrap();
    let (_, output) = finished(folder.path(), &["run", "-H", "0", "--", "true"]);
    assert!(output.contains("statestore (state.in-memory/v1)"), "{output}");
    assert_eq!(fs::read_to_string(&file).unwrap(), replaced);
}

#[test]
fn a_folder_that_was_named_and_is_not_there_is_a_mistake() {
    let folder = TempDir::new().unwrap();
    let arguments = ["run", "--resources-path", "componets", "--", "echo", "started"];
    let (code, output) = finished(folder.path(), &arguments);
    assert!(code == 1 && output.contains("componets"), "{output}");
    assert!(!folder.path().join("componets").exists(), "a typo creates nothing");
}

#[test]
fn the_configuration_of_the_home_folder_counts_unless_another_is_named() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join(".dapr/config.yaml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(
        &file,
        "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nspec: {api: {allowed: 1}}\n",
    )
    .unwrap();
    let (code, output) = finished(folder.path(), &app("exit 7"));
    assert!(code == 1 && output.contains(".dapr/config.yaml:3"), "{output}");
    let arguments = app("exit 7");
    let arguments = [&["run", "--config="], &arguments[1..]].concat();
    let (code, output) = finished(folder.path(), &arguments);
    assert_eq!(code, 7, "{output}");
}

#[test]
fn a_store_that_is_not_ready_is_said_so() {
    let folder = TempDir::new().unwrap();
    let arguments = ["run", "--state-store", "sqlite://nowhere/s.db", "-H", "0", "--", "true"];
    let (code, output) = finished(folder.path(), &arguments);
    assert_eq!(code, 0);
    assert!(output.contains("Running, but not ready: statestore"), "{output}");
    assert!(!output.contains("up and running"), "{output}");
    let folder_in_full = folder.path().join("nowhere");
    assert!(output.contains(folder_in_full.to_str().unwrap()), "{output}");
}

#[test]
fn after_a_graceful_end_the_database_is_one_private_file() {
    let folder = TempDir::new().unwrap();
    let arguments = ["run", "-a", "a", "--state-store", "sqlite://s.db", "-H", "0"];
    let mut job = Steadfast::start(command(folder.path(), &arguments));
    let port = job.port();
    job.line_with("You're up and running!");
    assert_eq!(Client::new(port).save("k", "1").status, 204);
    job.signal("TERM");
    assert_eq!(job.wait().code(), Some(0));
    let file = folder.path().join("s.db");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    for extra in ["s.db-wal", "s.db-shm"] {
        assert!(!folder.path().join(extra).exists(), "{extra} is left");
    }
    // A copy of the file alone has everything.
    fs::copy(&file, folder.path().join("copy.db")).unwrap();
    let arguments = ["run", "-a", "a", "--state-store", "sqlite://copy.db", "-H", "0"];
    let mut job = Steadfast::start(command(folder.path(), &arguments));
    let port = job.port();
    job.line_with("You're up and running!");
    assert_eq!(Client::new(port).get("k").body, "1");
}

#[test]
fn a_second_run_is_a_second_replica_on_the_same_data() {
    let folder = TempDir::new().unwrap();
    let start = |app_id: &str| {
        let arguments = ["run", "--app-id", app_id, "--dapr-http-port=0"];
        let mut job = Steadfast::start(command(folder.path(), &arguments));
        let port = job.port();
        job.line_with("You're up and running!");
        (job, port)
    };
    let (_first, first_port) = start("cart");
    let (_second, second_port) = start("cart");
    let (_other, other_port) = start("wishlist");
    assert_eq!(Client::new(first_port).save("k", "1").status, 204);
    assert_eq!(Client::new(second_port).get("k").body, "1");
    assert_eq!(Client::new(other_port).get("k").status, 204, "another application's keys");
}

#[test]
fn without_a_command_the_sidecar_runs_alone_and_says_what_to_try() {
    let folder = TempDir::new().unwrap();
    // Comes first by its name, and is passed over.
    let unknown = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: a}\n\
                   spec: {type: state.unknown, version: v1, ignoreErrors: true}\n";
    fs::create_dir(folder.path().join("resources")).unwrap();
    fs::write(folder.path().join("resources/a.yaml"), unknown).unwrap();
    let arguments = ["run", "-d", "resources", "--state-store", "memory", "-H", "0"];
    let mut job = Steadfast::start(command(folder.path(), &arguments));
    let port = job.port();
    let line = job.line_with("curl -i http://localhost:");
    assert!(line.contains(&format!("http://localhost:{port}/v1.0/state/statestore -d")), "{line}");
    let body = line.split('\'').nth(1).unwrap();
    let answer = Client::new(port).send("POST", "/v1.0/state/statestore", body);
    assert_eq!(answer.status, 204, "what it says works: {answer:?}");
    assert_eq!(Client::new(port).get("k1").body, "\"Some Data\"");
    job.signal("INT");
    assert_eq!(job.wait().code(), Some(0));
}

#[test]
fn the_shutdown_api_ends_the_application_too() {
    let folder = TempDir::new().unwrap();
    let script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let mut job = Steadfast::start(command(folder.path(), &app(script)));
    let port = job.port();
    job.line_with("ready");
    let metadata = Client::new(port).send("GET", "/v1.0/metadata", "").body;
    assert!(metadata.contains("appPID") && metadata.contains("cliPID"), "{metadata}");
    assert_eq!(Client::new(port).send("POST", "/v1.0/shutdown", "").status, 204);
    assert_eq!(job.wait().code(), Some(5));
}
