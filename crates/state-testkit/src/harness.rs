use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime;

use crate::{Case, Fixture, Opening, cases};

/// Something to run the cases against.
#[derive(Debug)]
pub struct Subject {
    /// What trials of it are called.
    pub name: &'static str,
    /// Opens a store, fresh or shared with other cases, or says why it cannot.
    pub open: fn() -> Opening,
    /// Cases it is known to fail, each with the reason: either the name of the case, which
    /// stands for all the ways in which it is run, or `group::case`.
    pub gaps: &'static [(&'static str, &'static str)],
}

/// How many trials run at once unless `--test-threads` says otherwise: more than there are cores,
/// because the cases about expiry do nothing but wait.
const TRIALS_AT_ONCE: usize = 16;

/// Workers of each trial. More than the cores of a small machine, so that the kernel interrupts
/// the tasks of a race where they would not yield.
const WORKERS: usize = 4;

/// The `main` of a conformance test target: one trial `subject::group::case` per subject and
/// case that is about it, with the arguments of an ordinary test target.
///
/// A subject that cannot be opened fails, so nothing goes green because a database did not start.
/// A known gap is reported as ignored, together with its reason.
///
/// # Panics
///
/// If a gap names no case.
pub fn run(subjects: &'static [Subject]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TRIALS_AT_ONCE);
    let trials = subjects.iter().flat_map(trials).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials(subject: &'static Subject) -> Vec<Trial> {
    for (gap, _) in subject.gaps {
        assert!(cases().any(|it| it.is_called(gap)), "no case is called {gap}");
    }
    match with_fixture(subject, async |it| cases().filter(|case| case.is_about(&it)).collect()) {
        Ok(cases) => Vec::into_iter(cases).map(|case| trial(subject, case)).collect(),
        Err(e) => vec![Trial::test(format!("{}::opens", subject.name), || Err(e))],
    }
}

fn trial(subject: &'static Subject, case: Case) -> Trial {
    let name = format!("{}::{}", subject.name, case.name());
    let trial = Trial::test(name, move || {
        let outcome = with_fixture(subject, async |it| case.run(&it).await)?;
        outcome.map_err(|e| Failed::from(format!("{e:#}")))
    });
    match subject.gaps.iter().find(|(gap, _)| case.is_called(gap)) {
        Some((_, reason)) => trial.with_kind(format!("gap: {reason}")).with_ignored_flag(true),
        None => trial,
    }
}

fn with_fixture<T>(subject: &Subject, f: impl AsyncFnOnce(Fixture) -> T) -> Result<T, Failed> {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    runtime?.block_on(async {
        let fixture = (subject.open)().await.map_err(|e| format!("cannot open: {e}"))?;
        Ok(f(fixture).await)
    })
}
