//! What is done to sidecars, to stores, and to the connections between them.

use std::time::Duration;

use clap::ValueEnum;
use fault_proxy::{Direction, Fault};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub(crate) enum FaultKind {
    /// Nothing: what contention alone brings out.
    None,
    /// `kill -9` of a sidecar, which is started again.
    KillSidecar,
    /// A sidecar stands still for a while.
    PauseSidecar,
    /// Requests are carried out, and the connection is lost before the reply.
    LoseReplies,
    /// Connections are reset.
    ResetConnections,
    /// Replies come late, some too late.
    DelayReplies,
    /// Requests are held up, and arrive after their clients have given up.
    WithholdRequests,
    /// Replies are held up.
    WithholdReplies,
    /// New connections are accepted, and nothing comes of them.
    HalfOpen,
    /// Every byte travels alone.
    OneByteAtATime,
    /// The disk is full for a while.
    FullDisk,
    /// A flush to the disk fails now and then.
    FailingDisk,
}

/// Where a fault is made.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Nowhere: it is there all the time, or not at all.
    Nowhere,
    /// A sidecar's process.
    Process,
    /// The connections of clients to a sidecar: to one of so many.
    Link(u32, Fault),
    /// The store alone knows how.
    Store,
}

/// How it is known that a fault did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bite {
    /// It need not.
    No,
    /// Operations fail, or nobody knows what became of them.
    Failures,
    /// Connections were affected, though nothing need fail.
    Connections,
}

impl FaultKind {
    pub(crate) fn place(self) -> Place {
        let withhold = |direction| Place::Link(1, Fault::Blackhole { direction });
        match self {
            FaultKind::None | FaultKind::FailingDisk => Place::Nowhere,
            FaultKind::KillSidecar | FaultKind::PauseSidecar => Place::Process,
            FaultKind::LoseReplies => Place::Link(3, Fault::LoseReply),
            FaultKind::ResetConnections => Place::Link(1, Fault::Reset),
            FaultKind::DelayReplies => Place::Link(
                1,
                Fault::Delay {
                    direction: Direction::ToClient,
                    latency: Duration::from_millis(50),
                    jitter: Duration::from_millis(250),
                },
            ),
            FaultKind::WithholdRequests => withhold(Direction::ToServer),
            FaultKind::WithholdReplies => withhold(Direction::ToClient),
            FaultKind::HalfOpen => Place::Link(1, Fault::HalfOpen),
            FaultKind::OneByteAtATime => Place::Link(1, Fault::Chop { direction: Direction::Both }),
            FaultKind::FullDisk => Place::Store,
        }
    }

    pub(crate) fn bite(self) -> Bite {
        match self {
            FaultKind::None => Bite::No,
            FaultKind::OneByteAtATime => Bite::Connections,
            _ => Bite::Failures,
        }
    }
}
