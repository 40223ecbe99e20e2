//! What the members promise, and a warning for what they do not.

use std::collections::BTreeMap;

use state::{Capabilities, Consistencies, Durability};
use tracing::warn;

/// Bytes of a key, the component's own prefix not included. etcd itself takes as much as fits a request.
const KEY_LEN_MAX: usize = 2048;

/// For so many members that have a vote.
pub(super) fn capabilities(
    transaction_len_max: usize,
    voters: usize,
    version: String,
) -> Capabilities {
    warn_of(voters);
    Capabilities {
        etag: true,
        ttl: true,
        list: true,
        transaction_len_max: Some(transaction_len_max),
        key_len_max: KEY_LEN_MAX,
        exact_values: true,
        consistency: Consistencies {
            strong_write: Some("committed by a majority of the members, as every write".into()),
            strong_read: Some("of all that a majority of the members has committed".into()),
            eventual_read: Some(
                "from one member, without asking the others: one that is cut off may be behind for as long as it is"
                    .into(),
            ),
        },
        durability: Durability {
            process_crash: true,
            power_loss: true,
            failover: (voters > 2).then_some(true),
            memory_pressure: true,
        },
        server_settings: BTreeMap::from([
            ("members".to_owned(), voters.to_string()),
            ("version".to_owned(), version),
        ]),
    }
}

fn warn_of(voters: usize) {
    if voters == 1 {
        warn!(
            "etcd has one member: nothing takes over when it fails; three keep serving without one"
        );
    } else if voters.is_multiple_of(2) {
        warn!(
            voters,
            "etcd has an even number of members: one more would let it do without one more"
        );
    }
}
