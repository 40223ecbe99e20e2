//! What is said to a store ([`Read`], [`Write`]) and what it answers ([`Item`], [`Written`]).

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use crate::{Conflict, Found, Key};

/// Component-specific hints that ride along with a request, such as `partitionKey`.
///
/// Anything the sidecar itself understands (`ttlInSeconds`, ...) has a typed field instead
/// and never reaches a store in here.
pub type Metadata = BTreeMap<String, String>;

/// A store's opaque name for one version of a value. Never empty, never reused for another
/// version of the same key: not after a delete, an expiry, a failover or a restart.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ETag(Arc<str>);

impl ETag {
    /// Returns `None` if `tag` is empty, which on the wire means "no ETag".
    pub fn new(tag: &str) -> Option<ETag> {
        (!tag.is_empty()).then(|| ETag(tag.into()))
    }

    /// The ETag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How fresh a read, or how durable a write, must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// Any value that was current at some time; the last write is seen within 5 s.
    #[default]
    Eventual,
    /// A read sees every write acknowledged before it began; a write is acknowledged only when
    /// as many replicas have it as the store's [`Consistencies`](crate::Consistencies) say.
    Strong,
}

/// What must be true of a key for a write to it to take effect.
///
/// This replaces Dapr's two loose fields, `etag` and `concurrency`. They are combined once, at
/// the edge, so that no store has to decide what their six combinations mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing: the last write wins.
    #[default]
    Any,
    /// The key is absent or expired: the first write wins.
    Absent,
    /// The key is present at exactly this version.
    Matches(ETag),
}

/// A request to read one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Which value.
    pub key: Key,
    /// How fresh the answer must be.
    pub consistency: Consistency,
    /// Hints for this store only.
    pub metadata: Metadata,
}

/// A request to change one key: the only way state is ever modified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which value.
    pub key: Key,
    /// What is to become of it.
    pub change: Change,
    /// Under which condition.
    pub precondition: Precondition,
    /// How durable it must be before it is acknowledged.
    pub consistency: Consistency,
    /// Hints for this store only.
    pub metadata: Metadata,
}

/// What a [`Write`] does to its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Replaces the value.
    Put {
        /// The caller's exact bytes.
        value: Bytes,
        /// What the caller says of the bytes.
        format: Format,
        /// How long the value lives, whatever its predecessor did.
        ttl: Ttl,
    },
    /// Removes the value. Removing an absent key succeeds if the precondition holds.
    Delete,
}

/// How long a value is to live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ttl {
    /// Nobody has said: for as long as the component's own default has it, if it has one, else for ever.
    #[default]
    Unsaid,
    /// For ever.
    Never,
    /// Counted from the commit by the store's clock, at least. Whole seconds, at least one.
    After(Duration),
}

impl Ttl {
    /// How long at least; `None` for ever. For stores without a default of their own.
    pub fn duration(self) -> Option<Duration> {
        match self {
            Ttl::Unsaid | Ttl::Never => None,
            Ttl::After(it) => Some(it),
        }
    }
}

impl From<Option<Duration>> for Ttl {
    /// Nothing is unsaid.
    fn from(it: Option<Duration>) -> Ttl {
        it.map_or(Ttl::Unsaid, Ttl::After)
    }
}

/// Whether a value is text that a store may keep in a JSON column.
///
/// Several of Dapr's table layouts keep the two apart, so a store has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Known to be one valid JSON text in UTF-8.
    Json,
    /// Bytes about which nothing is known.
    Opaque,
}

/// A value found in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The exact bytes that were written.
    pub value: Bytes,
    /// `None` if and only if the store lacks [`Capabilities::etag`](crate::Capabilities::etag).
    pub etag: Option<ETag>,
    /// When it will count as absent; `None` means never.
    pub expires_at: Option<SystemTime>,
}

/// What a store says of a write that it has applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The new version. `None` after a delete, and from a store that does not tell.
    pub etag: Option<ETag>,
}

/// One page of a listing, in the order of the keys' bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// The keys on this page.
    pub keys: Vec<Key>,
    /// Whether keys follow after the last one here.
    pub more: bool,
}

impl Precondition {
    /// Fails with a [`Conflict`] unless this holds for a key now at version `current`, which is
    /// `None` if the key is absent or expired.
    pub fn check(&self, current: Option<&ETag>) -> Result<(), Conflict> {
        let holds = match self {
            Precondition::Any => true,
            Precondition::Absent => current.is_none(),
            Precondition::Matches(etag) => current == Some(etag),
        };
        if holds {
            return Ok(());
        }
        Err(Conflict::new(current.cloned().map_or(Found::Absent, Found::Version)))
    }
}

impl Read {
    /// A read of `key` with every option at its default.
    pub fn new(key: Key) -> Read {
        Read { key, consistency: Consistency::default(), metadata: Metadata::new() }
    }
}

impl Write {
    /// An unconditional write of opaque bytes that never expire.
    pub fn put(key: Key, value: impl Into<Bytes>) -> Write {
        Write::new(
            key,
            Change::Put { value: value.into(), format: Format::Opaque, ttl: Ttl::Unsaid },
        )
    }

    /// An unconditional delete.
    pub fn delete(key: Key) -> Write {
        Write::new(key, Change::Delete)
    }

    /// An unconditional change with every option at its default.
    pub fn new(key: Key, change: Change) -> Write {
        Write {
            key,
            change,
            precondition: Precondition::Any,
            consistency: Consistency::default(),
            metadata: Metadata::new(),
        }
    }

    /// The same write under `precondition`.
    pub fn when(self, precondition: Precondition) -> Write {
        Write { precondition, ..self }
    }
}

impl fmt::Debug for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
