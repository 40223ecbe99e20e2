//! The scripts that make each operation atomic, and how they are called.

use std::sync::LazyLock;

use redis::Cmd;

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
    pub(super) fn call<K: AsRef<str>, A: AsRef<[u8]>>(
        &self,
        by_text: bool,
        keys: &[K],
        arguments: &[A],
    ) -> Cmd {
        let (name, script) = match by_text {
            true => ("EVAL", self.text),
            false => ("EVALSHA", self.digest.as_str()),
        };
        let key_bytes: usize = keys.iter().map(|it| it.as_ref().len()).sum();
        let argument_bytes: usize = arguments.iter().map(|it| it.as_ref().len()).sum();
        let bytes = name.len() + script.len() + COUNT_LEN_MAX + key_bytes + argument_bytes;
        // At its size at once: it is made for every operation.
        let mut command = Cmd::with_capacity(3 + keys.len() + arguments.len(), bytes);
        command.arg(name).arg(script).arg(keys.len());
        for key in keys {
            command.arg(key.as_ref());
        }
        for argument in arguments {
            command.arg(argument.as_ref());
        }
        command
    }
}

/// Digits of the number of keys.
const COUNT_LEN_MAX: usize = 5;
