//! From a call to a request, and from the answer to a record.

use std::{future::Future, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use state::{
    Capabilities, Consistency, ETag, Error, FailureKind, Format, Item, Key, Outcome, Precondition,
    Read, Result, Store, Write, Written,
};
use state_checker::{Call, Change, Condition, Effect, Reply};

use crate::Time;

/// How calls on the keys of one group are made.
#[derive(Debug)]
pub(crate) struct Recorder<'a> {
    pub(crate) time: &'a dyn Time,
    pub(crate) stores: &'a [Arc<dyn Store>],
    /// What each key of the group begins with.
    pub(crate) prefix: String,
    /// After which an answer is no longer waited for.
    pub(crate) timeout: Duration,
    /// For how long values are stored that are to stay, if the store can: nothing is left behind
    /// even if nobody cleans up.
    pub(crate) lifetime: Option<Duration>,
    /// How many bytes values have besides their number.
    pub(crate) filling: usize,
}

/// When something was asked and answered, and by which store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) endpoint: u16,
    pub(crate) called: u64,
    pub(crate) returned: u64,
}

/// A value as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Value {
    /// Which write of the run stored it.
    n: u64,
    /// The key that it was stored under.
    of: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    fill: String,
}

/// How much of what nobody wrote is shown.
const FOREIGN_CHARS_MAX: usize = 120;

impl Recorder<'_> {
    /// Makes one call on one store.
    pub(crate) async fn call(&self, endpoint: usize, call: &Call, strong: bool) -> (Span, Reply) {
        let store = &self.stores[endpoint];
        let timed = self.timed(endpoint);
        match call {
            Call::Get { key, eventual } => {
                let read = self.read(*key, !eventual && strong, store.capabilities());
                let (span, found) = timed.run(store.get(&read)).await;
                (span, self.found(*key, found))
            }
            Call::Write(change) => {
                let write = self.write(change, strong, store.capabilities());
                let (span, written) = timed.run(store.write(&write)).await;
                (span, done(written.map(|it| vec![it])))
            }
            Call::Transact(changes) => {
                let writes = self.writes(changes.iter(), strong, store.capabilities());
                let (span, written) = timed.run(store.transact(&writes)).await;
                (span, done(written))
            }
        }
    }

    /// Makes independent calls in one request. All are reads, or all are writes.
    pub(crate) async fn bulk(
        &self,
        endpoint: usize,
        calls: &[Call],
        strong: bool,
    ) -> (Span, Vec<Reply>) {
        let store = &self.stores[endpoint];
        let capabilities = store.capabilities();
        let timed = self.timed(endpoint);
        let changes: Vec<&Change> = calls
            .iter()
            .filter_map(|it| if let Call::Write(change) = it { Some(change) } else { None })
            .collect();
        if !changes.is_empty() {
            let writes = self.writes(changes, strong, capabilities);
            let request = async { Ok(store.write_many(&writes).await) };
            let (span, answers) = timed.run(request).await;
            let replies = each(answers, calls.len());
            return (span, replies.into_iter().map(|it| done(it.map(|it| vec![it]))).collect());
        }
        let keys: Vec<u8> = calls
            .iter()
            .filter_map(|it| if let Call::Get { key, .. } = it { Some(*key) } else { None })
            .collect();
        let reads: Vec<Read> =
            keys.iter().map(|key| self.read(*key, strong, capabilities)).collect();
        let request = async { Ok(store.get_many(&reads).await) };
        let (span, answers) = timed.run(request).await;
        let answers = each(answers, calls.len());
        let replies = keys.into_iter().zip(answers).map(|(key, it)| self.found(key, it));
        (span, replies.collect())
    }

    fn timed(&self, endpoint: usize) -> Timed<'_> {
        let endpoint = u16::try_from(endpoint).expect("there are few endpoints");
        Timed { time: self.time, endpoint, timeout: self.timeout }
    }

    fn key(&self, key: u8) -> Key {
        Key::new(&format!("{}-{key}", self.prefix)).expect("only letters, digits and dashes")
    }

    fn read(&self, key: u8, strong: bool, capabilities: &Capabilities) -> Read {
        let strong = strong && capabilities.consistency.strong_read.is_some();
        Read { consistency: consistency(strong), ..Read::new(self.key(key)) }
    }

    fn writes<'c>(
        &self,
        changes: impl IntoIterator<Item = &'c Change>,
        strong: bool,
        capabilities: &Capabilities,
    ) -> Vec<Write> {
        changes.into_iter().map(|it| self.write(it, strong, capabilities)).collect()
    }

    fn write(&self, change: &Change, strong: bool, capabilities: &Capabilities) -> Write {
        let key = self.key(change.key);
        let precondition = match &change.condition {
            Condition::Any => Precondition::Any,
            Condition::Absent => Precondition::Absent,
            Condition::Matches { etag, .. } => {
                Precondition::Matches(ETag::new(etag).expect("it came from an ETag"))
            }
        };
        let effect = match change.effect {
            Effect::Put { value: n, ttl_ms } => {
                let ttl = ttl_ms.map(Duration::from_millis);
                let ttl = ttl.or(self.lifetime.filter(|_| capabilities.ttl));
                let fill = "x".repeat(self.filling);
                let value = Value { n, of: key.as_str().to_owned(), fill };
                let value = serde_json::to_vec(&value).expect("it is a plain structure").into();
                state::Change::Put { value, format: Format::Json, ttl: ttl.into() }
            }
            Effect::Delete => state::Change::Delete,
        };
        let strong = strong && capabilities.consistency.strong_write.is_some();
        let write = Write::new(key, effect).when(precondition);
        Write { consistency: consistency(strong), ..write }
    }

    fn found(&self, key: u8, answer: Result<Option<Item>>) -> Reply {
        let item = match answer {
            Ok(Some(item)) => item,
            Ok(None) => return Reply::Absent,
            Err(e) => return failed(&e),
        };
        let value: Option<Value> = serde_json::from_slice(&item.value).ok();
        let filled = |it: &Value| it.fill.len() == self.filling;
        match value.filter(|it| it.of == self.key(key).as_str() && filled(it)) {
            Some(it) => {
                let etag = item.etag.map(|it| it.as_str().to_owned());
                Reply::Found { value: it.n, etag }
            }
            None => {
                let text = String::from_utf8_lossy(&item.value);
                Reply::Foreign { text: text.chars().take(FOREIGN_CHARS_MAX).collect() }
            }
        }
    }
}

struct Timed<'a> {
    time: &'a dyn Time,
    endpoint: u16,
    timeout: Duration,
}

impl Timed<'_> {
    async fn run<T>(&self, request: impl Future<Output = Result<T>>) -> (Span, Result<T>) {
        let called = self.time.now();
        let answer = tokio::select! {
            biased;
            answer = request => answer,
            () = self.time.sleep(self.timeout) => {
                Err(Error::new(FailureKind::Lost, "no answer in time"))
            }
        };
        let returned = self.time.now();
        (Span { endpoint: self.endpoint, called, returned }, answer)
    }
}

fn consistency(strong: bool) -> Consistency {
    if strong { Consistency::Strong } else { Consistency::Eventual }
}

fn done(answer: Result<Vec<Written>>) -> Reply {
    match answer {
        Ok(written) => {
            let etag = |it: Written| it.etag.map(|it| it.as_str().to_owned());
            Reply::Done { etags: written.into_iter().map(etag).collect() }
        }
        Err(e) => failed(&e),
    }
}

fn failed(e: &Error) -> Reply {
    match e.outcome() {
        Outcome::Conflict => Reply::Conflict,
        Outcome::NotApplied => Reply::NotApplied,
        Outcome::Unknown => Reply::Unknown,
    }
}

/// The answers to the parts of a request, or that to all of it for each.
fn each<T>(answers: Result<Vec<Result<T>>>, len: usize) -> Vec<Result<T>> {
    match answers {
        Ok(answers) => answers,
        Err(_) => {
            (0..len).map(|_| Err(Error::new(FailureKind::Lost, "no answer in time"))).collect()
        }
    }
}
