//! A layer must not change what a store means: every case, through the whole stack.

use std::{process::ExitCode, sync::Arc};

use state::Store;
use state_layers::{Guarded, Observed, Plan, Prefixed, stack};
use state_testkit::{Fixture, Opening, Subject};

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
];

fn main() -> ExitCode {
    state_testkit::run(SUBJECTS)
}

fn plan() -> Plan {
    Plan { component: "test".to_owned(), key_prefix: "app||".to_owned(), observer: None }
}

fn over_memory(layer: fn(Arc<dyn Store>) -> Arc<dyn Store>) -> Opening {
    Box::pin(async move {
        let driver = state_stores::driver("state.in-memory").ok_or("not in this build")?;
        let store = layer((driver.open)(state_config::Properties::default()).await?);
        Ok(Fixture::new(store))
    })
}
