//! Who tests the tester: mistakes that must be found, and a store that makes none.
//!
//! `cargo test -p sidecar-verify --release --test mutants -- --nocapture` prints how many histories
//! each mistake takes.

use std::{collections::BTreeMap, num::NonZero, thread};

use sidecar_verify::{Mutant, SelfTest, Trial, self_test, trial};
use state_checker::Invariant::{self, I1, I2, I3, I4, I5, I6, I7, I8, I11, I12};

/// How many histories there are for a mistake, as many as `self_test` has.
const HISTORIES_MAX: u32 = 64;

/// How many runs of the store without mistakes are judged, each with a group for every theme.
const CLEAN_RUNS: u64 = 1_000;

/// From how many seeds the table is made.
const SEEDS: u64 = if cfg!(debug_assertions) { 10 } else { 100 };

/// What each mistake may be accused of. It shows in several ways, and which is found first is
/// chance; the first one here is the most frequent.
fn expected(mutant: Mutant) -> &'static [Invariant] {
    match mutant {
        Mutant::WriteLost => &[I6, I1, I12, I7, I11, I8],
        Mutant::CasNotApplied => &[I1, I6, I12, I8],
        Mutant::StaleRead => &[I6, I5, I8, I12, I1, I7, I11],
        Mutant::EtagRestartsAfterDelete => &[I1, I4],
        Mutant::EtagRestartsWithProcess => &[I1, I4],
        Mutant::CreateRace => &[I7, I6, I12, I1, I8],
        Mutant::CasCreatesMissing => &[I1, I6, I8, I12, I7],
        Mutant::FirstWriteIgnored => &[I7, I6, I12, I1],
        Mutant::ConflictAfterSuccess => &[I2, I12, I6, I7, I8, I11],
        Mutant::RefusedWriteApplied => &[I2, I6, I7, I12],
        Mutant::DeleteNotDone => &[I6, I1, I12, I7],
        Mutant::DeleteIgnoresEtag => &[I1, I6, I7, I12, I8],
        Mutant::LateDuplicate => &[I4, I6, I7, I8, I12],
        Mutant::TransactionPartial => &[I8, I6, I1, I12, I7],
        Mutant::TransactionNotRolledBack => &[I2, I8, I6, I7, I12],
        Mutant::TransactionTorn => &[I8, I6, I1, I7, I12],
        Mutant::TransactionReordered => &[I8],
        Mutant::TtlKept => &[I6, I7, I11, I12],
        Mutant::TtlEarly => &[I11, I6],
        Mutant::TtlIgnored => &[I11],
        Mutant::ReplicaRead => &[I6, I5, I1, I12],
        Mutant::BulkConflictHidden => &[I1, I7, I6],
        Mutant::BulkAnswersSwapped => &[I1, I2, I4],
        Mutant::KeysMixedUp => &[I6, I3, I12, I1, I8],
    }
}

/// Runs one trial for each seed, on all processors.
fn trials(mutant: Option<Mutant>, seeds: u64, histories_max: u32) -> Vec<Trial> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get) as u64;
    let share = |first: u64| {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime without drivers needs nothing");
        let seeds = (first..=seeds).step_by(threads as usize);
        seeds.map(|it| runtime.block_on(trial(mutant, it, histories_max))).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let shares: Vec<_> = (1..=threads).map(|it| scope.spawn(move || share(it))).collect();
        shares.into_iter().flat_map(|it| it.join().expect("no trial panics")).collect()
    })
}

#[tokio::test]
async fn every_mutant_is_caught_within_64_histories_for_each_of_ten_seeds() {
    for seed in 1..=10 {
        let result: SelfTest = self_test(seed, |_| {}).await;
        assert!(result.is_passed(), "{result}");
        assert_eq!(result.histories_max, HISTORIES_MAX);
    }
}

#[test]
fn the_clean_store_is_never_accused() {
    let trials = trials(None, CLEAN_RUNS, 6);
    for trial in &trials {
        assert!(trial.is_right(), "{trial:?}");
    }
    let operations: usize = trials.iter().map(|it| it.operations).sum();
    let unknown: usize = trials.iter().map(|it| it.unknown).sum();
    let histories: u32 = trials.iter().map(|it| it.histories).sum();
    println!(
        "no mistake: {histories} histories of {CLEAN_RUNS} runs, {operations} operations, \
         {unknown} of them with an unknown outcome; none accused, none without a verdict"
    );
    assert!(unknown * 100 > operations, "too few outcomes are unknown");
}

#[test]
fn mutants_are_accused_of_what_they_do() {
    let mut table = String::from(
        "| mistake | rate | found in history: median | 90 % | last | by | what it does |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for mutant in Mutant::ALL {
        let trials = trials(Some(mutant), SEEDS, HISTORIES_MAX);
        let escaped = trials.iter().filter(|it| !it.is_right()).count();
        assert_eq!(escaped, 0, "{mutant} has escaped with {escaped} of {SEEDS} seeds");
        let mut histories: Vec<u32> = trials.iter().map(|it| it.histories).collect();
        histories.sort_unstable();
        let mut found: BTreeMap<Invariant, usize> = BTreeMap::new();
        for violation in trials.iter().filter_map(|it| it.violation.as_ref()) {
            *found.entry(violation.invariant).or_default() += 1;
        }
        let unexpected: usize =
            found.iter().filter(|(it, _)| !expected(mutant).contains(it)).map(|(_, n)| n).sum();
        assert!(unexpected * 20 <= trials.len(), "{mutant} is accused of {found:?}");
        let mut by: Vec<_> = found.into_iter().collect();
        by.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let by: Vec<_> = by.iter().map(|(it, count)| format!("{it} {count}")).collect();
        let [median, most, last] = [50, 90, 100]
            .map(|percent| histories[(histories.len() * percent).div_ceil(100).max(1) - 1]);
        let rate = f64::from(mutant.per_mille()) / 10.0;
        table += &format!(
            "| `{mutant}` | {rate} % | {median} | {most} | {last} | {} | {} |\n",
            by.join(", "),
            mutant.description()
        );
    }
    println!("{SEEDS} seeds, from 1, and {HISTORIES_MAX} histories at most for each:\n{table}");
}
