//! How often a server is asked, counted at the server.

use std::time::Duration;

use real_servers::redis::{Client, Options, Redis};
use state::{Read, Write};
use tokio::net::UnixStream;

use crate::support::{arrange, delete, expiring, get, key, matches, open, put, strong};

/// Everything that a server is asked over connections, in order; what scripts ask in turn does not count.
struct Monitor(Client<UnixStream>);

impl Monitor {
    async fn start(server: &Redis) -> Monitor {
        let mut client = server.client().await.unwrap();
        client.ask(&["MONITOR"]).await.unwrap().ok().unwrap();
        Monitor(client)
    }

    /// What came until now: the names of commands, in lower case.
    async fn commands(&mut self, server: &Redis) -> Vec<String> {
        // It comes last.
        server.command(&["ECHO", "end"]).await.unwrap();
        let mut commands = Vec::new();
        loop {
            // `1700000000.123456 [0 127.0.0.1:5000] "GET" "k"`, and `[0 lua]` for scripts
            let line = self.0.reply().await.unwrap().text().unwrap();
            let (from, rest) = line.split_once("] ").unwrap();
            let command = rest.split('"').nth(1).unwrap().to_lowercase();
            if command == "echo" {
                return commands;
            }
            if !from.ends_with(" lua") {
                commands.push(command);
            }
        }
    }
}

#[tokio::test]
async fn every_operation_is_one_command() {
    let server = Redis::start(&Options::default()).await.unwrap();
    let store = open(server.address(), &[]).await;
    // The server learns the scripts.
    store.write(&put("k", "1")).await.unwrap();
    get(&store, "k").await.unwrap();

    let mut monitor = Monitor::start(&server).await;
    store.write(&expiring("k", "1", Duration::from_secs(60))).await.unwrap();
    assert_eq!(monitor.commands(&server).await, ["evalsha"], "save with TTL");
    let item = get(&store, "k").await.unwrap();
    assert!(item.expires_at.is_some());
    assert_eq!(monitor.commands(&server).await, ["evalsha"], "get with TTL");
    let etag = item.etag.unwrap();
    store.write(&put("k", "2").when(matches(etag.as_str()))).await.unwrap();
    assert_eq!(monitor.commands(&server).await, ["evalsha"], "save with ETag");
    store.write(&delete("k")).await.unwrap();
    assert_eq!(monitor.commands(&server).await, ["evalsha"], "delete");
    store.transact(&[put("a", "1"), put("b", "1"), delete("c")]).await.unwrap();
    assert_eq!(monitor.commands(&server).await, ["evalsha"], "transaction");
    // On the same connection, in one piece.
    store.write(&strong(put("k", "1"))).await.unwrap();
    assert_eq!(monitor.commands(&server).await, ["ping", "evalsha", "role", "wait"], "strong save");
}

#[tokio::test]
async fn bulk_operations_are_one_pipeline() {
    let server = Redis::start(&Options::default()).await.unwrap();
    let store = open(server.address(), &[]).await;
    let names: Vec<String> = (0..100).map(|it| format!("k{it}")).collect();
    let writes: Vec<Write> = names.iter().map(|it| put(it, "1")).collect();
    assert!(store.write_many(&writes).await.iter().all(Result::is_ok));
    let reads: Vec<Read> = names.iter().map(|it| Read::new(key(it))).collect();
    assert!(store.get_many(&reads).await.iter().all(|it| matches!(it, Ok(Some(_)))));

    // A server reads what has come and answers all of it before it reads again, so a pipeline that fits its
    // buffer is read at once.
    let read_events = async || {
        let stats = server.info("stats").await.unwrap();
        stats["total_reads_processed"].parse::<u64>().unwrap()
    };
    let own = {
        let before = read_events().await;
        read_events().await - before
    };
    let before = read_events().await;
    assert!(store.get_many(&reads).await.iter().all(|it| matches!(it, Ok(Some(_)))));
    let reads_of_the_pipeline = read_events().await - before - own;
    assert!(reads_of_the_pipeline <= 3, "{reads_of_the_pipeline} reads for 100 keys");
    let mut monitor = Monitor::start(&server).await;
    assert!(store.get_many(&reads).await.iter().all(|it| matches!(it, Ok(Some(_)))));
    assert_eq!(monitor.commands(&server).await, ["evalsha"; 4], "calls for 100 keys");
    let deletes: Vec<Write> = names.iter().map(|it| delete(it)).collect();
    assert!(store.write_many(&deletes).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn scripts_that_the_server_has_forgotten_are_sent_again() {
    let server = Redis::start(&Options::default()).await.unwrap();
    let store = open(server.address(), &[]).await;
    store.write(&put("k", "1")).await.unwrap();
    arrange(&server, &[&["SCRIPT", "FLUSH"]]).await;
    assert!(get(&store, "k").await.is_some());
    arrange(&server, &[&["SCRIPT", "FLUSH"]]).await;
    // The last of two writes to one key stays the last.
    let writes: Vec<Write> = (0..50)
        .flat_map(|it| {
            let name = format!("k{it}");
            [put(&name, "1"), put(&name, "2")]
        })
        .collect();
    assert!(store.write_many(&writes).await.iter().all(Result::is_ok));
    let reads: Vec<Read> = (0..50).map(|it| Read::new(key(&format!("k{it}")))).collect();
    for item in store.get_many(&reads).await {
        assert_eq!(&item.unwrap().unwrap().value[..], b"2");
    }
}

#[tokio::test]
async fn requests_of_all_callers_share_one_connection() {
    let server = Redis::start(&Options::default()).await.unwrap();
    let store = open(server.address(), &[]).await;
    let clients = async || {
        let info = server.info("clients").await.unwrap();
        info["connected_clients"].parse::<u64>().unwrap()
    };
    let own = 1;
    let tasks: Vec<_> = (0..64)
        .map(|it| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    store.write(&put(&format!("k{it}"), "1")).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(clients().await, own + 1);
}
