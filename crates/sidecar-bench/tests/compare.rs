//! The program as its users run it, with a debug build of the sidecar: whether it works, not what it measures.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Steadfast takes the flags of daprd when it has its name, so it can stand in for it.
#[test]
fn a_daprd_gets_the_same_requests_and_all_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (daprd, page) = (folder.path().join("daprd"), folder.path().join("compare.html"));
    symlink(steadfast(), &daprd).unwrap();
    let operations = "get,save,save-etag,save-ttl,delete,transaction,bulk-get";
    let ended = Command::new(env!("CARGO_BIN_EXE_sidecar-bench"))
        .args(["compare", "--json", "--store", "memory,sqlite", "--wire", "http,grpc"])
        .args(["--operation", operations, "--connections", "9", "--value-bytes", "100"])
        .args(["--requests", "100", "--keys", "200", "--rounds", "1", "--rate", "0"])
        // A debug build takes minutes for that.
        .arg("--no-allocations")
        .arg("--binary")
        .arg(steadfast())
        .arg("--daprd")
        .arg(&daprd)
        .arg("--html")
        .arg(&page)
        .arg("--dir")
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let costs = report["tables"][0]["rows"].as_array().unwrap();
    // Two stores, two wires, seven operations, three servers.
    assert_eq!(costs.len(), 2 * 2 * 7 * 3);
    for cost in costs {
        assert!(cost["cpu_us"]["median"].as_f64().unwrap() > 0.0, "{cost}");
        assert!(cost["p50_us"]["median"].as_f64().unwrap() > 0.0, "{cost}");
    }
    let processes = report["tables"][1]["rows"].as_array().unwrap();
    let servers: Vec<&str> = processes.iter().map(|it| it["server"].as_str().unwrap()).collect();
    assert_eq!(servers, ["steadfast", "daprd", "steadfast", "daprd"]);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("<svg") && page.contains("daprd"));
}

/// The program valgrind is needed.
#[test]
fn allocations_of_a_request_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_sidecar-bench"))
        .args(["compare", "--json", "--store", "memory", "--operation", "get"])
        .args(["--requests", "100", "--keys", "200", "--rounds", "1", "--rate", "0"])
        .arg("--binary")
        .arg(steadfast())
        .arg("--dir")
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let costs = &report["tables"][0]["rows"];
    let allocations =
        |i: usize| costs[i]["allocations"].as_f64().unwrap_or_else(|| panic!("{said}"));
    // The echo has at least the headers of the answer, and the sidecar does more than the echo.
    let (echo, steadfast) = (allocations(0), allocations(1));
    assert!(echo >= 1.0 && steadfast > echo && steadfast < 20.0, "{echo} and {steadfast}");
}

/// The sidecar of the same build, which is made if it was not.
fn steadfast() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_sidecar-bench")).with_file_name("steadfast");
    if !path.exists() {
        let built = Command::new(env!("CARGO")).args(["build", "--package", "steadfast"]).status();
        assert!(built.expect("cargo runs this test").success(), "cannot build the sidecar");
    }
    path
}
