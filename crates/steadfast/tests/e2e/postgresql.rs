//! The program on PostgreSQL: the component that `run` writes, what the metadata says, and `verify`.

use std::fs;

use real_servers::postgres::{Options, Postgres};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Client, Steadfast, command, finished, verifies};

/// Writes a component for a server.
fn component(folder: &TempDir, server: &Postgres, version: &str, more: &str) {
    let url = server.url();
    let yaml = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: statestore\nspec:\n  \
         type: state.postgresql\n  version: {version}\n  metadata:\n  - name: connectionString\n    value: {url:?}\n{more}"
    );
    fs::create_dir_all(folder.path().join("components")).unwrap();
    fs::write(folder.path().join("components/statestore.yaml"), yaml).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn both_layouts_keep_every_guarantee_also_when_the_server_is_killed() {
    for version in ["v1", "v2"] {
        let server = Postgres::start(&Options::default().durable()).await.unwrap();
        let folder = TempDir::new().unwrap();
        component(&folder, &server, version, "");
        let data = server.process().folder().join("data/postmaster.pid");
        // The server recovers by itself when a session was killed, as after a crash.
        let hook = format!(
            "kill -9 $(head -1 {} | xargs pgrep -P | head -3 | tail -1); true",
            data.display()
        );
        let required = "first-write,strong,tx,ttl,bulk,values,recovery,durability";
        verifies(folder.path(), &["--hook", &hook], required);
        let left = server.ask("SELECT count(*)::text FROM state").await.unwrap();
        assert_eq!(left, "0", "rows are left behind");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn run_writes_a_component_for_the_second_layout() {
    let server = Postgres::start(&Options::default().password("p@ss")).await.unwrap();
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("components")).unwrap();
    let url = server.url().replace("p@ss", "p%40ss");
    let script = "curl -sf -d '[{\"key\": \"k\", \"value\": 1}]' localhost:$DAPR_HTTP_PORT/v1.0/state/statestore";
    let run = ["run", "-a", "app", "-H", "0", "--state-store", &url, "--", "sh", "-c", script];
    let (code, output) = finished(folder.path(), &run);
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("Wrote ") && !output.contains("p%40ss"), "{output}");
    let file = fs::read_to_string(folder.path().join("components/statestore.yaml")).unwrap();
    assert!(file.contains("type: state.postgresql\n  version: v2"), "{file}");
    let url = server.url().replace("p@ss", "p%40ss");
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let stored =
        client.query_one("SELECT value FROM state WHERE key = 'app||k'", &[]).await.unwrap();
    assert_eq!(stored.get::<_, Vec<u8>>(0), b"1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_says_what_follows_from_the_server_s_settings() {
    let options = Options::default().setting("synchronous_commit", "off");
    let server = Postgres::start(&options).await.unwrap();
    let folder = TempDir::new().unwrap();
    component(&folder, &server, "v1", "");
    let arguments = ["serve", "-a", "app", "-H", "0", "--resources-path", "components"];
    let mut sidecar = Steadfast::start(command(folder.path(), &arguments));
    let port = sidecar.port();
    sidecar.line_with("acknowledged writes may not survive a crash of postgresql");
    sidecar.line_with("Component loaded: statestore (state.postgresql/v1)");
    let metadata = Client::new(port).send("GET", "/v1.0/metadata", "");
    let metadata: Value = serde_json::from_str(&metadata.body).unwrap();
    let promises = &metadata["components"][0]["promises"];
    assert_eq!(promises["serverSettings"]["synchronous_commit"], "off");
    assert_eq!(promises["acknowledgedWritesSurvive"]["processCrash"], false);
    assert_eq!(promises["values"], "normalized");
}
