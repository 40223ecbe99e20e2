//! The program on etcd: the component that `run` writes, what the metadata says, and `verify`.

use std::fs;

use real_servers::etcd::{Etcd, Options};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Client, Steadfast, command, finished, verifies};

/// Writes a component for a cluster.
fn component(folder: &TempDir, cluster: &Etcd, version: &str) {
    let endpoints = cluster.endpoints();
    let yaml = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: statestore\nspec:\n  \
         type: state.etcd\n  version: {version}\n  metadata:\n  - name: endpoints\n    value: {endpoints:?}\n"
    );
    fs::create_dir_all(folder.path().join("components")).unwrap();
    fs::write(folder.path().join("components/statestore.yaml"), yaml).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn both_layouts_keep_every_guarantee_also_when_the_leader_moves() {
    let cluster = Etcd::start(3, &Options::default()).await.unwrap();
    for version in ["v1", "v2"] {
        let folder = TempDir::new().unwrap();
        component(&folder, &cluster, version);
        let leader = cluster.leader().await.unwrap();
        let pid = cluster.nodes()[leader].id().unwrap();
        // Another leads by the time it goes on.
        let hook = format!("kill -STOP {pid}; sleep 3; kill -CONT {pid}");
        let required = "first-write,strong,tx,ttl,bulk,values,recovery";
        verifies(folder.path(), &["--hook", &hook], required);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn run_writes_a_component_and_the_metadata_tells_the_members() {
    let cluster = Etcd::start(3, &Options::default()).await.unwrap();
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("components")).unwrap();
    let url = format!("etcd://{}", cluster.endpoints());
    let script = "curl -sf -d '[{\"key\": \"k\", \"value\": 1}]' localhost:$DAPR_HTTP_PORT/v1.0/state/statestore";
    let run = ["run", "-a", "app", "-H", "0", "--state-store", &url, "--", "sh", "-c", script];
    let (code, output) = finished(folder.path(), &run);
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("Wrote "), "{output}");
    // The file is enough now.
    let arguments = ["serve", "-a", "app", "-H", "0", "--resources-path", "components"];
    let mut sidecar = Steadfast::start(command(folder.path(), &arguments));
    let port = sidecar.port();
    sidecar.line_with("Component loaded: statestore (state.etcd/");
    assert_eq!(Client::new(port).get("k").body, "1");
    let metadata = Client::new(port).send("GET", "/v1.0/metadata", "");
    let metadata: Value = serde_json::from_str(&metadata.body).unwrap();
    let promises = &metadata["components"][0]["promises"];
    assert_eq!(promises["acknowledgedWritesSurvive"]["failover"], true, "{promises}");
}
