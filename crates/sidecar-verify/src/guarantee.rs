//! What is promised to users, and what was found of it.

use serde::Serialize;
use state_checker::{Invariant, Violation};

use crate::Theme;

/// A promise that users choose a store for. The names are those of `--require`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    /// Conditions on ETags hold, and no update is lost.
    FirstWrite,
    /// Reads see every write that was acknowledged before.
    Strong,
    /// Transactions happen as a whole or not at all.
    Tx,
    /// Values live as long as they were given.
    Ttl,
    /// Every part of a bulk request is answered for itself.
    Bulk,
    /// Values come back as they were stored, each under its own key.
    Values,
    /// What was acknowledged is still there after a crash.
    Durability,
    /// Everything serves again, and agrees, once faults are over.
    Recovery,
}

/// What is to be said of a guarantee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing was seen that it does not allow.
    Holds,
    /// It was broken.
    Violated,
    /// The store says that it does not have it.
    NotOffered,
    /// Nothing was done that could have broken it, or too little.
    NotTested,
}

/// What was found of one guarantee.
#[derive(Clone, Debug, Serialize)]
pub struct Judgement {
    /// Which one.
    pub guarantee: Guarantee,
    /// The verdict.
    pub standing: Standing,
    /// Why, in half a sentence: numbers, or a reason.
    pub detail: String,
    /// How many operations had to do with it.
    pub operations: u64,
    /// How many of those overlapped another operation on the same keys, so that the store had to
    /// decide between them.
    pub contended: u64,
    /// How many groups of keys, or cases, showed it broken.
    pub broken: u64,
    /// The shortest counterexamples.
    pub violations: Vec<Violation>,
    /// Cases of the contract that failed.
    pub failed_cases: Vec<FailedCase>,
}

/// A case of the contract, one request after the other, that did not go as it should.
#[derive(Clone, Debug, Serialize)]
pub struct FailedCase {
    /// `group::case`.
    pub name: String,
    /// What was promised, and not kept.
    pub message: String,
}

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    /// The form of this report; it grows by new fields only.
    pub format: u32,
    /// The name of the component.
    pub store: String,
    /// What was asked: addresses, or how many sidecars of our own.
    pub endpoints: Vec<String>,
    /// The seed of everything that was chosen.
    pub seed: u64,
    /// What all keys began with.
    pub prefix: String,
    /// How long it took.
    pub seconds: f64,
    /// How many operations were made.
    pub operations: u64,
    /// How many groups of keys have a history that was judged.
    pub histories: u64,
    /// How many operations had an unknown outcome.
    pub unknown: u64,
    /// How many faults were made.
    pub faults: u64,
    /// What the store says of itself, and what of that users should know.
    pub audit: Vec<AuditLine>,
    /// One for each guarantee, in the order of their declaration.
    pub judgements: Vec<Judgement>,
    /// What the run could not find out, to be read with every verdict.
    pub limits: Vec<String>,
    /// Whether it was ended before its time.
    pub interrupted: bool,
}

/// One thing that the store says of itself.
#[derive(Clone, Debug, Serialize)]
pub struct AuditLine {
    /// Whether it may lose acknowledged data, or otherwise surprise.
    pub warning: bool,
    /// What it is.
    pub text: String,
}

impl Guarantee {
    /// Every guarantee, in the order of reports.
    pub const ALL: [Guarantee; 8] = [
        Guarantee::FirstWrite,
        Guarantee::Strong,
        Guarantee::Tx,
        Guarantee::Ttl,
        Guarantee::Bulk,
        Guarantee::Values,
        Guarantee::Durability,
        Guarantee::Recovery,
    ];

    /// Its name in `--require` and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Guarantee::FirstWrite => "first-write",
            Guarantee::Strong => "strong",
            Guarantee::Tx => "tx",
            Guarantee::Ttl => "ttl",
            Guarantee::Bulk => "bulk",
            Guarantee::Values => "values",
            Guarantee::Durability => "durability",
            Guarantee::Recovery => "recovery",
        }
    }

    /// What it is called in reports.
    pub fn title(self) -> &'static str {
        match self {
            Guarantee::FirstWrite => "first-write-wins (ETags)",
            Guarantee::Strong => "strong consistency",
            Guarantee::Tx => "transaction atomicity",
            Guarantee::Ttl => "time to live",
            Guarantee::Bulk => "bulk replies",
            Guarantee::Values => "values and keys",
            Guarantee::Durability => "durability",
            Guarantee::Recovery => "recovery after faults",
        }
    }

    /// Whether it is at stake only where operations overlap.
    pub(crate) fn needs_contention(self) -> bool {
        match self {
            Guarantee::FirstWrite | Guarantee::Strong | Guarantee::Tx => true,
            Guarantee::Ttl
            | Guarantee::Bulk
            | Guarantee::Values
            | Guarantee::Durability
            | Guarantee::Recovery => false,
        }
    }

    /// What a group that had this theme can show broken.
    pub(crate) fn shown_by(theme: Theme) -> &'static [Guarantee] {
        match theme {
            Theme::Register | Theme::Counter | Theme::Creates => {
                &[Guarantee::FirstWrite, Guarantee::Strong]
            }
            Theme::Transactions => &[Guarantee::FirstWrite, Guarantee::Strong, Guarantee::Tx],
            Theme::Bulk => &[Guarantee::Bulk],
            Theme::Expiry => &[Guarantee::FirstWrite, Guarantee::Strong, Guarantee::Ttl],
        }
    }

    /// The guarantee that is broken if an invariant is, on a group that had this theme.
    pub fn broken_by(invariant: Invariant, theme: Theme) -> Guarantee {
        if theme == Theme::Bulk {
            return Guarantee::Bulk;
        }
        match invariant {
            // A value that outlives its time shows as any of these.
            Invariant::I6 | Invariant::I7 if theme == Theme::Expiry => Guarantee::Ttl,
            Invariant::I1 | Invariant::I4 | Invariant::I7 | Invariant::I12 => Guarantee::FirstWrite,
            Invariant::I2 | Invariant::I3 | Invariant::I5 | Invariant::I6 => Guarantee::Strong,
            Invariant::I8 => Guarantee::Tx,
            Invariant::I11 => Guarantee::Ttl,
        }
    }
}

impl Standing {
    /// The word for it in reports.
    pub fn word(self) -> &'static str {
        match self {
            Standing::Holds => "HOLDS",
            Standing::Violated => "VIOLATED",
            Standing::NotOffered => "NOT OFFERED",
            Standing::NotTested => "NOT TESTED",
        }
    }
}

impl Findings {
    /// What was found of a guarantee.
    pub fn of(&self, guarantee: Guarantee) -> Option<&Judgement> {
        self.judgements.iter().find(|it| it.guarantee == guarantee)
    }
}
