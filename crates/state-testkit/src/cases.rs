use std::{error, fmt, time::Duration};

use anyhow::Result;
use futures::future::BoxFuture;
use state::Capabilities;
use tokio::time;

use crate::{
    Fixture,
    scope::{Scope, Way},
};

mod basic;
mod bulk;
mod bytes;
mod etag;
mod keys;
mod listing;
mod races;
#[cfg(feature = "harness")]
mod random;
mod refusals;
mod transaction;
mod ttl;

/// One clause of the contract, put to a store in one way.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    group: &'static Group,
    clause: &'static Clause,
    way: Way,
}

/// Clauses about one thing.
#[derive(Debug)]
struct Group {
    name: &'static str,
    /// In which ways each clause is run.
    ways: &'static [Way],
    /// What a store must be able to do for the clauses to be about it.
    needs: fn(&Capabilities) -> bool,
    clauses: &'static [Clause],
}

#[derive(Debug)]
struct Clause {
    name: &'static str,
    run: fn(Scope) -> BoxFuture<'static, Result<()>>,
}

/// Every group, in reading order.
static GROUPS: &[&[Group]] = &[
    basic::GROUPS,
    bytes::GROUPS,
    keys::GROUPS,
    etag::GROUPS,
    ttl::GROUPS,
    bulk::GROUPS,
    transaction::GROUPS,
    listing::GROUPS,
    races::GROUPS,
    refusals::GROUPS,
    #[cfg(feature = "harness")]
    random::GROUPS,
];

/// The ways for a clause about one write: it means the same in all of them.
const EVERY_WAY: &[Way] = &[Way::Single, Way::Bulk, Way::Transaction, Way::TwoInstances];

/// The way for a clause that says itself what is sent.
const ONE_WAY: &[Way] = &[Way::Single];

/// The longest a case may take: a store that hangs fails, like any other.
const CASE_TIME_MAX: Duration = Duration::from_secs(60);

/// A case has taken too long: the store hangs, or is slow. Which promises it keeps is not known.
#[derive(Clone, Copy, Debug)]
pub struct OutOfTime;

impl fmt::Display for OutOfTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store has not answered within {CASE_TIME_MAX:?}")
    }
}

impl error::Error for OutOfTime {}

/// What the clauses of a group are called, and the functions of the same names.
macro_rules! clauses {
    ($($name:ident),* $(,)?) => {
        &[$($crate::cases::Clause {
            name: stringify!($name),
            run: |it| Box::pin(async move { $name(&it).await }),
        }),*]
    };
}
use clauses;

/// Every case, in reading order.
pub fn cases() -> impl Iterator<Item = Case> {
    GROUPS.iter().copied().flatten().flat_map(|group| {
        group.ways.iter().flat_map(move |way| {
            group.clauses.iter().map(move |clause| Case { group, clause, way: *way })
        })
    })
}

impl Case {
    /// `group::case`, for example `etag_in_bulk::stale_put_conflicts`.
    pub fn name(&self) -> String {
        format!("{}{}::{}", self.group.name, self.way.suffix(), self.clause.name)
    }

    /// What it is about, for example `etag`.
    pub fn group(&self) -> &'static str {
        self.group.name
    }

    /// Whether it goes by `name`: that of the clause, which means every way, or `group::case`.
    pub fn is_called(&self, name: &str) -> bool {
        self.clause.name == name || self.name() == name
    }

    /// Whether it is about a store like this: one with the capabilities, and the second instance,
    /// that it needs.
    pub fn is_about(&self, fixture: &Fixture) -> bool {
        (self.group.needs)(fixture.store.capabilities()) && self.way.is_open(fixture)
    }

    /// Runs it, and fails with what was promised and not kept.
    ///
    /// # Errors
    ///
    /// [`OutOfTime`] if that is not known after a minute.
    pub async fn run(&self, fixture: &Fixture) -> Result<()> {
        let scope = Scope::new(fixture, self.way, self.clause.name);
        let run = time::timeout(CASE_TIME_MAX, (self.clause.run)(scope));
        run.await.map_err(|_| OutOfTime)?
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_case_has_a_name_of_its_own() {
        let names: HashSet<_> = cases().map(|it| it.name()).collect();
        assert_eq!(names.len(), cases().count());
    }

    #[test]
    fn a_case_goes_by_the_name_of_its_clause_or_its_own() {
        let ways = |name| cases().filter(|it| it.is_called(name)).count();
        assert_eq!(ways("stale_put_conflicts"), EVERY_WAY.len());
        assert_eq!(ways("etag_in_bulk::stale_put_conflicts"), 1);
        assert_eq!(ways("etag_in_bulk"), 0);
    }
}
