//! What can go wrong between two programs.

use std::time::Duration;

/// The way of the bytes that a fault concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Requests.
    ToServer,
    /// Replies.
    ToClient,
    /// Each way, and each for itself: a count of bytes is not shared.
    Both,
}

/// What a [`Proxy`](crate::Proxy) does to connections.
///
/// "Closes" is what happens when a process ends: the other side gets what was passed to it before, and then
/// the end of the stream, or a reset if it had sent something that was not yet read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Delivers later, in order. Also the end of a stream comes later; a connection is made at once.
    Delay {
        /// Which bytes.
        direction: Direction,
        /// How much later.
        latency: Duration,
        /// Up to how much more than that, drawn for each piece that is read.
        jitter: Duration,
    },
    /// Delivers slowly.
    Bandwidth {
        /// Which bytes.
        direction: Direction,
        /// The most that may pass per connection. 0 counts as 1.
        bytes_per_s: u64,
    },
    /// Delivers each byte in a segment of its own, as far as the kernel does not join them again.
    Chop {
        /// Which bytes.
        direction: Direction,
    },
    /// Withholds everything, also the end of a stream, and leaves the connection open: a partition, of one
    /// way or both. What was withheld is delivered when the fault ends, as TCP does when a cable is put back.
    /// A new connection is made nevertheless.
    Blackhole {
        /// Which bytes.
        direction: Direction,
    },
    /// Lets some bytes pass and closes the connection when one more comes. That one does not pass.
    CutAfter {
        /// Which bytes.
        direction: Direction,
        /// How many pass, counted from when the fault was set. With 0, no request is begun.
        bytes: u64,
    },
    /// Passes a request on, and closes the connection when the server begins to reply. Nothing of the reply
    /// passes: the client cannot know what became of its request. Also for replies that are being waited
    /// for when the fault is set.
    ///
    /// A server that replies before it has the whole request is cut off then.
    LoseReply,
    /// Waits until some bytes pass to the server, such as `COMMIT`, also if they come in pieces.
    OnMark {
        /// The bytes. None of it is found if it is empty.
        mark: Vec<u8>,
        /// What to do then.
        then: AtMark,
    },
    /// Resets all connections, and new ones as soon as they are made.
    Reset,
    /// Resets new connections as soon as they are made, before the server hears of them. The others go on.
    ///
    /// To a client it has succeeded in connecting, unlike with a server that does not listen.
    Refuse,
    /// Accepts new connections but neither reads from them nor tells the server, until the fault ends. The
    /// others go on.
    HalfOpen,
}

/// What to do when a mark passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtMark {
    /// Closes the connection. What precedes the mark passes; of the mark, at most the pieces that came before
    /// its end was seen.
    Cut,
    /// Passes the mark on, and closes the connection when the server next says something. None of that passes.
    LoseReply,
}

impl Direction {
    pub(crate) fn includes(self, one: Direction) -> bool {
        self == Direction::Both || self == one
    }
}

impl Fault {
    /// Whether a share of it is drawn among connections; otherwise it is among replies or marks.
    pub(crate) fn is_drawn_per_connection(&self) -> bool {
        match self {
            Fault::LoseReply | Fault::OnMark { .. } => false,
            Fault::Delay { .. }
            | Fault::Bandwidth { .. }
            | Fault::Chop { .. }
            | Fault::Blackhole { .. }
            | Fault::CutAfter { .. }
            | Fault::Reset
            | Fault::Refuse
            | Fault::HalfOpen => true,
        }
    }
}
