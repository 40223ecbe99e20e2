//! What sessions have come to, added up.

use std::time::Duration;

use serde_json::json;

use crate::session::Seen;

/// What all sessions of one kind have come to.
#[derive(Debug, Default)]
pub(super) struct Totals {
    sessions: u64,
    operations: u64,
    histories: u64,
    faults: u64,
    unknown: u64,
    not_applied: u64,
    anomalies: u64,
    declared: u64,
    counted: u64,
    lost: u64,
    given_up: u64,
    dead: u64,
    void: u64,
    recovery: Duration,
    succession: Duration,
}

impl Totals {
    pub(super) const HEAD: &str = "| cell | sessions | operations | histories | faults | unknown | not applied | \
                                   anomalies | declared | counted up | lost | given up | not back | void | \
                                   slowest recovery | slowest succession |\n\
                                   |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|";

    pub(super) fn add(&mut self, seen: &Seen) {
        self.sessions += 1;
        // What a session saw that proves nothing must not seem to prove something.
        if seen.void.is_none() {
            self.operations += seen.report.operations as u64;
            self.histories += seen.report.groups as u64;
            self.faults += seen.faults;
            self.unknown += seen.unknown;
            self.not_applied += seen.not_applied;
            self.counted += seen.counted;
        }
        self.anomalies += seen.report.violations.len() as u64;
        self.declared += seen.declared.len() as u64;
        self.lost += seen.lost.len() as u64;
        self.given_up += seen.report.exhausted.len() as u64;
        self.dead += seen.dead.len() as u64;
        self.void += u64::from(seen.void.is_some());
        self.recovery = self.recovery.max(seen.recovery);
        self.succession = self.succession.max(seen.succession);
    }

    pub(super) fn merge(&mut self, other: &Totals) {
        self.sessions += other.sessions;
        self.operations += other.operations;
        self.histories += other.histories;
        self.faults += other.faults;
        self.unknown += other.unknown;
        self.not_applied += other.not_applied;
        self.anomalies += other.anomalies;
        self.declared += other.declared;
        self.counted += other.counted;
        self.lost += other.lost;
        self.given_up += other.given_up;
        self.dead += other.dead;
        self.void += other.void;
        self.recovery = self.recovery.max(other.recovery);
        self.succession = self.succession.max(other.succession);
    }

    /// Whether something was seen that must not be.
    pub(super) fn is_wrong(&self) -> bool {
        self.anomalies + self.lost + self.dead + self.given_up > 0
    }

    /// Whether something was not proven.
    pub(super) fn is_void(&self) -> bool {
        self.void > 0
    }

    pub(super) fn row(&self, name: &str) -> String {
        let succession = match self.succession {
            Duration::ZERO => "-".to_owned(),
            it => format!("{} ms", it.as_millis()),
        };
        format!(
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} ms | {succession} |",
            self.sessions,
            self.operations,
            self.histories,
            self.faults,
            self.unknown,
            self.not_applied,
            self.anomalies,
            self.declared,
            self.counted,
            self.lost,
            self.given_up,
            self.dead,
            self.void,
            self.recovery.as_millis()
        )
    }

    pub(super) fn json(&self, name: &str) -> serde_json::Value {
        json!({
            "name": name,
            "sessions": self.sessions,
            "operations": self.operations,
            "histories": self.histories,
            "faults": self.faults,
            "unknown": self.unknown,
            "notApplied": self.not_applied,
            "anomalies": self.anomalies,
            "declaredAnomalies": self.declared,
            "countedUp": self.counted,
            "lost": self.lost,
            "givenUp": self.given_up,
            "notBack": self.dead,
            "void": self.void,
            "slowestRecoveryMs": self.recovery.as_millis() as u64,
            "slowestSuccessionMs": self.succession.as_millis() as u64,
        })
    }
}
