//! Finds out which guarantees a store keeps.
//!
//! Start with [`Workload`]: clients that contend for a few keys, and record what they ask and what
//! they are answered, for `state-checker` to judge.
//!
//! Nothing here knows what kind of store it is, or whether there is a sidecar in between.

mod client;
mod guarantee;
mod recorder;
mod theme;
mod time;
mod workload;

pub use guarantee::{AuditLine, FailedCase, Findings, Guarantee, Judgement, Standing};
pub use theme::Theme;
pub use time::{RealTime, Time};
pub use workload::{Plan, Progress, Workload};
