use std::{borrow::Cow, collections::BTreeMap};

/// What a store can do, beyond reading and last-write-wins writing, which all can.
///
/// A layer that takes something away says so in its own, so the answer is always about the whole
/// stack. It feeds `/v1.0/metadata` and is enforced by the `Guarded` layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Items carry ETags, and preconditions other than `Any` are enforced atomically.
    pub etag: bool,
    /// `Change::Put::ttl` is honoured.
    pub ttl: bool,
    /// Keys can be listed by prefix.
    pub list: bool,
    /// The most writes one `transact` may carry; `None` if there are no transactions.
    pub transaction_len_max: Option<usize>,
    /// The longest key, in bytes.
    pub key_len_max: usize,
    /// Values come back byte for byte. `false` where a JSON column normalises white space and the
    /// order of keys.
    pub exact_values: bool,
    /// What each consistency means here.
    pub consistency: Consistencies,
    /// What becomes of acknowledged writes.
    pub durability: Durability,
    /// The settings of a server that durability follows from, by the names that it gives them, as they were when
    /// the store was opened. Empty if there is no server, or it does not tell.
    pub server_settings: BTreeMap<String, String>,
}

/// What a store gives for each [`Consistency`](crate::Consistency), in words for its users.
///
/// `None` means not offered: such a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consistencies {
    /// When a strong write is acknowledged.
    pub strong_write: Option<Cow<'static, str>>,
    /// Where a strong read is served from.
    pub strong_read: Option<Cow<'static, str>>,
    /// How an eventual read differs from a strong one; `None` if it does not.
    pub eventual_read: Option<Cow<'static, str>>,
}

/// Which events an acknowledged write survives, as the store is configured now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durability {
    /// The store's process is killed.
    pub process_crash: bool,
    /// The machine loses power.
    pub power_loss: bool,
    /// Another replica takes over; `None` if there is none to do so.
    pub failover: Option<bool>,
    /// The store runs out of the memory that it may use: it refuses what is new, and evicts nothing.
    pub memory_pressure: bool,
}

/// Something a store may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// ETags and the preconditions that need them.
    ETags,
    /// Values that expire.
    Ttl,
    /// Several writes at one instant.
    Transactions,
    /// [`Consistency::Strong`](crate::Consistency::Strong) on this operation.
    StrongConsistency,
    /// Keys by prefix.
    List,
}

impl Feature {
    /// What it is called in messages.
    pub fn name(self) -> &'static str {
        match self {
            Feature::ETags => "ETags",
            Feature::Ttl => "a time to live",
            Feature::Transactions => "transactions",
            Feature::StrongConsistency => "strong consistency",
            Feature::List => "listing keys",
        }
    }
}
