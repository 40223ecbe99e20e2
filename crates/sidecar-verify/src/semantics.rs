//! The cases of the contract, one request after the other.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use parking_lot::Mutex;
use state::{Key, Store};
use state_testkit::{Case, Fixture, OutOfTime, cases};

use crate::{
    FailedCase, Guarantee,
    confined::{Confined, Pace},
};

/// The cases, and what they have written.
#[derive(Debug)]
pub(crate) struct Semantics {
    fixture: Fixture,
    written: Arc<Mutex<BTreeSet<Key>>>,
    cases_at_once: usize,
}

/// How a case went, and what it is about.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) guarantee: Guarantee,
    pub(crate) result: CaseResult,
}

#[derive(Debug)]
pub(crate) enum CaseResult {
    Passed,
    Failed(FailedCase),
    /// Nobody knows how it would have ended.
    OutOfTime,
}

/// Most cases wait for an answer, or for a value to expire; more at once would crowd out those who
/// contend.
const CASES_AT_ONCE: u32 = 12;

/// How many requests a second a case must be able to make: some are about values that expire after a
/// second, and must not have to wait for that long.
const RATE_OF_A_CASE: u32 = 20;

/// The cases make some thousands of requests: slower, they would take for ever.
pub(crate) const RATE_MIN: u32 = 100;

/// Groups that say with force what the workload says with a rate, and cannot be told to be gentle. The second is there only
/// where tests are built together with us: its thousands of requests would crowd out the other cases.
const LEFT_OUT: &[&str] = &["races", "random"];

/// What the API that we speak has no room for.
const NOT_OVER_JSON: &[&str] = &[
    "every_byte_value_comes_back",
    "empty_value_is_not_an_absent_one",
    "opaque_json_comes_back_as_it_was",
];

impl Semantics {
    /// Cases on keys that begin with `prefix`, of which all together make about `rate` requests a
    /// second at most.
    pub(crate) fn new(stores: &[Arc<dyn Store>], prefix: &str, rate: u32) -> Semantics {
        let rate = rate.max(RATE_MIN);
        let pace = Pace::new(Duration::from_secs(1) / rate);
        let written = Arc::default();
        let confined = |it: &Arc<dyn Store>| -> Arc<dyn Store> {
            let prefix = format!("{prefix}-c-");
            Arc::new(Confined::new(it.clone(), &prefix, Arc::clone(&written), pace.clone()))
        };
        let store = confined(&stores[0]);
        let second = stores.get(1).map(confined);
        let fixture = Fixture { second, ..Fixture::new(store) };
        let cases_at_once = (rate / RATE_OF_A_CASE).clamp(1, CASES_AT_ONCE) as usize;
        Semantics { fixture, written, cases_at_once }
    }

    /// How many cases there are.
    pub(crate) fn len(&self) -> usize {
        self.cases().count()
    }

    /// Runs them all, and says after each how it went.
    pub(crate) async fn run(&self, mut done: impl FnMut(Trial)) {
        let trials = self.cases().map(|case| async move {
            let result = match case.run(&self.fixture).await {
                Ok(()) => CaseResult::Passed,
                Err(e) if e.is::<OutOfTime>() => CaseResult::OutOfTime,
                Err(e) => {
                    CaseResult::Failed(FailedCase { name: case.name(), message: format!("{e:#}") })
                }
            };
            Trial { guarantee: guarantee(&case), result }
        });
        let mut trials = stream::iter(trials).buffer_unordered(self.cases_at_once);
        while let Some(trial) = trials.next().await {
            done(trial);
        }
    }

    /// What the cases have written, and may have left behind.
    pub(crate) fn written(&self) -> Vec<Key> {
        self.written.lock().iter().cloned().collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::{SimulatedData, SimulatedStore, SimulatedTime};

    #[test]
    fn no_case_crowds_out_the_others() {
        let data = SimulatedData::new(Arc::new(SimulatedTime::default()), 1, None);
        let store: Arc<dyn Store> = Arc::new(SimulatedStore::open(&data));
        let semantics = Semantics::new(&[store.clone(), store], "verify-1", RATE_MIN);
        let groups: BTreeSet<_> = semantics.cases().map(|it| it.group()).collect();
        assert!(groups.contains("etag") && groups.contains("listing"), "{groups:?}");
        assert!(!groups.contains("races") && !groups.contains("random"), "{groups:?}");
    }
}
