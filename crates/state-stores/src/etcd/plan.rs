//! What one transaction of etcd must compare and change, for writes that are to happen at one instant.

use std::collections::HashMap;

use bytes::Bytes;
use state::{Change, ETag, Key, Precondition, Result, Write, Written};

use super::messages::{
    Compare, DeleteRangeRequest, Operation, PutRequest, RangeRequest, RequestOp, TxnRequest,
};

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    /// Of the last write of the key, expired or not; 0 if nothing is there.
    pub(super) revision: i64,
    /// Whether a value is there that has not expired.
    pub(super) lives: bool,
}

/// The keys of some writes, each once, in the order in which they come.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    writes: &'a [Write],
    names: Vec<Vec<u8>>,
    /// For each write, which of the names is its key's.
    place: Vec<usize>,
    /// The names of keys under a condition, which are looked at if one does not hold.
    conditional: Vec<usize>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(writes: &'a [Write], name: impl Fn(&Key) -> Vec<u8>) -> Plan<'a> {
        let (mut places, mut names) = (HashMap::new(), Vec::new());
        let (mut place, mut conditional) = (Vec::new(), Vec::new());
        for write in writes {
            let at = *places.entry(&write.key).or_insert_with(|| {
                names.push(name(&write.key));
                names.len() - 1
            });
            place.push(at);
            if write.precondition != Precondition::Any && !conditional.contains(&at) {
                conditional.push(at);
            }
        }
        Plan { writes, names, place, conditional }
    }

    /// The names of the keys that [`sights`](Plan::request) are of, in order.
    pub(super) fn conditional(&self) -> impl Iterator<Item = &[u8]> {
        self.conditional.iter().map(|it| self.names[*it].as_slice())
    }

    /// Whether an ETag has the form of a revision: no other can be compared, and none can be stored.
    pub(super) fn compares(&self) -> bool {
        self.writes.iter().all(|it| match &it.precondition {
            Precondition::Any | Precondition::Absent => true,
            Precondition::Matches(etag) => revision(etag).is_some(),
        })
    }

    /// The transaction that makes the writes. Without `sights` it supposes that nothing has expired, and
    /// fails if a key with a condition has a lifetime at all; with them it supposes that nothing has changed.
    pub(super) fn request(
        &self,
        sights: Option<&[Sight]>,
        puts: &[Option<(Bytes, i64)>],
    ) -> TxnRequest {
        let compare = match sights {
            Some(sights) => self
                .conditional()
                .zip(sights)
                .map(|(name, it)| Compare::revision(name, it.revision))
                .collect(),
            None => self.conditions(),
        };
        let ranges = self.conditional().map(|it| {
            let keys_only = true;
            Operation::Range(RangeRequest { keys_only, ..RangeRequest::of(it) }).into()
        });
        TxnRequest { compare, success: self.effects(puts), failure: ranges.collect() }
    }

    fn conditions(&self) -> Vec<Compare> {
        let mut compares = Vec::new();
        for (write, at) in self.writes.iter().zip(&self.place) {
            let name = &self.names[*at];
            match &write.precondition {
                Precondition::Any => {}
                Precondition::Absent => compares.push(Compare::revision(name, 0)),
                Precondition::Matches(etag) => {
                    // What is no revision is looked at instead; see `compares`.
                    compares.push(Compare::revision(name, revision(etag).unwrap_or(i64::MAX)));
                    compares.push(Compare::no_lease(name));
                }
            }
        }
        compares.dedup();
        compares
    }

    /// The last change of each key: etcd takes no two of one key.
    fn effects(&self, puts: &[Option<(Bytes, i64)>]) -> Vec<RequestOp> {
        let effect = |(name, i): (&Vec<u8>, usize)| match &puts[i] {
            Some((value, lease)) => {
                let value = value.clone();
                Operation::Put(PutRequest { key: name.clone(), value, lease: *lease }).into()
            }
            None => Operation::Delete(DeleteRangeRequest { key: name.clone() }).into(),
        };
        self.names.iter().zip(self.last()).map(effect).collect()
    }

    /// Fails with the first write whose condition does not hold for what was seen.
    pub(super) fn check(&self, sights: &[Sight]) -> Result<()> {
        let sight: HashMap<usize, &Sight> = self.conditional.iter().copied().zip(sights).collect();
        for (position, (write, at)) in self.writes.iter().zip(&self.place).enumerate() {
            let seen = sight.get(at).filter(|it| it.lives);
            let current = seen.and_then(|it| etag(it.revision));
            write.precondition.check(current.as_ref()).map_err(|it| it.at(position))?;
        }
        Ok(())
    }

    /// For each key, which of its writes is the last.
    fn last(&self) -> Vec<usize> {
        let mut last = vec![0; self.names.len()];
        for (i, at) in self.place.iter().enumerate() {
            last[*at] = i;
        }
        last
    }

    /// What is told of each write when all have happened at this revision. What a later write of the same key has
    /// replaced never was a version.
    pub(super) fn written(&self, revision: i64) -> Vec<Written> {
        let last = self.last();
        let written = |(i, (write, at)): (usize, (&Write, &usize))| {
            let is_there = last[*at] == i && matches!(write.change, Change::Put { .. });
            Written { etag: is_there.then(|| etag(revision)).flatten() }
        };
        self.writes.iter().zip(&self.place).enumerate().map(written).collect()
    }
}

/// The ETag of what was written at this revision.
pub(super) fn etag(revision: i64) -> Option<ETag> {
    ETag::new(&revision.to_string())
}

/// The revision that an ETag names, if it names one in the only way in which this store does.
fn revision(etag: &ETag) -> Option<i64> {
    let revision: i64 = etag.as_str().parse().ok().filter(|it| *it > 0)?;
    (revision.to_string() == etag.as_str()).then_some(revision)
}
