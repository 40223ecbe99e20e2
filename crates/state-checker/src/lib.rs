//! Says whether what clients saw of a store is something that the contract allows.
//!
//! Start with [`History`]: what was asked, when, and what was answered. [`check`] judges it, one
//! group of keys at a time, and shows the shortest part that the contract does not allow.
//!
//! The judgement is that of linearizability: is there an order of the operations, each at an
//! instant between its call and its reply, in which a single copy of the data gives exactly these
//! answers? An operation whose outcome is unknown may be in that order or not. On top of that come
//! direct checks, which need no search and say more plainly what is wrong.
//!
//! This crate performs no I/O and knows no clock: a history can be judged anywhere, and again.

mod accusation;
mod counterexample;
mod direct;
mod history;
mod model;
mod search;
mod steps;
mod verdict;

pub use history::{
    Call, Change, Condition, Effect, FORMAT, History, KEYS_PER_GROUP_MAX, Origin, ReadError,
    Record, Reply,
};
pub use verdict::{Invariant, Limits, Report, Verdict, Violation, check, check_group};
