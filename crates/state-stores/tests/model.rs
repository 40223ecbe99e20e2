//! Thousands of random sequences of requests, compared with what the contract says of each.

use state_testkit::check_model;

mod support;

const SEQUENCES: u32 = 2_000;

/// Where every request goes over a connection.
#[cfg(any(feature = "etcd", feature = "mysql", feature = "postgresql", feature = "redis"))]
const SEQUENCES_AT_SERVERS: u32 = 200;

#[test]
fn memory_does_as_the_model() {
    check_model(SEQUENCES, || support::open("state.in-memory", &[]));
}

#[cfg(feature = "sqlite")]
#[test]
fn sqlite_does_as_the_model() {
    check_model(SEQUENCES, || support::sqlite_file(&[]));
}

#[cfg(feature = "etcd")]
#[test]
fn etcd_does_as_the_model() {
    check_model(SEQUENCES_AT_SERVERS, || support::etcd::single("v1"));
    check_model(SEQUENCES_AT_SERVERS, || support::etcd::three("v2"));
}

#[cfg(feature = "postgresql")]
#[test]
fn postgresql_does_as_the_model() {
    check_model(SEQUENCES_AT_SERVERS, || support::postgres::open("v1", &[]));
    check_model(SEQUENCES_AT_SERVERS, || support::postgres::open("v2", &[]));
}

#[cfg(feature = "mysql")]
#[test]
fn mysql_does_as_the_model() {
    check_model(SEQUENCES_AT_SERVERS, || support::mysql::open(&[]));
}

#[cfg(feature = "redis")]
#[test]
fn redis_does_as_the_model() {
    check_model(SEQUENCES_AT_SERVERS, || support::redis::single(&[]));
}

#[cfg(feature = "redis")]
#[test]
fn redis_with_a_replica_does_as_the_model() {
    check_model(SEQUENCES_AT_SERVERS, || support::redis::replicated(&[("readFrom", "replica")]));
}

#[cfg(feature = "redis")]
#[test]
fn a_cluster_of_redis_does_as_the_model() {
    check_model(SEQUENCES_AT_SERVERS, || support::redis::cluster(&[("redisType", "cluster")]));
}
