//! The scripts that make each operation atomic, and how they are called.

use std::sync::LazyLock;

use redis::{Cmd, cmd};

/// A script, and the name that a server which has seen it knows it by.
#[derive(Debug)]
pub(super) struct Script {
    text: &'static str,
    digest: LazyLock<String>,
}

/// See `scripts/read.lua`.
pub(super) static READ: Script = Script {
    text: include_str!("scripts/read.lua"),
    digest: LazyLock::new(|| redis::Script::new(READ.text).get_hash().to_owned()),
};

/// See `scripts/write.lua`.
pub(super) static WRITE: Script = Script {
    text: include_str!("scripts/write.lua"),
    digest: LazyLock::new(|| redis::Script::new(WRITE.text).get_hash().to_owned()),
};

/// See `scripts/rights.lua`.
pub(super) static RIGHTS: Script = Script {
    text: include_str!("scripts/rights.lua"),
    digest: LazyLock::new(|| redis::Script::new(RIGHTS.text).get_hash().to_owned()),
};

impl Script {
    /// Calls it by its digest, for servers that have it, or by its text, after which they do.
    pub(super) fn call<'a>(
        &self,
        by_text: bool,
        keys: impl ExactSizeIterator<Item = &'a str>,
        arguments: impl Iterator<Item = &'a [u8]>,
    ) -> Cmd {
        let mut command = match by_text {
            true => cmd("EVAL"),
            false => cmd("EVALSHA"),
        };
        command.arg(if by_text { self.text } else { &self.digest }).arg(keys.len());
        for key in keys {
            command.arg(key);
        }
        for argument in arguments {
            command.arg(argument);
        }
        command
    }
}
