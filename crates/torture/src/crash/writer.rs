//! A writer: singles, chains of ETags, transactions, deletes, and keys that all fight for.

use std::{collections::HashMap, io, mem};

use super::{
    chance::Chance,
    client::Client,
    history::{Change, Found, SHARED, State, Step, Text, Told, When},
};

/// How large values are, beside the small ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// One put in so many is large.
    pub(crate) large_one_in: usize,
    pub(crate) large_bytes: usize,
}

/// Keys that all writers swap.
const SHARED_KEYS: usize = 2;

#[derive(Debug)]
pub(crate) struct Writer {
    id: usize,
    chance: Chance,
    pub(crate) sizes: Sizes,
    /// The number of its newest value: no two are the same.
    n: u64,
    /// What it knows of the ETags of its keys; `Some(None)` is an absent key.
    etags: HashMap<Text, Option<Text>>,
    /// The ETag that its chain had before.
    stale: Option<Text>,
    journal: Vec<Step>,
}

impl Writer {
    pub(crate) fn new(id: usize, chance: Chance, sizes: Sizes) -> Writer {
        Writer { id, chance, sizes, n: 0, etags: HashMap::new(), stale: None, journal: Vec::new() }
    }

    /// Gives its values other numbers than those up to `n`.
    pub(crate) fn start_at(&mut self, n: u64) {
        self.n = n;
    }

    /// Every key that it may write.
    pub(crate) fn keys(&self) -> Vec<Text> {
        let own = ["s0", "s1", "s2", "s3", "c", "d0", "d1", "t0", "t1", "t2"];
        let own = own.into_iter().map(|it| self.key(it));
        own.chain((0..SHARED_KEYS).map(shared)).collect()
    }

    /// What it has done since this was last asked.
    pub(crate) fn take_journal(&mut self) -> Vec<Step> {
        mem::take(&mut self.journal)
    }

    /// Whether its last request was a write that failed, and not for a conflict.
    pub(crate) fn has_failed(&self) -> bool {
        let failed = |it: &Told| matches!(it, Told::NotApplied | Told::Unknown);
        matches!(self.journal.last(), Some(Step::Write { told, .. }) if failed(told))
    }

    /// Takes what is there for what it will build on.
    pub(crate) fn learn(&mut self, state: &State) {
        for key in self.keys() {
            let etag = state.get(&key).map(|it| it.etag.clone());
            self.etags.insert(key, etag);
        }
    }

    /// Reads all its keys.
    pub(crate) async fn look(&mut self, client: &mut Client) -> io::Result<()> {
        for key in self.keys() {
            self.read(client, &key).await?;
        }
        Ok(())
    }

    /// One operation. Fails if the connection is lost.
    pub(crate) async fn step(&mut self, client: &mut Client) -> io::Result<()> {
        match self.chance.below(100) {
            0..30 => {
                let i = self.chance.below(4);
                let key = self.key(&format!("s{i}"));
                let change = self.put(&key, When::Always);
                self.write(client, vec![change]).await.map(drop)
            }
            30..50 => {
                let key = self.key("c");
                let when = self.current(client, &key).await?;
                self.stale = match &when {
                    When::Matches(it) => Some(it.clone()),
                    When::Always | When::Absent => None,
                };
                let change = self.put(&key, when);
                self.write(client, vec![change]).await.map(drop)
            }
            50..70 => self.put_or_delete(client).await,
            70..88 => self.transact(client).await,
            88..92 => {
                let key = self.key("c");
                let Some(stale) = self.stale.clone() else { return Ok(()) };
                let change = self.put(&key, When::Matches(stale));
                self.write(client, vec![change]).await.map(drop)
            }
            _ => {
                let key = shared(self.chance.below(SHARED_KEYS));
                let Some(found) = self.read(client, &key).await? else { return Ok(()) };
                let when = found.map_or(When::Absent, |it| When::Matches(it.etag));
                let change = self.put(&key, when);
                self.write(client, vec![change]).await.map(drop)
            }
        }
    }

    /// One small put; returns what the sidecar said of it.
    pub(crate) async fn probe(&mut self, client: &mut Client) -> io::Result<Told> {
        let key = self.key("s0");
        let change = self.put(&key, When::Always);
        self.write(client, vec![change]).await
    }

    async fn put_or_delete(&mut self, client: &mut Client) -> io::Result<()> {
        let name = if self.chance.one_in(2) { "d0" } else { "d1" };
        let key = self.key(name);
        let current = self.current(client, &key).await?;
        let change = match (&current, self.chance.below(4)) {
            (_, 0) => Change { key, value: None, when: When::Always },
            (When::Matches(_), 1 | 2) => Change { key, value: None, when: current },
            _ => self.put(&key, current),
        };
        self.write(client, vec![change]).await.map(drop)
    }

    async fn transact(&mut self, client: &mut Client) -> io::Result<()> {
        let keys = ["t0", "t1", "t2"].map(|it| self.key(it));
        let when = match self.chance.one_in(2) {
            true => self.current(client, &keys[0]).await?,
            false => When::Always,
        };
        let first = self.put(&keys[0], when);
        let mut changes = vec![first];
        for key in &keys[1..] {
            changes.push(self.put(key, When::Always));
        }
        if self.chance.one_in(4) {
            changes[1 + self.chance.below(2)].value = None;
        }
        self.write(client, changes).await.map(drop)
    }

    /// The condition that holds for a key now, as far as it knows or can read.
    async fn current(&mut self, client: &mut Client, key: &Text) -> io::Result<When> {
        if !self.etags.contains_key(key) {
            self.read(client, key).await?;
        }
        Ok(match self.etags.get(key) {
            Some(Some(etag)) => When::Matches(etag.clone()),
            Some(None) => When::Absent,
            // It could not be read either.
            None => When::Always,
        })
    }

    /// `None` if the sidecar gave an error.
    async fn read(&mut self, client: &mut Client, key: &Text) -> io::Result<Option<Found>> {
        let Ok(found) = client.read(key).await? else {
            self.journal.push(Step::Refused);
            return Ok(None);
        };
        self.etags.insert(key.clone(), found.as_ref().map(|it| it.etag.clone()));
        self.journal.push(Step::Read { key: key.clone(), found: found.clone() });
        Ok(Some(found))
    }

    async fn write(&mut self, client: &mut Client, changes: Vec<Change>) -> io::Result<Told> {
        let answer = client.write(&changes).await;
        let told = answer.as_ref().ok().cloned().unwrap_or(Told::Unknown);
        for (i, change) in changes.iter().enumerate() {
            match &told {
                Told::Done(etags) => {
                    let etag = etags.get(i).cloned().flatten();
                    self.etags.insert(change.key.clone(), etag);
                }
                Told::Unknown => drop(self.etags.remove(&change.key)),
                Told::Conflict | Told::NotApplied => {}
            }
        }
        self.journal.push(Step::Write { changes, told });
        answer
    }

    fn key(&self, name: &str) -> Text {
        format!("w{}-{name}", self.id).into()
    }

    fn put(&mut self, key: &Text, when: When) -> Change {
        self.n += 1;
        let large = self.chance.one_in(self.sizes.large_one_in);
        let len = match self.chance.below(10) {
            _ if large => self.sizes.large_bytes,
            0 => 1000 + self.chance.below(5000),
            _ => self.chance.below(200),
        };
        let value = format!(r#""w{}.{}.{key}:{}""#, self.id, self.n, "x".repeat(len));
        Change { key: key.clone(), value: Some(value.into()), when }
    }
}

fn shared(i: usize) -> Text {
    format!("{SHARED}{i}").into()
}
