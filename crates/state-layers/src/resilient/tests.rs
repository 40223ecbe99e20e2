use std::{
    collections::VecDeque,
    future::pending,
    sync::atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use state::{Conflict, ETag, Found, Outcome, Precondition};
use state_config::{Breaker as BreakerSettings, Pauses, Retry, Trip};
use tokio::time::Instant;

use super::*;

/// What a scripted store does when it is asked once.
#[derive(Clone, Copy, Debug)]
enum Step {
    Ok,
    Conflict,
    Fail(FailureKind),
    Hang,
}

use FailureKind::{Corrupt, Invalid, Lost, Overloaded, Unavailable};
use Step::{Conflict as Clash, Fail, Hang, Ok as Fine};

/// Answers each request with the next step, and `Fine` when there is none left.
#[derive(Debug)]
struct Scripted {
    steps: Mutex<VecDeque<Step>>,
    /// What was asked: the keys of each call.
    calls: Mutex<Vec<String>>,
    hanging: AtomicUsize,
}

impl Scripted {
    fn new(steps: &[Step]) -> Arc<Scripted> {
        Arc::new(Scripted {
            steps: Mutex::new(steps.iter().copied().collect()),
            calls: Mutex::default(),
            hanging: AtomicUsize::new(0),
        })
    }

    async fn step(&self) -> Result<()> {
        let step = self.steps.lock().pop_front().unwrap_or(Fine);
        match step {
            Fine => Ok(()),
            Clash => Err(Conflict::new(Found::Version(ETag::new("9").unwrap())).into()),
            Fail(kind) => Err(Error::new(kind, "scripted")),
            Hang => {
                self.hanging.fetch_add(1, Ordering::Relaxed);
                let _left = Left(&self.hanging);
                pending().await
            }
        }
    }

    fn called<'a>(&self, keys: impl Iterator<Item = &'a Key>) {
        let keys: Vec<_> = keys.map(Key::as_str).collect();
        self.calls.lock().push(keys.join(","));
    }

    fn calls(&self) -> usize {
        self.calls.lock().len()
    }
}

/// Counts down once it is dropped.
struct Left<'a>(&'a AtomicUsize);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Store for Scripted {
    fn capabilities(&self) -> &Capabilities {
        unreachable!("nobody asks")
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        self.called([&read.key].into_iter());
        self.step().await.map(|()| None)
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        self.called([&write.key].into_iter());
        self.step().await.map(|()| Written { etag: None })
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        self.called(writes.iter().map(|it| &it.key));
        self.step().await.map(|()| writes.iter().map(|_| Written { etag: None }).collect())
    }

    async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        self.called(reads.iter().map(|it| &it.key));
        let mut answers = Vec::new();
        for _ in reads {
            answers.push(self.step().await.map(|()| None));
        }
        answers
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Written>> {
        self.called(writes.iter().map(|it| &it.key));
        let mut answers = Vec::new();
        for _ in writes {
            answers.push(self.step().await.map(|()| Written { etag: None }));
        }
        answers
    }

    async fn ping(&self) -> Result<()> {
        self.step().await
    }
}

const PAUSE: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(1);

fn policy(max: Option<u32>) -> Policy {
    Policy {
        resource: "r".to_owned(),
        timeout: Some(TIMEOUT),
        retry: Some(Retry { pauses: Pauses::Constant(PAUSE), max }),
        breaker: None,
    }
}

fn with_breaker(trip: &str, max_requests: u32) -> Policy {
    let breaker = BreakerSettings {
        name: "cb".to_owned(),
        max_requests,
        interval: None,
        timeout: Duration::from_secs(60),
        trip: Trip::parse(trip).unwrap(),
    };
    Policy { timeout: None, retry: None, breaker: Some(breaker), ..policy(None) }
}

fn layer(store: &Arc<Scripted>, policy: Policy) -> Resilient {
    Resilient::new(store.clone(), "store".to_owned(), policy, CancellationToken::new(), None)
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn read() -> Read {
    Read::new(key("k"))
}

fn put() -> Write {
    Write::put(key("k"), "1")
}

fn matching(key: Key) -> Write {
    Write::put(key, "1").when(Precondition::Matches(ETag::new("1").unwrap()))
}

fn outcome<T>(result: &Result<T>) -> &'static str {
    result.as_ref().map_or_else(|e| e.outcome().name(), |_| "ok")
}

/// Makes one write with three retries; returns its outcome and how often the store was asked.
async fn check(write: Write, steps: &[Step]) -> (&'static str, usize) {
    let store = Scripted::new(steps);
    let result = layer(&store, policy(Some(3))).write(&write).await;
    (outcome(&result), store.calls())
}

async fn check_all(writes: &[Write], steps: &[Step]) -> (Vec<&'static str>, Vec<String>) {
    let store = Scripted::new(steps);
    let results = layer(&store, policy(Some(3))).write_many(writes).await;
    let calls = store.calls.lock().clone();
    (results.iter().map(outcome).collect(), calls)
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_not_applied_is_sent_again() {
    for write in
        [put(), put().when(Precondition::Absent), matching(key("k")), Write::delete(key("k"))]
    {
        assert_eq!(check(write.clone(), &[Fail(Unavailable), Fail(Overloaded)]).await, ("ok", 3));
        assert_eq!(check(write, &[Fail(Unavailable); 9]).await, ("not_applied", 4));
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_fate_is_unknown_is_sent_again_only_under_an_etag() {
    for write in [put(), put().when(Precondition::Absent), Write::delete(key("k"))] {
        assert_eq!(check(write.clone(), &[Fail(Lost)]).await, ("unknown", 1));
        assert_eq!(check(write.clone(), &[Hang]).await, ("unknown", 1));
        assert_eq!(check(write, &[Fail(Unavailable), Fail(Lost)]).await, ("unknown", 2));
    }
    let delete = Write { precondition: matching(key("k")).precondition, ..Write::delete(key("k")) };
    for write in [matching(key("k")), delete] {
        assert_eq!(check(write.clone(), &[Fail(Lost)]).await, ("ok", 2));
        assert_eq!(check(write, &[Hang, Fail(Lost), Fail(Unavailable)]).await, ("ok", 4));
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_be_ones_own_work_is_never_called_a_conflict() {
    let write = || matching(key("k"));
    assert_eq!(check(write(), &[Fail(Lost), Clash]).await, ("unknown", 2));
    assert_eq!(check(write(), &[Fail(Lost), Fail(Unavailable), Clash]).await, ("unknown", 3));
    assert_eq!(check(write(), &[Fail(Unavailable), Clash]).await, ("conflict", 2));
    let rest = [Fail(Unavailable); 9];
    let lost_first = [&[Fail(Lost)], &rest[..]].concat();
    assert_eq!(check(write(), &lost_first).await, ("unknown", 4));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_final() {
    for (step, expected) in
        [(Clash, "conflict"), (Fail(Invalid), "not_applied"), (Fail(Corrupt), "not_applied")]
    {
        assert_eq!(check(matching(key("k")), &[step]).await, (expected, 1));
        let store = Scripted::new(&[step]);
        assert!(layer(&store, policy(None)).get(&read()).await.is_err());
        assert_eq!(store.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_transaction_is_sent_again_as_its_strictest_condition_has_it() {
    for (writes, steps, expected) in [
        (vec![put(), Write::put(key("l"), "1")], [Fail(Lost), Fine], ("unknown", 1)),
        (vec![put(), matching(key("l"))], [Fail(Lost), Fine], ("ok", 2)),
        (vec![put(), matching(key("l"))], [Fail(Lost), Clash], ("unknown", 2)),
        (vec![put(), matching(key("l"))], [Clash, Fine], ("conflict", 1)),
        (vec![put()], [Fail(Unavailable), Fine], ("ok", 2)),
    ] {
        let store = Scripted::new(&steps);
        let result = layer(&store, policy(Some(3))).transact(&writes).await;
        assert_eq!((outcome(&result), store.calls()), expected, "{writes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn reads_are_made_again_after_any_failure_that_may_pass() {
    let store = Scripted::new(&[Fail(Lost), Hang, Fail(Unavailable)]);
    let started = Instant::now();
    assert!(layer(&store, policy(None)).get(&read()).await.is_ok());
    assert_eq!(store.calls(), 4);
    assert_eq!(started.elapsed(), 3 * PAUSE + TIMEOUT);
    assert_eq!(store.hanging.load(Ordering::Relaxed), 0, "the late attempt goes on");
    let store = Scripted::new(&[Fine, Fail(Lost), Fine]);
    let reads = ["a", "b", "c"].map(|it| Read::new(key(it)));
    let results = layer(&store, policy(None)).get_many(&reads).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(*store.calls.lock(), ["a,b,c", "b"]);
}

#[tokio::test(start_paused = true)]
async fn of_many_writes_only_those_that_failed_are_sent_again_each_with_its_own_answer() {
    let writes = ["a", "b", "c", "d", "e"].map(|it| matching(key(it)));
    let steps =
        [Fine, Fail(Unavailable), Clash, Fail(Lost), Fail(Invalid), Fail(Unavailable), Clash];
    let (outcomes, calls) = check_all(&writes, &steps).await;
    assert_eq!(outcomes, ["ok", "ok", "conflict", "unknown", "not_applied"]);
    assert_eq!(calls, ["a,b,c,d,e", "b,d", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_a_later_one_of_its_key_has_overtaken_is_not_sent_again() {
    let writes = [put(), put(), Write::put(key("l"), "1")];
    let steps = [Fail(Unavailable), Fine, Fail(Unavailable)];
    let (outcomes, calls) = check_all(&writes, &steps).await;
    assert_eq!(outcomes, ["not_applied", "ok", "ok"]);
    assert_eq!(calls, ["k,k,l", "l"]);
    let (outcomes, _) = check_all(&writes, &[Fail(Unavailable), Fail(Lost), Fine]).await;
    assert_eq!(outcomes, ["not_applied", "unknown", "ok"]);
    let (outcomes, calls) = check_all(&writes, &[Fail(Unavailable), Fail(Unavailable)]).await;
    assert_eq!(outcomes, ["ok", "ok", "ok"]);
    assert_eq!(calls, ["k,k,l", "k,k"], "both go, in their order");
}

#[tokio::test(start_paused = true)]
async fn many_writes_that_take_too_long_are_all_unknown() {
    let (outcomes, calls) = check_all(&[put(), matching(key("l"))], &[Hang]).await;
    assert_eq!(outcomes, ["unknown", "ok"]);
    assert_eq!(calls, ["k,l", "l"]);
}

#[tokio::test(start_paused = true)]
async fn retries_end_when_the_client_is_gone_or_the_sidecar_ends() {
    let store = Scripted::new(&[Fail(Unavailable); 100]);
    let layer = layer(&store, policy(None));
    let gone = tokio::time::timeout(12 * TIMEOUT, layer.write(&put())).await;
    assert!(gone.is_err());
    assert_eq!(store.calls(), 3);
    tokio::time::sleep(10 * PAUSE).await;
    assert_eq!(store.calls(), 3, "nobody waits for an answer");
    let ending = layer.ending.clone();
    let started = Instant::now();
    let write = put();
    let (result, ()) = tokio::join!(layer.write(&write), async {
        tokio::time::sleep(TIMEOUT).await;
        ending.cancel();
    });
    assert_eq!((outcome(&result), started.elapsed()), ("not_applied", TIMEOUT));
}

#[tokio::test(start_paused = true)]
async fn exponential_pauses_grow_to_their_bound_and_end_after_a_quarter_of_an_hour() {
    let max = Duration::from_secs(60);
    let retry = Retry { pauses: Pauses::Exponential { max }, max: None };
    let mut schedule = Schedule::new(&retry);
    let (mut middle, mut count) = (0.5, 0);
    let started = Instant::now();
    while let Some(pause) = schedule.next() {
        let pause_s = pause.as_secs_f64();
        assert!(
            pause_s >= middle * 0.5 - 1e-6 && pause_s <= middle * 1.5 + 1e-6,
            "{pause_s} {middle}"
        );
        middle = f64::min(middle * 1.5, 60.0);
        count += 1;
        tokio::time::sleep(pause).await;
    }
    let elapsed = started.elapsed();
    assert!(count > 15 && elapsed <= 15 * max && elapsed > 13 * max, "{count} {elapsed:?}");
    let store = Scripted::new(&[Fail(Unavailable); 1000]);
    let policy = Policy { retry: Some(retry), ..policy(None) };
    let result = layer(&store, policy).write(&put()).await;
    assert_eq!(outcome(&result), "not_applied");
}

fn refusal<T>(result: Result<T>) -> (String, Option<Duration>) {
    match result.map(drop).unwrap_err() {
        Error::Failure(it) => {
            assert_eq!(it.kind(), Unavailable);
            (it.to_string(), it.retry_after())
        }
        Error::Conflict(_) => unreachable!("it is none"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_circuit_breaker_opens_and_closes_again() {
    let store = Scripted::new(&[Fail(Unavailable), Fail(Lost), Fail(Unavailable), Fine]);
    let layer = layer(&store, with_breaker("consecutiveFailures >= 2", 1));
    assert!(layer.get(&read()).await.is_err());
    assert!(layer.write(&put()).await.is_err());
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (message, after) = refusal(layer.write(&put()).await);
    assert!(message.starts_with("circuit breaker is open"), "{message}");
    assert_eq!((after, store.calls()), (Some(Duration::from_secs(60)), 2));
    tokio::time::sleep(Duration::from_secs(60)).await;
    // Half-open: one failure opens it again.
    assert!(layer.get(&read()).await.is_err());
    assert!(refusal(layer.get(&read()).await).0.starts_with("circuit breaker is open"));
    assert_eq!(store.calls(), 3);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(layer.get(&read()).await.is_ok());
    assert!(layer.get(&read()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn answers_do_not_open_a_circuit_breaker() {
    let steps = [Clash, Fail(Invalid), Fail(Corrupt), Fail(FailureKind::InvalidETag)];
    let store = Scripted::new(&steps);
    let layer = layer(&store, with_breaker("totalFailures > 0 || requests > 4", 1));
    for _ in steps {
        assert!(layer.write(&matching(key("k"))).await.is_err());
    }
    assert!(layer.write(&put()).await.is_ok());
    assert_eq!(store.calls(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_half_open_circuit_breaker_lets_only_as_many_through_as_it_says() {
    let store = Scripted::new(&[Fail(Unavailable), Hang, Hang]);
    let layer = layer(&store, with_breaker("totalFailures > 0", 2));
    assert!(layer.get(&read()).await.is_err());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let read = read();
    {
        let mut first = layer.get(&read);
        let mut second = layer.get(&read);
        assert!(futures::poll!(&mut first).is_pending());
        assert!(futures::poll!(&mut second).is_pending());
        let (message, after) = refusal(layer.get(&read).await);
        assert!(message.starts_with("too many requests"), "{message}");
        assert_eq!((after, store.calls()), (Some(Duration::from_secs(1)), 3));
    }
    // Both clients are gone, and nobody waits for ever for what they would have been told.
    assert!(layer.get(&read).await.is_ok());
    assert!(layer.get(&read).await.is_ok());
    assert!(layer.get(&read).await.is_ok(), "it is closed");
}

#[tokio::test(start_paused = true)]
async fn an_interval_begins_the_counting_anew() {
    let store = Scripted::new(&[Fail(Unavailable), Fail(Unavailable), Fail(Unavailable)]);
    let mut policy = with_breaker("totalFailures > 1", 1);
    policy.breaker.as_mut().unwrap().interval = Some(Duration::from_secs(10));
    let layer = layer(&store, policy);
    assert!(layer.get(&read()).await.is_err());
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(layer.get(&read()).await.is_err());
    assert_eq!(store.calls(), 2);
    assert!(layer.get(&read()).await.is_err());
    assert!(refusal(layer.get(&read()).await).0.starts_with("circuit breaker is open"));
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_breaker_ends_retries_and_leaves_unknown_what_was_unknown() {
    let steps = [Fail(Lost), Fail(Unavailable), Fail(Unavailable), Fail(Unavailable)];
    let retry = policy(None).retry;
    for (write, expected) in [(matching(key("k")), "unknown"), (put(), "not_applied")] {
        let steps = if expected == "unknown" { &steps[..] } else { &steps[1..] };
        let store = Scripted::new(steps);
        let policy = Policy { retry: retry.clone(), ..with_breaker("consecutiveFailures >= 3", 1) };
        let result = layer(&store, policy).write(&write).await;
        assert_eq!((outcome(&result), store.calls()), (expected, 3));
    }
}

#[derive(Debug, Default)]
struct Noted(Mutex<Vec<ResiliencyEvent>>);

impl ResiliencyObserver for Noted {
    fn observe(&self, resource: &str, component: &str, event: ResiliencyEvent) {
        assert_eq!((resource, component), ("r", "store"));
        self.0.lock().push(event);
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_is_told_what_policies_do() {
    use PolicyKind::{CircuitBreaker, Retry, Timeout};
    use ResiliencyEvent::{Activated, BreakerState as State, Executed};
    let store = Scripted::new(&[Hang, Fail(Unavailable)]);
    let policy = Policy { breaker: with_breaker("totalFailures > 1", 1).breaker, ..policy(None) };
    let noted = Arc::new(Noted::default());
    let ending = CancellationToken::new();
    let observer = noted.clone();
    let layer = Resilient::new(store, "store".to_owned(), policy, ending, Some(observer));
    assert!(layer.get(&read()).await.is_err());
    assert_eq!(
        *noted.0.lock(),
        [
            Executed(Timeout),
            Executed(Retry),
            Executed(CircuitBreaker),
            Activated(Timeout),
            Activated(Retry),
            State(BreakerState::Open),
            Activated(CircuitBreaker),
        ]
    );
}

#[test]
fn outcomes_are_told_apart() {
    assert_eq!(late(TIMEOUT).outcome(), Outcome::Unknown);
    assert!(is_failure(&late(TIMEOUT)));
}
