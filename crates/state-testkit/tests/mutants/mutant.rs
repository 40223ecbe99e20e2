use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::SystemTime,
};

use async_trait::async_trait;
use bytes::Bytes;
use state::{
    Capabilities, Change, Conflict, ETag, Error, Found, Item, Key, KeyPage, Precondition, Read,
    Result, Store, Ttl, Write, Written, each, each_in_order,
};
use tokio::task;

/// A mistake that somebody made, or might.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    EveryConditionHolds,
    CreateReplaces,
    EtagCreatesMissingKey,
    DeleteIgnoresCondition,
    CheckIsApart,
    ConflictApplies,
    ConflictRenewsEtag,
    ConflictFindsAnother,
    EtagIsConstant,
    EtagIsValue,
    TtlIsIgnored,
    TtlIsHalved,
    TtlIsTripled,
    TtlIsKept,
    ExpiredIsPresent,
    TransactionIsNoUnit,
    TransactionStopsHalfway,
    TransactionIsReversed,
    ConflictLosesPosition,
    BulkReadsAreReversed,
    BulkWritesAreReversed,
    BulkStopsAtFailure,
    ListIgnoresPrefix,
    ListRepeatsCursor,
    ListNeverSaysMore,
    KeysFoldCase,
    KeysLoseTrailingSpace,
    KeysAreDecoded,
    KeysAreCut,
    ValuesLoseWhiteSpace,
    ValuesAreFloats,
    EmptyIsAbsent,
    ReadsAreCached,
    /// Made by [`Bare`](crate::Bare).
    RefusesNothing,
}

/// A store that was right until it got one bug.
#[derive(Debug)]
pub(crate) struct Mutant {
    inner: Arc<dyn Store>,
    bug: Bug,
    cache: Mutex<HashMap<Key, Option<Item>>>,
    /// Keys that had a time to live.
    mortal: Mutex<HashSet<Key>>,
}

const UNPOISONED: &str = "nothing panics while it is locked";

impl Mutant {
    pub(crate) fn new(inner: Arc<dyn Store>, bug: Bug) -> Mutant {
        Mutant { inner, bug, cache: Mutex::default(), mortal: Mutex::default() }
    }

    /// What is written instead.
    async fn changed(&self, write: &Write) -> Result<Write> {
        let key = self.key(&write.key);
        let current = self.inner.get(&Read::new(key.clone())).await?;
        let precondition = self.precondition(write, current.as_ref());
        let change = self.change(&write.change, current.as_ref());
        if matches!(change, Change::Put { ttl: Ttl::After(_), .. }) {
            self.mortal.lock().expect(UNPOISONED).insert(key.clone());
        }
        Ok(Write { key, change, precondition, ..write.clone() })
    }

    fn precondition(&self, write: &Write, current: Option<&Item>) -> Precondition {
        let is_bug_at_work = match self.bug {
            Bug::EveryConditionHolds => true,
            Bug::CreateReplaces => write.precondition == Precondition::Absent,
            Bug::EtagCreatesMissingKey => current.is_none(),
            Bug::DeleteIgnoresCondition => write.change == Change::Delete,
            _ => false,
        };
        match &write.precondition {
            _ if is_bug_at_work => Precondition::Any,
            Precondition::Absent if current.is_none() && self.is_expired(&write.key) => {
                Precondition::Matches(ETag::new("expired").expect("not empty"))
            }
            Precondition::Matches(etag) => self.undisguised(etag, current),
            other => other.clone(),
        }
    }

    fn is_expired(&self, key: &Key) -> bool {
        self.bug == Bug::ExpiredIsPresent && self.mortal.lock().expect(UNPOISONED).contains(key)
    }

    fn change(&self, change: &Change, current: Option<&Item>) -> Change {
        let Change::Put { value, format, ttl } = change.clone() else { return Change::Delete };
        let left = || current?.expires_at?.duration_since(SystemTime::now()).ok();
        let ttl = ttl.duration();
        let ttl = match self.bug {
            Bug::TtlIsIgnored => None,
            Bug::TtlIsHalved => ttl.map(|it| it / 2),
            Bug::TtlIsTripled => ttl.map(|it| it * 3),
            Bug::TtlIsKept => ttl.or_else(left),
            _ => ttl,
        };
        Change::Put { value: self.value(value), format, ttl: ttl.into() }
    }

    fn value(&self, value: Bytes) -> Bytes {
        let Ok(text) = str::from_utf8(&value) else { return value };
        match self.bug {
            Bug::ValuesLoseWhiteSpace => text.split_whitespace().collect::<String>().into(),
            Bug::ValuesAreFloats => match text.parse::<f64>() {
                Ok(it) => it.to_string().into(),
                Err(_) => value,
            },
            _ => value,
        }
    }

    fn key(&self, key: &Key) -> Key {
        let text = key.as_str();
        Key::stored(&match self.bug {
            Bug::KeysFoldCase => text.to_lowercase(),
            Bug::KeysLoseTrailingSpace => text.trim_end().to_owned(),
            Bug::KeysAreDecoded => text.replace("%2F", "/"),
            Bug::KeysAreCut => text.chars().take(255).collect(),
            _ => return key.clone(),
        })
    }

    fn disguised(&self, item: Item) -> Item {
        let etag = match self.bug {
            Bug::EtagIsConstant => ETag::new("constant"),
            Bug::EtagIsValue => ETag::new(&String::from_utf8_lossy(&item.value)),
            _ => item.etag.clone(),
        };
        Item { etag, ..item }
    }

    fn undisguised(&self, etag: &ETag, current: Option<&Item>) -> Precondition {
        let shown = current.and_then(|it| self.disguised(it.clone()).etag);
        let real = current.and_then(|it| it.etag.clone());
        match real {
            Some(real) if shown.as_ref() == Some(etag) => Precondition::Matches(real),
            _ => Precondition::Matches(etag.clone()),
        }
    }

    fn told(&self, written: Written) -> Written {
        match self.bug {
            Bug::EtagIsConstant | Bug::EtagIsValue => Written { etag: None },
            _ => written,
        }
    }

    async fn check_apart(&self, write: &Write) -> Result<()> {
        let item = self.inner.get(&Read::new(write.key.clone())).await?;
        task::yield_now().await;
        Ok(write.precondition.check(item.and_then(|it| it.etag).as_ref())?)
    }

    async fn write_one(&self, write: &Write) -> Result<Written> {
        let anyway = write.clone().when(Precondition::Any);
        match self.bug {
            Bug::CheckIsApart => {
                self.check_apart(write).await?;
                self.inner.write(&anyway).await
            }
            Bug::ConflictApplies => {
                let answer = self.inner.write(write).await;
                if answer.is_err() {
                    self.inner.write(&anyway).await?;
                }
                answer
            }
            Bug::ConflictRenewsEtag => {
                let item = self.inner.get(&Read::new(write.key.clone())).await?;
                let answer = self.inner.write(write).await;
                if let (Err(_), Some(item)) = (&answer, item) {
                    self.inner.write(&Write::put(write.key.clone(), item.value)).await?;
                }
                answer
            }
            Bug::ConflictFindsAnother => match self.inner.write(write).await {
                Err(Error::Conflict(_)) => Err(Conflict::new(Found::Absent).into()),
                answer => answer,
            },
            _ => self.inner.write(write).await,
        }
    }

    async fn transact_all(&self, writes: &[Write]) -> Result<Vec<Written>> {
        let mut written = Vec::new();
        match self.bug {
            Bug::TransactionIsNoUnit => {
                for (i, write) in writes.iter().enumerate() {
                    let item = self.inner.get(&Read::new(write.key.clone())).await?;
                    let current = item.and_then(|it| it.etag);
                    write.precondition.check(current.as_ref()).map_err(|it| it.at(i))?;
                }
                for write in writes {
                    let anyway = write.clone().when(Precondition::Any);
                    written.push(self.inner.write(&anyway).await?);
                    task::yield_now().await;
                }
                Ok(written)
            }
            Bug::TransactionStopsHalfway => {
                for (i, write) in writes.iter().enumerate() {
                    written.push(self.inner.write(write).await.map_err(|e| at(e, i))?);
                }
                Ok(written)
            }
            Bug::TransactionIsReversed => {
                let reversed: Vec<_> = writes.iter().rev().cloned().collect();
                self.inner.transact(&reversed).await
            }
            Bug::ConflictLosesPosition => self.inner.transact(writes).await.map_err(|e| at(e, 0)),
            _ => self.inner.transact(writes).await,
        }
    }
}

#[async_trait]
impl Store for Mutant {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        let key = self.key(&read.key);
        if self.bug == Bug::ReadsAreCached
            && let Some(item) = self.cache.lock().expect(UNPOISONED).get(&key)
        {
            return Ok(item.clone());
        }
        let item = self.inner.get(&Read { key: key.clone(), ..read.clone() }).await?;
        self.cache.lock().expect(UNPOISONED).insert(key, item.clone());
        let item = item.filter(|it| self.bug != Bug::EmptyIsAbsent || !it.value.is_empty());
        Ok(item.map(|it| self.disguised(it)))
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        let write = self.changed(write).await?;
        self.cache.lock().expect(UNPOISONED).remove(&write.key);
        Ok(self.told(self.write_one(&write).await?))
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        let mut changed = Vec::new();
        for write in writes {
            changed.push(self.changed(write).await?);
            self.cache.lock().expect(UNPOISONED).remove(&write.key);
        }
        let written = self.transact_all(&changed).await?;
        Ok(written.into_iter().map(|it| self.told(it)).collect())
    }

    async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        let mut answers = each(reads, |it| self.get(it)).await;
        if self.bug == Bug::BulkReadsAreReversed {
            answers.reverse();
        }
        answers
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Written>> {
        match self.bug {
            Bug::BulkWritesAreReversed => {
                let writes: Vec<_> = writes.iter().rev().cloned().collect();
                each_in_order(&writes, |it| self.write(it)).await
            }
            Bug::BulkStopsAtFailure => {
                let mut answers = Vec::new();
                for write in writes {
                    answers.push(self.write(write).await);
                    if answers.last().is_some_and(Result::is_err) {
                        break;
                    }
                }
                answers
            }
            _ => each_in_order(writes, |it| self.write(it)).await,
        }
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<KeyPage> {
        let mut page = match self.bug {
            // So near that it finds keys of the same case only, which a whole store would hide.
            Bug::ListIgnoresPrefix => {
                self.inner.list(&prefix[..prefix.len() - 1], after, limit).await?
            }
            _ => self.inner.list(prefix, after, limit).await?,
        };
        if let (Bug::ListRepeatsCursor, Some(after)) = (self.bug, after) {
            page.keys.insert(0, after.clone());
        }
        page.more &= self.bug != Bug::ListNeverSaysMore;
        Ok(page)
    }

    async fn ping(&self) -> Result<()> {
        self.inner.ping().await
    }
}

/// The same error, said of another write.
fn at(error: Error, position: usize) -> Error {
    match error {
        Error::Conflict(it) => Conflict::new(it.found().clone()).at(position).into(),
        Error::Failure(_) => error,
    }
}
