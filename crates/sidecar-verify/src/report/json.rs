use serde::Serialize;
use state_checker::{Invariant, Record, Violation};

use crate::{AuditLine, FailedCase, Findings, Guarantee, Judgement, Standing};

/// The form that [`super::json`] promises. Written out, so that a change of our own types does not
/// change it unseen.
#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    store: &'a str,
    endpoints: &'a [String],
    seed: String,
    prefix: &'a str,
    seconds: f64,
    operations: u64,
    histories: u64,
    unknown: u64,
    faults: u64,
    interrupted: bool,
    audit: &'a [AuditLine],
    judgements: Vec<Judged<'a>>,
    limits: &'a [String],
}

#[derive(Serialize)]
struct Judged<'a> {
    guarantee: Guarantee,
    title: &'static str,
    standing: Standing,
    detail: &'a str,
    operations: u64,
    contended: u64,
    broken: u64,
    violations: Vec<Counterexample<'a>>,
    failed_cases: &'a [FailedCase],
}

#[derive(Serialize)]
struct Counterexample<'a> {
    invariant: Invariant,
    promise: &'static str,
    summary: &'a str,
    group: u32,
    unexplaining: usize,
    records: &'a [Record],
}

pub(super) fn render(findings: &Findings) -> String {
    let document = Document {
        format: findings.format,
        store: &findings.store,
        endpoints: &findings.endpoints,
        seed: findings.seed.to_string(),
        prefix: &findings.prefix,
        seconds: findings.seconds,
        operations: findings.operations,
        histories: findings.histories,
        unknown: findings.unknown,
        faults: findings.faults,
        interrupted: findings.interrupted,
        audit: &findings.audit,
        judgements: findings.judgements.iter().map(judged).collect(),
        limits: &findings.limits,
    };
    let mut text = serde_json::to_string_pretty(&document).expect("all of its keys are texts");
    text.push('\n');
    text
}

fn judged(judgement: &Judgement) -> Judged<'_> {
    Judged {
        guarantee: judgement.guarantee,
        title: judgement.guarantee.title(),
        standing: judgement.standing,
        detail: &judgement.detail,
        operations: judgement.operations,
        contended: judgement.contended,
        broken: judgement.broken,
        violations: judgement.violations.iter().map(counterexample).collect(),
        failed_cases: &judgement.failed_cases,
    }
}

fn counterexample(violation: &Violation) -> Counterexample<'_> {
    Counterexample {
        invariant: violation.invariant,
        promise: violation.invariant.promise(),
        summary: &violation.summary,
        group: violation.group,
        unexplaining: violation.unexplaining,
        records: &violation.records,
    }
}

#[cfg(test)]
mod tests;
