//! A layer must not change what a store means: every case, through the whole stack.

use std::{process::ExitCode, sync::Arc, time::Duration};

use state::Store;
use state_config::{Breaker, Pauses, Policy, Retry, Trip};
use state_layers::{Encrypted, Guarded, Observed, Plan, Prefixed, Resilient, WrittenForm, stack};
use state_testkit::{Fixture, Opening, Subject};

mod encryption;

use encryption::{encrypted, encryption};

static SUBJECTS: &[Subject] = &[
    Subject { name: "stack", open: || over_memory(|it| stack(it, plan())), gaps: &[] },
    Subject {
        name: "prefixed",
        open: || over_memory(|it| Arc::new(Prefixed::new(it, "app||".to_owned()))),
        gaps: &[],
    },
    Subject {
        name: "guarded",
        open: || over_memory(|inner| Arc::new(Guarded { inner })),
        gaps: &[],
    },
    Subject {
        name: "observed",
        open: || {
            over_memory(|inner| {
                Arc::new(Observed { inner, component: "test".to_owned(), observer: None })
            })
        },
        gaps: &[],
    },
    Subject {
        name: "encrypted_stack",
        open: || over_memory(|it| stack(it, Plan { encryption: Some(encryption()), ..plan() })),
        gaps: &[],
    },
    Subject {
        name: "encrypted",
        open: || over_memory(|it| Arc::new(Encrypted::new(it, "test", &encryption()))),
        gaps: &[],
    },
    Subject {
        name: "encrypted_as_by_dapr",
        open: || over_memory(|it| encrypted(it, WrittenForm::Dapr)),
        gaps: &[],
    },
    Subject { name: "encrypted_sqlite", open: encryption::sqlite, gaps: &[] },
    Subject { name: "encrypted_redis", open: encryption::redis, gaps: &[] },
    Subject {
        name: "encrypted_postgresql_v1",
        open: || encryption::postgresql("v1", WrittenForm::Dapr),
        gaps: &[],
    },
    Subject {
        name: "encrypted_postgresql_v2",
        open: || encryption::postgresql("v2", WrittenForm::Steadfast),
        gaps: &[],
    },
    Subject { name: "encrypted_mysql", open: encryption::mysql, gaps: &[] },
    Subject { name: "encrypted_etcd", open: encryption::etcd, gaps: &[] },
    Subject { name: "resilient", open: || over_memory(resilient), gaps: &[] },
];

fn main() -> ExitCode {
    state_testkit::run(SUBJECTS)
}

fn plan() -> Plan {
    Plan { component: "test".to_owned(), key_prefix: "app||".to_owned(), ..Plan::default() }
}

/// With all three policies. The breaker must not count conflicts, of which the cases make many.
fn resilient(inner: Arc<dyn Store>) -> Arc<dyn Store> {
    let minute = Duration::from_secs(60);
    let policy = Policy {
        resource: "test".to_owned(),
        timeout: Some(minute),
        retry: Some(Retry { pauses: Pauses::Constant(minute), max: None }),
        breaker: Some(Breaker {
            name: "test".to_owned(),
            max_requests: 1,
            interval: None,
            timeout: minute,
            trip: Trip::parse("totalFailures > 0").expect("it is a condition"),
        }),
    };
    Arc::new(Resilient::new(inner, "test".to_owned(), policy, Default::default(), None))
}

fn over_memory(layer: fn(Arc<dyn Store>) -> Arc<dyn Store>) -> Opening {
    Box::pin(async move {
        let driver = state_stores::driver("state.in-memory").ok_or("not in this build")?;
        let store = layer((driver.open)(state_config::Properties::default()).await?);
        Ok(Fixture::new(store))
    })
}
