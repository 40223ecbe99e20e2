//! `kill -9` under load: what was acknowledged is there, and nothing is there by halves.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
};

use tempfile::TempDir;

use crate::support::{Client, Steadfast};

const KILLS: u64 = 50;
const WRITERS: usize = 4;

/// What one writer has asked for, and what of that was acknowledged. Its values only grow.
#[derive(Debug, Default)]
struct Progress {
    sent: AtomicU64,
    acknowledged: AtomicU64,
}

fn serve(folder: &Path) -> (Steadfast, u16) {
    Steadfast::serve(folder, &["--state-store", "sqlite://state.db", "--log-level", "info"])
}

/// Writes ever higher numbers until the connection is lost: a single key and, in one transaction,
/// a pair of keys.
fn write(port: u16, writer: usize, progress: &Progress, acknowledged: &AtomicU64) {
    let Ok(mut client) = Client::connect(port) else { return };
    loop {
        let n = progress.sent.fetch_add(1, SeqCst) + 1;
        let upsert = |key: &str| {
            format!(r#"{{"operation":"upsert","request":{{"key":"{key}{writer}","value":{n}}}}}"#)
        };
        let body = format!(r#"[{{"key":"single{writer}","value":{n}}}]"#);
        let pair = format!(r#"{{"operations":[{},{}]}}"#, upsert("left"), upsert("right"));
        let answers = client.try_send("POST", "/v1.0/state/statestore", &body).and_then(|it| {
            Ok((it, client.try_send("POST", "/v1.0/state/statestore/transaction", &pair)?))
        });
        let Ok((single, pair)) = answers else { return };
        assert_eq!((single.status, pair.status), (204, 204), "{single:?} {pair:?}");
        progress.acknowledged.store(n, SeqCst);
        acknowledged.fetch_add(1, SeqCst);
    }
}

fn number(client: &mut Client, key: &str) -> u64 {
    let answer = client.get(key);
    match answer.status {
        204 => 0,
        200 => answer.body.parse().unwrap(),
        _ => panic!("{answer:?}"),
    }
}

#[test]
fn kill_9_under_load_loses_nothing_acknowledged() {
    let folder = TempDir::new().unwrap();
    let progress: Arc<Vec<Progress>> =
        Arc::new((0..WRITERS).map(|_| Progress::default()).collect());
    let mut total = 0;
    for round in 0..KILLS {
        let (mut sidecar, port) = serve(folder.path());
        let acknowledged = Arc::new(AtomicU64::new(0));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (progress, acknowledged) = (progress.clone(), acknowledged.clone());
                thread::spawn(move || write(port, writer, &progress[writer], &acknowledged))
            })
            .collect();
        // A different moment each time, counted in work and not in time.
        while acknowledged.load(SeqCst) < 3 + round * 7 % 41 {
            thread::yield_now();
        }
        sidecar.child.kill().unwrap();
        sidecar.wait();
        writers.into_iter().for_each(|it| it.join().unwrap());
        total += acknowledged.load(SeqCst);

        let (_sidecar, port) = serve(folder.path());
        let mut client = Client::new(port);
        for (writer, progress) in progress.iter().enumerate() {
            let (sent, acknowledged) =
                (progress.sent.load(SeqCst), progress.acknowledged.load(SeqCst));
            let single = number(&mut client, &format!("single{writer}"));
            let left = number(&mut client, &format!("left{writer}"));
            let right = number(&mut client, &format!("right{writer}"));
            assert!(
                (acknowledged..=sent).contains(&single),
                "{acknowledged} <= {single} <= {sent}"
            );
            assert!((acknowledged..=sent).contains(&left), "{acknowledged} <= {left} <= {sent}");
            assert_eq!(left, right, "half a transaction in round {round}");
        }
    }
    println!("{KILLS} kills, {total} acknowledged rounds of writes, 0 lost, 0 halves");
}
