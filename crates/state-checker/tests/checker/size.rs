//! How short the counterexamples are, and how much is tried for a history.
//!
//! `cargo test --release -p state-checker --test checker size -- --nocapture` prints the figures.

use std::time::Instant;

use state_checker::{Limits, Record, Verdict, check_group};

use crate::simulation::{Defect, Plan, Random, TICK, run};

const SINGLE: Plan = Plan {
    clients: 5,
    operations: 300,
    keys: 1,
    pause_max: 5,
    unknown_percent: 2,
    transaction_percent: 0,
    ttl_percent: 0,
    limits: Limits { expiry_early_ns: 0, expiry_late_ns: 5 * TICK, tries_max: 1_000_000 },
    defect: None,
    defect_percent: 2,
};

/// Two keys, with all there is.
const JOINT: Plan = Plan { keys: 2, transaction_percent: 30, ttl_percent: 20, ..SINGLE };

/// How many operations the counterexamples show, in order.
fn sizes(plan: &Plan, histories: u64) -> Vec<usize> {
    let mut sizes = Vec::new();
    for seed in 1..=histories {
        let records = run(plan, &mut Random::new(seed));
        match check_group(&records, &plan.limits, &mut 0) {
            Verdict::Legal => {}
            Verdict::Illegal(violation) => sizes.push(violation.records.len()),
            Verdict::Exhausted => panic!("gave up on the history of {seed}"),
        }
    }
    sizes.sort_unstable();
    sizes
}

fn check_sizes(plan: Plan, defect: Defect) {
    let plan = Plan { defect: Some(defect), ..plan };
    let histories = if cfg!(debug_assertions) { 40 } else { 400 };
    let sizes = sizes(&plan, histories);
    let (median, max) = (sizes[sizes.len() / 2], sizes[sizes.len() - 1]);
    let found = sizes.len();
    println!("{defect:?}, {} keys: {found} of {histories}, median {median}, max {max}", plan.keys);
    assert!(median <= 6, "the median of {sizes:?} is above what can be read at a glance");
    assert!(max <= 21, "{sizes:?}");
}

#[test]
fn counterexamples_of_one_key_are_short() {
    check_sizes(SINGLE, Defect::StaleRead);
    check_sizes(SINGLE, Defect::LostWrite);
    check_sizes(SINGLE, Defect::BlindCas);
    check_sizes(SINGLE, Defect::FalseConflict);
    check_sizes(SINGLE, Defect::CreateRace);
}

#[test]
fn counterexamples_of_several_keys_are_short() {
    check_sizes(JOINT, Defect::StaleRead);
    check_sizes(JOINT, Defect::LostWrite);
    check_sizes(JOINT, Defect::BlindCas);
    check_sizes(JOINT, Defect::FalseConflict);
    check_sizes(JOINT, Defect::CreateRace);
    check_sizes(Plan { defect_percent: 20, ..JOINT }, Defect::HalfTransaction);
    check_sizes(Plan { defect_percent: 20, ..JOINT }, Defect::Immortal);
}

/// Judges histories of a correct store, and returns the tries for an operation.
fn tries(plan: &Plan, histories: u64) -> f64 {
    let histories: Vec<Vec<Record>> =
        (1..=histories).map(|it| run(plan, &mut Random::new(it))).collect();
    let (mut tries, mut most, mut operations) = (0, 0, 0);
    let started = Instant::now();
    for records in &histories {
        let before = tries;
        assert_eq!(check_group(records, &plan.limits, &mut tries), Verdict::Legal);
        most = most.max(tries - before);
        operations += records.len();
    }
    let speed = operations as f64 / started.elapsed().as_secs_f64();
    let tries = tries as f64 / operations as f64;
    let Plan { clients, keys, .. } = plan;
    println!(
        "{clients} clients, {keys} keys: {tries:.1} tries for an operation, at most {most} for a history; {speed:.0} operations/s"
    );
    tries
}

#[test]
fn clean_histories_take_few_tries() {
    let histories = if cfg!(debug_assertions) { 60 } else { 2000 };
    for plan in [SINGLE, JOINT] {
        assert!(tries(&Plan { clients: 3, ..plan.clone() }, histories) < 5.0);
        assert!(tries(&Plan { clients: 5, ..plan.clone() }, histories) < 10.0);
        tries(&Plan { clients: 10, ..plan }, histories / 4);
    }
}
