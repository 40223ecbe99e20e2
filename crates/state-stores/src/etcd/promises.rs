//! What the cluster promises by what it is, and a warning for what it does not.

use std::{borrow::Cow, collections::BTreeMap};

use state::{Capabilities, Consistencies, Durability};
use tracing::warn;

use super::{
    connection::path,
    engine::Engine,
    messages::{MembersResponse, Nothing},
    refusal::Trouble,
};

/// Bytes of a key, prefix included. etcd has no limit of its own but that of a request; all keys are in its memory.
const KEY_LEN_MAX: usize = 2048;

impl Engine {
    /// What the cluster can do, by what it says of itself.
    ///
    /// # Errors
    ///
    /// If no member can be reached.
    pub(super) async fn inspect(&self) -> state::Result<Capabilities> {
        let version = self.members.version().await.map_err(Trouble::error)?;
        let mut settings = BTreeMap::from([("version".to_owned(), version)]);
        // Some clusters keep it from those who are no administrators.
        let members = self.ask::<MembersResponse>(path::MEMBERS, &Nothing {}).await;
        let members = members.ok().map(|it| it.members.len());
        if let Some(members) = members {
            settings.insert("members".to_owned(), members.to_string());
            warn_of_members(members, self.members.len());
        }
        Ok(Capabilities {
            etag: true,
            ttl: true,
            list: true,
            transaction_len_max: Some(self.operations_max),
            key_len_max: KEY_LEN_MAX,
            exact_values: true,
            consistency: Consistencies {
                strong_write: Some(Cow::Borrowed(
                    "committed and flushed to the disks of most members, as every write",
                )),
                strong_read: Some(Cow::Borrowed(
                    "from a member that has asked most others whether it has everything",
                )),
                eventual_read: Some(Cow::Borrowed(
                    "from one member, which has heard of the leader within an election's time, and may lag behind it",
                )),
            },
            durability: Durability {
                process_crash: true,
                power_loss: true,
                failover: members.is_some_and(|it| it > 2).then_some(true),
                memory_pressure: true,
            },
            server_settings: settings,
        })
    }
}

fn warn_of_members(members: usize, endpoints: usize) {
    if members == 1 {
        warn!("etcd has one member: nothing takes its place when it fails; three can lose one");
    } else if members.is_multiple_of(2) {
        warn!(
            members,
            "etcd has an even number of members, which can lose no more than one fewer could"
        );
    }
    if endpoints < members {
        warn!(members, endpoints, "not all members of etcd are among the endpoints");
    }
}
