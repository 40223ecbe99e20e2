//! What a sidecar says that one of its stores can do.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Value;
use state::{Capabilities, Consistencies, Durability, Error, FailureKind, Result};

/// What our sidecar says of a consistency that is not offered, and of one that is no weaker.
const NOT_OFFERED: &str = "not offered";
const NO_WEAKER: &str = "the same as a strong read";

/// Reads what `/v1.0/metadata` says of `store`.
///
/// # Errors
///
/// If there is no such store, or it is not open yet.
pub(crate) fn of(metadata: &[u8], store: &str) -> Result<Capabilities> {
    let metadata: Value = serde_json::from_slice(metadata).map_err(|e| {
        Error::new(FailureKind::Invalid, "the sidecar's metadata is not JSON").with_source(e)
    })?;
    let components = metadata["components"].as_array().map_or(&[][..], Vec::as_slice);
    let Some(component) = components.iter().find(|it| it["name"] == store) else {
        let message = format!("the sidecar has no component called {store}");
        return Err(Error::new(FailureKind::Invalid, message));
    };
    // Dapr has no status: a sidecar that answers has opened everything.
    if component["status"].as_str().is_some_and(|it| it != "ready") {
        let message = format!("the sidecar's component {store} is not ready");
        return Err(Error::new(FailureKind::Unavailable, message));
    }
    let names = component["capabilities"].as_array().map_or(&[][..], Vec::as_slice);
    let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
    Ok(told(&names, &component["promises"]))
}

/// What a component can do that has these capabilities, and promises this if it is ours.
pub(crate) fn told(names: &[&str], promises: &Value) -> Capabilities {
    let can = |name: &str| names.contains(&name);
    let named = Capabilities {
        etag: can("ETAG"),
        ttl: can("TTL"),
        // There is no call for it.
        list: false,
        transaction_len_max: can("TRANSACTIONAL").then_some(usize::MAX),
        ..of_dapr()
    };
    if promises.is_object() { promised(promises, named) } else { named }
}

/// What can be taken for granted with Dapr, which says little more than names.
fn of_dapr() -> Capabilities {
    let untold = || Some(Cow::Borrowed("what Dapr's store makes of it"));
    Capabilities {
        etag: false,
        ttl: false,
        list: false,
        transaction_len_max: None,
        key_len_max: usize::MAX,
        exact_values: false,
        consistency: Consistencies {
            strong_write: untold(),
            strong_read: untold(),
            eventual_read: untold(),
        },
        durability: Durability {
            process_crash: false,
            power_loss: false,
            failover: None,
            memory_pressure: false,
        },
        server_settings: BTreeMap::new(),
    }
}

fn promised(promises: &Value, named: Capabilities) -> Capabilities {
    let text = |name: &str, none: &str| {
        let text = promises[name].as_str().filter(|it| *it != none);
        text.map(|it| Cow::Owned(it.to_owned()))
    };
    let number = |name: &str| promises[name].as_u64().and_then(|it| usize::try_from(it).ok());
    let survives = &promises["acknowledgedWritesSurvive"];
    Capabilities {
        transaction_len_max: number("maxTransactionOperations"),
        key_len_max: number("maxKeyBytes").unwrap_or(named.key_len_max),
        exact_values: promises["values"] == "exact",
        consistency: Consistencies {
            strong_write: text("strongWrite", NOT_OFFERED),
            strong_read: text("strongRead", NOT_OFFERED),
            eventual_read: text("eventualRead", NO_WEAKER),
        },
        durability: Durability {
            process_crash: survives["processCrash"] == true,
            power_loss: survives["powerLoss"] == true,
            failover: survives["failover"].as_bool(),
            memory_pressure: survives["memoryPressure"] == true,
        },
        server_settings: settings(&promises["serverSettings"]),
        ..named
    }
}

fn settings(told: &Value) -> BTreeMap<String, String> {
    let entries = told.as_object().into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests;
