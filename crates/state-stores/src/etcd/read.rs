//! Reads of one key, of many, and of a list of them.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use state::{Consistency, Error, FailureKind, Item, Key, KeyPage, Read, Result};

use super::{
    connection::path,
    engine::Engine,
    layout::{end_of, etag},
    lease::End,
    messages::{
        KeyValue, LeaseRequest, Operation, RangeRequest, RangeResponse, Request, Response,
        TimeToLiveResponse, TransactionRequest, TransactionResponse,
    },
    persistence::{Persistence, Stage},
    refusal::Intent,
};

/// What became of a value that was found.
enum Seen {
    Item(Item),
    /// It was another when it was looked at again.
    Changed,
    Absent,
}

impl Engine {
    pub(super) async fn get(&self, read: &Read) -> Result<Option<Item>> {
        let _place = self.place()?;
        let (stage, mut persistence) = (Stage::default(), Persistence::new(self.timeout));
        let work = async {
            let mut serializable = read.consistency == Consistency::Eventual;
            loop {
                let asked = self.range_of(&read.key, serializable);
                let call =
                    self.call(path::RANGE, &asked, Intent::Read, &stage, &mut persistence).await?;
                let found: RangeResponse = call;
                let Some(kv) = found.kvs.first() else { return Ok(None) };
                match self.see(kv, &stage, &mut persistence).await? {
                    Seen::Item(item) => return Ok(Some(item)),
                    Seen::Absent => return Ok(None),
                    // The member may have told what is long past.
                    Seen::Changed => serializable = false,
                }
            }
        };
        stage.bounded(self.timeout, &self.members.label, work).await
    }

    fn range_of(&self, key: &Key, serializable: bool) -> RangeRequest {
        RangeRequest { key: self.layout.key(key), serializable, ..RangeRequest::default() }
    }

    async fn see(
        &self,
        kv: &KeyValue,
        stage: &Stage,
        persistence: &mut Persistence,
    ) -> Result<Seen> {
        let end = End::of(kv);
        if end.is_over() {
            let removed = self.remove(kv, stage, persistence).await?;
            return Ok(if removed { Seen::Absent } else { Seen::Changed });
        }
        let (value, told) = self.layout.decode(kv)?;
        let expires_at = match (end, told) {
            (End::Never, _) => None,
            (End::At(it), _) | (End::WithLease(_), Some(it)) => Some(it),
            (End::WithLease(id), None) => {
                let asked = LeaseRequest { id };
                let call =
                    self.call(path::TIME_TO_LIVE, &asked, Intent::Read, stage, persistence).await?;
                let answer: TimeToLiveResponse = call;
                match u64::try_from(answer.ttl_s) {
                    Ok(s) => Some(SystemTime::now() + Duration::from_secs(s)),
                    Err(_) => return Ok(Seen::Changed),
                }
            }
        };
        Ok(Seen::Item(Item { value, etag: etag(kv.mod_revision), expires_at }))
    }

    /// As many keys at once as one transaction may have.
    pub(super) async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        let mut answers = Vec::with_capacity(reads.len());
        for chunk in reads.chunks(self.operations_max) {
            let asked = TransactionRequest {
                success: chunk
                    .iter()
                    .map(|it| {
                        let serializable = it.consistency == Consistency::Eventual;
                        let range = self.range_of(&it.key, serializable);
                        Operation { request: Some(Request::Range(range)) }
                    })
                    .collect(),
                ..TransactionRequest::default()
            };
            let found = self.ask::<TransactionResponse>(path::TRANSACTION, &asked).await;
            match found {
                Ok(it) if it.responses.len() == chunk.len() => {
                    let each = chunk.iter().zip(&it.responses);
                    let each: Vec<_> = each.collect();
                    let each = state::each(&each, |(read, answer)| async move {
                        match &answer.response {
                            Some(Response::Range(it)) => self.item(read, it.kvs.first()).await,
                            _ => self.get(read).await,
                        }
                    });
                    answers.extend(each.await);
                }
                // The server takes fewer at once.
                Ok(_) => answers.extend(state::each(chunk, |it| self.get(it)).await),
                Err(Error::Failure(e)) if e.kind() == FailureKind::Invalid => {
                    answers.extend(state::each(chunk, |it| self.get(it)).await);
                }
                Err(e) => answers.extend(e.for_each(chunk.len())),
            }
        }
        answers
    }

    /// What was found for a read, which is asked for again if that does not do.
    async fn item(&self, read: &Read, kv: Option<&KeyValue>) -> Result<Option<Item>> {
        let Some(kv) = kv else { return Ok(None) };
        let (value, told) = self.layout.decode(kv)?;
        let expires_at = match (End::of(kv), told) {
            (End::Never, _) => None,
            (end @ End::At(it), _) if !end.is_over() => Some(it),
            (End::WithLease(_), Some(it)) => Some(it),
            _ => return self.get(read).await,
        };
        Ok(Some(Item { value, etag: etag(kv.mod_revision), expires_at }))
    }

    pub(super) async fn list(
        &self,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<KeyPage> {
        let first = self.layout.bytes(prefix);
        let range_end = end_of(&first);
        let mut from = after.map_or(first.clone(), |it| following(&self.layout.key(it))).max(first);
        let mut page = KeyPage::default();
        loop {
            if range_end[..] != [0] && from >= range_end {
                return Ok(page);
            }
            let asked = RangeRequest {
                key: from,
                range_end: range_end.clone(),
                // One more than asked for tells whether another page follows.
                limit: i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1),
                keys_only: true,
                ..RangeRequest::default()
            };
            let found: RangeResponse = self.ask(path::RANGE, &asked).await?;
            for kv in &found.kvs {
                let Some(key) = self.layout.name(&kv.key).filter(|_| !End::of(kv).is_over()) else {
                    continue;
                };
                if page.keys.len() == limit {
                    page.more = true;
                    return Ok(page);
                }
                page.keys.push(key);
            }
            match found.kvs.last() {
                Some(last) if found.more => from = following(&last.key),
                _ => return Ok(page),
            }
        }
    }
}

/// The first key after this one.
fn following(key: &[u8]) -> Bytes {
    [key, &[0]].concat().into()
}
