//! Lifetimes: a lease for each value that expires, and what is left of it.
//!
//! etcd removes a key some time after its lease is over, and counts the lease from before the key is written. So a
//! lease is granted for two seconds longer than the value is to live. A value whose lease has less than one second left
//! counts as expired: it has lived for its time and one second, which is what it may take to write it.
//! The identifier of a lease says that it is such a one, and when it was granted, so that the same end is told each
//! time; one of Dapr's is taken as it is.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use state::{Error, FailureKind, Outcome, Result};
use tokio::time::Instant;

use super::{
    cluster::Cluster,
    messages::{
        Done, LeaseGrantRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest,
        LeaseTimeToLiveResponse,
    },
    refusal::Intent,
};

/// Seconds for which a lease lasts longer than its value.
const SPARE_S: i64 = 2;

/// Where in an identifier the seconds are that the value is to live. Below is the low part of the tick of the grant.
const TTL_SHIFT: u32 = 32;

/// So many may be granted with one lifetime in a second. They begin anew after three days, and how old a
/// lease is is known more exactly than that.
const TICKS_PER_S: u64 = 16_000;

/// Others may have taken an identifier in the same tick.
const TRIES: u32 = 3;

/// Whether a value is there, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Endless,
    Until(SystemTime),
    Over,
}

/// Grants one, and tells its identifier.
pub(super) async fn grant(cluster: &Cluster, ttl: Duration, deadline: Instant) -> Result<i64> {
    let seconds = i64::from(i32::try_from(ttl.as_secs()).map_err(|_| {
        Error::new(FailureKind::Invalid, "etcd keeps no lifetime of more than 2147483647 seconds")
    })?);
    let mut tries = 1;
    loop {
        let id = seconds << TTL_SHIFT | i64::from(low(next_tick()));
        let request = LeaseGrantRequest { ttl: seconds + SPARE_S, id };
        let answer: Result<Done> =
            cluster.call("/etcdserverpb.Lease/LeaseGrant", request, Intent::Write, deadline).await;
        match answer {
            Ok(_) => return Ok(id),
            // A lease that was granted all the same has no value, and ends by itself.
            Err(e) if e.outcome() == Outcome::Unknown => {
                if tries == TRIES || Instant::now() >= deadline {
                    let message = "etcd has not granted a lease";
                    return Err(Error::new(FailureKind::Unavailable, message).with_source(e));
                }
            }
            Err(e) => return Err(e),
        }
        tries += 1;
    }
}

/// The present, or what follows the last one that was given out.
fn next_tick() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = tick(SystemTime::now());
    let next = |last: u64| now.max(last + 1);
    let update = |last| Some(next(last));
    let (Ok(last) | Err(last)) = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    next(last)
}

fn tick(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() * TICKS_PER_S + u64::from(since.subsec_nanos()) * TICKS_PER_S / 1_000_000_000
}

/// What fits into an identifier.
fn low(tick: u64) -> u32 {
    (tick & u64::from(u32::MAX)) as u32
}

/// Gives one back that no value has.
pub(super) async fn revoke(cluster: &Cluster, id: i64) {
    let request = LeaseRevokeRequest { id };
    let deadline = cluster.deadline();
    let answer: Result<Done> =
        cluster.call("/etcdserverpb.Lease/LeaseRevoke", request, Intent::Write, deadline).await;
    if let Err(error) = answer {
        tracing::debug!(%error, "a lease that is not needed will end by itself");
    }
}

/// What is left of a value with this lease, which is 0 for none.
pub(super) async fn life(cluster: &Cluster, id: i64, deadline: Instant) -> Result<Life> {
    if id == 0 {
        return Ok(Life::Endless);
    }
    let request = LeaseTimeToLiveRequest { id };
    let method = "/etcdserverpb.Lease/LeaseTimeToLive";
    let left: LeaseTimeToLiveResponse =
        cluster.call(method, request, Intent::Read, deadline).await?;
    Ok(of(id, &left, SystemTime::now()))
}

fn of(id: i64, left: &LeaseTimeToLiveResponse, now: SystemTime) -> Life {
    let ttl = id >> TTL_SHIFT;
    if left.granted_ttl != ttl + SPARE_S {
        return match u64::try_from(left.ttl) {
            Ok(seconds) => Life::Until(now + Duration::from_secs(seconds)),
            Err(_) => Life::Over,
        };
    }
    if left.ttl < 1 {
        return Life::Over;
    }
    let age_s = u64::try_from(left.granted_ttl - left.ttl).unwrap_or(0);
    let about = tick(now).saturating_sub(age_s * TICKS_PER_S);
    let off = low((id as u64).wrapping_sub(about)).cast_signed();
    let granted = about.saturating_add_signed(i64::from(off));
    let granted = Duration::from_secs(granted / TICKS_PER_S)
        + Duration::from_micros(granted % TICKS_PER_S * 1_000_000 / TICKS_PER_S);
    Life::Until(UNIX_EPOCH + granted + Duration::from_secs(ttl.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(id: i64, ttl: i64, granted_ttl: i64, now_s: u64) -> Life {
        let now = UNIX_EPOCH + Duration::from_secs(now_s);
        of(id, &LeaseTimeToLiveResponse { ttl, granted_ttl }, now)
    }

    fn until(seconds: u64) -> Life {
        Life::Until(UNIX_EPOCH + Duration::from_secs(seconds))
    }

    #[test]
    fn a_lease_of_ours_ends_before_etcd_ends_it_and_tells_one_end() {
        let granted_at = tick(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let id = 5 << TTL_SHIFT | i64::from(low(granted_at));
        assert_eq!(check(id, 7, 7, 1_800_000_000), until(1_800_000_005));
        assert_eq!(check(id, 3, 7, 1_800_000_003), until(1_800_000_005));
        assert_eq!(check(id, 0, 7, 1_800_000_006), Life::Over);
        assert_eq!(check(id, -1, 0, 1_800_000_007), Life::Over);
    }

    #[test]
    fn a_lease_of_others_ends_with_etcd() {
        let id = 0x7654_3210_0000_0001;
        assert_eq!(check(id, 0, 7, 100), until(100));
        assert_eq!(check(id, -1, 0, 100), Life::Over);
    }
}
