//! Looks for an order of the operations in which they give the answers that were given.
//!
//! The algorithm is that of Wing and Gong with Lowe's improvement: try each operation that may
//! come next, remember which sets of operations have led to which state, and never try the same
//! pair twice. Source: G. Lowe, "Testing for linearizability", 2017.
//!
//! Operations that need not have happened would multiply the pairs: with 30 of them there are 2^30
//! sets. But one that was not used can still be used later. So a set is not tried if one that led to
//! the same state has the same operations that must have happened, and of the others only some of
//! those that this has: whatever can follow here could follow there.
//!
//! What is remembered of a state, and of the operations that must have happened, is 128 bits: a
//! random number for each operation and the bits of the state, added without carry. Of a million
//! two are taken for one once in 10^26 searches.

use std::collections::HashMap;

use crate::{
    model::{Claim, State},
    steps::Step,
};

/// What the search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is such an order.
    Order,
    /// There is none.
    NoOrder,
    /// It took too many tries to say.
    GaveUp,
}

/// The calls and returns of steps that have no place in the order yet, by time, as a list from
/// which a step can be taken out, and put back, in no time.
struct Timeline {
    next: Vec<u32>,
    previous: Vec<u32>,
    /// What each entry is: a step, and whether it is its return.
    entries: Vec<(u32, bool)>,
    /// Where each step's return is; 0 for one that need not happen.
    returns: Vec<u32>,
}

/// A step that was given a place.
struct Choice {
    entry: u32,
    before: State,
    /// Whether nothing else needs to be tried in its place.
    is_forced: bool,
}

/// A set of steps.
struct Steps {
    has: Vec<bool>,
    /// What those that must have happened come to.
    sum: u128,
    /// The number of each that may have, among those, and which of them it has.
    numbers: Vec<Option<usize>>,
    optional: Box<[u64]>,
}

/// What was tried: for each sum the smallest sets of steps that need not have happened.
#[derive(Default)]
struct Tried(HashMap<u128, Vec<Box<[u64]>>>);

/// Which steps are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// Those that must have happened. They come first: small sets spare the most.
    Required,
    /// Those that may have.
    Optional,
}

/// Looks for an order that begins in the state `start`, with at most `budget` tries. Adds the tries
/// that it took to `tries`.
pub(crate) fn search(steps: &[Step], start: State, budget: u64, tries: &mut u64) -> Found {
    let mut timeline = Timeline::new(steps);
    let mut missing = steps.iter().filter(|it| it.to.is_some()).count();
    let mut done = Steps::none_of(steps);
    let writes = writes(steps);
    let mut tried = Tried::default();
    let mut choices: Vec<Choice> = Vec::new();
    let mut state = start;
    let limit = tries.saturating_add(budget);
    let mut at = timeline.first();
    let mut round = Round::Required;
    let mut is_fresh = true;
    while missing > 0 {
        *tries += 1;
        if *tries > limit {
            return Found::GaveUp;
        }
        if is_fresh {
            is_fresh = false;
            if let Some(entry) = timeline.looking(steps, state) {
                choices.push(Choice { entry, before: state, is_forced: true });
                let step = timeline.step(entry);
                state = state.after(&steps[step].claim).expect("it fits");
                done.flip(step);
                missing -= 1;
                timeline.take(entry);
                (at, round, is_fresh) = (timeline.first(), Round::Required, true);
                continue;
            }
        }
        let candidate = timeline.call(at);
        if let Some(step) = candidate {
            if Round::of(&steps[step]) != round {
                at = timeline.next[at as usize];
                continue;
            }
            let after = state.after(&steps[step].claim);
            let is_optional = round == Round::Optional;
            let is_early = writes[step].is_some_and(|it| !done.has[it]);
            let after = after.filter(|it| !is_early && (!is_optional || *it != state));
            if let Some(after) = after {
                done.flip(step);
                if tried.admits(&done, after) {
                    choices.push(Choice { entry: at, before: state, is_forced: false });
                    state = after;
                    missing -= usize::from(!is_optional);
                    timeline.take(at);
                    (at, round, is_fresh) = (timeline.first(), Round::Required, true);
                    continue;
                }
                done.flip(step);
            }
            at = timeline.next[at as usize];
            continue;
        }
        if round == Round::Required {
            (at, round) = (timeline.first(), Round::Optional);
            continue;
        }
        // The next operation to return cannot come after any of those before it: go back.
        loop {
            let Some(choice) = choices.pop() else { return Found::NoOrder };
            let step = timeline.step(choice.entry);
            state = choice.before;
            done.flip(step);
            missing += usize::from(steps[step].to.is_some());
            timeline.put_back(choice.entry);
            if !choice.is_forced {
                at = timeline.next[choice.entry as usize];
                round = Round::of(&steps[step]);
                break;
            }
        }
    }
    Found::Order
}

impl Timeline {
    /// Entry 0 is the head of the list, and the one after the last is its end.
    fn new(steps: &[Step]) -> Timeline {
        let mut events = Vec::with_capacity(2 * steps.len());
        for (i, step) in (0_u32..).zip(steps) {
            events.push((step.from, false, i));
            events.extend(step.to.map(|to| (to, true, i)));
        }
        // At one instant, calls come first: then the two may overlap, which accuses nobody wrongly.
        events.sort_unstable();
        let mut entries = vec![(u32::MAX, true)];
        entries.extend(events.iter().map(|(_, is_return, step)| (*step, *is_return)));
        entries.push((u32::MAX, true));
        let mut returns = vec![0; steps.len()];
        for (i, (step, is_return)) in (0_u32..).zip(&entries) {
            if *is_return && *step != u32::MAX {
                returns[*step as usize] = i;
            }
        }
        let len = u32::try_from(entries.len()).expect("a group has fewer operations than that");
        let next = (1..=len).collect();
        let previous = (0..len).map(|it| it.saturating_sub(1)).collect();
        Timeline { next, previous, entries, returns }
    }

    fn first(&self) -> u32 {
        self.next[0]
    }

    fn step(&self, entry: u32) -> usize {
        self.entries[entry as usize].0 as usize
    }

    /// The step that is called at `entry`; `None` if a return is there, or the end.
    fn call(&self, entry: u32) -> Option<usize> {
        let (step, is_return) = self.entries[entry as usize];
        (!is_return).then_some(step as usize)
    }

    /// A step that may come next, fits the state, and changes nothing. If there is an order at all,
    /// there is one in which it comes next: it can be moved there from wherever it is.
    fn looking(&self, steps: &[Step], state: State) -> Option<u32> {
        let mut at = self.first();
        while let Some(step) = self.call(at) {
            let claim = &steps[step].claim;
            if claim.only_looks() && state.after(claim) == Some(state) {
                return Some(at);
            }
            at = self.next[at as usize];
        }
        None
    }

    fn take(&mut self, entry: u32) {
        self.unlink(entry);
        match self.returns[self.step(entry)] {
            0 => {}
            it => self.unlink(it),
        }
    }

    /// Undoes [`take`](Timeline::take), the last one first.
    fn put_back(&mut self, entry: u32) {
        match self.returns[self.step(entry)] {
            0 => {}
            it => self.link(it),
        }
        self.link(entry);
    }

    fn unlink(&mut self, entry: u32) {
        let (before, after) = (self.previous[entry as usize], self.next[entry as usize]);
        self.next[before as usize] = after;
        self.previous[after as usize] = before;
    }

    fn link(&mut self, entry: u32) {
        let (before, after) = (self.previous[entry as usize], self.next[entry as usize]);
        self.next[before as usize] = entry;
        self.previous[after as usize] = entry;
    }
}

impl Steps {
    /// The empty set of some of `steps`.
    fn none_of(steps: &[Step]) -> Steps {
        let mut count = 0..;
        let number = |it: &Step| if it.to.is_none() { count.next() } else { None };
        let numbers: Vec<Option<usize>> = steps.iter().map(number).collect();
        let len = numbers.iter().flatten().count();
        let optional = vec![0; len.div_ceil(64)].into();
        Steps { has: vec![false; steps.len()], sum: 0, numbers, optional }
    }

    fn flip(&mut self, step: usize) {
        self.has[step] ^= true;
        if let Some(number) = self.numbers[step] {
            self.optional[number / 64] ^= 1 << (number % 64);
            return;
        }
        let number = step as u64 * 2;
        self.sum ^= u128::from(random(number)) << 64 | u128::from(random(number + 1));
    }
}

impl Tried {
    /// Whether it is worth while to go on with these steps in this state, and notes that somebody
    /// does.
    fn admits(&mut self, done: &Steps, state: State) -> bool {
        let sets = self.0.entry(done.sum ^ state.bits()).or_default();
        if sets.iter().any(|it| is_part(it, &done.optional)) {
            return false;
        }
        sets.retain(|it| !is_part(&done.optional, it));
        sets.push(done.optional.clone());
        true
    }
}

impl Round {
    fn of(step: &Step) -> Round {
        if step.to.is_some() { Round::Required } else { Round::Optional }
    }
}

/// Whether all of one set is in the other.
fn is_part(some: &[u64], of: &[u64]) -> bool {
    some.iter().zip(of).all(|(some, of)| some & !of == 0)
}

/// For each step the one that it must come after: for an expiry the write, if that must happen.
/// Such an expiry would otherwise come first, where it does nothing.
fn writes(steps: &[Step]) -> Vec<Option<usize>> {
    let writes: HashMap<usize, usize> = steps
        .iter()
        .zip(0..)
        .filter(|(it, _)| it.to.is_some() && matches!(it.claim, Claim::Did(_)))
        .map(|(it, i)| (it.record, i))
        .collect();
    let of_step = |it: &Step| match it.claim {
        Claim::Expired(..) => writes.get(&it.record).copied(),
        Claim::Saw(..) | Claim::Did(_) | Claim::Refused(_) | Claim::Maybe(_) => None,
    };
    steps.iter().map(of_step).collect()
}

/// The `i`-th number of SplitMix64. Source: G. Steele, D. Lea, C. Flood, "Fast splittable
/// pseudorandom number generators", 2014.
fn random(i: u64) -> u64 {
    let z = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
