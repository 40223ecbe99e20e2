//! One pass through the keys of an application.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use state::{
    Change, Consistency, ETag, Error, FailureKind, Format, Item, Key, KeyPage, Precondition, Read,
    Result, Store, Ttl, Write,
};
use state_layers::{Cipher, Form};

/// How many keys are asked for at once.
const PAGE_LEN: usize = 500;
/// How many values are under way at once: each may have megabytes.
const CONCURRENCY: usize = 16;
/// How often one value is tried, with a pause before each time but the first.
const ATTEMPTS_MAX: u32 = 20;
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How exactly an expiry is kept: stores round to seconds, some upwards twice.
const EXPIRY_TOLERANCE: Duration = Duration::from_secs(2);
/// How often an expiry is corrected, should the clocks here and there not agree.
const CORRECTIONS_MAX: u32 = 3;
/// How many of the values that cannot be decrypted are named.
const NAMED_MAX: usize = 20;

/// What is to be done, and what has been.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) store: Arc<dyn Store>,
    pub(super) cipher: Cipher,
    pub(super) prefix: String,
    pub(super) dry_run: bool,
    pub(super) from_plaintext: bool,
    pub(super) counts: Mutex<Counts>,
}

/// What was found and done, in numbers of values.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Keys that were looked at.
    pub(super) keys: u64,
    /// Keys that no application can have named, such as those of actors. They are left alone.
    pub(super) passed_over: u64,
    /// What values were when they were first read.
    pub(super) found: BTreeMap<Form, u64>,
    /// Written anew; in a dry run, to be written anew.
    pub(super) rewritten: u64,
    /// Not encrypted, and left so.
    pub(super) plain_left: u64,
    /// Not to be decrypted.
    pub(super) unreadable: Unreadable,
}

#[derive(Debug, Default)]
pub(super) struct Unreadable {
    pub(super) count: u64,
    /// The first keys, and why.
    pub(super) named: Vec<(String, String)>,
}

/// What became of one value.
enum Fate {
    /// It was deleted, or expired.
    Gone,
    /// It is under the primary key already.
    Current,
    Rewritten,
    PlainLeft,
    Unreadable(Error),
}

impl Pass {
    /// Goes through all keys, in the order of their bytes.
    ///
    /// # Errors
    ///
    /// If the store fails again and again.
    pub(super) async fn run(&self) -> Result<()> {
        let mut after = None;
        loop {
            let KeyPage { keys, more } = self.page(after.as_ref()).await?;
            after = keys.last().cloned().or(after);
            stream::iter(keys)
                .map(|it| self.one(it))
                .buffer_unordered(CONCURRENCY)
                .try_collect::<()>()
                .await?;
            if !more {
                return Ok(());
            }
        }
    }

    async fn page(&self, after: Option<&Key>) -> Result<KeyPage> {
        let mut attempt = 0;
        loop {
            match self.store.list(&self.prefix, after, PAGE_LEN).await {
                Err(e) if attempt < ATTEMPTS_MAX && may_pass(&e) => pause(&mut attempt).await,
                listed => return listed,
            }
        }
    }

    async fn one(&self, key: Key) -> Result<()> {
        let own = key.strip_prefix(&self.prefix).and_then(|it| Key::new(it.as_str()).ok());
        let Some(own) = own else {
            self.counts.lock().passed_over += 1;
            return Ok(());
        };
        let (found, fate) = self.fate(&key).await?;
        let mut counts = self.counts.lock();
        counts.keys += 1;
        if let Some(form) = found {
            *counts.found.entry(form).or_default() += 1;
        }
        match fate {
            Fate::Gone | Fate::Current => {}
            Fate::Rewritten => counts.rewritten += 1,
            Fate::PlainLeft => counts.plain_left += 1,
            Fate::Unreadable(e) => {
                counts.unreadable.count += 1;
                if counts.unreadable.named.len() < NAMED_MAX {
                    counts.unreadable.named.push((own.as_str().to_owned(), e.to_string()));
                }
            }
        }
        Ok(())
    }

    /// Looks at a value, and again whenever somebody else has written it, or nobody knows.
    async fn fate(&self, key: &Key) -> Result<(Option<Form>, Fate)> {
        let (mut found, mut attempt) = (None, 0);
        loop {
            let fate = match self.read(key).await {
                Ok(None) => Ok(Fate::Gone),
                Ok(Some(item)) => {
                    let form = self.cipher.form(&item.value);
                    found.get_or_insert_with(|| form.clone());
                    self.treat(key, form, item).await
                }
                Err(e) => Err(e),
            };
            match fate {
                Err(e) if attempt < ATTEMPTS_MAX && may_pass(&e) => pause(&mut attempt).await,
                Err(e) if e.is_conflict() => {
                    let message = "one value is written all the time by somebody who does not have \
                                   the primary key: give it to all sidecars first";
                    return Err(Error::new(FailureKind::Overloaded, message));
                }
                fate => return Ok((found, fate?)),
            }
        }
    }

    async fn treat(&self, key: &Key, form: Form, item: Item) -> Result<Fate> {
        let value = match form {
            Form::Plain if !self.from_plaintext => return Ok(Fate::PlainLeft),
            Form::Plain => item.value.clone(),
            Form::Steadfast(_) | Form::Dapr(_) | Form::Damaged => {
                match self.cipher.open(key, &item.value) {
                    Ok(value) => value,
                    Err(e) => return Ok(Fate::Unreadable(e)),
                }
            }
        };
        if form == self.cipher.current() {
            return Ok(Fate::Current);
        }
        if !self.dry_run {
            self.replace(key, &item, &value).await?;
        }
        Ok(Fate::Rewritten)
    }

    /// Replaces a value, if it is still at the version that was read, and keeps its expiry.
    async fn replace(&self, key: &Key, item: &Item, value: &[u8]) -> Result<()> {
        let sealed = self.cipher.seal(key, value)?;
        let etag = item.etag.clone();
        let Some(expires_at) = item.expires_at else {
            return self.write(key, &sealed, etag, Ttl::Never).await.map(drop);
        };
        let mut left = expires_at.duration_since(SystemTime::now()).unwrap_or_default();
        let mut etag = self.write(key, &sealed, etag, after(left)).await?;
        for _ in 0..CORRECTIONS_MAX {
            let Some(now) = self.read(key).await? else { return Ok(()) };
            let Some(made) = now.expires_at.filter(|_| now.etag == etag) else { return Ok(()) };
            // The store's clock may not be ours.
            let (late, early) = (made.duration_since(expires_at), expires_at.duration_since(made));
            let (late, early) = (late.unwrap_or_default(), early.unwrap_or_default());
            if late.max(early) <= EXPIRY_TOLERANCE {
                return Ok(());
            }
            left = left.saturating_sub(late) + early;
            etag = self.write(key, &sealed, etag, after(left)).await?;
        }
        Ok(())
    }

    async fn read(&self, key: &Key) -> Result<Option<Item>> {
        let consistency = strongest(self.store.capabilities().consistency.strong_read.is_some());
        self.store.get(&Read { consistency, ..Read::new(key.clone()) }).await
    }

    async fn write(
        &self,
        key: &Key,
        sealed: &Bytes,
        etag: Option<ETag>,
        ttl: Ttl,
    ) -> Result<Option<ETag>> {
        let consistency = strongest(self.store.capabilities().consistency.strong_write.is_some());
        let etag = etag.ok_or_else(|| {
            Error::new(FailureKind::Corrupt, "the store has a value without an ETag")
        })?;
        let change = Change::Put { value: sealed.clone(), format: Format::Opaque, ttl };
        let write = Write { consistency, ..Write::new(key.clone(), change) };
        let written = self.store.write(&write.when(Precondition::Matches(etag))).await?;
        Ok(written.etag)
    }
}

fn strongest(is_offered: bool) -> Consistency {
    match is_offered {
        true => Consistency::Strong,
        false => Consistency::Eventual,
    }
}

/// In whole seconds, rounded up.
fn after(left: Duration) -> Ttl {
    let rounded = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    Ttl::After(Duration::from_secs(rounded.max(1)))
}

/// Whether looking again may help. A value whose fate is unknown is one that was replaced or was not: the
/// next look tells.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Conflict(_) => true,
        Error::Failure(it) => {
            matches!(
                it.kind(),
                FailureKind::Overloaded | FailureKind::Unavailable | FailureKind::Lost
            )
        }
    }
}

/// Waits, twice as long each time. A conflict is not waited for at first.
async fn pause(attempt: &mut u32) {
    let longest = Duration::from_millis(1 << (*attempt).min(10)).min(PAUSE_MAX);
    *attempt += 1;
    tokio::time::sleep(longest.mul_f64(fastrand::f64())).await;
}

#[cfg(test)]
mod tests;
