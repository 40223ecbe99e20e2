//! What applications do with state.

use std::fmt;

use clap::ValueEnum;

/// One kind of request. In the order in which a round has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Operation {
    /// A read of one key that is there
    Get,
    /// A save of one key that is there, without conditions
    Save,
    /// A save on the condition that the version is still the one that was read: first-write, with an
    /// ETag that was read before and not as a part of what is measured
    SaveEtag,
    /// A save with `ttlInSeconds`
    SaveTtl,
    /// A delete of one key that is there
    Delete,
    /// Five upserts, all or none
    Transaction,
    /// A read of 20 keys that are there
    BulkGet,
}

impl Operation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Get => "get",
            Operation::Save => "save",
            Operation::SaveEtag => "save-etag",
            Operation::SaveTtl => "save-ttl",
            Operation::Delete => "delete",
            Operation::Transaction => "transaction",
            Operation::BulkGet => "bulk-get",
        }
    }

    /// Whether each key can be used only once before it has to be prepared anew.
    pub(crate) fn uses_up(self) -> bool {
        matches!(self, Operation::SaveEtag | Operation::Delete)
    }

    /// Whether keys are not as they were before: gone, or with a lifetime.
    pub(crate) fn leaves_traces(self) -> bool {
        matches!(self, Operation::SaveTtl | Operation::Delete)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
