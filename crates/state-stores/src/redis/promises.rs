//! What the servers promise with the settings that they have, and a warning for what they do not.

use std::borrow::Cow;

use state::{Capabilities, Consistencies, Durability};
use tracing::warn;

use super::{
    confirmed::Demand,
    inspection::Inspection,
    settings::{Layout, Settings},
};

/// Operations of one transaction: everybody waits while its script runs. The same as on the embedded stores.
const TRANSACTION_LEN_MAX: usize = 10_000;

/// Bytes of a key, prefix included. Redis itself would take 512 MiB.
const KEY_LEN_MAX: usize = 2048;

/// What makes a write strong, by what the servers tell: the least that any of them can do.
pub(super) fn demand(settings: &Settings, inspections: &[Inspection]) -> Demand {
    Demand {
        census: same(inspections.iter().map(|it| it.census)).flatten(),
        can_wait: inspections.iter().all(|it| it.can_wait),
        at_least: settings.strong_replicas,
    }
}

/// What all say, if they say the same.
fn same<T: PartialEq>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.all(|it| it == first).then_some(first)
}

/// What holds for all the servers together.
pub(super) fn capabilities(
    settings: &Settings,
    demand: Demand,
    inspections: &[Inspection],
) -> Capabilities {
    let durability = durability(settings, inspections);
    let told = inspections.first().map(|it| it.settings.clone()).unwrap_or_default();
    Capabilities {
        etag: true,
        ttl: true,
        list: inspections.iter().all(|it| it.can_scan),
        transaction_len_max: Some(TRANSACTION_LEN_MAX),
        key_len_max: KEY_LEN_MAX,
        exact_values: !inspections.iter().any(|it| it.has_json),
        consistency: Consistencies {
            strong_write: strong_write(demand, inspections),
            strong_read: Some(strong_read(demand, inspections)),
            eventual_read: settings.reads_from_replicas.then(|| {
                "from a replica that had, three seconds ago at most, all that was written; from the \
                 primary if there is none"
                    .into()
            }),
        },
        durability,
        server_settings: told.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}

/// Whether strong reads tell only what replicas have: asked for by demanding some, and not offered by every version
/// of Redis.
pub(super) fn confirms_reads(demand: Demand, inspections: &[Inspection]) -> bool {
    demand.at_least > 0 && demand.can_wait && inspections.iter().all(|it| it.waits_for_reads)
}

fn strong_read(demand: Demand, inspections: &[Inspection]) -> Cow<'static, str> {
    if !confirms_reads(demand, inspections) {
        return "from the server that takes the writes".into();
    }
    format!(
        "from the server that takes the writes, once {} replicas and every other that is connected have what was \
         read",
        demand.at_least
    )
    .into()
}

fn strong_write(demand: Demand, inspections: &[Inspection]) -> Option<Cow<'static, str>> {
    let alone = inspections.iter().all(|it| it.replicas == Some(0));
    match (demand.at_least, demand.can_wait, demand.census) {
        // Without WAIT or a count nothing can be known, but of a server that is alone.
        (0, false, Some(_)) if alone => Some("applied by the server, which has no replica".into()),
        (_, false, _) | (0, _, None) => None,
        (0, true, Some(_)) => {
            Some("applied, and confirmed by every replica that is connected at the time".into())
        }
        (n, true, _) => Some(
            format!(
                "applied, and confirmed by every replica that is connected at the time, and by {n} at least"
            )
            .into(),
        ),
    }
}

fn durability(settings: &Settings, inspections: &[Inspection]) -> Durability {
    let setting = |it: &Inspection, name: &str| it.settings.get(name).cloned().unwrap_or_default();
    let all = |holds: &dyn Fn(&Inspection) -> bool| inspections.iter().all(holds);
    let logs = |it: &Inspection| setting(it, "appendonly") == "yes";
    let flushes = |it: &Inspection| logs(it) && setting(it, "appendfsync") == "always";
    // With `everysec` the log is written later while a flush is under way; with `no` it is written at once,
    // and flushed whenever the system likes. Source: redis, aof.c, flushAppendOnlyFile.
    let writes =
        |it: &Inspection| logs(it) && matches!(&*setting(it, "appendfsync"), "always" | "no");
    let keeps = |it: &Inspection| {
        setting(it, "maxmemory") == "0" || setting(it, "maxmemory-policy") == "noeviction"
    };
    let has_others = inspections.iter().any(|it| it.replicas != Some(0))
        || !matches!(settings.layout, Layout::Node(_));
    let durability = Durability {
        process_crash: all(&writes),
        power_loss: all(&flushes),
        failover: has_others.then_some(false),
        memory_pressure: all(&keeps),
    };
    warn_of_losses(durability);
    durability
}

fn warn_of_losses(it: Durability) {
    if !it.power_loss {
        let survives = if it.process_crash { "a power loss" } else { "a crash of redis" };
        warn!(
            "acknowledged writes may not survive {survives}: set `appendonly yes` and `appendfsync always` \
             in redis.conf to keep them"
        );
    }
    if !it.memory_pressure {
        warn!(
            "redis may evict what it has acknowledged: set `maxmemory-policy noeviction` to keep it"
        );
    }
    if it.failover.is_some() {
        warn!(
            "a failover of redis may lose acknowledged writes, because its replication is asynchronous: ask \
             for strong consistency and set strongReplicas where that matters"
        );
    }
}
