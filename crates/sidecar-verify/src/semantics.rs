//! The cases of the contract, one request after the other.

use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt, stream};
use parking_lot::Mutex;
use state::{Key, Store, Write};
use state_testkit::{Case, Fixture, cases};

use crate::{FailedCase, Guarantee, confined::Confined};

/// The cases, and what they have left behind.
#[derive(Debug)]
pub(crate) struct Semantics {
    fixture: Fixture,
    written: Arc<Mutex<BTreeSet<Key>>>,
    inner: Arc<dyn Store>,
}

/// How a case went, and what it is about.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) guarantee: Guarantee,
    pub(crate) failure: Option<FailedCase>,
}

/// Most cases wait for an answer, or for a value to expire; more at once would crowd out those who
/// contend.
const CASES_AT_ONCE: usize = 12;

/// Groups that say with force what the workload says with a rate, and cannot be told to be gentle.
const LEFT_OUT: &[&str] = &["races"];

/// What the API that we speak has no room for.
const NOT_OVER_JSON: &[&str] = &[
    "every_byte_value_comes_back",
    "empty_value_is_not_an_absent_one",
    "opaque_json_comes_back_as_it_was",
];

impl Semantics {
    /// Cases on keys that begin with `prefix`.
    pub(crate) fn new(stores: &[Arc<dyn Store>], prefix: &str) -> Semantics {
        let written = Arc::default();
        let confined = |it: &Arc<dyn Store>| -> Arc<dyn Store> {
            Arc::new(Confined::new(it.clone(), &format!("{prefix}-c-"), Arc::clone(&written)))
        };
        let store = confined(&stores[0]);
        let second = stores.get(1).map(confined);
        let fixture = Fixture { second, ..Fixture::new(store) };
        Semantics { fixture, written, inner: stores[0].clone() }
    }

    /// How many cases there are.
    pub(crate) fn len(&self) -> usize {
        self.cases().count()
    }

    /// Runs them all, and says after each how it went.
    pub(crate) async fn run(&self, mut done: impl FnMut(Trial)) {
        let trials = self.cases().map(|case| async move {
            let failure = case.run(&self.fixture).await.err();
            let failure =
                failure.map(|e| FailedCase { name: case.name(), message: format!("{e:#}") });
            Trial { guarantee: guarantee(&case), failure }
        });
        let mut trials = stream::iter(trials).buffer_unordered(CASES_AT_ONCE);
        while let Some(trial) = trials.next().await {
            done(trial);
        }
    }

    /// Removes what the cases have left behind; returns how much could not be removed.
    pub(crate) async fn clean_up(&self) -> usize {
        let keys: Vec<Write> = self.written.lock().iter().cloned().map(Write::delete).collect();
        let mut left = 0;
        for keys in keys.chunks(CASES_AT_ONCE) {
            let answers = self.inner.write_many(keys).await;
            left += answers.iter().filter(|it| it.is_err()).count();
        }
        left
    }

    fn cases(&self) -> impl Iterator<Item = Case> {
        let is_left_out = |it: &Case| {
            LEFT_OUT.contains(&it.group()) || NOT_OVER_JSON.iter().any(|name| it.is_called(name))
        };
        cases().filter(|it| it.is_about(&self.fixture)).filter(move |it| !is_left_out(it))
    }
}

/// The guarantee that a case is about.
fn guarantee(case: &Case) -> Guarantee {
    match case.group() {
        "etag" => Guarantee::FirstWrite,
        "transaction" => Guarantee::Tx,
        "ttl" => Guarantee::Ttl,
        "bulk" => Guarantee::Bulk,
        _ => Guarantee::Values,
    }
}
