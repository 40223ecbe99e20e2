use std::{
    collections::HashMap,
    slice,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use state::{Conflict, ETag, Error, FailureKind, Found, Item, Key, Precondition, Write, Written};

use super::request::{Aim, Guard, Intent, NAMES, Request};
use crate::{
    Condition, Effect, Model, Op, Refusal, Version,
    scope::{HOUR, Scope},
};

/// A store and the model, asked the same.
pub(super) struct Comparison {
    it: Scope,
    model: Model,
    /// What the store calls the versions of each key, as far as it has told; the newest last.
    etags: HashMap<Key, Vec<(Version, ETag)>>,
}

/// How far the store's idea of an expiry may be from ours: its clock may count seconds, and a
/// request may take some.
const EXPIRY_TOLERANCE: Duration = Duration::from_secs(60);

impl Comparison {
    /// Both empty.
    pub(super) fn new(it: &Scope) -> Comparison {
        Comparison { it: it.fresh(), model: Model::default(), etags: HashMap::new() }
    }

    /// Makes the requests of both, and fails where they differ.
    pub(super) async fn run(mut self, requests: &[Request]) -> Result<()> {
        for (i, request) in requests.iter().enumerate() {
            self.step(request).await.with_context(|| format!("at request {i}"))?;
            self.contents_agree().await.with_context(|| format!("after request {i}"))?;
        }
        Ok(())
    }

    async fn step(&mut self, request: &Request) -> Result<()> {
        match request {
            Request::Get(name) => self.get_agrees(name).await,
            Request::GetMany(names) => self.get_many_agrees(names).await,
            Request::Write(intent) => self.write_agrees(intent).await,
            Request::WriteMany(intents) => self.write_many_agrees(intents).await,
            Request::Transact(intents) => self.transact_agrees(intents).await,
            Request::List { prefix, after, limit } => {
                self.list_agrees(prefix, *after, *limit).await
            }
        }
    }

    async fn contents_agree(&mut self) -> Result<()> {
        for name in NAMES {
            self.get_agrees(name).await?;
        }
        Ok(())
    }

    async fn get_agrees(&mut self, name: &str) -> Result<()> {
        let found = self.it.get(name).await?;
        self.item_agrees(name, found).with_context(|| format!("get {name:?}"))
    }

    async fn get_many_agrees(&mut self, names: &[&str]) -> Result<()> {
        let reads: Vec<_> = names.iter().map(|name| self.it.read(name)).collect();
        let answers = self.it.reader.get_many(&reads).await;
        ensure!(answers.len() == names.len(), "{} answers", answers.len());
        for (name, answer) in names.iter().zip(answers) {
            self.item_agrees(name, answer?).with_context(|| format!("get {name:?} in bulk"))?;
        }
        Ok(())
    }

    async fn list_agrees(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<()> {
        let prefix = [&self.it.prefix, prefix].concat();
        let after = after.map(|name| self.it.key(name));
        let page = self.it.reader.list(&prefix, after.as_ref(), limit).await?;
        let expected = self.model.list(&prefix, after.as_ref(), limit, SystemTime::now());
        ensure!((page.keys, page.more) == expected, "the lists differ: {expected:?}");
        Ok(())
    }

    async fn write_agrees(&mut self, intent: &Intent) -> Result<()> {
        let (op, write) = self.resolve(intent);
        let answer = self.it.store.write(&write).await;
        self.write_answer_agrees(&op, answer)
    }

    async fn write_many_agrees(&mut self, intents: &[Intent]) -> Result<()> {
        let (ops, writes): (Vec<_>, Vec<_>) = intents.iter().map(|it| self.resolve(it)).unzip();
        let answers = self.it.store.write_many(&writes).await;
        ensure!(answers.len() == writes.len(), "{} answers", answers.len());
        for (op, answer) in ops.iter().zip(answers) {
            self.write_answer_agrees(op, answer)?;
        }
        Ok(())
    }

    async fn transact_agrees(&mut self, intents: &[Intent]) -> Result<()> {
        let (ops, writes): (Vec<_>, Vec<_>) = intents.iter().map(|it| self.resolve(it)).unzip();
        let answer = self.it.store.transact(&writes).await;
        let expected = self.model.transact(&ops, SystemTime::now());
        self.answer_agrees(&ops, expected, answer)
    }

    fn write_answer_agrees(&mut self, op: &Op, answer: state::Result<Written>) -> Result<()> {
        let expected = self.model.write(op, SystemTime::now());
        let expected = expected.map(|it| vec![it]).map_err(|it| vec![it]);
        self.answer_agrees(slice::from_ref(op), expected, answer.map(|it| vec![it]))
    }

    fn answer_agrees(
        &mut self,
        ops: &[Op],
        expected: Result<Vec<Option<Version>>, Vec<Refusal>>,
        answer: state::Result<Vec<Written>>,
    ) -> Result<()> {
        match (expected, answer) {
            (Ok(versions), Ok(written)) => self.written_agrees(ops, &versions, &written),
            (Err(refusals), Err(Error::Conflict(it))) => self.conflict_agrees(ops, &refusals, &it),
            // That the ETag cannot be one of its own the store may say instead.
            (Err(refusals), Err(Error::Failure(it)))
                if it.kind() == FailureKind::InvalidETag
                    && refusals.iter().any(|it| is_foreign(&ops[it.position])) =>
            {
                Ok(())
            }
            (expected, answer) => bail!("{answer:?} is not {expected:?}, to {ops:#?}"),
        }
    }

    fn written_agrees(
        &mut self,
        ops: &[Op],
        versions: &[Option<Version>],
        written: &[Written],
    ) -> Result<()> {
        ensure!(written.len() == versions.len(), "{} answers to {ops:?}", written.len());
        for ((op, version), written) in ops.iter().zip(versions).zip(written) {
            match (version, &written.etag) {
                (Some(version), Some(etag)) => self.learn(&op.key, *version, etag)?,
                (_, None) => {}
                (None, Some(etag)) => bail!("a delete made a version {etag:?}"),
            }
        }
        Ok(())
    }

    fn conflict_agrees(
        &mut self,
        ops: &[Op],
        refusals: &[Refusal],
        conflict: &Conflict,
    ) -> Result<()> {
        let refusal = refusals.iter().find(|it| it.position == conflict.position());
        let refusal = refusal.with_context(|| format!("{conflict:?} is none of {refusals:?}"))?;
        match (refusal.found, conflict.found()) {
            (_, Found::Untold) | (None, Found::Absent) => Ok(()),
            (Some(version), Found::Version(etag)) => {
                self.learn(&ops[refusal.position].key, version, etag)
            }
            (found, told) => bail!("found {found:?}, and not {told:?}"),
        }
    }

    fn item_agrees(&mut self, name: &str, found: Option<Item>) -> Result<()> {
        let key = self.it.key(name);
        let expected = self.model.get(&key, SystemTime::now()).cloned();
        let (expected, found) = match (expected, found) {
            (Some(expected), Some(found)) => (expected, found),
            (None, None) => return Ok(()),
            (expected, found) => bail!("{found:?} is not {expected:?}"),
        };
        ensure!(found.value == expected.value, "{:?} is not {expected:?}", found.value);
        let (earlier, later) = (expected.deadline, found.expires_at);
        ensure!(are_close(earlier, later), "expires at {later:?} and not at {earlier:?}");
        match found.etag {
            Some(etag) => self.learn(&key, expected.version, &etag),
            None => {
                ensure!(!self.it.capabilities().etag, "the value has no ETag");
                Ok(())
            }
        }
    }

    /// Takes in what the store calls a version, which is what it has always called that one and
    /// never another.
    fn learn(&mut self, key: &Key, version: Version, etag: &ETag) -> Result<()> {
        let known = self.etags.entry(key.clone()).or_default();
        let mut others = known.iter().filter(|it| it.0 == version || it.1 == *etag);
        if let Some(other) = others.find(|it| **it != (version, etag.clone())) {
            bail!("{version:?} is {etag:?}, but there was {other:?}");
        }
        if known.iter().all(|it| it.0 != version) {
            known.push((version, etag.clone()));
        }
        Ok(())
    }

    /// Chooses the ETag, now that the state is known.
    fn resolve(&self, intent: &Intent) -> (Op, Write) {
        let key = self.it.key(intent.name);
        let (condition, precondition) = self.conditions(&key, intent.guard);
        let (effect, write) = match intent.change {
            Aim::Delete => (Effect::Delete, self.it.delete(intent.name)),
            Aim::Put { number, ttl_hours } => {
                let ttl = ttl_hours.map(|it| HOUR * it.into());
                let value = number.to_string().into();
                let write = match ttl {
                    Some(ttl) => self.it.expiring(intent.name, number, ttl),
                    None => self.it.put(intent.name, number),
                };
                (Effect::Put { value, ttl }, write)
            }
        };
        (Op { key, effect, condition }, write.when(precondition))
    }

    fn conditions(&self, key: &Key, guard: Guard) -> (Condition, Precondition) {
        let current = self.model.get(key, SystemTime::now()).map(|it| it.version);
        let known = self.etags.get(key).map_or(&[][..], |it| it);
        let etag = match guard {
            Guard::None => return (Condition::Any, Precondition::Any),
            Guard::Absent => return (Condition::Absent, Precondition::Absent),
            Guard::Current => known.iter().find(|it| Some(it.0) == current),
            Guard::Stale => known.iter().rfind(|it| Some(it.0) != current),
            Guard::Foreign => self.etag_of_another(key),
            Guard::Malformed => None,
        };
        let malformed = || ETag::new("no version").expect("not empty");
        let etag = etag.map_or_else(malformed, |it| it.1.clone());
        // Looked up, because keys may count their versions each for itself, and agree.
        let version = known.iter().find(|it| it.1 == etag).map(|it| it.0);
        (Condition::Matches(version), Precondition::Matches(etag))
    }

    fn etag_of_another(&self, key: &Key) -> Option<&(Version, ETag)> {
        let mut others = NAMES.iter().map(|name| self.it.key(name)).filter(|it| it != key);
        others.find_map(|it| self.etags.get(&it)?.last())
    }
}

fn is_foreign(op: &Op) -> bool {
    op.condition == Condition::Matches(None)
}

fn are_close(a: Option<SystemTime>, b: Option<SystemTime>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a < b + EXPIRY_TOLERANCE && b < a + EXPIRY_TOLERANCE,
        (a, b) => a == b,
    }
}
