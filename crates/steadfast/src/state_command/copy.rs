//! `steadfast state copy`: from one component to another.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use state::Read;

use super::{
    opened::Opened,
    placing::place,
    progress::{self, Progress},
    reading::Walk,
    tally::Tally,
};
use crate::{
    FAILURE,
    cli::{CopyArgs, Place, ScopeArgs},
};

pub(super) async fn main(args: &CopyArgs) -> Result<u8> {
    ensure!(args.from != args.to, "--from and --to are the same; nothing was done");
    let from = open(args, &args.from).await?;
    from.check_lists()?;
    let to = open(args, &args.to).await?;
    let mut tally = Tally::new();
    let copied = copy(args, &from, &to, &mut tally).await;
    tally.complete = copied.is_ok();
    let compared = match (&copied, args.verify) {
        (Ok(()), true) => Some(compare(args, &from, &to).await),
        _ => None,
    };
    progress::clear();
    from.close().await;
    to.close().await;
    let compared = compared.transpose();
    let comparison = compared.as_ref().ok().and_then(Option::as_ref);
    if args.form.json {
        let mut summary = json!(tally);
        summary["exactValues"] = json!(to.is_exact());
        summary["verified"] = comparison.map_or(Value::Null, Comparison::json);
        super::single::print(format!("{summary}\n").as_bytes())?;
    }
    anstream::eprintln!("{}", tally.summary());
    if !to.is_exact() {
        anstream::eprintln!(
            "{} keeps the meaning of JSON texts, and may change their white space and the order of fields",
            to.name()
        );
    }
    if let Some(it) = comparison {
        anstream::eprintln!("{}", it.summary());
    }
    let is_different = comparison.is_some_and(|it| it.differing + it.missing > 0);
    if let Some(e) = copied.err().or(compared.err()) {
        anstream::eprintln!("{e:#}");
        return Ok(FAILURE);
    }
    Ok(if is_different { FAILURE } else { tally.code() })
}

async fn open(args: &CopyArgs, place: &Place) -> Result<Opened> {
    let mut scope: ScopeArgs = args.scope.clone();
    if let Some(folder) = &place.folder {
        scope.resources_path = vec![folder.clone()];
    }
    Opened::open(&scope, &place.store, args.form.raw_keys).await
}

async fn copy(args: &CopyArgs, from: &Opened, to: &Opened, tally: &mut Tally) -> Result<()> {
    let mut progress = Progress::start();
    let mut walk = Walk::new(from, &args.prefix, None);
    while let Some(records) = walk.next().await? {
        let bytes = records.iter().map(|it| it.value.len()).sum();
        let placed = place(&*to.store, &records, args.if_exists).await;
        let mut hopeless = None;
        for (record, placed) in records.iter().zip(placed) {
            let place = format!("{:?}", record.key.as_str());
            if let Some(e) = tally.count(&place, placed) {
                hopeless.get_or_insert(e);
            }
        }
        progress.add(records.len(), bytes);
        if let Some(e) = hopeless {
            return Err(anyhow::Error::new(e).context(
                "stopped: run the same command again when the store can be used; what is there already is left as it \
                 is",
            ));
        }
    }
    Ok(())
}

/// What a second look has found.
#[derive(Debug, Default)]
struct Comparison {
    same: u64,
    differing: u64,
    missing: u64,
    keys: Vec<String>,
}

/// How many keys are told of one by one.
const KEYS_MAX: usize = 100;

async fn compare(args: &CopyArgs, from: &Opened, to: &Opened) -> Result<Comparison> {
    let mut progress = Progress::start();
    let mut comparison = Comparison::default();
    let mut walk = Walk::new(from, &args.prefix, None);
    while let Some(records) = walk.next().await.context("the comparison is not complete")? {
        let reads: Vec<_> = records.iter().map(|it| Read::new(it.key.clone())).collect();
        let items = to.store.get_many(&reads).await;
        let is_exact = from.is_exact() && to.is_exact();
        for (record, item) in records.iter().zip(items) {
            let key = record.key.as_str();
            let item = item.with_context(|| format!("cannot compare {key:?}"))?;
            match item {
                Some(item) if record.is_same(&item, is_exact) => comparison.same += 1,
                Some(_) => comparison.tell(key, "is different", |it| it.differing += 1),
                // It may have expired since it was read from the first.
                None if record.is_expired(std::time::SystemTime::now()) => {}
                None => comparison.tell(key, "is missing", |it| it.missing += 1),
            }
        }
        progress.add(records.len(), records.iter().map(|it| it.value.len()).sum());
    }
    Ok(comparison)
}

impl Comparison {
    fn tell(&mut self, key: &str, what: &str, count: impl FnOnce(&mut Comparison)) {
        count(self);
        if self.keys.len() < KEYS_MAX {
            progress::clear();
            anstream::eprintln!("{key:?} {what}");
            self.keys.push(key.to_owned());
        }
    }

    fn summary(&self) -> String {
        let Comparison { same, differing, missing, .. } = self;
        format!("compared: {same} the same, {differing} different, {missing} missing")
    }

    fn json(&self) -> Value {
        let Comparison { same, differing, missing, keys } = self;
        json!({ "same": same, "differing": differing, "missing": missing, "keys": keys })
    }
}
