//! The words that the cases are written in.

use std::{
    fmt::Display,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use state::{
    Capabilities, Change, Conflict, Consistency, ETag, Error, FailureKind, Format, Found, Item,
    Key, Outcome, Read, Store, Write, Written,
};
use tokio::time;

use crate::Fixture;

/// How a write gets to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// `write`.
    Single,
    /// `write_many`, between two other writes.
    Bulk,
    /// `transact`, between two other writes.
    Transaction,
    /// `write` on one instance, while another instance is asked what there is.
    TwoInstances,
}

/// A store as one case sees it: all names are the case's own, so that every case can run at the
/// same time against one store, again and again.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// The instance that is written to.
    pub(crate) store: Arc<dyn Store>,
    /// The instance that reads come from; the same one but for [`Way::TwoInstances`].
    pub(crate) reader: Arc<dyn Store>,
    pub(crate) way: Way,
    pub(crate) prefix: String,
}

/// The shortest time to live that the API can express.
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A time to live that no case reaches the end of.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// How long after its time a value may still be seen: a second by the contract, because clocks
/// of stores count seconds, and half of one for a busy machine.
pub(crate) const LATENESS_MAX: Duration = Duration::from_millis(1500);

const POLL_INTERVAL: Duration = Duration::from_millis(50);

impl Way {
    /// What it adds to the name of a group.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Way::Single => "",
            Way::Bulk => "_in_bulk",
            Way::Transaction => "_in_transaction",
            Way::TwoInstances => "_of_two_instances",
        }
    }

    /// Whether this store can be written to in this way.
    pub(crate) fn is_open(self, fixture: &Fixture) -> bool {
        match self {
            Way::Single | Way::Bulk => true,
            Way::Transaction => {
                fixture.store.capabilities().transaction_len_max.is_some_and(|it| it >= 3)
            }
            Way::TwoInstances => fixture.second.is_some(),
        }
    }
}

impl Scope {
    pub(crate) fn new(fixture: &Fixture, way: Way, name: &str) -> Scope {
        let store = fixture.store.clone();
        let reader = match (way, &fixture.second) {
            (Way::TwoInstances, Some(second)) => second.clone(),
            _ => store.clone(),
        };
        // In braces, so that a cluster has the keys of a case in one place, as transactions need them.
        Scope { store, reader, way, prefix: format!("{{{name}-{}}}-", unique()) }
    }

    #[cfg(feature = "harness")]
    /// The same stores, with names that no other scope has.
    pub(crate) fn fresh(&self) -> Scope {
        Scope { prefix: format!("{}{}-", self.prefix, unique()), ..self.clone() }
    }

    pub(crate) fn capabilities(&self) -> &Capabilities {
        self.store.capabilities()
    }

    pub(crate) fn key(&self, name: &str) -> Key {
        Key::new(&format!("{}{name}", self.prefix)).expect("cases use names fit for keys")
    }

    /// A read that sees every write acknowledged before it.
    pub(crate) fn read(&self, name: &str) -> Read {
        let stale = self.capabilities().consistency.eventual_read.is_some();
        let consistency = if stale { Consistency::Strong } else { Consistency::default() };
        Read { consistency, ..Read::new(self.key(name)) }
    }

    /// A write of a JSON text, which every store and every front can carry.
    pub(crate) fn put(&self, name: &str, json: impl Display) -> Write {
        self.put_bytes(name, json.to_string(), Format::Json, None)
    }

    pub(crate) fn expiring(&self, name: &str, json: impl Display, ttl: Duration) -> Write {
        self.put_bytes(name, json.to_string(), Format::Json, Some(ttl))
    }

    pub(crate) fn put_bytes(
        &self,
        name: &str,
        value: impl Into<Bytes>,
        format: Format,
        ttl: Option<Duration>,
    ) -> Write {
        Write::new(self.key(name), Change::Put { value: value.into(), format, ttl: ttl.into() })
    }

    pub(crate) fn delete(&self, name: &str) -> Write {
        Write::delete(self.key(name))
    }

    pub(crate) async fn get(&self, name: &str) -> Result<Option<Item>> {
        Ok(self.reader.get(&self.read(name)).await?)
    }

    pub(crate) async fn item(&self, name: &str) -> Result<Item> {
        self.get(name).await?.with_context(|| format!("{name:?} is absent"))
    }

    pub(crate) async fn value(&self, name: &str) -> Result<String> {
        text(&self.item(name).await?)
    }

    pub(crate) async fn etag(&self, name: &str) -> Result<ETag> {
        self.item(name).await?.etag.context("the value has no ETag")
    }

    pub(crate) async fn is_absent(&self, name: &str) -> Result<bool> {
        Ok(self.get(name).await?.is_none())
    }

    /// Sends `write` on its own, with the call that belongs to the way.
    pub(crate) async fn send_alone(&self, write: &Write) -> Result<state::Result<Written>> {
        let answers = match self.way {
            Way::Single | Way::TwoInstances => return Ok(self.store.write(write).await),
            Way::Bulk => self.store.write_many(std::slice::from_ref(write)).await,
            Way::Transaction => match self.store.transact(std::slice::from_ref(write)).await {
                Ok(answers) => answers.into_iter().map(Ok).collect(),
                Err(e) => return Ok(Err(e)),
            },
        };
        ensure!(answers.len() == 1, "{} answers to one write", answers.len());
        Ok(answers.into_iter().next().expect("there is one"))
    }

    /// Sends `write`, in bulk or in a transaction between two others, and checks what became of
    /// those.
    async fn send(&self, write: &Write) -> Result<state::Result<Written>> {
        match self.way {
            Way::Single | Way::TwoInstances => {
                let answer = self.store.write(write).await;
                ensure!(position(&answer) == 0, "a single write has no other position");
                Ok(answer)
            }
            Way::Bulk => self.send_in_bulk(write).await,
            Way::Transaction => self.send_in_transaction(write).await,
        }
    }

    async fn send_in_bulk(&self, write: &Write) -> Result<state::Result<Written>> {
        let [before, after] = self.company();
        let writes = [before, write.clone(), after];
        let mut answers = self.store.write_many(&writes).await;
        ensure!(answers.len() == 3, "{} answers to 3 writes", answers.len());
        answers.remove(2).context("the write after this one")?;
        let answer = answers.remove(1);
        answers.remove(0).context("the write before this one")?;
        ensure!(position(&answer) == 0, "a write in bulk has no position");
        ensure!(self.is_written(&writes[0]).await? && self.is_written(&writes[2]).await?);
        Ok(answer)
    }

    async fn send_in_transaction(&self, write: &Write) -> Result<state::Result<Written>> {
        let [before, after] = self.company();
        let writes = [before, write.clone(), after];
        let answer = self.store.transact(&writes).await;
        let applied = answer.is_ok();
        for other in [&writes[0], &writes[2]] {
            ensure!(self.is_written(other).await? == applied, "a transaction happened in part");
        }
        let mut answers = match answer {
            Ok(answers) => answers,
            Err(e) => {
                let answer = Err(e);
                ensure!(!is_conflict(&answer) || position(&answer) == 1, "it was write 1");
                return Ok(answer);
            }
        };
        ensure!(answers.len() == 3, "{} answers to 3 writes", answers.len());
        Ok(Ok(answers.remove(1)))
    }

    /// Two writes of values that were never written before.
    fn company(&self) -> [Write; 2] {
        let fresh = format!("\"{}\"", unique());
        [self.put("before", &fresh), self.put("after", &fresh)]
    }

    async fn is_written(&self, write: &Write) -> Result<bool> {
        let Change::Put { value, .. } = &write.change else { bail!("only of a put") };
        let item = self.get(self.name(&write.key)).await?;
        Ok(item.is_some_and(|it| it.value == value))
    }

    fn name<'a>(&self, key: &'a Key) -> &'a str {
        key.as_str().strip_prefix(&self.prefix).expect("cases write their own keys")
    }

    /// Sends a write that is to be applied, and checks that what is read afterwards is just that.
    pub(crate) async fn succeeds(&self, write: Write) -> Result<Written> {
        let written = self.send(&write).await??;
        let found = self.get(self.name(&write.key)).await?;
        let Change::Put { value, ttl, .. } = &write.change else {
            ensure!(found.is_none(), "a deleted value is still there");
            ensure!(written.etag.is_none(), "a delete makes no version");
            return Ok(written);
        };
        let found = found.context("a written value is absent")?;
        ensure!(found.value == value, "another value was read than was written");
        ensure!(
            found.expires_at.is_some() == ttl.duration().is_some(),
            "expires: {:?}",
            found.expires_at
        );
        ensure!(found.etag.is_some() == self.capabilities().etag, "has ETag {:?}", found.etag);
        if written.etag.is_some() {
            ensure!(written.etag == found.etag, "another ETag was answered than is read");
        }
        Ok(written)
    }

    /// Sends a write whose condition is false, and checks that it is told so and changes nothing.
    pub(crate) async fn conflicts(&self, write: Write) -> Result<()> {
        self.is_not_applied(write, |error, before| match error {
            Error::Conflict(it) => found_is_right(it, before),
            Error::Failure(_) => bail!("failed where it should conflict: {error}"),
        })
        .await
    }

    /// As [`conflicts`](Scope::conflicts), but the store may also know that the ETag is not one
    /// of its own.
    pub(crate) async fn conflicts_or_is_invalid(&self, write: Write) -> Result<()> {
        self.is_not_applied(write, |error, before| match error {
            Error::Conflict(it) => found_is_right(it, before),
            Error::Failure(it) if it.kind() == FailureKind::InvalidETag => Ok(()),
            Error::Failure(_) => bail!("failed where it should conflict: {error}"),
        })
        .await
    }

    /// Sends a write that the store does not offer, and checks that it says so.
    pub(crate) async fn is_refused(&self, write: Write, kind: FailureKind) -> Result<()> {
        self.is_not_applied(write, |error, _| is_failure(error, kind)).await
    }

    async fn is_not_applied(
        &self,
        write: Write,
        is_right: impl FnOnce(&Error, Option<&Item>) -> Result<()>,
    ) -> Result<()> {
        let name = self.name(&write.key);
        let before = self.get(name).await?;
        let Err(error) = self.send(&write).await? else { bail!("{write:?} was admitted") };
        ensure!(error.outcome() != Outcome::Unknown, "nobody knows what it did: {error}");
        is_right(&error, before.as_ref())?;
        let after = self.get(name).await?;
        ensure!(after == before, "a write that was not applied changed {before:?} to {after:?}");
        Ok(())
    }

    /// Writes a value that lives for a second, and returns it as it is read within that second.
    pub(crate) async fn short_lived(&self, name: &str) -> Result<Item> {
        loop {
            let earliest = Instant::now() + SECOND;
            self.send_alone(&self.expiring(name, 1, SECOND)).await??;
            if let Some(item) = self.get(name).await? {
                return Ok(item);
            }
            // A busy machine may take longer than that to come to the read: then it tells nothing.
            ensure!(Instant::now() >= earliest, "{name:?} was gone before its time");
        }
    }

    /// Leaves `name` expired and untouched since, so that it may well not be collected yet.
    /// Returns what it was.
    pub(crate) async fn expired(&self, name: &str) -> Result<Item> {
        let item = self.short_lived(name).await?;
        self.store.write(&self.expiring("witness", 1, SECOND)).await?;
        // The witness was written later, so it does not expire sooner.
        self.is_gone_in_time("witness", Instant::now() + SECOND).await?;
        Ok(item)
    }

    /// Waits until `name` reads as absent, which is to be soon after `deadline`.
    pub(crate) async fn is_gone_in_time(&self, name: &str, deadline: Instant) -> Result<()> {
        loop {
            let asked = Instant::now();
            if self.is_absent(name).await? {
                return Ok(());
            }
            ensure!(asked < deadline + LATENESS_MAX, "{name:?} outlives its time");
            time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// A text that no other call returns, in this process or another.
fn unique() -> String {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let since_1970 = SystemTime::UNIX_EPOCH.elapsed().expect("it is after 1970");
    format!("{:x}.{:x}", since_1970.as_nanos(), CALLS.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn text(item: &Item) -> Result<String> {
    Ok(String::from_utf8(item.value.to_vec())?)
}

pub(crate) fn is_conflict(answer: &state::Result<Written>) -> bool {
    answer.as_ref().is_err_and(Error::is_conflict)
}

/// Whether a write that others compete with was applied; fails if it met anything but them.
pub(crate) fn is_won(answer: state::Result<Written>) -> Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(Error::Conflict(_)) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

pub(crate) fn is_failure(error: &Error, kind: FailureKind) -> Result<()> {
    match error {
        Error::Failure(it) if it.kind() == kind => Ok(()),
        _ => bail!("should have been {kind:?}: {error:?}"),
    }
}

pub(crate) fn found_is_right(conflict: &Conflict, before: Option<&Item>) -> Result<()> {
    let is_right = match conflict.found() {
        Found::Untold => true,
        Found::Absent => before.is_none(),
        Found::Version(etag) => before.is_some_and(|it| it.etag.as_ref() == Some(etag)),
    };
    ensure!(is_right, "found {:?}, where there was {before:?}", conflict.found());
    Ok(())
}

fn position(answer: &state::Result<Written>) -> usize {
    match answer {
        Err(Error::Conflict(it)) => it.position(),
        Err(Error::Failure(_)) | Ok(_) => 0,
    }
}
