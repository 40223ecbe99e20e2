//! What a simulated store has, and how it changes. Each mistake it can make is one `errs` here or in
//! the store.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use fastrand::Rng;
use state::{
    Change, Conflict, ETag, Found, Item, Key, KeyPage, Precondition, Result, Write, Written,
};

use crate::Mutant;

/// The data, as everyone sees it who asks in one moment.
#[derive(Debug)]
pub(super) struct Contents {
    rng: Rng,
    mutant: Option<Mutant>,
    rows: BTreeMap<Key, Row>,
    /// Versions that were given out. None is given out twice.
    versions: u64,
    /// Writes that nobody waits for any more, by when they will be applied.
    late: BTreeMap<(u64, u64), Vec<Write>>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Answered,
    /// It is not carried out, and the client is told.
    Refused,
    /// It is not carried out, and nobody is told.
    Lost,
    /// It is carried out, and nobody is told.
    AnswerLost,
    /// Nobody is told, and then it is carried out.
    Late,
}

/// What a key has had, each since when: the current one last, which is all that a correct store
/// needs, and [`PAST_LEN_MAX`] of those before.
#[derive(Debug, Default)]
struct Row(VecDeque<(u64, Option<Version>)>);

#[derive(Clone, Debug)]
struct Version {
    number: u64,
    value: Bytes,
    expires_at: Option<u64>,
}

/// How many operations pass between two restarts of the store, on average.
const OPERATIONS_PER_RESTART: u32 = 200;

/// After how long a late write is applied, at most. Clients of the simulation make a few operations
/// in that time.
const LATE_MAX_NS: u64 = 4_000_000;

/// How much of the past of a key is kept for mistakes: more than happens in [`LAG_NS`].
const PAST_LEN_MAX: usize = 32;

/// How far the copy of [`Mutant::ReplicaRead`] lags behind.
const LAG_NS: u64 = 1_000_000;

impl Contents {
    pub(super) fn new(seed: u64, mutant: Option<Mutant>) -> Contents {
        let (rng, versions) = (Rng::with_seed(seed), 0);
        Contents { rng, mutant, rows: BTreeMap::new(), versions, late: BTreeMap::new() }
    }

    /// Whether the store makes this mistake now.
    pub(super) fn errs(&mut self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant) && self.rng.u32(..1000) < mutant.per_mille()
    }

    /// How long a message takes. Hardly ever longer than anyone waits for.
    pub(super) fn delay(&mut self) -> Duration {
        match self.rng.u32(..1000) {
            0 => Duration::from_secs(1),
            _ => Duration::from_nanos(self.rng.u64(50_000..1_000_000)),
        }
    }

    pub(super) fn fate(&mut self) -> Fate {
        match self.rng.u32(..1000) {
            0..5 => Fate::Refused,
            5..15 => Fate::Lost,
            15..20 => Fate::AnswerLost,
            20..25 => Fate::Late,
            _ => Fate::Answered,
        }
    }

    /// Does what is due `now`, which is before anything else may be done: late writes are applied,
    /// and now and then the process is restarted.
    pub(super) fn go_on(&mut self, now: u64) {
        while let Some(entry) = self.late.first_entry().filter(|it| it.key().0 <= now) {
            let ((at, _), writes) = entry.remove_entry();
            let _nobody_waits = self.commit(&writes, at);
        }
        if self.rng.u32(..OPERATIONS_PER_RESTART) == 0 {
            self.restart();
        }
    }

    /// Writes are durable once they are applied. Those that are not are gone.
    fn restart(&mut self) {
        self.late.clear();
        if self.errs(Mutant::EtagRestartsWithProcess) {
            self.versions = 0;
        }
    }

    /// Applies writes some time after `now`.
    pub(super) fn commit_later(&mut self, writes: &[Write], now: u64) {
        let at = now + self.rng.u64(..LATE_MAX_NS);
        self.late.insert((at, self.rng.u64(..)), writes.to_vec());
    }

    /// What a key has, as `endpoint` sees it.
    pub(super) fn read(&mut self, key: &Key, endpoint: usize, now: u64) -> Option<Item> {
        let is_stale = self.errs(Mutant::StaleRead);
        let is_lagging = endpoint > 0 && self.errs(Mutant::ReplicaRead);
        let row = if self.errs(Mutant::KeysMixedUp) {
            self.rows.iter().find(|(it, _)| *it != key)?.1
        } else {
            self.rows.get(key)?
        };
        let version = match (is_stale, is_lagging) {
            (true, _) => row.previous(),
            (_, true) => row.at(now.saturating_sub(LAG_NS)),
            _ => row.current(),
        };
        version.filter(|it| it.is_live(now)).map(Version::item)
    }

    pub(super) fn list(
        &self,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
        now: u64,
    ) -> KeyPage {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut keys = self
            .rows
            .range::<Key, _>((start, Bound::Unbounded))
            .filter(|(key, _)| key.as_str().starts_with(prefix))
            .filter(|(_, row)| row.current().is_some_and(|it| it.is_live(now)))
            .map(|(key, _)| key.clone());
        KeyPage { keys: keys.by_ref().take(limit).collect(), more: keys.next().is_some() }
    }

    /// Applies one write, or several at once, if the conditions hold.
    pub(super) fn commit(&mut self, writes: &[Write], now: u64) -> Result<Vec<Written>> {
        match writes {
            [write] => self.write(write, now).map(|it| vec![it]),
            writes => self.transact(writes, now),
        }
    }

    fn write(&mut self, write: &Write, now: u64) -> Result<Written> {
        if let Err(conflict) = self.check(write, now) {
            if self.errs(Mutant::RefusedWriteApplied) {
                self.apply(write, now);
            }
            return Err(conflict.into());
        }
        if self.drops(write) {
            return Ok(self.acknowledge(write));
        }
        let written = self.apply(write, now);
        let is_conditional = write.precondition != Precondition::Any;
        if is_conditional && self.errs(Mutant::ConflictAfterSuccess) {
            return Err(Conflict::new(written.etag.map_or(Found::Absent, Found::Version)).into());
        }
        Ok(written)
    }

    fn transact(&mut self, writes: &[Write], now: u64) -> Result<Vec<Written>> {
        if let Err(conflict) = self.check_all(writes, now) {
            if self.errs(Mutant::TransactionNotRolledBack) {
                let others = (0..writes.len()).filter(|it| *it != conflict.position());
                others.for_each(|it| drop(self.apply(&writes[it], now)));
            }
            return Err(conflict.into());
        }
        let mut order: Vec<usize> = (0..writes.len()).collect();
        if self.errs(Mutant::TransactionReordered) {
            order.reverse();
        }
        if self.errs(Mutant::TransactionPartial) {
            order.remove(self.rng.usize(..order.len()));
        }
        let mut written: Vec<_> = writes.iter().map(|it| self.acknowledge(it)).collect();
        for i in order {
            written[i] = self.apply(&writes[i], now);
        }
        Ok(written)
    }

    /// Fails if a condition does not hold. All are about the state before any of the writes.
    pub(super) fn check_all(&mut self, writes: &[Write], now: u64) -> Result<(), Conflict> {
        writes.iter().enumerate().try_for_each(|(i, it)| self.check(it, now).map_err(|e| e.at(i)))
    }

    fn check(&mut self, write: &Write, now: u64) -> Result<(), Conflict> {
        let etag = self.live(&write.key, now).map(Version::etag);
        let is_ignored = match (&write.precondition, &write.change) {
            (Precondition::Any, _) => false,
            (Precondition::Absent, Change::Put { .. }) => self.errs(Mutant::FirstWriteIgnored),
            (Precondition::Absent, Change::Delete) => false,
            (Precondition::Matches(_), Change::Put { .. }) => {
                etag.is_none() && self.errs(Mutant::CasCreatesMissing)
            }
            (Precondition::Matches(_), Change::Delete) => self.errs(Mutant::DeleteIgnoresEtag),
        };
        if is_ignored { Ok(()) } else { write.precondition.check(etag.as_ref()) }
    }

    /// Whether a write is acknowledged and forgotten.
    fn drops(&mut self, write: &Write) -> bool {
        match (&write.precondition, &write.change) {
            (_, Change::Delete) => self.errs(Mutant::DeleteNotDone),
            (Precondition::Any, _) => self.errs(Mutant::WriteLost),
            (Precondition::Matches(_), _) => self.errs(Mutant::CasNotApplied),
            (Precondition::Absent, _) => false,
        }
    }

    /// The answer to a write, without the write.
    fn acknowledge(&mut self, write: &Write) -> Written {
        let is_put = matches!(write.change, Change::Put { .. });
        Written { etag: is_put.then(|| etag(self.next_version())) }
    }

    pub(super) fn apply(&mut self, write: &Write, now: u64) -> Written {
        let version = match &write.change {
            Change::Put { value, ttl, .. } => {
                let number = self.number_of_next(&write.key, now);
                let expires_at = self.expiry_of_next(&write.key, ttl.duration(), now);
                Some(Version { number, value: value.clone(), expires_at })
            }
            Change::Delete => None,
        };
        let written = Written { etag: version.as_ref().map(Version::etag) };
        self.rows.entry(write.key.clone()).or_default().replace(now, version);
        written
    }

    fn number_of_next(&mut self, key: &Key, now: u64) -> u64 {
        if self.errs(Mutant::EtagRestartsAfterDelete) {
            return self.live(key, now).map_or(1, |it| it.number + 1);
        }
        self.next_version()
    }

    fn expiry_of_next(&mut self, key: &Key, ttl: Option<Duration>, now: u64) -> Option<u64> {
        let Some(ttl) = ttl else {
            let is_kept = self.errs(Mutant::TtlKept);
            return self.live(key, now).and_then(|it| it.expires_at).filter(|_| is_kept);
        };
        if self.errs(Mutant::TtlIgnored) {
            return None;
        }
        let at = now.saturating_add(u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX));
        Some(if self.errs(Mutant::TtlEarly) { at - at % 1_000_000_000 } else { at })
    }

    fn next_version(&mut self) -> u64 {
        self.versions += 1;
        self.versions
    }

    fn live(&self, key: &Key, now: u64) -> Option<&Version> {
        self.rows.get(key)?.current().filter(|it| it.is_live(now))
    }
}

impl Row {
    fn replace(&mut self, now: u64, version: Option<Version>) {
        self.0.push_back((now, version));
        if self.0.len() > PAST_LEN_MAX {
            self.0.pop_front();
        }
    }

    fn current(&self) -> Option<&Version> {
        self.0.back()?.1.as_ref()
    }

    fn previous(&self) -> Option<&Version> {
        self.0.iter().nth_back(1)?.1.as_ref()
    }

    fn at(&self, time: u64) -> Option<&Version> {
        self.0.iter().rfind(|(since, _)| *since <= time)?.1.as_ref()
    }
}

impl Version {
    fn is_live(&self, now: u64) -> bool {
        self.expires_at.is_none_or(|at| now < at)
    }

    fn etag(&self) -> ETag {
        etag(self.number)
    }

    fn item(&self) -> Item {
        let expires_at =
            self.expires_at.map(|it| SystemTime::UNIX_EPOCH + Duration::from_nanos(it));
        Item { value: self.value.clone(), etag: Some(self.etag()), expires_at }
    }
}

fn etag(number: u64) -> ETag {
    ETag::new(&number.to_string()).expect("a number has digits")
}
