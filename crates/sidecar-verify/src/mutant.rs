//! Mistakes that stores make.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A mistake of a store, made on purpose: whoever judges stores must find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "`description` says what each is")]
pub enum Mutant {
    WriteLost,
    CasNotApplied,
    StaleRead,
    EtagRestartsAfterDelete,
    EtagRestartsWithProcess,
    CreateRace,
    CasCreatesMissing,
    FirstWriteIgnored,
    ConflictAfterSuccess,
    RefusedWriteApplied,
    DeleteNotDone,
    DeleteIgnoresEtag,
    LateDuplicate,
    TransactionPartial,
    TransactionNotRolledBack,
    TransactionTorn,
    TransactionReordered,
    TtlKept,
    TtlEarly,
    TtlIgnored,
    ReplicaRead,
    BulkConflictHidden,
    BulkAnswersSwapped,
    KeysMixedUp,
}

impl Mutant {
    /// Every mutant.
    pub const ALL: [Mutant; 24] = [
        Mutant::WriteLost,
        Mutant::CasNotApplied,
        Mutant::StaleRead,
        Mutant::EtagRestartsAfterDelete,
        Mutant::EtagRestartsWithProcess,
        Mutant::CreateRace,
        Mutant::CasCreatesMissing,
        Mutant::FirstWriteIgnored,
        Mutant::ConflictAfterSuccess,
        Mutant::RefusedWriteApplied,
        Mutant::DeleteNotDone,
        Mutant::DeleteIgnoresEtag,
        Mutant::LateDuplicate,
        Mutant::TransactionPartial,
        Mutant::TransactionNotRolledBack,
        Mutant::TransactionTorn,
        Mutant::TransactionReordered,
        Mutant::TtlKept,
        Mutant::TtlEarly,
        Mutant::TtlIgnored,
        Mutant::ReplicaRead,
        Mutant::BulkConflictHidden,
        Mutant::BulkAnswersSwapped,
        Mutant::KeysMixedUp,
    ];

    /// What it is called in reports and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Mutant::WriteLost => "write-lost",
            Mutant::CasNotApplied => "cas-not-applied",
            Mutant::StaleRead => "stale-read",
            Mutant::EtagRestartsAfterDelete => "etag-restarts-after-delete",
            Mutant::EtagRestartsWithProcess => "etag-restarts-with-process",
            Mutant::CreateRace => "create-race",
            Mutant::CasCreatesMissing => "cas-creates-missing",
            Mutant::FirstWriteIgnored => "first-write-ignored",
            Mutant::ConflictAfterSuccess => "conflict-after-success",
            Mutant::RefusedWriteApplied => "refused-write-applied",
            Mutant::DeleteNotDone => "delete-not-done",
            Mutant::DeleteIgnoresEtag => "delete-ignores-etag",
            Mutant::LateDuplicate => "late-duplicate",
            Mutant::TransactionPartial => "transaction-partial",
            Mutant::TransactionNotRolledBack => "transaction-not-rolled-back",
            Mutant::TransactionTorn => "transaction-torn",
            Mutant::TransactionReordered => "transaction-reordered",
            Mutant::TtlKept => "ttl-kept",
            Mutant::TtlEarly => "ttl-early",
            Mutant::TtlIgnored => "ttl-ignored",
            Mutant::ReplicaRead => "replica-read",
            Mutant::BulkConflictHidden => "bulk-conflict-hidden",
            Mutant::BulkAnswersSwapped => "bulk-answers-swapped",
            Mutant::KeysMixedUp => "keys-mixed-up",
        }
    }

    /// What it does wrong, in a sentence.
    pub fn description(self) -> &'static str {
        match self {
            Mutant::WriteLost => "An unconditional write is acknowledged and lost.",
            Mutant::CasNotApplied => "A compare-and-set is acknowledged, but not applied.",
            Mutant::StaleRead => "A read returns what the key had before its last change.",
            Mutant::EtagRestartsAfterDelete => {
                "The versions of a key are counted anew after it was deleted."
            }
            Mutant::EtagRestartsWithProcess => {
                "The versions are counted anew after the store was restarted."
            }
            Mutant::CreateRace => {
                "A create looks whether the key is absent, and writes a little later."
            }
            Mutant::CasCreatesMissing => "A compare-and-set on an absent key creates it.",
            Mutant::FirstWriteIgnored => "A first-write overwrites what is there.",
            Mutant::ConflictAfterSuccess => {
                "A conditional write is applied, sent again, and answered with a conflict."
            }
            Mutant::RefusedWriteApplied => "A write is refused and applied all the same.",
            Mutant::DeleteNotDone => "A delete is acknowledged, but not done.",
            Mutant::DeleteIgnoresEtag => "A delete does not look at the ETag it was given.",
            Mutant::LateDuplicate => {
                "A write without an answer is sent again, and overwrites what is newer."
            }
            Mutant::TransactionPartial => {
                "A transaction is acknowledged, but one of its operations is missing."
            }
            Mutant::TransactionNotRolledBack => {
                "A transaction fails on one condition, but its other operations are applied."
            }
            Mutant::TransactionTorn => "A transaction can be seen half done.",
            Mutant::TransactionReordered => {
                "The operations of a transaction are applied last one first."
            }
            Mutant::TtlKept => "A value written without a time to live inherits that of the old.",
            Mutant::TtlEarly => "A time to live ends with a whole second of the clock.",
            Mutant::TtlIgnored => "A value with a time to live never expires.",
            Mutant::ReplicaRead => "One of two sidecars reads from a copy that lags behind.",
            Mutant::BulkConflictHidden => {
                "A bulk request answers ok for an item that was in conflict."
            }
            Mutant::BulkAnswersSwapped => "A bulk request gives the answer of one item to another.",
            Mutant::KeysMixedUp => "A read returns the value of another key.",
        }
    }

    /// In how many of a thousand cases it does that, of those in which it could. Systematic
    /// mistakes are always made; the others are those that hide.
    pub fn per_mille(self) -> u32 {
        match self {
            Mutant::WriteLost
            | Mutant::StaleRead
            | Mutant::ConflictAfterSuccess
            | Mutant::RefusedWriteApplied
            | Mutant::KeysMixedUp => 20,
            Mutant::CasNotApplied | Mutant::DeleteNotDone | Mutant::TransactionPartial => 50,
            Mutant::CreateRace
            | Mutant::TransactionNotRolledBack
            | Mutant::TransactionTorn
            | Mutant::BulkConflictHidden
            | Mutant::BulkAnswersSwapped => 100,
            Mutant::EtagRestartsAfterDelete
            | Mutant::EtagRestartsWithProcess
            | Mutant::CasCreatesMissing
            | Mutant::FirstWriteIgnored
            | Mutant::DeleteIgnoresEtag
            | Mutant::LateDuplicate
            | Mutant::TransactionReordered
            | Mutant::TtlKept
            | Mutant::TtlEarly
            | Mutant::TtlIgnored
            | Mutant::ReplicaRead => 1000,
        }
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
