//! What the clients of a group do.

use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use state::Capabilities;
use state_checker::{Call, Change, Condition, Effect};

use crate::workload::Numbers;

/// What a group of keys is for. Each brings out other mistakes of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    /// Everything that can be done to one key.
    Register,
    /// Clients that replace a value on the condition that nobody else has.
    Counter,
    /// Clients that create and remove a key, and at most one of which can create it at a time.
    Creates,
    /// Transactions on a few keys, and single operations in between.
    Transactions,
    /// Several keys in one request.
    Bulk,
    /// Values that expire.
    Expiry,
}

/// What a client asks next.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    One(Call),
    /// Independent calls in one request, all reads or all writes, each of another key.
    Bulk(Vec<Call>),
}

/// A version of a key that a client has seen: its ETag and its value.
pub(crate) type Seen = (String, u64);

/// What a client knows of a key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Knowledge {
    /// The last version that it has seen, if it has any reason to believe in it.
    pub(crate) latest: Option<Seen>,
    /// One from before, which must not match any more.
    pub(crate) outdated: Option<Seen>,
}

/// How long values of [`Theme::Expiry`] live: whole seconds, as the API has it.
const LIFETIMES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// How long after a value of the shortest lifetime it must be gone: a store may be late by a second,
/// and half of one for a busy machine. Source: the limits of `state-checker`.
const GONE_AFTER: Duration = Duration::from_secs(3);

/// How long after that a value may be gone that should have stayed, because its predecessor's
/// lifetime was not forgotten.
const KEPT_UNTIL: Duration = Duration::from_secs(2);

impl Theme {
    /// Every theme.
    pub const ALL: [Theme; 6] = [
        Theme::Register,
        Theme::Counter,
        Theme::Creates,
        Theme::Transactions,
        Theme::Bulk,
        Theme::Expiry,
    ];

    /// Whether a store with these capabilities offers what this is about.
    pub fn is_offered(self, capabilities: &Capabilities) -> bool {
        match self {
            Theme::Register | Theme::Bulk => true,
            Theme::Counter | Theme::Creates => capabilities.etag,
            Theme::Transactions => capabilities.transaction_len_max.is_some_and(|it| it >= 3),
            Theme::Expiry => capabilities.ttl,
        }
    }

    /// How many keys a group has.
    pub fn keys(self) -> u8 {
        match self {
            Theme::Register | Theme::Counter | Theme::Creates | Theme::Expiry => 1,
            Theme::Transactions => 3,
            Theme::Bulk => 4,
        }
    }

    /// How many operations a group has for each hundred of the others. Those that wait have fewer.
    pub(crate) fn share_of_operations(self) -> usize {
        match self {
            Theme::Expiry => 20,
            _ => 100,
        }
    }

    /// What is asked in the end, and how long to wait before everything is looked at again.
    pub(crate) fn endings(self, numbers: &Numbers) -> Vec<(Vec<Call>, Duration)> {
        if self != Theme::Expiry {
            return Vec::new();
        }
        let lifetime = u64::try_from(LIFETIMES[0].as_millis()).ok();
        let put = |ttl_ms| write(0, Condition::Any, Effect::Put { value: numbers.value(), ttl_ms });
        vec![(vec![put(lifetime)], GONE_AFTER), (vec![put(lifetime), put(None)], KEPT_UNTIL)]
    }

    /// How long a client waits before an operation, beyond its pace.
    pub(crate) fn pause(self, rng: &mut Rng) -> Duration {
        match self {
            Theme::Expiry => Duration::from_millis(rng.u64(..700)),
            _ => Duration::ZERO,
        }
    }
}

/// What makes requests of a theme.
#[derive(Debug)]
pub(crate) struct Chooser<'a> {
    pub(crate) theme: Theme,
    pub(crate) rng: &'a mut Rng,
    pub(crate) knowledge: &'a [Knowledge],
    /// Whether there are ETags, so that conditions mean something.
    pub(crate) etags: bool,
    pub(crate) numbers: &'a Numbers,
}

impl Chooser<'_> {
    /// What to ask next.
    pub(crate) fn request(mut self) -> Request {
        let dice = self.rng.u32(..100);
        let key = self.rng.u8(..self.theme.keys());
        match self.theme {
            Theme::Register => Request::One(self.register(key, dice)),
            Theme::Counter => Request::One(match dice {
                0..25 => self.get(key),
                25..35 => self.outdated(key),
                _ => self.replace(key),
            }),
            Theme::Creates => Request::One(match dice {
                0..25 => self.get(key),
                25..65 => self.create(key),
                65..75 => self.delete_if_absent(key),
                75..90 => self.delete_seen(key),
                _ => write(key, Condition::Any, Effect::Delete),
            }),
            Theme::Transactions => Request::One(match dice {
                0..30 => self.get(key),
                30..38 => self.other(key),
                _ => self.transaction(),
            }),
            Theme::Bulk => self.bulk(dice),
            Theme::Expiry => Request::One(match dice {
                0..43 => self.get(key),
                // Tells whether the last value is gone, and leaves it alone if not.
                43..78 => self.put_for_a_while(key, Condition::Absent),
                78..88 => {
                    let condition = self.condition(key);
                    self.put_for_a_while(key, condition)
                }
                88..92 => self.put(key),
                92..94 => self.replace(key),
                94..96 => self.create(key),
                _ => write(key, Condition::Any, Effect::Delete),
            }),
        }
    }

    fn register(&mut self, key: u8, dice: u32) -> Call {
        match dice {
            0..35 => self.get(key),
            35..62 => self.replace(key),
            62..68 => self.outdated(key),
            68..80 => self.put(key),
            80..90 => self.create(key),
            90..93 => write(key, Condition::Any, Effect::Delete),
            93..95 => self.delete_if_absent(key),
            _ => self.delete_seen(key),
        }
    }

    /// Anything but a read.
    fn other(&mut self, key: u8) -> Call {
        let dice = self.rng.u32(35..100);
        self.register(key, dice)
    }

    fn get(&mut self, key: u8) -> Call {
        Call::Get { key, eventual: self.rng.u8(..20) == 0 }
    }

    fn put_effect(&mut self) -> Effect {
        Effect::Put { value: self.numbers.value(), ttl_ms: None }
    }

    fn put(&mut self, key: u8) -> Call {
        write(key, Condition::Any, self.put_effect())
    }

    fn put_for_a_while(&mut self, key: u8, condition: Condition) -> Call {
        let condition = if self.etags { condition } else { Condition::Any };
        let lifetime = self.rng.choice(LIFETIMES).expect("there are some");
        let ttl_ms = u64::try_from(lifetime.as_millis()).ok();
        write(key, condition, Effect::Put { value: self.numbers.value(), ttl_ms })
    }

    fn create(&mut self, key: u8) -> Call {
        if !self.etags {
            return self.put(key);
        }
        write(key, Condition::Absent, self.put_effect())
    }

    /// A compare-and-set, or a look at what to compare with.
    fn replace(&mut self, key: u8) -> Call {
        match self.seen(key) {
            Some(condition) => write(key, condition, self.put_effect()),
            None => self.get(key),
        }
    }

    /// A compare-and-set that must not succeed.
    fn outdated(&mut self, key: u8) -> Call {
        match &self.knowledge[usize::from(key)].outdated {
            Some(seen) if self.etags => write(key, matches(seen), self.put_effect()),
            _ => self.replace(key),
        }
    }

    fn delete_seen(&mut self, key: u8) -> Call {
        match self.seen(key) {
            Some(condition) => write(key, condition, Effect::Delete),
            None => self.get(key),
        }
    }

    /// A delete with first-write and no ETag, which succeeds on nothing only.
    fn delete_if_absent(&mut self, key: u8) -> Call {
        let condition = if self.etags { Condition::Absent } else { Condition::Any };
        write(key, condition, Effect::Delete)
    }

    fn seen(&self, key: u8) -> Option<Condition> {
        self.knowledge[usize::from(key)].latest.as_ref().filter(|_| self.etags).map(matches)
    }

    /// Some condition or none.
    fn condition(&mut self, key: u8) -> Condition {
        match self.rng.u8(..4) {
            0 => self.seen(key).unwrap_or(Condition::Any),
            1 if self.etags => Condition::Absent,
            _ => Condition::Any,
        }
    }

    /// Two or three changes, now and then two of one key.
    fn transaction(&mut self) -> Call {
        let count = self.rng.usize(2..=3);
        let mut keys: Vec<u8> = (0..self.theme.keys()).collect();
        self.rng.shuffle(&mut keys);
        if self.rng.u8(..4) == 0 {
            keys[1] = keys[0];
        }
        let changes = keys.into_iter().take(count).map(|key| {
            let condition = self.condition_in_transaction(key);
            let effect = if self.rng.u8(..6) == 0 { Effect::Delete } else { self.put_effect() };
            Change { key, condition, effect }
        });
        Call::Transact(changes.collect())
    }

    /// Mostly one that holds, or hardly any transaction would be applied.
    fn condition_in_transaction(&mut self, key: u8) -> Condition {
        match self.rng.u8(..20) {
            0..5 => self.seen(key).unwrap_or(Condition::Any),
            5 if self.etags => Condition::Absent,
            _ => Condition::Any,
        }
    }

    fn bulk(&mut self, dice: u32) -> Request {
        let mut keys: Vec<u8> = (0..self.theme.keys()).collect();
        self.rng.shuffle(&mut keys);
        keys.truncate(self.rng.usize(2..=4));
        let calls: Vec<Call> = match dice {
            // One answer for all of them: the API has no room for a wish for each.
            0..45 => keys.into_iter().map(|key| Call::Get { key, eventual: false }).collect(),
            _ => keys.into_iter().map(|key| self.put_in_bulk(key)).collect(),
        };
        Request::Bulk(calls)
    }

    fn put_in_bulk(&mut self, key: u8) -> Call {
        let condition = match self.rng.u8(..4) {
            0 => Condition::Any,
            1 if self.etags => Condition::Absent,
            _ => self.seen(key).unwrap_or(Condition::Any),
        };
        write(key, condition, self.put_effect())
    }
}

fn write(key: u8, condition: Condition, effect: Effect) -> Call {
    Call::Write(Change { key, condition, effect })
}

fn matches((etag, value): &Seen) -> Condition {
    Condition::Matches { etag: etag.clone(), value: Some(*value) }
}
