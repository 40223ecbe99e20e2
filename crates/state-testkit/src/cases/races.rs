use std::{
    array,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures::Future;
use state::{
    ETag,
    Precondition::{Absent, Matches},
    Store,
};
use tokio::task;

use super::{EVERY_WAY, Group, clauses};
use crate::scope::{Scope, Way, is_won, text};

pub(super) const GROUPS: &[Group] = &[
    Group {
        name: "races",
        ways: EVERY_WAY,
        needs: |it| it.etag,
        clauses: clauses![
            increments_are_not_lost,
            creates_have_one_winner_per_absence,
            each_version_is_deleted_once_at_most,
        ],
    },
    Group {
        name: "races",
        ways: &[Way::Single, Way::TwoInstances],
        needs: |it| it.etag,
        clauses: clauses![no_read_is_older_than_what_is_known, an_etag_names_one_value],
    },
    Group {
        name: "races",
        ways: &[Way::Single, Way::TwoInstances],
        needs: |it| it.etag && it.transaction_len_max.is_some_and(|it| it >= 2),
        clauses: clauses![
            transactions_are_never_seen_half,
            transfers_keep_the_sum,
            plain_transactions_do_not_mix,
        ],
    },
];

/// How long a race lasts. A time, not a count: enough rounds to find a gap of nanoseconds in
/// memory, few enough over a network.
const RACE_TIME: Duration = Duration::from_millis(400);

const RACERS: usize = 8;

/// One task of a race.
struct Racer {
    it: Scope,
    number: usize,
    deadline: Instant,
}

impl Racer {
    /// Whether it is to write where every second one, on each instance, is to read.
    fn writes(&self) -> bool {
        self.number % 4 < 2
    }

    /// Whether there is time for another round. Lets the other racers go first.
    async fn goes_on(&self) -> bool {
        task::yield_now().await;
        Instant::now() < self.deadline
    }
}

/// Runs `body` in several tasks, every second one on the other instance if there is one.
///
/// Tasks, not joined futures: a store that never yields would run those one after the other, and
/// no race would ever be seen.
async fn race<T, F>(it: &Scope, body: impl Fn(Racer) -> F) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let deadline = Instant::now() + RACE_TIME;
    let tasks: Vec<_> = (0..RACERS)
        .map(|number| {
            let end: &Arc<dyn Store> =
                if number.is_multiple_of(2) { &it.store } else { &it.reader };
            let it = Scope { store: end.clone(), reader: end.clone(), ..it.clone() };
            task::spawn(body(Racer { it, number, deadline }))
        })
        .collect();
    let mut results = Vec::with_capacity(RACERS);
    for task in tasks {
        results.push(task.await.context("a racer panicked")??);
    }
    Ok(results)
}

async fn increments_are_not_lost(it: &Scope) -> Result<()> {
    it.store.write(&it.put("k", 0)).await?;
    let acknowledged = race(it, async |racer: Racer| {
        let it = &racer.it;
        let mut acknowledged = 0;
        while racer.goes_on().await {
            let (n, etag) = number(it, "k").await?;
            let write = it.put("k", n + 1).when(Matches(etag));
            acknowledged += u64::from(is_won(it.send_alone(&write).await?)?);
        }
        Ok(acknowledged)
    });
    let acknowledged: u64 = acknowledged.await?.iter().sum();
    let (counted, _) = number(it, "k").await?;
    ensure!(counted == acknowledged, "{acknowledged} acknowledged, {counted} kept");
    Ok(())
}

async fn creates_have_one_winner_per_absence(it: &Scope) -> Result<()> {
    race(it, async |racer: Racer| {
        let it = &racer.it;
        while racer.goes_on().await {
            let create = it.put("k", racer.number).when(Absent);
            if !is_won(it.send_alone(&create).await?)? {
                continue;
            }
            // Nobody else may touch the key now, as none of them deletes what is not its own.
            let (owner, etag) = number(it, "k").await?;
            ensure!(owner == racer.number as u64, "two creates were acknowledged");
            let delete = it.delete("k").when(Matches(etag));
            ensure!(is_won(it.store.write(&delete).await)?, "two creates were acknowledged");
        }
        Ok(())
    })
    .await?;
    Ok(())
}

async fn each_version_is_deleted_once_at_most(it: &Scope) -> Result<()> {
    let balances = race(it, async |racer: Racer| {
        let it = &racer.it;
        let mut balance = 0;
        while racer.goes_on().await {
            match it.get("k").await? {
                Some(item) => {
                    let etag = item.etag.context("the value has no ETag")?;
                    let delete = it.delete("k").when(Matches(etag));
                    balance -= i64::from(is_won(it.send_alone(&delete).await?)?);
                }
                None => {
                    let create = it.put("k", 1).when(Absent);
                    balance += i64::from(is_won(it.store.write(&create).await)?);
                }
            }
        }
        Ok(balance)
    });
    let balance: i64 = balances.await?.iter().sum();
    let present = i64::from(!it.is_absent("k").await?);
    ensure!(balance == present, "{balance} more creates than deletes, {present} present");
    Ok(())
}

async fn no_read_is_older_than_what_is_known(it: &Scope) -> Result<()> {
    it.store.write(&it.put("k", 0)).await?;
    // By writer, the newest of its rounds that was acknowledged, or read, by now.
    let known: Arc<[AtomicU64; RACERS]> = Arc::default();
    race(it, |racer| {
        let known = known.clone();
        async move {
            let mut round = 0;
            while racer.goes_on().await {
                if racer.writes() {
                    round += 1;
                    let value = round * RACERS as u64 + racer.number as u64;
                    racer.it.store.write(&racer.it.put("k", value)).await?;
                    known[racer.number].fetch_max(round, Ordering::SeqCst);
                    continue;
                }
                let before = array::from_fn::<_, RACERS, _>(|i| known[i].load(Ordering::SeqCst));
                let (value, _) = number(&racer.it, "k").await?;
                let (read, writer) = (value / RACERS as u64, value as usize % RACERS);
                ensure!(read >= before[writer], "{read} of {writer} after {}", before[writer]);
                known[writer].fetch_max(read, Ordering::SeqCst);
            }
            Ok(())
        }
    })
    .await?;
    Ok(())
}

async fn an_etag_names_one_value(it: &Scope) -> Result<()> {
    it.store.write(&it.put("k", 0)).await?;
    let seen = race(it, async |racer: Racer| {
        let it = &racer.it;
        let mut seen: Vec<(ETag, Bytes)> = Vec::new();
        let mut round = 0;
        while racer.goes_on().await {
            round += 1;
            let value = format!("\"{}.{round}\"", racer.number);
            let written = it.store.write(&it.put("k", &value)).await?;
            seen.extend(written.etag.map(|etag| (etag, value.into())));
            let item = it.item("k").await?;
            seen.push((item.etag.context("the value has no ETag")?, item.value));
        }
        Ok(seen)
    });
    let mut values = HashMap::new();
    for (etag, value) in seen.await?.into_iter().flatten() {
        let first = values.entry(etag.clone()).or_insert_with(|| value.clone());
        ensure!(*first == value, "{etag:?} is both {first:?} and {value:?}");
    }
    Ok(())
}

async fn transactions_are_never_seen_half(it: &Scope) -> Result<()> {
    it.store.transact(&[it.put("a", 0), it.put("b", 0)]).await?;
    let acknowledged = race(it, async |racer: Racer| {
        let it = &racer.it;
        let mut acknowledged = 0;
        while racer.goes_on().await {
            if racer.writes() {
                let (n, etag) = number(it, "a").await?;
                let next = [it.put("a", n + 1).when(Matches(etag)), it.put("b", n + 1)];
                acknowledged += u64::from(is_committed(it, &next).await?);
            }
            // What is read second was at least as new when the first was read.
            for [first, second] in [["a", "b"], ["b", "a"]] {
                let (earlier, _) = number(it, first).await?;
                let (later, _) = number(it, second).await?;
                ensure!(earlier <= later, "{first} was {earlier}, and then {second} was {later}");
            }
        }
        Ok(acknowledged)
    });
    let acknowledged: u64 = acknowledged.await?.iter().sum();
    let (a, b) = (number(it, "a").await?.0, number(it, "b").await?.0);
    ensure!(
        a == acknowledged && b == acknowledged,
        "{acknowledged} acknowledged, {a} and {b} kept"
    );
    Ok(())
}

async fn transfers_keep_the_sum(it: &Scope) -> Result<()> {
    const ACCOUNTS: [&str; 3] = ["a", "b", "c"];
    const EACH: u64 = 1 << 40;
    for name in ACCOUNTS {
        it.store.write(&it.put(name, EACH)).await?;
    }
    race(it, async |racer: Racer| {
        let it = &racer.it;
        let mut round = racer.number;
        while racer.goes_on().await {
            round += 1;
            let (from, to) = (ACCOUNTS[round % 3], ACCOUNTS[(round + 1 + round % 2) % 3]);
            let ((rich, rich_etag), (poor, poor_etag)) =
                (number(it, from).await?, number(it, to).await?);
            let transfer = [
                it.put(from, rich - 1).when(Matches(rich_etag)),
                it.put(to, poor + 1).when(Matches(poor_etag)),
            ];
            is_committed(it, &transfer).await?;
        }
        Ok(())
    })
    .await?;
    let mut sum = 0;
    for name in ACCOUNTS {
        sum += number(it, name).await?.0;
    }
    ensure!(sum == ACCOUNTS.len() as u64 * EACH, "the sum is now {sum}");
    Ok(())
}

async fn plain_transactions_do_not_mix(it: &Scope) -> Result<()> {
    it.store.transact(&[it.put("a", 0), it.put("b", 0)]).await?;
    race(it, async |racer: Racer| {
        let it = &racer.it;
        let mut round = 0;
        while racer.goes_on().await {
            if racer.writes() {
                round += 1;
                let value = format!("\"{}.{round}\"", racer.number);
                // In opposite orders, which a store that locks row by row must live with.
                let mut writes = [it.put("a", &value), it.put("b", &value)];
                if racer.number == 0 {
                    writes.reverse();
                }
                it.store.transact(&writes).await?;
            }
            // While one of the two stays as it was, no transaction can have changed the other.
            let (before, other, after) =
                (it.item("a").await?, it.item("b").await?, it.item("a").await?);
            ensure!(before != after || other.value == before.value, "{before:?} with {other:?}");
        }
        Ok(())
    })
    .await?;
    let (a, b) = (it.value("a").await?, it.value("b").await?);
    ensure!(a == b, "one transaction left {a}, another {b}");
    Ok(())
}

async fn is_committed(it: &Scope, writes: &[state::Write]) -> Result<bool> {
    match it.store.transact(writes).await {
        Ok(written) if written.len() == writes.len() => Ok(true),
        Ok(written) => bail!("{} answers to {} writes", written.len(), writes.len()),
        Err(e) if e.is_conflict() => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// The number that `name` holds, and its version.
async fn number(it: &Scope, name: &str) -> Result<(u64, ETag)> {
    let item = it.item(name).await?;
    Ok((text(&item)?.parse()?, item.etag.context("the value has no ETag")?))
}
