//! Finds out which guarantees a store keeps.
//!
//! Start with [`Workload`]: clients that contend for a few keys, and record what they ask and what
//! they are answered, for `state-checker` to judge.
//!
//! Nothing here knows what kind of store it is, or whether there is a sidecar in between.

mod client;
mod confined;
mod guarantee;
mod judging;
mod mutant;
mod recorder;
pub mod report;
mod sealed;
mod self_test;
mod semantics;
mod simulated;
mod tally;
mod target;
mod theme;
mod time;
mod verification;
mod workload;

pub use guarantee::{AuditLine, FailedCase, Findings, Guarantee, Judgement, Standing};
pub use judging::KILL;
pub use mutant::Mutant;
pub use self_test::{SelfTest, Trial, self_test, trial};
pub use simulated::{SimulatedData, SimulatedStore, SimulatedTime};
pub use target::Target;
pub use theme::Theme;
pub use time::{RealTime, Time};
pub use verification::{Outcome, Settings, Verification, Watch};
pub use workload::{Plan, Progress, Workload};
