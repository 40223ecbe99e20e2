//! `steadfast verify`, on stores that keep their promises and on one that does not.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Steadfast, command, eventually, finished, lives};

fn component(folder: &Path, component_type: &str) {
    fs::create_dir_all(folder.join("components")).unwrap();
    let yaml = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: statestore\nspec:\n  \
         type: {component_type}\n  version: v1\n  metadata:\n  - name: connectionString\n    \
         value: state.db\n"
    );
    fs::write(folder.join("components/statestore.yaml"), yaml).unwrap();
}

fn standing<'a>(findings: &'a Value, guarantee: &str) -> &'a str {
    let judgements = findings["judgements"].as_array().unwrap();
    let judgement = judgements.iter().find(|it| it["guarantee"] == guarantee).unwrap();
    judgement["standing"].as_str().unwrap()
}

fn findings(file: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// How many rows a verification has left in a database.
fn rows_left(folder: &Path) -> i64 {
    let database = rusqlite::Connection::open(folder.join("state.db")).unwrap();
    database.query_row("SELECT count(*) FROM state", [], |row| row.get(0)).unwrap()
}

#[test]
fn sqlite_keeps_every_guarantee() {
    let folder = TempDir::new().unwrap();
    component(folder.path(), "state.sqlite");
    let arguments = [
        "verify",
        "--duration",
        "6s",
        "--json",
        "report.json",
        "--html",
        "report.html",
        "--history",
        "history.jsonl",
        "--require",
        "first-write,strong,tx,ttl,bulk,values,durability,recovery",
    ];
    let (code, output) = finished(folder.path(), &arguments);
    assert_eq!(code, 0, "{output}");
    let findings = findings(&folder.path().join("report.json"));
    for guarantee in
        ["first-write", "strong", "tx", "ttl", "bulk", "values", "durability", "recovery"]
    {
        assert_eq!(standing(&findings, guarantee), "holds", "{guarantee}: {output}");
    }
    assert!(findings["operations"].as_u64().unwrap() > 1000, "{output}");
    assert!(findings["faults"].as_u64().unwrap() > 0, "{output}");
    let html = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") || html.starts_with("<!doctype html>"));
    assert_eq!(rows_left(folder.path()), 0);

    let (code, output) = finished(folder.path(), &["verify", "--replay", "history.jsonl"]);
    assert_eq!(code, 0, "{output}");
}

#[test]
fn what_a_store_does_not_offer_cannot_be_required() {
    let folder = TempDir::new().unwrap();
    component(folder.path(), "state.in-memory");
    let arguments =
        ["verify", "--duration", "2s", "--json", "report.json", "--require", "durability"];
    let (code, output) = finished(folder.path(), &arguments);
    assert_eq!(code, 2, "{output}");
    let findings = findings(&folder.path().join("report.json"));
    assert_eq!(standing(&findings, "durability"), "not_offered");
    assert_eq!(standing(&findings, "first-write"), "holds", "{output}");
}

#[test]
fn a_sidecar_that_acknowledges_what_it_refused_is_found_out() {
    let folder = TempDir::new().unwrap();
    let (_sidecar, port) = Steadfast::serve(folder.path(), &["--state-store", "memory"]);
    let liar = acknowledging(port);
    let endpoint = format!("http://127.0.0.1:{liar}");
    let arguments =
        ["verify", "--endpoint", &endpoint, "--duration", "3s", "--json", "report.json"];
    let (code, output) = finished(folder.path(), &arguments);
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("VIOLATED"), "{output}");
    let findings = findings(&folder.path().join("report.json"));
    assert_eq!(standing(&findings, "first-write"), "violated", "{output}");
    let judgement = &findings["judgements"][0];
    assert!(judgement["violations"][0]["records"].as_array().is_some_and(|it| it.len() < 16));
}

#[test]
fn two_sidecars_of_one_application_are_verified_where_they_run() {
    let folder = TempDir::new().unwrap();
    let start = || Steadfast::serve(folder.path(), &["--state-store", "sqlite://state.db"]);
    let ((one, _), (_other, second)) = (start(), start());
    let grpc = one.grpc_port();
    let endpoints = [format!("grpc://127.0.0.1:{grpc}"), format!("http://127.0.0.1:{second}")];
    let arguments = [
        "verify",
        "--endpoint",
        &endpoints[0],
        "--endpoint",
        &endpoints[1],
        "--duration",
        "3s",
        "--require",
        "first-write,strong,tx,ttl",
    ];
    let (code, output) = finished(folder.path(), &arguments);
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("NOT TESTED"), "durability needs a hook: {output}");
}

#[test]
fn a_wrong_configuration_is_told_from_a_verdict() {
    let folder = TempDir::new().unwrap();
    component(folder.path(), "state.sqlite");
    for (arguments, word) in [
        (&["verify", "--store", "other"][..], "there is no state store other"),
        (&["verify", "--require", "speed"], "first-write, strong"),
        (&["verify", "--endpoint", "localhost"], "http://host:port"),
        (&["verify", "--endpoint", "https://127.0.0.1:1"], "not supported"),
        (&["verify", "--endpoint", "grpc://127.0.0.1:1"], "cannot use grpc://127.0.0.1:1"),
        (&["verify", "--resources-path", "nowhere"], "nowhere"),
        (&["verify", "--html", "no/such/folder.html"], "cannot write"),
        (&["verify", "--replay", "nowhere.jsonl"], "cannot read"),
        (&["verify", "--replay", "components/statestore.yaml"], "line 1"),
    ] {
        let (code, output) = finished(folder.path(), arguments);
        assert_eq!(code, 3, "{arguments:?}: {output}");
        assert!(output.contains(word), "{arguments:?}: {output}");
    }
}

#[test]
fn a_store_that_cannot_be_opened_says_why() {
    let folder = TempDir::new().unwrap();
    component(folder.path(), "state.sqlite");
    fs::create_dir(folder.path().join("state.db")).unwrap();
    let (code, output) = finished(folder.path(), &["verify"]);
    assert_eq!(code, 3, "{output}");
    assert!(output.contains("state.db"), "{output}");
}

#[test]
fn different_data_behind_two_endpoints_is_no_verdict() {
    let folder = TempDir::new().unwrap();
    let start = || Steadfast::serve(folder.path(), &["--state-store", "memory"]);
    let ((_one, first), (_other, second)) = (start(), start());
    let endpoints = [first, second].map(|port| format!("http://127.0.0.1:{port}"));
    let arguments = ["verify", "--endpoint", &endpoints[0], "--endpoint", &endpoints[1]];
    let (code, output) = finished(folder.path(), &arguments);
    assert_eq!(code, 3, "{output}");
    assert!(output.contains("does not see what was written"), "{output}");
}

#[test]
fn an_interruption_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    component(folder.path(), "state.sqlite");
    let mut process = Steadfast::start(command(
        folder.path(),
        &["verify", "--duration", "600s", "--history", "h"],
    ));
    process.line_with("operations");
    process.signal("INT");
    assert_eq!(process.wait().code(), Some(2), "{}", process.output());
    assert!(process.output().contains("before its time"), "{}", process.output());
    assert_eq!(rows_left(folder.path()), 0);
}

#[test]
fn a_command_that_fails_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    component(folder.path(), "state.sqlite");
    let arguments = ["verify", "--duration", "1s", "--no-faults", "--hook", "exit 7"];
    let (code, output) = finished(folder.path(), &arguments);
    assert_eq!(code, 3, "{output}");
    assert!(output.contains("--hook: it failed: exit status: 7"), "{output}");
    assert_eq!(rows_left(folder.path()), 0);
}

#[test]
fn a_command_that_hangs_ends_with_the_verification() {
    let folder = TempDir::new().unwrap();
    component(folder.path(), "state.sqlite");
    let hook = "echo the hook is $$ >&2; sleep 600; true";
    let mut process = Steadfast::start(command(
        folder.path(),
        &["verify", "--duration", "1s", "--no-faults", "--hook", hook],
    ));
    let line = process.line_with("the hook is");
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(2), "{}", process.output());
    let pid = line.trim().rsplit(' ').next().unwrap();
    eventually("the hook ends", || !lives(pid));
    assert_eq!(rows_left(folder.path()), 0);
}

#[test]
fn what_nobody_contends_for_is_not_tested() {
    let folder = TempDir::new().unwrap();
    component(folder.path(), "state.in-memory");
    let arguments = [
        "verify",
        "--duration",
        "1s",
        "--clients",
        "1",
        "--json",
        "report.json",
        "--require",
        "first-write",
    ];
    let (code, output) = finished(folder.path(), &arguments);
    assert_eq!(code, 2, "{output}");
    let findings = findings(&folder.path().join("report.json"));
    for guarantee in ["first-write", "strong", "tx"] {
        assert_eq!(standing(&findings, guarantee), "not_tested", "{guarantee}: {output}");
    }
}

/// A sidecar's port, with conflicts turned into acknowledgements.
fn acknowledging(port: u16) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let own = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(client) = client else { return };
            thread::spawn(move || acknowledge(client, port));
        }
    });
    own
}

fn acknowledge(mut client: TcpStream, port: u16) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)) else { return };
    let (Ok(mut from), Ok(mut to)) = (client.try_clone(), server.try_clone()) else { return };
    thread::spawn(move || std::io::copy(&mut from, &mut to));
    let mut buffer = vec![0; 1 << 16];
    while let Ok(len) = server.read(&mut buffer) {
        // Answers are short and come one at a time, so each comes as a whole.
        let answer = &buffer[..len];
        let lie = b"HTTP/1.1 204 No Content\r\n\r\n";
        let told = if answer.starts_with(b"HTTP/1.1 409") { &lie[..] } else { answer };
        if len == 0 || client.write_all(told).is_err() {
            return;
        }
    }
}
