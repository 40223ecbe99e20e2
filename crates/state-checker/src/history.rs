//! What was asked of a store, when, and what it answered; and its form as lines of JSON.

use std::{error, fmt, io};

use serde::{Deserialize, Serialize};

/// The version of the form in which histories are written. One that is not known is refused.
pub const FORMAT: u32 = 1;

/// The most keys that one group has.
pub const KEYS_PER_GROUP_MAX: usize = 4;

/// Everything that the clients of one run saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Where it comes from.
    pub origin: Origin,
    /// In no particular order.
    pub records: Vec<Record>,
}

/// Where a history comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The form of the records; see [`FORMAT`].
    pub format: u32,
    /// What was asked, in words.
    pub subject: String,
    /// What the choices of the clients, and the faults, were made from.
    pub seed: u64,
}

/// One operation.
///
/// Keys are judged in groups: no operation reaches beyond one, so each group is a history of its
/// own. Most groups have a single key; those with transactions have a few.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The group of its keys.
    pub group: u32,
    /// Who asked: one operation after the other. A client whose operation has an unknown outcome
    /// goes on as another process, because that operation may still be under way.
    pub process: u32,
    /// Which of several sidecars was asked.
    pub endpoint: u16,
    /// When, before the first byte was sent: nanoseconds on a clock that all processes share.
    pub called: u64,
    /// When the last byte of the answer had come, or the client gave up.
    pub returned: u64,
    /// What was asked.
    pub call: Call,
    /// What was answered.
    pub reply: Reply,
}

/// What is asked of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Call {
    /// Read a key.
    Get {
        /// Which one of its group, from 0.
        key: u8,
        /// Whether an old value will do.
        #[serde(default, skip_serializing_if = "is_false")]
        eventual: bool,
    },
    /// Change a key.
    Write(Change),
    /// Make all the changes at one instant, or none.
    Transact(Vec<Change>),
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Which one of its group, from 0.
    pub key: u8,
    /// When it may happen.
    pub condition: Condition,
    /// What it does.
    pub effect: Effect,
}

/// What must be true of a key for a change to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// Nothing.
    Any,
    /// It is absent.
    Absent,
    /// It is at this version.
    Matches {
        /// What the store calls it.
        etag: String,
        /// The value that the client had seen under that ETag; `None` for an ETag that was made up.
        value: Option<u64>,
    },
}

/// What a change does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// Stores a value.
    Put {
        /// Which no other write of the run stores.
        value: u64,
        /// How long it lives, in milliseconds; `None` for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ttl_ms: Option<u64>,
    },
    /// Leaves the key absent.
    Delete,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// The key has this value.
    Found {
        /// The number that its write had.
        value: u64,
        /// What the store calls the version, if it tells.
        etag: Option<String>,
    },
    /// The key has a value that no client of this run can have written there.
    Foreign {
        /// What it is.
        text: String,
    },
    /// The key is absent.
    Absent,
    /// Applied.
    Done {
        /// The new version of each change, where the store tells.
        etags: Vec<Option<String>>,
    },
    /// Not applied: a condition was false.
    Conflict,
    /// Not applied, for another reason.
    NotApplied,
    /// Nobody knows.
    Unknown,
}

/// Why a text is not a history.
#[derive(Debug)]
pub struct ReadError {
    line: usize,
    message: String,
}

fn is_false(it: &bool) -> bool {
    !*it
}

impl Origin {
    /// The origin of a new history.
    pub fn new(subject: &str, seed: u64) -> Origin {
        Origin { format: FORMAT, subject: subject.to_owned(), seed }
    }
}

impl History {
    /// Reads what [`write`](History::write) has written: the origin on the first line, then one
    /// record a line.
    ///
    /// # Errors
    ///
    /// Names the line that is not as it should be.
    pub fn read(text: &str) -> Result<History, ReadError> {
        let mut lines = text.lines().zip(1..).filter(|(it, _)| !it.trim().is_empty());
        let Some((first, line)) = lines.next() else {
            return Err(ReadError { line: 1, message: "the history is empty".to_owned() });
        };
        let origin: Origin = serde_json::from_str(first).map_err(|e| ReadError::new(line, &e))?;
        if origin.format != FORMAT {
            let message = format!("format {} is not known; this is for {FORMAT}", origin.format);
            return Err(ReadError { line, message });
        }
        let mut records = Vec::new();
        for (text, line) in lines {
            let record: Record =
                serde_json::from_str(text).map_err(|e| ReadError::new(line, &e))?;
            record.check().map_err(|message| ReadError { line, message: message.to_owned() })?;
            records.push(record);
        }
        Ok(History { origin, records })
    }

    /// Writes one line of JSON for the origin, and one for each record.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write(&self, to: &mut impl io::Write) -> io::Result<()> {
        let mut line = |json: serde_json::Result<String>| writeln!(to, "{}", json?);
        line(serde_json::to_string(&self.origin))?;
        self.records.iter().try_for_each(|it| line(serde_json::to_string(it)))
    }
}

impl Record {
    /// The changes it asks for; none for a read.
    pub fn changes(&self) -> &[Change] {
        match &self.call {
            Call::Get { .. } => &[],
            Call::Write(it) => std::slice::from_ref(it),
            Call::Transact(it) => it,
        }
    }

    /// The keys it is about.
    pub fn keys(&self) -> impl Iterator<Item = u8> {
        let read = match &self.call {
            Call::Get { key, .. } => Some(*key),
            Call::Write(_) | Call::Transact(_) => None,
        };
        read.into_iter().chain(self.changes().iter().map(|it| it.key))
    }

    /// Checks what the types do not say.
    fn check(&self) -> Result<(), &'static str> {
        if self.returned < self.called {
            return Err("the operation returned before it was called");
        }
        if self.keys().any(|it| usize::from(it) >= KEYS_PER_GROUP_MAX) {
            return Err("a group has at most 4 keys, counted from 0");
        }
        let fits = match (&self.call, &self.reply) {
            (_, Reply::NotApplied | Reply::Unknown) => true,
            (Call::Get { .. }, it) => {
                matches!(it, Reply::Found { .. } | Reply::Foreign { .. } | Reply::Absent)
            }
            (_, Reply::Done { etags }) => etags.len() == self.changes().len(),
            (_, it) => matches!(it, Reply::Conflict),
        };
        if fits { Ok(()) } else { Err("the reply does not fit the call") }
    }
}

impl ReadError {
    fn new(line: usize, e: &serde_json::Error) -> ReadError {
        ReadError { line, message: e.to_string() }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the history: {}", self.line, self.message)
    }
}

impl error::Error for ReadError {}

#[cfg(test)]
mod tests;
