//! Random requests, in words that mean something whatever the state is when they are made.

use proptest::{collection, option, prelude::*, sample, strategy::Union};
use state::Capabilities;

/// The keys of a sequence: so few that they are met again and again.
pub(super) const NAMES: [&str; 3] = ["a", "b", "b/c"];

/// The most requests in a sequence.
const SEQUENCE_LEN_MAX: usize = 40;

/// The most keys or writes in a request.
const BATCH_LEN_MAX: usize = 5;

#[derive(Clone, Debug)]
pub(super) enum Request {
    Get(&'static str),
    GetMany(Vec<&'static str>),
    Write(Intent),
    WriteMany(Vec<Intent>),
    Transact(Vec<Intent>),
    List { prefix: &'static str, after: Option<&'static str>, limit: usize },
}

/// A write whose ETag is yet to be chosen.
#[derive(Clone, Debug)]
pub(super) struct Intent {
    pub(super) name: &'static str,
    pub(super) change: Aim,
    pub(super) guard: Guard,
}

#[derive(Clone, Debug)]
pub(super) enum Aim {
    Put { number: u8, ttl_hours: Option<u8> },
    Delete,
}

/// Which condition, or which ETag, a write is sent with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Guard {
    None,
    Absent,
    /// The ETag that the key has.
    Current,
    /// An ETag that the key once had.
    Stale,
    /// The ETag of another key.
    Foreign,
    /// A text that is no store's ETag.
    Malformed,
}

/// Sequences of requests that a store with these capabilities can be asked.
pub(super) fn sequences(capabilities: &Capabilities) -> impl Strategy<Value = Vec<Request>> {
    collection::vec(request(capabilities), 1..=SEQUENCE_LEN_MAX)
}

fn request(capabilities: &Capabilities) -> impl Strategy<Value = Request> + use<> {
    let intents = |len_max| collection::vec(intent(capabilities), 0..=len_max);
    let mut requests = vec![
        (1, name().prop_map(Request::Get).boxed()),
        (1, collection::vec(name(), 0..=BATCH_LEN_MAX).prop_map(Request::GetMany).boxed()),
        (6, intent(capabilities).prop_map(Request::Write).boxed()),
        (3, intents(BATCH_LEN_MAX).prop_map(Request::WriteMany).boxed()),
    ];
    if let Some(len_max) = capabilities.transaction_len_max {
        let intents = intents(len_max.min(BATCH_LEN_MAX));
        requests.push((3, intents.prop_map(Request::Transact).boxed()));
    }
    if capabilities.list {
        let prefix = sample::select(&["", "b", "b/", "c"][..]);
        let list = (prefix, option::of(name()), 1..4_usize);
        let list = list.prop_map(|(prefix, after, limit)| Request::List { prefix, after, limit });
        requests.push((1, list.boxed()));
    }
    Union::new_weighted(requests)
}

fn intent(capabilities: &Capabilities) -> impl Strategy<Value = Intent> + use<> {
    let ttl_hours = match capabilities.ttl {
        true => option::of(1..=2_u8).boxed(),
        false => Just(None).boxed(),
    };
    let guard = match capabilities.etag {
        true => sample::select(GUARDS).boxed(),
        false => Just(Guard::None).boxed(),
    };
    let put =
        (any::<u8>(), ttl_hours).prop_map(|(number, ttl_hours)| Aim::Put { number, ttl_hours });
    let aim = prop_oneof![3 => put, 1 => Just(Aim::Delete)];
    (name(), aim, guard).prop_map(|(name, change, guard)| Intent { name, change, guard })
}

/// Each as often as it is to be chosen.
const GUARDS: &[Guard] = &[
    Guard::None,
    Guard::None,
    Guard::Absent,
    Guard::Current,
    Guard::Current,
    Guard::Stale,
    Guard::Foreign,
    Guard::Malformed,
];

fn name() -> impl Strategy<Value = &'static str> {
    sample::select(&NAMES[..])
}
