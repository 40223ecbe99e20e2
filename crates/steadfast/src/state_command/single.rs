//! One key at a time, and lists of keys.

use std::io::{self, Write as _};

use anyhow::{Context, Result};
use serde_json::json;
use state::{Change, Precondition, Read, Store, Ttl, Write};

use super::{
    ABSENT,
    opened::Opened,
    record::{Record, format},
};
use crate::cli::{DeleteArgs, GetArgs, ListArgs, SetArgs};

pub(super) async fn get(args: &GetArgs) -> Result<u8> {
    let opened = Opened::of(&args.store).await?;
    let key = opened.key(&args.key)?;
    let item = opened.store.get(&Read::new(key.clone())).await;
    opened.close().await;
    let item = item.with_context(|| format!("cannot read {:?}", args.key))?;
    let Some(item) = item else {
        if args.store.form.json {
            print(&line(&json!({ "key": args.key, "absent": true })))?;
        }
        let app_id = &opened.app_id;
        let whose = if opened.raw_keys { String::new() } else { format!(" of {app_id}") };
        anstream::eprintln!("there is no key {:?}{whose} in {}", args.key, opened.name());
        return Ok(ABSENT);
    };
    match args.store.form.json {
        true => print(&Record::new(key, item).line())?,
        false => print(&item.value)?,
    }
    Ok(0)
}

pub(super) async fn set(args: &SetArgs) -> Result<u8> {
    let value = args.value.read()?;
    let opened = Opened::of(&args.store).await?;
    let precondition = match &args.etag {
        Some(etag) => Precondition::Matches(etag.clone()),
        None if args.create => Precondition::Absent,
        None => Precondition::Any,
    };
    let (format, ttl) = (format(&value), Ttl::from(args.ttl));
    let change = Change::Put { value: value.into(), format, ttl };
    let write = Write::new(opened.key(&args.key)?, change).when(precondition);
    let written = opened.store.write(&write).await;
    opened.close().await;
    let written = written.map_err(|e| failed(&args.key, "save", e))?;
    let etag = written.etag.as_ref().map(|it| it.as_str());
    if args.store.form.json {
        print(&line(&json!({ "key": args.key, "etag": etag })))?;
    }
    Ok(0)
}

pub(super) async fn delete(args: &DeleteArgs) -> Result<u8> {
    let opened = Opened::of(&args.store).await?;
    let precondition = args.etag.clone().map_or(Precondition::Any, Precondition::Matches);
    let write = Write::delete(opened.key(&args.key)?).when(precondition);
    let written = opened.store.write(&write).await;
    opened.close().await;
    written.map_err(|e| failed(&args.key, "delete", e))?;
    if args.store.form.json {
        print(&line(&json!({ "key": args.key, "deleted": true })))?;
    }
    Ok(0)
}

/// An error with what was attempted, and what became of it.
fn failed(key: &str, verb: &str, e: state::Error) -> anyhow::Error {
    let outcome = match e.outcome() {
        state::Outcome::Conflict | state::Outcome::NotApplied => "nothing changed",
        state::Outcome::Unknown => "it may have been applied: look before you try again",
    };
    anyhow::Error::new(e).context(format!("cannot {verb} {key:?}; {outcome}"))
}

pub(super) async fn list(args: &ListArgs) -> Result<u8> {
    let opened = Opened::of(&args.store).await?;
    opened.check_lists()?;
    let after = args.after.as_deref().map(|it| opened.key(it)).transpose()?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let page = Store::list(&*opened.store, &args.prefix, after.as_ref(), limit).await;
    opened.close().await;
    let page = page.context("cannot list the keys")?;
    let keys: Vec<&str> = page.keys.iter().map(|it| it.as_str()).collect();
    if args.store.form.json {
        print(&line(&json!({ "keys": keys, "more": page.more })))?;
        return Ok(0);
    }
    let mut text = String::new();
    for key in &keys {
        // Other programs write here, too, and a key must not colour the terminal or be two lines.
        match key.chars().any(char::is_control) {
            true => text += &format!("{key:?}\n"),
            false => text += &format!("{key}\n"),
        }
    }
    print(text.as_bytes())?;
    if let (true, Some(last)) = (page.more, keys.last()) {
        anstream::eprintln!("more keys follow: --after {last:?}");
    }
    Ok(0)
}

fn line(json: &serde_json::Value) -> Vec<u8> {
    format!("{json}\n").into_bytes()
}

/// Prints exactly these bytes.
pub(super) fn print(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).context("cannot print the result")
}
