//! `cargo test -p state-stores --test conformance [-- sqlite::etag]`

use std::process::ExitCode;

use state_testkit::Subject;

mod support;

static SUBJECTS: &[Subject] = &[
    #[cfg(feature = "etcd")]
    Subject { name: "etcd", open: || support::etcd::single("v2"), gaps: &[] },
    #[cfg(feature = "etcd")]
    Subject { name: "etcd_three", open: || support::etcd::three("v2"), gaps: &[] },
    #[cfg(feature = "etcd")]
    Subject { name: "etcd_v1", open: || support::etcd::single("v1"), gaps: &[] },
    Subject { name: "memory", open: || support::open("state.in-memory", &[]), gaps: &[] },
    #[cfg(feature = "postgresql")]
    Subject { name: "postgresql_v1", open: || support::postgres::open("v1", &[]), gaps: &[] },
    #[cfg(feature = "postgresql")]
    Subject { name: "postgresql_v2", open: || support::postgres::open("v2", &[]), gaps: &[] },
    #[cfg(feature = "postgresql")]
    Subject {
        name: "postgresql_v2_unprepared",
        open: || support::postgres::open("v2", &[("queryExecMode", "exec")]),
        gaps: &[],
    },
    #[cfg(feature = "mysql")]
    Subject { name: "mysql", open: || support::mysql::open(&[]), gaps: &[] },
    #[cfg(feature = "redis")]
    Subject { name: "redis", open: || support::redis::single(&[]), gaps: &[] },
    #[cfg(feature = "redis")]
    Subject {
        name: "redis_of_protocol_3",
        open: || support::redis::single(&[("protocol", "3")]),
        gaps: &[],
    },
    #[cfg(feature = "redis")]
    Subject { name: "redis_pair", open: || support::redis::replicated(PAIR), gaps: &[] },
    #[cfg(feature = "redis")]
    Subject { name: "redis_cluster", open: || support::redis::cluster(CLUSTER), gaps: &[] },
    #[cfg(feature = "sqlite")]
    Subject { name: "sqlite", open: || support::sqlite_file(&[]), gaps: &[] },
    #[cfg(feature = "sqlite")]
    Subject {
        name: "sqlite_in_memory",
        open: || support::open("state.sqlite", &[("connectionString", ":memory:")]),
        gaps: &[],
    },
    #[cfg(feature = "sqlite")]
    Subject { name: "sqlite_without_wal", open: || support::sqlite_file(WITHOUT_WAL), gaps: &[] },
];

#[cfg(feature = "redis")]
const PAIR: &[(&str, &str)] = &[("readFrom", "replica"), ("strongReplicas", "1")];

#[cfg(feature = "redis")]
const CLUSTER: &[(&str, &str)] = &[("redisType", "cluster"), ("readFrom", "replica")];

/// With a rollback journal, readers and writers wait for each other, on a busy machine for longer
/// than the two seconds of the default.
#[cfg(feature = "sqlite")]
const WITHOUT_WAL: &[(&str, &str)] = &[("disableWAL", "true"), ("busyTimeout", "15s")];

fn main() -> ExitCode {
    state_testkit::run(SUBJECTS)
}
