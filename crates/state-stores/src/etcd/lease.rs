//! When a value expires, in the number of its lease.
//!
//! A lease alone is not exact: etcd has none shorter than two seconds, looks for what has expired twice a second, and begins
//! all of them anew when another member leads. So the deadline is where every read and every condition of etcd sees it,
//! whatever the layout of the value: in the number of the lease, which clients may choose. The lease then only removes what
//! nobody asks for.

use std::time::{Duration, SystemTime};

use super::messages::KeyValue;

/// The number of a lease: 42 bits for the milliseconds since 1970, ten that tell that it is one of ours, and eleven by
/// chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease(i64);

/// How long after the deadline is set a write may be committed. The deadline is this much later, so that a value lives for
/// its time from then on, and a write that takes longer does not count as done. Less than the second and a half by which a
/// value may outlive its time.
pub(super) const COMMIT_MAX: Duration = Duration::from_millis(1_200);

/// What a lease lives beyond the time of its value, so that it never ends first.
const MARGIN_S: i64 = 2;

const CHANCE_BITS: u32 = 11;
const MARK_BITS: u32 = 10;
const MARK: i64 = 0b10_1101_0011;

/// etcd makes numbers of its own from that of a member, and they may look like ours. They are not of a time between these
/// but by a very rare chance: 2020 and 2109.
const MS_MIN: i64 = 1_577_836_800_000;

/// How a value ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Never,
    /// When it is no longer there.
    WithLease(i64),
    At(SystemTime),
}

impl Lease {
    /// For a value that is to live for this long.
    pub(super) fn new(ttl: Duration) -> Lease {
        let deadline = SystemTime::now() + ttl + COMMIT_MAX;
        let since_1970 = deadline.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let ms = i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX);
        let ms = ms.clamp(MS_MIN, (1 << (63 - CHANCE_BITS - MARK_BITS)) - 1);
        let chance = fastrand::i64(0..1 << CHANCE_BITS);
        Lease((ms << MARK_BITS | MARK) << CHANCE_BITS | chance)
    }

    pub(super) fn id(self) -> i64 {
        self.0
    }

    /// What is granted for a value that is to live for this long.
    pub(super) fn granted_s(ttl: Duration) -> i64 {
        let s = i64::try_from(ttl.as_millis().div_ceil(1_000)).unwrap_or(i64::MAX);
        s.saturating_add(MARGIN_S)
    }
}

impl End {
    pub(super) fn of(kv: &KeyValue) -> End {
        if kv.lease == 0 {
            return End::Never;
        }
        let marked = kv.lease >> CHANCE_BITS;
        let ms = marked >> MARK_BITS;
        if marked & ((1 << MARK_BITS) - 1) != MARK || ms < MS_MIN {
            return End::WithLease(kv.lease);
        }
        let since_1970 = Duration::from_millis(ms.unsigned_abs());
        End::At(SystemTime::UNIX_EPOCH + since_1970)
    }

    pub(super) fn is_over(self) -> bool {
        matches!(self, End::At(it) if it <= SystemTime::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_lease(lease: i64) -> KeyValue {
        KeyValue { lease, ..KeyValue::default() }
    }

    #[test]
    fn the_deadline_is_in_the_number_also_of_the_longest_time() {
        for ttl in [Duration::from_secs(1), Duration::from_secs(i32::MAX as u64)] {
            let before = SystemTime::now();
            let lease = Lease::new(ttl);
            let End::At(deadline) = End::of(&with_lease(lease.id())) else { panic!("{lease:?}") };
            assert!(lease.id() > 0);
            let lives = deadline.duration_since(before).unwrap();
            assert!(lives > ttl + COMMIT_MAX - Duration::from_millis(2), "{lives:?}");
            assert!(lives < ttl + COMMIT_MAX + Duration::from_millis(500), "{lives:?}");
            assert!(Lease::granted_s(ttl) as u64 >= ttl.as_secs() + 2);
        }
    }

    #[test]
    fn numbers_of_others_tell_no_time() {
        assert_eq!(End::of(&with_lease(0)), End::Never);
        for id in [1, 7_587_862_094_034_141_449, i64::MAX, MARK << CHANCE_BITS] {
            assert_eq!(End::of(&with_lease(id)), End::WithLease(id));
            assert!(!End::of(&with_lease(id)).is_over());
        }
    }
}
