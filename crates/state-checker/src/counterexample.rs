//! From a history that is not allowed to the shortest part of it that shows why.
//!
//! Nothing is left out that could explain what was seen: each way of shortening keeps every order
//! that the longer history had, so what is left is as impossible as the whole.

use std::collections::HashSet;

use crate::{
    Invariant, Record, Violation,
    model::{Claim, Content, Edit, Need, State},
    search::{Found, search},
    steps::Step,
};

/// Shortens `steps`, the steps of `records`, for which there is no order.
pub(crate) fn of(records: &[Record], steps: Vec<Step>, tries_max: u64) -> Violation {
    let shortener = Shortener { tries_max };
    let end = shortener.end(&steps);
    let accused = steps.iter().find(|it| it.to == Some(end)).cloned();
    let (start, steps) = shortener.later(until(&steps, end));
    let steps = shortener.without_looks(start, steps);
    let steps = shortener.without_unseen(start, steps);
    let (invariant, summary) = shortener.describe(start, &steps, accused.as_ref());

    let mentioned: HashSet<Content> = steps.iter().flat_map(|it| mentions(&it.claim)).collect();
    let (shown, hidden): (Vec<_>, Vec<_>) =
        steps.iter().partition(|it| it.to.is_some() || explains(&it.claim, &mentioned));
    let indices: HashSet<usize> = shown.iter().map(|it| it.record).collect();
    let unexplaining: HashSet<usize> =
        hidden.iter().map(|it| it.record).filter(|it| !indices.contains(it)).collect();
    let mut shown: Vec<Record> = indices.into_iter().map(|it| records[it].clone()).collect();
    shown.sort_by_key(|it| (it.called, it.process));
    let group = records.first().map_or(0, |it| it.group);
    Violation { invariant, group, summary, records: shown, unexplaining: unexplaining.len() }
}

struct Shortener {
    tries_max: u64,
}

impl Shortener {
    fn is_impossible(&self, start: State, steps: &[Step]) -> bool {
        search(steps, start, self.tries_max, &mut 0) == Found::NoOrder
    }

    /// The first return by which it is impossible.
    fn end(&self, steps: &[Step]) -> u64 {
        let mut returns: Vec<u64> = steps.iter().filter_map(|it| it.to).collect();
        returns.sort_unstable();
        let possible =
            returns.partition_point(|end| !self.is_impossible(State::EMPTY, &until(steps, *end)));
        returns.get(possible).or(returns.last()).copied().unwrap_or(0)
    }

    /// Leaves out as much of the beginning as can be: what is left is impossible whatever state it
    /// began in. All of it, from the empty state, if the beginning matters.
    fn later(&self, steps: Vec<Step>) -> (State, Vec<Step>) {
        let mut calls: Vec<u64> = steps.iter().map(|it| it.from).collect();
        calls.sort_unstable();
        calls.dedup();
        let impossible =
            calls.partition_point(|it| self.is_impossible(State::ANYTHING, &since(&steps, *it)));
        match impossible {
            0 => (State::EMPTY, steps),
            it => (State::ANYTHING, since(&steps, calls[it - 1])),
        }
    }

    /// Leaves out what changed nothing and is not needed.
    fn without_looks(&self, start: State, mut steps: Vec<Step>) -> Vec<Step> {
        for i in (0..steps.len()).rev() {
            if steps[i].claim.only_looks() {
                self.try_without(start, &mut steps, i);
            }
        }
        steps
    }

    /// Leaves out writes of values that no answer mentions. A conflict may depend on any of them,
    /// so there must be none.
    fn without_unseen(&self, start: State, mut steps: Vec<Step>) -> Vec<Step> {
        if steps.iter().any(|it| matches!(it.claim, Claim::Refused(_))) {
            return steps;
        }
        for i in (0..steps.len()).rev() {
            let Claim::Did(edits) = &steps[i].claim else { continue };
            let [Edit { leaves, .. }] = edits[..] else { continue };
            let mentioned = steps.iter().any(|it| mentions(&it.claim).any(|it| it == leaves));
            if leaves != Content::NOTHING && !mentioned {
                self.try_without(start, &mut steps, i);
            }
        }
        steps
    }

    fn try_without(&self, start: State, steps: &mut Vec<Step>, i: usize) {
        let step = steps.remove(i);
        if !self.is_impossible(start, steps) {
            steps.insert(i, step);
        }
    }

    /// Which promise is broken, and how, in words.
    fn describe(
        &self,
        start: State,
        steps: &[Step],
        accused: Option<&Step>,
    ) -> (Invariant, String) {
        let expires = |it: &Step| matches!(it.claim, Claim::Expired(..));
        if steps.iter().any(expires) {
            let lenient: Vec<_> = steps
                .iter()
                .map(|it| if expires(it) { Step { to: None, ..it.clone() } } else { it.clone() })
                .collect();
            if !self.is_impossible(start, &lenient) {
                return (Invariant::I11, "a value was still there after its time".to_owned());
            }
            let early: Vec<_> = lenient
                .into_iter()
                .map(|it| if expires(&it) { Step { from: 0, ..it } } else { it })
                .collect();
            if !self.is_impossible(start, &early) {
                return (Invariant::I11, "a value was gone before its time".to_owned());
            }
        }
        let is_joint = |it: &Step| match &it.claim {
            Claim::Did(edits) | Claim::Maybe(edits) | Claim::Refused(edits) => edits.len() > 1,
            Claim::Saw(..) | Claim::Expired(..) => false,
        };
        let possible_apart = || {
            (0..crate::KEYS_PER_GROUP_MAX as u8)
                .all(|key| !self.is_impossible(start, &of_key(steps, key)))
        };
        if steps.iter().any(is_joint) && possible_apart() {
            let summary = "what was seen of a transaction's keys fits no instant at which all of \
                           it, or none of it, had happened";
            return (Invariant::I8, summary.to_owned());
        }
        let (invariant, summary) = accusation(accused);
        (invariant, summary.to_owned())
    }
}

/// What the operation says at whose return it became impossible.
fn accusation(accused: Option<&Step>) -> (Invariant, &'static str) {
    match accused.map(|it| &it.claim) {
        Some(Claim::Saw(_, content)) if *content == Content::NOTHING => {
            (Invariant::I6, "a read found nothing where there must have been a value")
        }
        Some(Claim::Saw(..)) => {
            (Invariant::I6, "a read returned a value that was not the current one")
        }
        Some(Claim::Refused(edits)) if edits.iter().all(|it| it.needs == Need::Anything) => {
            (Invariant::I6, "a conflict was reported for a write without a condition")
        }
        Some(Claim::Refused(_)) => {
            (Invariant::I12, "a conflict was reported though the condition held")
        }
        Some(Claim::Did(edits)) if edits.iter().any(|it| it.needs == Need::Nothing) => {
            (Invariant::I7, "a create was acknowledged though the key existed")
        }
        Some(Claim::Did(edits)) if edits.iter().any(|it| it.needs != Need::Anything) => {
            (Invariant::I1, "a write was acknowledged though its ETag was not the current one")
        }
        _ => (Invariant::I6, "no order of the operations gives these answers"),
    }
}

/// What is known at `end`: what had not returned by then may or may not have happened.
fn until(steps: &[Step], end: u64) -> Vec<Step> {
    let begun = steps.iter().filter(|it| it.from <= end);
    let known = begun.filter_map(|it| match it.to {
        Some(to) if to > end => optional(it),
        _ => Some(it.clone()),
    });
    known.collect()
}

/// What is left of the order after `start`: what had returned by then is over, and what was under
/// way may have happened before.
fn since(steps: &[Step], start: u64) -> Vec<Step> {
    let open = steps.iter().filter(|it| it.to.is_none_or(|to| to >= start));
    let left = open.filter_map(|it| if it.from < start { optional(it) } else { Some(it.clone()) });
    left.collect()
}

/// The same step if it need not have happened; none if that says nothing.
fn optional(step: &Step) -> Option<Step> {
    let claim = match &step.claim {
        Claim::Saw(..) | Claim::Refused(_) => return None,
        Claim::Did(edits) => Claim::Maybe(edits.clone()),
        other => other.clone(),
    };
    Some(Step { claim, to: None, ..step.clone() })
}

/// What is known of one key alone. A conflict of several may be due to any of them, and says
/// nothing of one.
fn of_key(steps: &[Step], key: u8) -> Vec<Step> {
    let mine = |edits: &[Edit]| -> Vec<Edit> {
        edits.iter().filter(|it| it.key == key).copied().collect()
    };
    let of_step = |step: &Step| {
        let claim = match &step.claim {
            Claim::Saw(of, _) | Claim::Expired(of, _) if *of != key => return None,
            Claim::Refused(edits) if edits.iter().any(|it| it.key != key) => return None,
            Claim::Did(edits) => Claim::Did(mine(edits)),
            Claim::Maybe(edits) => Claim::Maybe(mine(edits)),
            other => other.clone(),
        };
        Some(Step { claim, ..step.clone() })
    };
    steps.iter().filter_map(of_step).collect()
}

/// The contents whose presence an operation tells of.
fn mentions(claim: &Claim) -> impl Iterator<Item = Content> + '_ {
    let (seen, edits): (Option<Content>, &[Edit]) = match claim {
        Claim::Saw(_, content) => (Some(*content), &[]),
        Claim::Did(edits) | Claim::Refused(edits) => (None, edits),
        Claim::Maybe(_) | Claim::Expired(..) => (None, &[]),
    };
    let needed = edits.iter().filter_map(|it| match it.needs {
        Need::This(content) => Some(content),
        Need::Nothing => Some(Content::NOTHING),
        Need::Anything => None,
    });
    seen.into_iter().chain(needed)
}

/// Whether an operation that may have happened has to do with what was seen.
fn explains(claim: &Claim, mentioned: &HashSet<Content>) -> bool {
    match claim {
        Claim::Did(edits) | Claim::Maybe(edits) => {
            edits.iter().any(|it| mentioned.contains(&it.leaves))
        }
        Claim::Saw(..) | Claim::Refused(_) | Claim::Expired(..) => false,
    }
}
