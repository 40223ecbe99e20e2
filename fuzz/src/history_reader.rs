//! The text of a history: what clients asked of a store, and what it answered.

use state_checker::{History, Limits, Report, check};

/// What can be read is written as it was read, and judged without end or panic: the same again, and
/// the same in any order of the lines.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let history = match History::read(text) {
        Ok(it) => it,
        Err(e) => {
            assert!(e.to_string().starts_with("line "), "{e}");
            return;
        }
    };
    let written = write(&history);
    let again = History::read(&written).expect("what was written can be read");
    assert_eq!(again, history);
    assert_eq!(write(&again), written);
    check_judgement(history);
}

/// Few tries, so that no input takes long.
const LIMITS: Limits =
    Limits { expiry_early_ns: 0, expiry_late_ns: 1_500_000_000, tries_max: 1_000 };

fn check_judgement(mut history: History) {
    let report = check(&history, &LIMITS);
    let again = check(&history, &LIMITS);
    assert_eq!(
        (again.tries, &again.exhausted, illegal(&again)),
        (report.tries, &report.exhausted, illegal(&report))
    );
    assert_eq!(report.operations, history.records.len());
    for violation in &report.violations {
        assert!(!violation.summary.is_empty() && !violation.records.is_empty(), "{violation:?}");
        assert!(violation.records.iter().all(|it| history.records.contains(it)), "{violation:?}");
        assert!(violation.records.iter().all(|it| it.group == violation.group), "{violation:?}");
        let part = History { records: violation.records.clone(), ..history.clone() };
        assert!(!check(&part, &LIMITS).is_clean(), "it shows nothing: {violation:?}");
    }
    history.records.reverse();
    let reversed = check(&history, &LIMITS);
    if report.exhausted.is_empty() && reversed.exhausted.is_empty() {
        assert_eq!(illegal(&report), illegal(&reversed), "{report:?}\n{reversed:?}");
    }
}

/// The groups that are not as they may be.
fn illegal(report: &Report) -> Vec<u32> {
    report.violations.iter().map(|it| it.group).collect()
}

fn write(history: &History) -> String {
    let mut text = Vec::new();
    history.write(&mut text).expect("a buffer takes anything");
    String::from_utf8(text).expect("JSON is UTF-8")
}
