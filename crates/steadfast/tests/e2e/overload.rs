//! More is asked of a store than it can do.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use fault_proxy::{Direction, Fault, Proxy};
use real_servers::redis::{Options, Redis};
use tempfile::TempDir;

use crate::support::{Client, Steadfast};

/// How long the store takes for a request, and how many it has under way: so it can do 400 a second.
const LATENCY: Duration = Duration::from_millis(20);
const IN_FLIGHT: usize = 8;

/// How many requests were answered, how many refused, and how long the refusals took at most.
#[derive(Debug)]
struct Counted {
    answered: usize,
    refused: Vec<Duration>,
}

/// Clients that ask for `seconds`, each as soon as it has an answer; after a refusal it takes a breath.
fn ask(port: u16, clients: usize, seconds: u64) -> Counted {
    let (answered, refused) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let deadline = Instant::now() + Duration::from_secs(seconds);
    thread::scope(|scope| {
        for i in 0..clients {
            let (answered, refused) = (&answered, &refused);
            scope.spawn(move || {
                let mut client = Client::new(port);
                while Instant::now() < deadline {
                    let begun = Instant::now();
                    let answer = client.save(&format!("k{i}"), "1");
                    match answer.status {
                        204 => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        503 => {
                            refused.lock().unwrap().push(begun.elapsed());
                            assert!(
                                answer.body.contains("ERR_STATE_STORE_OVERLOADED"),
                                "{answer:?}"
                            );
                            pause(LATENCY / 2);
                        }
                        _ => panic!("{answer:?}"),
                    }
                }
            });
        }
    });
    Counted { answered: answered.into_inner(), refused: refused.into_inner().unwrap() }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a client that was refused waits before it asks again"
)]
fn pause(time: Duration) {
    thread::sleep(time);
}

#[test]
fn three_times_too_many_requests_cost_those_that_are_served_nothing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (server, proxy) = runtime.block_on(async {
        let server = Redis::start(&Options::default()).await.unwrap();
        let proxy = Proxy::start(server.address()).await.unwrap();
        proxy.set(Fault::Delay {
            direction: Direction::ToClient,
            latency: LATENCY,
            jitter: Duration::ZERO,
        });
        (server, proxy)
    });
    let folder = TempDir::new().unwrap();
    let url = format!("redis://{}", proxy.address());
    let flags = ["--state-store", &url, "--max-in-flight-requests", &IN_FLIGHT.to_string()];
    let (sidecar, port) = Steadfast::serve(folder.path(), &flags);
    let peak = ask(port, IN_FLIGHT, 3);
    assert!(peak.refused.is_empty(), "{peak:?}");
    let before = resident_kib(sidecar.child.id());
    let overload = ask(port, 3 * IN_FLIGHT, 3);
    let after = resident_kib(sidecar.child.id());
    let mut refused = overload.refused;
    refused.sort_unstable();
    let slow = refused.get(refused.len() * 99 / 100).copied();
    println!(
        "answered {} of {} before, refused {}, 99 of 100 within {slow:?}, memory {before} to {after} KiB",
        overload.answered,
        peak.answered,
        refused.len()
    );
    // How much is answered depends on what else the machine does: it is printed, and must only not come to nothing.
    assert!(!refused.is_empty() && overload.answered > IN_FLIGHT);
    assert!(after < before + 8 * 1024, "{before} KiB became {after} KiB");
    drop(server);
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|it| it.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
