//! Keys by prefix. A server gives them in no order, so a page is the smallest of all that there are.

use std::{collections::BTreeSet, sync::Arc};

use futures::future::try_join_all;
use redis::{Value, cmd, from_redis_value};
use state::{Error, FailureKind, Key, KeyPage, Result};

use super::{
    call::Encoding,
    node::Node,
    refusal::{Intent, Refusal},
};

/// How many keys a server looks at before it lets others have their turn.
const SCAN_COUNT: u32 = 1000;

/// Lists keys as [`Store::list`](state::Store::list) says. Looks at every key of every server, and remembers no
/// more of them than the page has.
pub(super) async fn list(
    primaries: &[Arc<Node>],
    encoding: &Encoding,
    prefix: &str,
    after: Option<&Key>,
    limit: usize,
) -> Result<KeyPage> {
    let pages = primaries.iter().map(|it| scan(it, encoding, prefix, after, limit));
    let mut all: BTreeSet<Key> = try_join_all(pages).await?.into_iter().flatten().collect();
    let more = all.len() > limit;
    while all.len() > limit {
        all.pop_last();
    }
    Ok(KeyPage { keys: all.into_iter().collect(), more })
}

/// The smallest keys of one server, one more than `limit` at most.
async fn scan(
    node: &Node,
    encoding: &Encoding,
    prefix: &str,
    after: Option<&Key>,
    limit: usize,
) -> Result<BTreeSet<Key>> {
    let pattern = pattern(&encoding.key(prefix));
    let mut page = BTreeSet::new();
    let mut cursor = b"0".to_vec();
    loop {
        let mut command = cmd("SCAN");
        command.arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCAN_COUNT);
        let reply = node.ask(&command).await.map_err(|it| it.error(Intent::Read))?;
        let (next, found) = parts(reply, node)?;
        for stored in found {
            // A key that is not UTF-8 is nobody's here.
            let Ok(stored) = String::from_utf8(stored) else { continue };
            let Some(key) = encoding.decode(&stored) else { continue };
            let is_next = after.is_none_or(|it| key.as_ref() > it.as_str());
            if key.starts_with(prefix) && is_next {
                page.insert(Key::stored(&key));
                if page.len() > limit + 1 {
                    page.pop_last();
                }
            }
        }
        if next == b"0" {
            return Ok(page);
        }
        cursor = next;
    }
}

fn parts(reply: Value, node: &Node) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    if let Value::ServerError(error) = &reply {
        return Err(Refusal::of(error, node.address(), Intent::Read).error());
    }
    from_redis_value(reply).map_err(|_| misunderstood())
}

fn misunderstood() -> Error {
    Error::new(FailureKind::Unavailable, "redis gave no answer to SCAN that could be understood")
}

/// What matches everything that begins with `prefix`, and nothing else.
fn pattern(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for it in prefix.chars() {
        if matches!(it, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            pattern.push('\\');
        }
        pattern.push(it);
    }
    pattern.push('*');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_in_patterns_loses_it() {
        assert_eq!(pattern("a*[b]-?\\"), "a\\*\\[b\\]\\-\\?\\\\*");
    }
}
