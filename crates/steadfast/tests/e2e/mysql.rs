//! The program on MariaDB: the component that `run` writes, what the metadata says, and `verify`.

use std::fs;

use real_servers::mysql::{Mysql, Options, PASSWORD, USER};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Client, Steadfast, command, finished, verifies};

/// Writes a component for a server.
fn component(folder: &TempDir, server: &Mysql) {
    let source = format!("{USER}:{PASSWORD}@tcp({})/", server.address());
    let yaml = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: statestore\nspec:\n  \
         type: state.mysql\n  version: v1\n  metadata:\n  - name: connectionString\n    value: {source:?}\n"
    );
    fs::create_dir_all(folder.path().join("components")).unwrap();
    fs::write(folder.path().join("components/statestore.yaml"), yaml).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_guarantee_is_kept_also_when_sessions_are_killed() {
    let server = Mysql::start(&Options::default().durable()).await.unwrap();
    let folder = TempDir::new().unwrap();
    component(&folder, &server);
    // The connections of all sidecars end in the middle of what they do.
    let hook = format!(
        "for i in $(mariadb --no-defaults -N -S {0} -u root -e \"SELECT id FROM information_schema.processlist \
         WHERE user = '{USER}'\"); do mariadb --no-defaults -S {0} -u root -e \"KILL $i\"; done; true",
        server.socket().display()
    );
    let required = "first-write,strong,tx,ttl,bulk,values,recovery,durability";
    verifies(folder.path(), &["--hook", &hook], required);
    let left = server.value("SELECT COUNT(*) FROM dapr_state_store.state").await.unwrap();
    assert_eq!(left, "0", "rows are left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn run_writes_a_component() {
    let server = Mysql::start(&Options::default()).await.unwrap();
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("components")).unwrap();
    let encoded = PASSWORD.replace('@', "%40").replace('/', "%2F").replace(':', "%3A");
    let url = format!("mysql://{USER}:{encoded}@{}/orders", server.address());
    let script = "curl -sf -d '[{\"key\": \"k\", \"value\": 1}]' localhost:$DAPR_HTTP_PORT/v1.0/state/statestore";
    let run = ["run", "-a", "app", "-H", "0", "--state-store", &url, "--", "sh", "-c", script];
    let (code, output) = finished(folder.path(), &run);
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("Wrote ") && !output.contains(&encoded), "{output}");
    let stored = server.value("SELECT value FROM orders.state WHERE id = 'app||k'").await.unwrap();
    assert_eq!(stored, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_says_what_follows_from_the_server_s_settings() {
    let options = Options::default().setting("innodb-flush-log-at-trx-commit=2");
    let server = Mysql::start(&options).await.unwrap();
    let folder = TempDir::new().unwrap();
    component(&folder, &server);
    let arguments = ["serve", "-a", "app", "-H", "0", "--resources-path", "components"];
    let mut sidecar = Steadfast::start(command(folder.path(), &arguments));
    let port = sidecar.port();
    sidecar.line_with("Component loaded: statestore (state.mysql/v1)");
    let metadata = Client::new(port).send("GET", "/v1.0/metadata", "");
    let metadata: Value = serde_json::from_str(&metadata.body).unwrap();
    let promises = &metadata["components"][0]["promises"];
    assert_eq!(promises["serverSettings"]["innodb_flush_log_at_trx_commit"], "2");
    assert_eq!(promises["acknowledgedWritesSurvive"]["powerLoss"], false);
}
