//! Goes through a store in the order of its keys.

use std::collections::VecDeque;

use anyhow::{Context, Result};
use state::{Key, Read};

use super::{opened::Opened, record::Record};

/// Keys of one page. Large, because some stores look at all of their keys for each page.
const PAGE_LEN: usize = 20_000;

/// Values that are read at once, and what they may have together, as far as those before tell.
const BATCH_LEN_MAX: usize = 500;
const BATCH_BYTES: usize = 8 << 20;

/// A walk through the keys with a prefix, with their values.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    opened: &'a Opened,
    prefix: &'a str,
    keys: VecDeque<Key>,
    /// The last key of the page; the walk is over if there is no more.
    after: Option<Key>,
    more: bool,
    batch_len: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(opened: &'a Opened, prefix: &'a str, after: Option<Key>) -> Walk<'a> {
        let keys = VecDeque::new();
        // Nothing is known of the values yet.
        Walk { opened, prefix, keys, after, more: true, batch_len: 16 }
    }

    /// The next records, at least one. `None` at the end. Keys that are gone by now are left out.
    ///
    /// # Errors
    ///
    /// If a key cannot be read: then nothing of this batch is told.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Record>>> {
        loop {
            if self.keys.is_empty() && !self.turn_page().await? {
                return Ok(None);
            }
            let len = self.batch_len.min(self.keys.len());
            let keys: Vec<Key> = self.keys.drain(..len).collect();
            let reads: Vec<Read> = keys.iter().cloned().map(Read::new).collect();
            let items = self.opened.store.get_many(&reads).await;
            let mut records = Vec::with_capacity(len);
            for (key, item) in keys.into_iter().zip(items) {
                let item = item.with_context(|| format!("cannot read {:?}", key.as_str()))?;
                records.extend(item.map(|it| Record::new(key, it)));
            }
            let bytes: usize = records.iter().map(|it| it.value.len()).sum();
            let mean = bytes / len.max(1);
            // No more than twice as many at a time, as the next ones may be larger.
            let fitting = BATCH_BYTES / mean.max(1);
            self.batch_len = fitting.min(2 * len).clamp(1, BATCH_LEN_MAX);
            if !records.is_empty() {
                return Ok(Some(records));
            }
        }
    }

    async fn turn_page(&mut self) -> Result<bool> {
        if !self.more {
            return Ok(false);
        }
        let page = self.opened.store.list(self.prefix, self.after.as_ref(), PAGE_LEN).await;
        let page = page.context("cannot list the keys")?;
        self.more = page.more;
        if let Some(last) = page.keys.last() {
            self.after = Some(last.clone());
        }
        self.keys = page.keys.into();
        Ok(!self.keys.is_empty())
    }
}
