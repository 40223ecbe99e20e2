//! Texts that would do harm if they were taken for a part of a statement, or for a pattern.

use std::sync::Arc;

use state::{Precondition, Store};

use crate::words::{delete, etag, get, key, matches, outcome, put, value};

/// What a key or a value may be, as far as a store is concerned.
pub(crate) static CORPUS: &[&str] = &[
    "'",
    "''",
    "\"",
    "`",
    "\\",
    "\\'",
    "\\\\'",
    "%",
    "_",
    "\\%",
    "app||%",
    ";",
    "--",
    "-- ",
    "#",
    "/*",
    "*/",
    "/*!50000 DROP TABLE state */",
    "'; DROP TABLE state; --",
    "'); DELETE FROM state WHERE ('1' = '1",
    "' OR '1' = '1",
    "' OR 1=1 -- ",
    "\" OR \"\" = \"",
    "1; SELECT pg_sleep(10)",
    "' UNION SELECT value FROM dapr_metadata --",
    "' AND SLEEP(5) --",
    "$1",
    "$$; DROP TABLE state; $$",
    "${jndi:ldap://x}",
    "?",
    ":name",
    "@@version",
    "{{1}}",
    "\u{feff}'",
    "\u{2019}; DROP TABLE state",
    "\u{ff07} OR 1=1",
    "\u{bf}' OR 1=1 --",
    "NULL",
    "null",
    "0x27",
    "CHAR(39)",
    "E'\\x27'",
    "\u{1f4a5}'",
    "a\u{0301}'",
    "ı İ ß ẞ ſ",
    "trailing space ",
    " leading space",
    "||' || current_user || '",
    "COPY state TO PROGRAM 'true'",
    "'; SET GLOBAL general_log = 1; --",
    "'::jsonb",
    "{\"$ne\": null}",
];

/// Each is data, as a key and as a value, alone and among all others, and nothing else is touched.
pub(crate) async fn is_data(store: &Arc<dyn Store>) {
    assert!(CORPUS.len() >= 40);
    store.write(&put("bystander", "1")).await.unwrap();
    let before = etag(store, "bystander").await;
    let json = |text: &str| format!("\"{}\"", text.replace(['\\', '"'], "/"));
    let writes: Vec<_> = CORPUS.iter().map(|it| put(it, &json(it))).collect();
    for answer in store.write_many(&writes).await {
        answer.unwrap();
    }
    for text in CORPUS {
        assert_eq!(value(store, text).await, json(text), "{text}");
        let current = etag(store, text).await;
        store.write(&put(text, "1").when(matches(&current))).await.unwrap();
        let stale = store.write(&put(text, "2").when(matches(&current))).await;
        assert_eq!(outcome(stale), state::Outcome::Conflict, "{text}");
        let again = store.write(&put(text, "2").when(Precondition::Absent)).await;
        assert_eq!(outcome(again), state::Outcome::Conflict, "{text}");
        // As an ETag it is one that no version has.
        let foreign = store.write(&put(text, "2").when(matches(text))).await.unwrap_err();
        assert_eq!(value(store, text).await, "1", "{foreign}");
        let page = store.list(text, None, 10).await.unwrap();
        assert!(page.keys.contains(&key(text)), "{text}");
        assert!(page.keys.iter().all(|it| it.as_str().starts_with(text)), "{text}");
    }
    let transaction: Vec<_> = CORPUS.iter().map(|it| put(it, &json(it))).collect();
    store.transact(&transaction[..40]).await.unwrap();
    let reads: Vec<_> = CORPUS.iter().map(|it| state::Read::new(key(it))).collect();
    for (text, answer) in CORPUS.iter().zip(store.get_many(&reads).await) {
        assert!(answer.unwrap().is_some(), "{text}");
    }
    let deletes: Vec<_> = CORPUS.iter().map(|it| delete(it)).collect();
    for answer in store.write_many(&deletes).await {
        answer.unwrap();
    }
    for text in CORPUS {
        assert_eq!(get(store, text).await, None, "{text}");
    }
    assert_eq!(etag(store, "bystander").await, before);
}
