//! What became of all the records, and what is said of it.

use serde::Serialize;
use state::{Error, FailureKind};

use super::placing::Placed;
use crate::FAILURE;

/// How many records are told of one by one.
const PROBLEMS_MAX: usize = 100;

/// How many records went which way.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tally {
    /// Whether the end of what was to be read was reached.
    pub(super) complete: bool,
    pub(super) created: u64,
    pub(super) unchanged: u64,
    pub(super) overwritten: u64,
    pub(super) skipped: u64,
    pub(super) existing: u64,
    pub(super) changed: u64,
    pub(super) expired: u64,
    pub(super) failed: u64,
    pub(super) bad_lines: u64,
    /// Why some are not there, for the first hundred.
    pub(super) problems: Vec<String>,
    /// Whether more were left out.
    more_problems: bool,
    /// Stores make ETags of their own: those of the records are gone.
    etags: &'static str,
}

impl Tally {
    pub(super) fn new() -> Tally {
        Tally { etags: "new", ..Tally::default() }
    }

    /// Counts a record. Returns why there is no point in going on, if there is none.
    pub(super) fn count(&mut self, place: &str, placed: Placed) -> Option<Error> {
        match placed {
            Placed::Created => self.created += 1,
            Placed::Same => self.unchanged += 1,
            Placed::Overwritten => self.overwritten += 1,
            Placed::Skipped => self.skipped += 1,
            Placed::Expired => self.expired += 1,
            Placed::Exists => {
                self.existing += 1;
                self.problem(format!(
                    "{place}: another value is there already, and stays; --if-exists says what to do then"
                ));
            }
            Placed::Changed => {
                self.changed += 1;
                self.problem(format!(
                    "{place}: somebody else changed it meanwhile, and that stays"
                ));
            }
            Placed::Failed(e) => {
                self.failed += 1;
                self.problem(format!("{place}: {}: {e}", e.outcome().name()));
                return is_hopeless(&e).then_some(e);
            }
        }
        None
    }

    /// Counts a line that is not a record.
    pub(super) fn bad_line(&mut self, place: &str, why: &str) {
        self.bad_lines += 1;
        self.problem(format!("{place}: {why}"));
    }

    fn problem(&mut self, text: String) {
        if self.problems.len() >= PROBLEMS_MAX {
            self.more_problems = true;
            return;
        }
        super::progress::clear();
        anstream::eprintln!("{text}");
        self.problems.push(text);
    }

    /// What is said at the end.
    pub(super) fn summary(&self) -> String {
        let mut parts = vec![format!("{} created", self.created)];
        for (count, words) in [
            (self.unchanged, "there already"),
            (self.overwritten, "overwritten"),
            (self.skipped, "skipped"),
            (self.existing, "not saved because of another value"),
            (self.changed, "not saved because of a change meanwhile"),
            (self.expired, "left out because they have expired"),
            (self.failed, "failed"),
            (self.bad_lines, "bad lines"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {words}"));
            }
        }
        if self.more_problems {
            parts.push(format!("only the first {PROBLEMS_MAX} problems are shown"));
        }
        if self.created + self.overwritten > 0 {
            parts.push("what was saved has new ETags".to_owned());
        }
        if !self.complete {
            parts.push("NOT COMPLETE".to_owned());
        }
        parts.join("; ")
    }

    /// Zero if everything is where it should be.
    pub(super) fn code(&self) -> u8 {
        let wrong = self.existing + self.changed + self.failed + self.bad_lines;
        if self.complete && wrong == 0 { 0 } else { FAILURE }
    }
}

/// Whether the next record would fail, too.
fn is_hopeless(e: &Error) -> bool {
    let Error::Failure(failure) = e else { return false };
    match failure.kind() {
        FailureKind::Unavailable | FailureKind::Overloaded | FailureKind::Lost => true,
        FailureKind::Invalid
        | FailureKind::InvalidETag
        | FailureKind::Unsupported(_)
        | FailureKind::TooManyOperations { .. }
        | FailureKind::Corrupt => false,
    }
}
