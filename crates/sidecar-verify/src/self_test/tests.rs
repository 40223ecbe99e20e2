use super::*;

/// The histories of the store with this mistake, and how they end.
async fn histories(mutant: Option<Mutant>, seed: u64, groups: u32) -> String {
    let time = Arc::new(SimulatedTime::default());
    let workload = workload(&time, mutant, seed, groups);
    let histories = time.drive(workload.run()).await;
    serde_json::to_string(&histories).expect("they are plain data")
}

#[tokio::test]
async fn a_seed_gives_the_same_history_byte_for_byte() {
    for mutant in [None, Some(Mutant::CreateRace), Some(Mutant::LateDuplicate)] {
        assert_eq!(histories(mutant, 7, 6).await, histories(mutant, 7, 6).await);
    }
    assert_ne!(histories(None, 7, 6).await, histories(None, 8, 6).await);
}

#[tokio::test]
async fn a_trial_ends_with_the_first_violation() {
    let trial = trial(Some(Mutant::FirstWriteIgnored), 1, 64).await;
    assert!(trial.is_right());
    assert!(trial.histories < 64);
    assert_eq!(trial.violation.map(|it| it.group + 1), Some(trial.histories));
}

#[tokio::test]
async fn the_self_test_passes_and_tells_of_every_mutant() {
    let mut told = 0;
    let result = self_test(1, |_| told += 1).await;
    assert!(result.is_passed(), "{result}");
    assert_eq!(told, Mutant::ALL.len() + 1);
    let json = serde_json::to_value(&result).expect("it is plain data");
    assert_eq!(json["escaped"], serde_json::json!([]));
    assert_eq!(json["mutants"][0]["mutant"], "write-lost");
}

#[tokio::test]
async fn an_escaped_mutant_fails_the_self_test() {
    let mut result = self_test(1, |_| {}).await;
    result.mutants[0].violation = None;
    assert!(!result.mutants[0].is_right());
    result.escaped.push(Mutant::WriteLost);
    assert!(!result.is_passed());
}

#[tokio::test]
async fn a_history_without_a_verdict_fails_the_clean_store() {
    let mut clean = trial(None, 1, 1).await;
    assert!(clean.is_right());
    clean.exhausted.push(0);
    assert!(!clean.is_right());
}
