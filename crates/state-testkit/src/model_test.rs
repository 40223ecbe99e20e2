use anyhow::{Result, anyhow, bail};
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use tokio::{runtime, task};

use crate::{
    Opening,
    scope::{Scope, Way},
};
use comparison::Comparison;

mod comparison;
mod request;

/// Runs `sequences` random sequences of requests against what `open` gives, opened once, and
/// compares every answer and what is left with those of the [`Model`](crate::Model).
///
/// # Panics
///
/// If one differs, with the shortest sequence found that still does.
pub fn check_model(sequences: u32, open: fn() -> Opening) {
    let runtime = runtime::Runtime::new().expect("threads can be started");
    let outcome = runtime.block_on(async {
        let fixture = open().await.map_err(|e| anyhow!("cannot open: {e}"))?;
        sequences_agree(&Scope::new(&fixture, Way::Single, "model"), sequences)
    });
    if let Err(e) = outcome {
        panic!("{e:#}");
    }
}

/// As [`check_model`], within a scope and a multi-threaded runtime.
pub(crate) fn sequences_agree(it: &Scope, sequences: u32) -> Result<()> {
    // A failure is reported at once and whole, so there is no need to keep files about it.
    let config = Config { cases: sequences, failure_persistence: None, ..Config::default() };
    let requests = request::sequences(it.capabilities());
    let outcome = TestRunner::new(config).run(&requests, |requests| {
        let agree = Comparison::new(it).run(&requests);
        let outcome = task::block_in_place(|| runtime::Handle::current().block_on(agree));
        outcome.map_err(|e| TestCaseError::fail(format!("{e:#}")))
    });
    match outcome {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, requests)) => bail!("{reason}\nin {requests:#?}"),
        Err(TestError::Abort(reason)) => bail!("no sequence could be made: {reason}"),
    }
}
