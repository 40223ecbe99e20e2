use anyhow::{Result, bail, ensure};

/// What a server replies, in RESP2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A word such as `OK`.
    Status(String),
    /// What is wrong, beginning with a code such as `MOVED`.
    Error(String),
    /// A number.
    Integer(i64),
    /// A value.
    Bulk(Vec<u8>),
    /// Several replies.
    Array(Vec<Reply>),
    /// The absence of a value or of an array.
    Nil,
}

impl Reply {
    /// Fails if it is not `OK`.
    pub fn ok(self) -> Result<()> {
        ensure!(self == Reply::Status("OK".into()), "not OK, but {self:?}");
        Ok(())
    }

    /// A status, or a value that is text.
    pub fn text(self) -> Result<String> {
        match self {
            Reply::Status(text) => Ok(text),
            Reply::Bulk(bytes) => Ok(String::from_utf8(bytes)?),
            other => bail!("not a text, but {other:?}"),
        }
    }

    /// A number.
    pub fn integer(self) -> Result<i64> {
        match self {
            Reply::Integer(number) => Ok(number),
            other => bail!("not a number, but {other:?}"),
        }
    }

    /// Several replies.
    pub fn array(self) -> Result<Vec<Reply>> {
        match self {
            Reply::Array(replies) => Ok(replies),
            other => bail!("not an array, but {other:?}"),
        }
    }
}
