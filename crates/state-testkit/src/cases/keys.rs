use anyhow::{Context, Result, ensure};

use super::{EVERY_WAY, Group, clauses};
use crate::scope::Scope;

pub(super) const GROUPS: &[Group] = &[Group {
    name: "keys",
    ways: EVERY_WAY,
    needs: |_| true,
    clauses: clauses![
        slashes_are_kept,
        percent_signs_are_not_decoded,
        spaces_are_kept,
        dots_are_not_a_path,
        case_is_kept,
        unicode_is_not_normalized,
        quotes_are_kept,
        wildcards_match_themselves_only,
        separators_of_databases_are_kept,
        statements_are_only_text,
        long_keys_are_not_cut,
    ],
}];

async fn slashes_are_kept(it: &Scope) -> Result<()> {
    are_apart(it, &["a/b", "a//b", "a/b/", "/a/b", "/", "a\\b", "a\\/b"]).await
}

async fn percent_signs_are_not_decoded(it: &Scope) -> Result<()> {
    are_apart(it, &["a/b", "a%2Fb", "a%2fb", "a%252Fb", "a%", "a%zz", "a%00", "a%7C%7Cb"]).await
}

async fn spaces_are_kept(it: &Scope) -> Result<()> {
    are_apart(it, &["a b", "a+b", "a%20b", "ab", "a  b", "a", "a ", "a  ", " a", "a\u{a0}"]).await
}

async fn dots_are_not_a_path(it: &Scope) -> Result<()> {
    are_apart(it, &["b", "/./b", "/a/../b", "/b", "/..", "/.", "/", "..", ".", "a.b", "a..b"]).await
}

async fn case_is_kept(it: &Scope) -> Result<()> {
    are_apart(it, &["key", "Key", "KEY", "straße", "STRASSE", "ı", "i", "I", "ſ", "s"]).await
}

async fn unicode_is_not_normalized(it: &Scope) -> Result<()> {
    let composed_or_not = ["\u{e9}", "e\u{301}", "e", "\u{1e9b}\u{323}", "\u{fb01}", "fi"];
    are_apart(it, &composed_or_not).await?;
    are_apart(it, &["😀", "😁", "\u{ffff}", "\u{10ffff}", "\u{200b}", "\u{feff}", "日本"]).await
}

async fn quotes_are_kept(it: &Scope) -> Result<()> {
    are_apart(it, &["a'b", "a''b", "a\"b", "a`b", "a\\'b", "'; DROP TABLE state; --", "${a}"]).await
}

async fn wildcards_match_themselves_only(it: &Scope) -> Result<()> {
    are_apart(it, &["a_b", "a%b", "axb", "a*b", "a?b", "a[x]b", "a>", "a.*"]).await
}

async fn separators_of_databases_are_kept(it: &Scope) -> Result<()> {
    are_apart(it, &["a|b", "a:b", "a;b", "a,b", "{a}b", "a#b", "a&b", "a=b", "a\u{7f}b"]).await
}

/// What would do something if it were put into a statement, a script, a document, a subject or a format, and not beside it.
async fn statements_are_only_text(it: &Scope) -> Result<()> {
    let texts = [
        "' OR '1'='1",
        "x' UNION SELECT value FROM state --",
        "x'); DELETE FROM state; --",
        "\\'; SELECT pg_sleep(9); --",
        "\" OR \"\"=\"",
        "$1",
        "?",
        ":key",
        "@p1",
        "/*x*/",
        "KEYS[1]",
        "]] redis.call('FLUSHALL') --[[",
        "*1 $8 FLUSHALL",
        "{\"$gt\":\"\"}",
        "$where",
        "a.b",
        "a.>",
        "*",
        "%s%n",
        "{0}",
        "{{7*7}}",
        "${jndi:ldap://x}",
        "$(touch x)",
        "`touch x`",
        "../../etc/passwd",
        "<script>alert(1)</script>",
    ];
    are_apart(it, &texts).await?;
    for text in texts {
        let json = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        it.succeeds(it.put("k", &json)).await?;
        ensure!(it.value("k").await? == json, "{text:?} is not what it was");
    }
    Ok(())
}

async fn long_keys_are_not_cut(it: &Scope) -> Result<()> {
    let len_max = it.capabilities().key_len_max.min(1024);
    let room = len_max.checked_sub(it.prefix.len() + 1).context("no room for a key")?;
    let stem = "k".repeat(room);
    are_apart(it, &[&stem, &format!("{stem}1"), &format!("{stem}2")]).await
}

/// Checks that each of these names is a key of its own, to be written, read and deleted alone.
async fn are_apart(it: &Scope, names: &[&str]) -> Result<()> {
    for (i, name) in names.iter().enumerate() {
        ensure!(it.is_absent(name).await?, "{name:?} is there before it is written");
        it.succeeds(it.put(name, i)).await?;
    }
    let reads: Vec<_> = names.iter().map(|name| it.read(name)).collect();
    for (i, answer) in it.reader.get_many(&reads).await.into_iter().enumerate() {
        let found = answer?.map(|it| it.value);
        ensure!(found == Some(i.to_string().into()), "{:?}: {found:?} for {i}", names[i]);
    }
    for (i, name) in names.iter().enumerate() {
        ensure!(it.value(name).await? == i.to_string(), "{name:?} has another's value");
        it.succeeds(it.delete(name)).await?;
    }
    Ok(())
}
