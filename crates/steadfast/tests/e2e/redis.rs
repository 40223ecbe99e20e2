//! The program on Redis: the component that `run` writes, what the metadata says, and `verify` on each topology.

use std::{fs, net::SocketAddr, path::Path};

use real_servers::redis::{Cluster, MASTER_NAME, Options, Redis, Sentinels};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Client, Steadfast, command, finished, verifies};

/// Writes a component for these servers, with more settings.
fn component(folder: &Path, servers: &[SocketAddr], settings: &[(&str, &str)]) {
    let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
    let servers = servers.join(",");
    let mut yaml =
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: statestore\nspec:\n  \
                    type: state.redis\n  version: v1\n  metadata:\n"
            .to_owned();
    for (name, value) in [&[("redisHost", servers.as_str())], settings].concat() {
        yaml += &format!("  - name: {name}\n    value: {value:?}\n");
    }
    fs::create_dir_all(folder.join("components")).unwrap();
    fs::write(folder.join("components/statestore.yaml"), yaml).unwrap();
}

const REQUIRED: &str = "first-write,strong,tx,ttl,bulk,values,recovery";

#[tokio::test(flavor = "multi_thread")]
async fn one_server_keeps_every_guarantee_also_when_it_is_started_again() {
    let options = Options::default().durable().setting("enable-debug-command", "yes");
    let server = Redis::start(&options).await.unwrap();
    let folder = TempDir::new().unwrap();
    component(folder.path(), &[server.address()], &[]);
    // It starts anew with what is on its disk, and its answer to this is that the connection ends.
    let hook =
        format!("redis-cli -s {} DEBUG RESTART >/dev/null 2>&1; true", server.socket().display());
    verifies(folder.path(), &["--hook", &hook], &format!("{REQUIRED},durability"));
    let left = server.command(&["DBSIZE"]).await.unwrap().integer().unwrap();
    assert_eq!(left, 0, "keys are left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinel_keeps_every_guarantee_without_a_failover() {
    let group = Sentinels::start(3, 2, &Options::default().durable()).await.unwrap();
    let folder = TempDir::new().unwrap();
    let settings =
        [("failover", "true"), ("sentinelMasterName", MASTER_NAME), ("strongReplicas", "2")];
    component(folder.path(), &group.addresses(), &settings);
    verifies(folder.path(), &[], REQUIRED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_every_guarantee_and_reads_from_replicas() {
    let cluster = Cluster::start(3, 1, &Options::default().durable()).await.unwrap();
    let folder = TempDir::new().unwrap();
    component(
        folder.path(),
        &cluster.addresses(),
        &[("redisType", "cluster"), ("readFrom", "replica")],
    );
    verifies(folder.path(), &[], REQUIRED);
}

#[tokio::test(flavor = "multi_thread")]
async fn run_writes_a_component_for_a_server_once() {
    let server = Redis::start(&Options::default().password("p@ss")).await.unwrap();
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("components")).unwrap();
    let url = format!("redis://:p%40ss@{}/3", server.address());
    let run = |more: &[&str]| {
        let script = "curl -sf -d '[{\"key\": \"k\", \"value\": 1}]' \
                      localhost:$DAPR_HTTP_PORT/v1.0/state/statestore";
        let all = [&["run", "-a", "app", "-H", "0"], more, &["--", "sh", "-c", script]].concat();
        finished(folder.path(), &all)
    };
    let (code, output) = run(&["--state-store", &url]);
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("Wrote ") && output.contains("statestore.yaml"), "{output}");
    assert!(!output.contains("p@ss"), "{output}");
    let client = async |words: &[&str]| {
        let mut client = server.client().await.unwrap();
        client.ask(&["SELECT", "3"]).await.unwrap().ok().unwrap();
        client.ask(words).await.unwrap()
    };
    assert_eq!(client(&["DEL", "app||k"]).await.integer().unwrap(), 1);
    // The file is enough now, and the flag that made it does no harm.
    for more in [&[][..], &["--state-store", &url]] {
        let (code, output) = run(more);
        assert_eq!(code, 0, "{output}");
        assert!(!output.contains("Wrote "), "{output}");
        assert_eq!(client(&["DEL", "app||k"]).await.integer().unwrap(), 1);
    }
    let (code, output) = run(&["--state-store", "redis://127.0.0.1:1"]);
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("leave one of them out"), "{output}");
    let (code, output) = run(&["--state-store", "redis://:hunter2@127.0.0.1/one"]);
    assert_eq!(code, 2, "{output}");
    assert!(output.contains("number of a database") && !output.contains("hunter2"), "{output}");
}

#[test]
fn run_writes_no_file_beside_one_that_has_the_store() {
    let folder = TempDir::new().unwrap();
    component(folder.path(), &[SocketAddr::from(([127, 0, 0, 1], 1))], &[]);
    let components = folder.path().join("components");
    fs::rename(components.join("statestore.yaml"), components.join("redis.yaml")).unwrap();
    let run = ["run", "-a", "app", "-H", "0", "--state-store", "redis://127.0.0.1:2", "--", "true"];
    let (code, output) = finished(folder.path(), &run);
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("redis.yaml") && output.contains("leave one of them out"), "{output}");
    assert_eq!(fs::read_dir(components).unwrap().count(), 1, "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_late_is_used_when_it_is_there() {
    let server = Redis::start(&Options::default()).await.unwrap();
    server.process().kill().unwrap();
    let folder = TempDir::new().unwrap();
    component(folder.path(), &[server.address()], &[]);
    let arguments = ["serve", "-a", "app", "-H", "0", "--resources-path", "components"];
    let mut sidecar = Steadfast::start(command(folder.path(), &arguments));
    let port = sidecar.port();
    sidecar.line_with("cannot open the store");
    let refused = Client::new(port).get("k");
    assert_eq!(refused.status, 503, "{}", refused.body);
    server.process().restart().await.unwrap();
    sidecar.line_with("Component loaded: statestore (state.redis/v1)");
    assert_eq!(Client::new(port).get("k").status, 204);
    let metadata = Client::new(port).send("GET", "/v1.0/metadata", "");
    let metadata: Value = serde_json::from_str(&metadata.body).unwrap();
    let promises = &metadata["components"][0]["promises"];
    assert_eq!(promises["serverSettings"]["appendonly"], "no");
    assert_eq!(promises["acknowledgedWritesSurvive"]["powerLoss"], false);
    assert_eq!(promises["acknowledgedWritesSurvive"]["memoryPressure"], true);
}
