use std::sync::Arc;

use state::Store;

use super::*;
use crate::{
    FailedCase,
    simulated::{SimulatedData, SimulatedStore, SimulatedTime},
};

fn judged(results: Vec<CaseResult>) -> Judgement {
    let data = SimulatedData::new(Arc::new(SimulatedTime::default()), 1, None);
    let store = SimulatedStore::open(&data);
    let guarantee = Guarantee::Values;
    let trials = results.into_iter().map(|result| Trial { guarantee, result }).collect();
    let evidence = Evidence { trials, ..Evidence::default() };
    let settings = Settings {
        store: "statestore".to_owned(),
        endpoints: Vec::new(),
        duration: Duration::ZERO,
        clients: 1,
        rate: 1,
        seed: 1,
        prefix: "verify-1".to_owned(),
        keeps_history: false,
    };
    let findings = evidence.judge(&settings, store.capabilities(), Duration::ZERO);
    findings.of(guarantee).expect("all are judged").clone()
}

fn passed() -> Vec<CaseResult> {
    (0..30).map(|_| CaseResult::Passed).collect()
}

#[test]
fn a_slow_store_is_not_accused() {
    assert_eq!(judged(passed()).standing, Standing::Holds);
    let late = [CaseResult::OutOfTime, CaseResult::OutOfTime];
    let found = judged(passed().into_iter().chain(late).collect());
    assert_eq!(found.standing, Standing::NotTested);
    assert_eq!(found.detail, "2 of 32 cases did not end in time");
}

#[test]
fn a_case_that_failed_counts_though_another_did_not_end() {
    let failed = FailedCase { name: "values::a".to_owned(), message: "it is gone".to_owned() };
    let results = vec![CaseResult::OutOfTime, CaseResult::Failed(failed)];
    let found = judged(results);
    assert_eq!((found.standing, found.broken), (Standing::Violated, 1));
}
