//! Which promise a part of a history breaks, in words.

use crate::{
    Invariant,
    model::{Claim, Content, Edit, Need, State},
    search::{Found, search},
    steps::Step,
};

/// Says what is wrong with `steps`, which have no order and are as few as can be. The last answers
/// came at `end`. `expiries` are all of the history, some of which may lie after that.
pub(crate) fn accusation(
    start: State,
    steps: &[Step],
    end: u64,
    expiries: &[Step],
    tries_max: u64,
) -> (Invariant, &'static str) {
    let is_possible = |steps: &[Step]| search(steps, start, tries_max, &mut 0) == Found::Order;
    let is_expiry = |it: &Step| matches!(it.claim, Claim::Expired(..));

    let lenient = |it: &Step| Step { to: None, ..it.clone() };
    let late: Vec<_> =
        steps.iter().map(|it| if is_expiry(it) { lenient(it) } else { it.clone() }).collect();
    if steps.iter().any(is_expiry) && is_possible(&late) {
        return (Invariant::I11, "a value was still there after its time");
    }
    let early = expiries.iter().map(|it| Step { from: 0, ..lenient(it) });
    let early: Vec<_> = steps.iter().filter(|it| !is_expiry(it)).cloned().chain(early).collect();
    if !expiries.is_empty() && is_possible(&early) {
        return (Invariant::I11, "a value was gone before its time");
    }
    let apart: Vec<_> = steps.iter().flat_map(apart).collect();
    if apart.len() > steps.len() && is_possible(&apart) {
        let summary = "what was seen of a transaction's keys fits no instant at which all of it, \
                       or none of it, had happened";
        return (Invariant::I8, summary);
    }
    let last = steps.iter().filter(|it| it.to == Some(end) && !is_expiry(it));
    broken_by(last.map(|it| &it.claim).next())
}

/// What the operation says at whose return it became impossible.
fn broken_by(claim: Option<&Claim>) -> (Invariant, &'static str) {
    match claim {
        Some(Claim::Saw(_, Content::NOTHING)) => {
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
        Some(Claim::Did(_) | Claim::Maybe(_) | Claim::Expired(..)) | None => {
            (Invariant::I6, "no order of the operations gives these answers")
        }
    }
}

/// What an operation on several keys would be if it were one operation for each.
fn apart(step: &Step) -> Vec<Step> {
    let (edits, is_done) = match &step.claim {
        Claim::Did(edits) => (edits, true),
        Claim::Maybe(edits) => (edits, false),
        Claim::Saw(..) | Claim::Refused(_) | Claim::Expired(..) => return vec![step.clone()],
    };
    let mut keys: Vec<u8> = edits.iter().map(|it| it.key).collect();
    keys.sort_unstable();
    keys.dedup();
    let of_key = |key: u8| {
        let edits: Vec<Edit> = edits.iter().filter(|it| it.key == key).copied().collect();
        let claim = if is_done { Claim::Did(edits) } else { Claim::Maybe(edits) };
        Step { claim, ..step.clone() }
    };
    keys.into_iter().map(of_key).collect()
}
