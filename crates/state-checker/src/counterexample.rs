//! From a history that is not allowed to the shortest part of it that shows why.
//!
//! Nothing is left out that could explain what was seen: each way of shortening keeps every order
//! that the longer history had, so what is left is as impossible as the whole.

use std::collections::{HashMap, HashSet};

use crate::{
    Record, Reply, Violation,
    accusation::accusation,
    model::{Claim, Content, Edit, Need, State},
    search::{Found, search},
    steps::{Step, Values},
};

/// How many searches' tries may be spent on one history. Most take a few in a thousand.
const SEARCHES_MAX: u64 = 16;

/// For what keys have had, the first answer that told of it.
type Tellers<'a> = HashMap<Held, &'a Step>;

/// What a key has.
type Held = (u8, Content);

/// Shortens `steps`, the steps of `records`, for which there is no order.
pub(crate) fn of(
    records: &[Record],
    mut steps: Vec<Step>,
    values: &Values,
    tries_max: u64,
) -> Violation {
    steps.sort_by_key(|it| it.from);
    let expiries: Vec<_> =
        steps.iter().filter(|it| matches!(it.claim, Claim::Expired(..))).cloned().collect();
    let all = steps.clone();
    let tellers = tellers(&all);
    let mut shortener = Shortener { tries_max, tries_left: tries_max.saturating_mul(SEARCHES_MAX) };
    let end = shortener.end(&steps);
    let (start, steps) = shortener.later(until(&steps, end), &tellers, values);
    let steps = shortener.without_looks(start, steps);
    let steps = shortener.without_unseen(start, steps);
    let steps = shortener.optional_where_possible(start, steps);
    let steps = shortener.without_looks(start, steps);
    let (invariant, summary) = accusation(start, &steps, end, &expiries, tries_max);

    let told: HashSet<Held> = steps.iter().flat_map(|it| tells(&it.claim)).collect();
    let shown = || steps.iter().filter(|it| it.to.is_some() || explains(&it.claim, &steps, &told));
    let named = shown().flat_map(|it| tells(&it.claim).chain(hopes(&it.claim)));
    let origins = named.flat_map(|(_, content)| {
        let writer = values.writer(content);
        let is_over = !steps.iter().any(|it| Some(it.record) == writer);
        let proof = writer.filter(|_| is_over).and_then(|it| proof(&all, it, end, &tellers));
        writer.into_iter().chain(proof.map(|it| it.record))
    });
    let shown: HashSet<usize> = shown().map(|it| it.record).chain(origins).collect();
    let is_unexplaining =
        |it: &usize| !shown.contains(it) && matches!(records[*it].reply, Reply::Unknown);
    let unexplaining: HashSet<usize> =
        steps.iter().map(|it| it.record).filter(is_unexplaining).collect();
    let mut shown: Vec<Record> = shown.into_iter().map(|it| records[it].clone()).collect();
    shown.sort_by_key(|it| (it.called, it.process));
    let group = records.first().map_or(0, |it| it.group);
    let unexplaining = unexplaining.len();
    let summary = match start {
        State::EMPTY => format!("{summary} (at the beginning there was nothing)"),
        _ => summary.to_owned(),
    };
    Violation { invariant, group, summary, records: shown, unexplaining }
}

/// Each of its methods leaves steps for which there is no order, and more time makes none longer.
struct Shortener {
    tries_max: u64,
    tries_left: u64,
}

impl Shortener {
    /// Not so either if that would take too long to say.
    fn is_impossible(&mut self, start: State, steps: &[Step]) -> bool {
        let mut tries = 0;
        let found = search(steps, start, self.tries_max.min(self.tries_left), &mut tries);
        self.tries_left = self.tries_left.saturating_sub(tries);
        found == Found::NoOrder
    }

    /// The first return by which it is impossible.
    fn end(&mut self, steps: &[Step]) -> u64 {
        let mut returns: Vec<u64> = steps.iter().filter_map(|it| it.to).collect();
        returns.sort_unstable();
        returns.dedup();
        let possible =
            returns.partition_point(|end| !self.is_impossible(State::EMPTY, &until(steps, *end)));
        returns.get(possible).or(returns.last()).copied().unwrap_or(0)
    }

    /// Leaves out as much of the beginning as can be: what is left is impossible whatever state it
    /// began in. None of it, and the state was empty, if the beginning matters.
    fn later(
        &mut self,
        steps: Vec<Step>,
        tellers: &Tellers<'_>,
        values: &Values,
    ) -> (State, Vec<Step>) {
        let mut calls: Vec<u64> = steps.iter().map(|it| it.from).collect();
        calls.dedup();
        let state = |start: u64| State::unknown(values.before(start));
        let impossible = calls
            .partition_point(|it| self.is_impossible(state(*it), &since(&steps, *it, tellers)));
        match impossible {
            0 => (State::EMPTY, steps),
            it => (state(calls[it - 1]), since(&steps, calls[it - 1], tellers)),
        }
    }

    /// Leaves out what changed nothing and is not needed.
    fn without_looks(&mut self, start: State, mut steps: Vec<Step>) -> Vec<Step> {
        for i in (0..steps.len()).rev() {
            if steps[i].claim.only_looks() {
                self.try_without(start, &mut steps, i);
            }
        }
        steps
    }

    /// Leaves out writes that nobody can tell from their not having happened: of what they leave
    /// nothing is told, and no conflict is due to it.
    fn without_unseen(&mut self, start: State, mut steps: Vec<Step>) -> Vec<Step> {
        for i in (0..steps.len()).rev() {
            if is_unseen(&steps, i) {
                self.try_without(start, &mut steps, i);
            }
        }
        steps
    }

    fn try_without(&mut self, start: State, steps: &mut Vec<Step>, i: usize) {
        let step = steps.remove(i);
        if !self.is_impossible(start, steps) {
            steps.insert(i, step);
        }
    }

    /// Lets everything be as if its outcome were unknown for which it makes no difference.
    fn optional_where_possible(&mut self, start: State, mut steps: Vec<Step>) -> Vec<Step> {
        for i in (0..steps.len()).rev() {
            if steps[i].to.is_none() {
                continue;
            }
            let Some(step) = optional(&steps[i]) else { continue };
            let step = std::mem::replace(&mut steps[i], step);
            if !self.is_impossible(start, &steps) {
                steps[i] = step;
            }
        }
        steps
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

/// What is left of the order after `start`: what had returned by then is over, as is what an answer
/// had told of; and what was under way may have happened before.
fn since(steps: &[Step], start: u64, tellers: &Tellers<'_>) -> Vec<Step> {
    let is_told = |it: &Step| {
        let teller = teller(it, tellers).filter(|_| it.to.is_none());
        teller.and_then(|it| it.to).is_some_and(|to| to < start)
    };
    let open = steps.iter().filter(|it| it.to.is_none_or(|to| to >= start) && !is_told(it));
    let left = open.filter_map(|it| if it.from < start { optional(it) } else { Some(it.clone()) });
    left.collect()
}

/// The first answer by which a step has happened.
fn teller<'a>(step: &Step, tellers: &Tellers<'a>) -> Option<&'a Step> {
    let edits: &[Edit] = match &step.claim {
        Claim::Did(edits) | Claim::Maybe(edits) => edits,
        Claim::Saw(..) | Claim::Refused(_) | Claim::Expired(..) => &[],
    };
    let values = edits.iter().filter(|it| it.leaves != Content::NOTHING);
    let told = values.filter_map(|it| tellers.get(&(it.key, it.leaves)).copied());
    told.min_by_key(|it| it.to)
}

/// The answer by which the outcome of a record is known, if by `end` its own was not.
fn proof<'a>(steps: &[Step], record: usize, end: u64, tellers: &Tellers<'a>) -> Option<&'a Step> {
    let is_open = |it: &&Step| it.record == record && it.to.is_none_or(|to| to > end);
    steps.iter().filter(is_open).find_map(|it| teller(it, tellers))
}

fn tellers(steps: &[Step]) -> Tellers<'_> {
    let mut tellers = Tellers::new();
    for step in steps {
        let held = match &step.claim {
            Claim::Saw(key, content) => vec![(*key, *content)],
            Claim::Did(edits) => edits.iter().filter_map(needed).collect(),
            Claim::Refused(_) | Claim::Maybe(_) | Claim::Expired(..) => continue,
        };
        for held in held {
            let teller = tellers.entry(held).or_insert(step);
            if step.to < teller.to {
                *teller = step;
            }
        }
    }
    tellers
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

/// Whether no answer can depend on what the write leaves: no answer names the value, and none that
/// could be due to it came while it was there. It was not there before its call, nor after another
/// write that came later.
fn is_unseen(steps: &[Step], i: usize) -> bool {
    let (Claim::Did(edits), Some(to)) = (&steps[i].claim, steps[i].to) else { return false };
    let others = || steps[..i].iter().chain(&steps[i + 1..]);
    let names = |it: &Step, edit: &Edit| {
        tells(&it.claim).chain(hopes(&it.claim)).any(|it| it == (edit.key, edit.leaves))
    };
    let conflicts = |it: &Step, edit: &Edit| match &it.claim {
        Claim::Refused(edits) => edits.iter().filter_map(needed).any(|it| it.0 == edit.key),
        Claim::Saw(..) | Claim::Did(_) | Claim::Maybe(_) | Claim::Expired(..) => false,
    };
    let writes = |it: &Step, edit: &Edit| match &it.claim {
        Claim::Did(edits) => edits.iter().any(|it| it.key == edit.key),
        Claim::Saw(..) | Claim::Refused(_) | Claim::Maybe(_) | Claim::Expired(..) => false,
    };
    edits.iter().all(|edit| {
        let is_value = edit.leaves != Content::NOTHING;
        others().all(|answer| {
            if !names(answer, edit) && !conflicts(answer, edit) {
                return true;
            }
            let is_before = answer.to.is_some_and(|it| it < steps[i].from);
            let is_replaced = |it: &Step| {
                let is_between = it.from > to && it.to.is_some_and(|it| it < answer.from);
                is_between && writes(it, edit)
            };
            // A value without its write would be impossible for that alone.
            !(is_value && names(answer, edit)) && (is_before || others().any(is_replaced))
        })
    })
}

/// What keys had, or had not, according to an answer.
fn tells(claim: &Claim) -> impl Iterator<Item = Held> + '_ {
    let (seen, edits): (Option<Held>, &[Edit]) = match claim {
        Claim::Saw(key, content) => (Some((*key, *content)), &[]),
        Claim::Did(edits) | Claim::Refused(edits) => (None, edits),
        Claim::Maybe(_) | Claim::Expired(..) => (None, &[]),
    };
    seen.into_iter().chain(edits.iter().filter_map(needed))
}

/// What keys must have had if what may have happened did.
fn hopes(claim: &Claim) -> impl Iterator<Item = Held> + '_ {
    let edits: &[Edit] = match claim {
        Claim::Maybe(edits) => edits,
        Claim::Saw(..) | Claim::Did(_) | Claim::Refused(_) | Claim::Expired(..) => &[],
    };
    edits.iter().filter_map(needed)
}

fn needed(edit: &Edit) -> Option<Held> {
    match edit.needs {
        Need::This(content) => Some((edit.key, content)),
        Need::Nothing => Some((edit.key, Content::NOTHING)),
        Need::Anything => None,
    }
}

/// Whether an operation that may have happened has to do with what was told.
fn explains(claim: &Claim, steps: &[Step], told: &HashSet<Held>) -> bool {
    let conflicts = |key: u8| {
        steps.iter().any(|it| match &it.claim {
            Claim::Refused(edits) => edits.iter().filter_map(needed).any(|it| it.0 == key),
            Claim::Saw(..) | Claim::Did(_) | Claim::Maybe(_) | Claim::Expired(..) => false,
        })
    };
    match claim {
        Claim::Did(edits) | Claim::Maybe(edits) => {
            edits.iter().any(|it| told.contains(&(it.key, it.leaves)) || conflicts(it.key))
        }
        Claim::Saw(..) | Claim::Refused(_) | Claim::Expired(..) => false,
    }
}
