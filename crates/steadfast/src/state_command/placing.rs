//! Puts records into a store without replacing anything by mistake.
//!
//! Every write has a condition: that the key is absent, or at the version that was just looked at. So a value that
//! somebody else saves meanwhile stays.

use std::time::SystemTime;

use state::{Error, Precondition, Read, Store, Write};

use super::record::Record;
use crate::cli::IfExists;

/// What became of a record.
#[derive(Debug)]
pub(super) enum Placed {
    /// It is there now, where nothing was.
    Created,
    /// It was there already.
    Same,
    /// Another value was there, which is gone.
    Overwritten,
    /// Another value is there, and was to stay.
    Skipped,
    /// Another value is there, and nobody has said what to do about that.
    Exists,
    /// The key changed meanwhile, and what somebody else has done stays.
    Changed,
    /// Its time is over.
    Expired,
    /// It is not there, or that is unknown.
    Failed(Error),
}

/// Puts records with different keys into a store; the i-th answer is about the i-th record.
pub(super) async fn place(
    store: &dyn Store,
    records: &[Record],
    if_exists: IfExists,
) -> Vec<Placed> {
    let (now, is_exact) = (SystemTime::now(), store.capabilities().exact_values);
    let mut placed: Vec<Option<Placed>> = Vec::with_capacity(records.len());
    placed.extend(records.iter().map(|it| it.is_expired(now).then_some(Placed::Expired)));

    let create = |it: &Record| it.write(Precondition::Absent, now);
    let created: Vec<_> = open(&placed).map(|i| (i, create(&records[i]))).collect();
    for (i, written) in write(store, created).await {
        match written {
            Ok(()) => placed[i] = Some(Placed::Created),
            Err(e) if e.is_conflict() => {}
            Err(e) => placed[i] = Some(Placed::Failed(e)),
        }
    }

    let contested: Vec<usize> = open(&placed).collect();
    let reads: Vec<_> = contested.iter().map(|i| Read::new(records[*i].key.clone())).collect();
    let items = match reads.is_empty() {
        true => Vec::new(),
        false => store.get_many(&reads).await,
    };
    let mut replaced = Vec::new();
    for (i, item) in contested.into_iter().zip(items) {
        let record = &records[i];
        placed[i] = match (item, if_exists) {
            (Err(e), _) => Some(Placed::Failed(e)),
            // Deleted, or expired, since it was in the way: that is a change, too.
            (Ok(None), _) => Some(Placed::Changed),
            (Ok(Some(item)), _) if record.is_same(&item, is_exact) => Some(Placed::Same),
            (Ok(Some(_)), IfExists::Fail) => Some(Placed::Exists),
            (Ok(Some(_)), IfExists::Skip) => Some(Placed::Skipped),
            (Ok(Some(item)), IfExists::Overwrite) => {
                let seen = item.etag.map_or(Precondition::Absent, Precondition::Matches);
                replaced.push((i, record.write(seen, now)));
                None
            }
        };
    }
    for (i, written) in write(store, replaced).await {
        placed[i] = Some(match written {
            Ok(()) => Placed::Overwritten,
            Err(e) if e.is_conflict() => Placed::Changed,
            Err(e) => Placed::Failed(e),
        });
    }
    placed.into_iter().map(|it| it.expect("each was decided")).collect()
}

/// Which records nothing has been decided of.
fn open(placed: &[Option<Placed>]) -> impl Iterator<Item = usize> {
    placed.iter().enumerate().filter(|(_, it)| it.is_none()).map(|(i, _)| i)
}

async fn write(
    store: &dyn Store,
    writes: Vec<(usize, Write)>,
) -> impl Iterator<Item = (usize, Result<(), Error>)> {
    let (places, writes): (Vec<_>, Vec<_>) = writes.into_iter().unzip();
    let written = match writes.is_empty() {
        true => Vec::new(),
        false => store.write_many(&writes).await,
    };
    places.into_iter().zip(written.into_iter().map(|it| it.map(drop)))
}

#[cfg(test)]
mod tests;
