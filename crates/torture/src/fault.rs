//! What is done to sidecars, to stores, and to the connections between them.

use std::{ops::Range, time::Duration};

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
    /// The disk is full for a while: that of the sidecars, or of the store's server.
    FullDisk,
    /// A flush to the disk fails now and then.
    FailingDisk,
    /// `kill -9` of the store's server, which is started again.
    KillStore,
    /// The store's server is told to end at once, without putting anything in order, and is started again.
    AbortStore,
    /// The store's server stands still for a while.
    PauseStore,
    /// Others have all the connections that the store's server allows, and those of sidecars are ended.
    TakeConnections,
    /// A sidecar may have very few connections to the store, whose replies come late.
    FewConnections,
    /// Others hold some of the keys, and want some that transactions of sidecars have taken: a deadlock.
    CrossLocks,
    /// The store carries requests out, and the connection is lost before its reply.
    LoseStoreReplies,
    /// Connections to the store are reset.
    ResetStoreConnections,
    /// Connections to the store end in the middle of a reply.
    CutStoreReplies,
    /// The store's replies come late, some too late.
    DelayStoreReplies,
    /// Requests to the store are held up, and arrive after their clients have given up.
    WithholdStoreRequests,
    /// The store's replies are held up.
    WithholdStoreReplies,
    /// New connections to the store are accepted, and nothing comes of them.
    HalfOpenToStore,
    /// Every byte to the store and from it travels alone.
    OneByteAtATimeToStore,
    /// The store's memory is full for a while.
    FullMemory,
    /// The store forgets the scripts that it was sent, again and again.
    FlushScripts,
    /// `kill -9` of the server that takes the writes. Another takes its place; it comes back as a
    /// replica.
    KillPrimary,
    /// The server that takes the writes stands still until another has taken its place.
    PausePrimary,
    /// Another server takes the writes because somebody wants it to.
    SwitchPrimary,
    /// `kill -9` of one of those who watch the servers, which is started again.
    KillSentinel,
    /// A replica stands still, so that nobody can confirm what needs every replica.
    PauseReplica,
    /// Keys move from one server to another while clients use them.
    MigrateSlots,
    /// So many servers stand still that the others are no quorum.
    LoseQuorum,
}

/// Where a fault is made.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Nowhere: it is there all the time, or not at all.
    Nowhere,
    /// A sidecar's process.
    Sidecar,
    /// The connections on one side of a sidecar: to one of so many.
    Link(Side, u32, Fault),
    /// The store alone knows how.
    Store,
    /// The same, and another server takes the writes before it is over.
    Primary,
}

/// Whose connections with a sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Clients,
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
    Connections(Side),
    /// Sidecars were told of it by the store, though nothing need fail.
    Meetings,
}

/// How many bytes of replies pass on a connection before it ends: no multiple of what a reply has, so
/// that one is cut in two.
const CUT_AFTER_BYTES: u64 = 7_777;

impl FaultKind {
    pub(crate) fn place(self) -> Place {
        use Side::{Clients, Store};
        let withhold = |side, direction| Place::Link(side, 1, Fault::Blackhole { direction });
        let delay = |side| {
            let fault = Fault::Delay {
                direction: Direction::ToClient,
                latency: Duration::from_millis(50),
                jitter: Duration::from_millis(250),
            };
            Place::Link(side, 1, fault)
        };
        let chop = |side| Place::Link(side, 1, Fault::Chop { direction: Direction::Both });
        match self {
            FaultKind::None | FaultKind::FailingDisk => Place::Nowhere,
            FaultKind::KillSidecar | FaultKind::PauseSidecar => Place::Sidecar,
            FaultKind::LoseReplies => Place::Link(Clients, 3, Fault::LoseReply),
            FaultKind::LoseStoreReplies => Place::Link(Store, 3, Fault::LoseReply),
            FaultKind::ResetConnections => Place::Link(Clients, 1, Fault::Reset),
            FaultKind::ResetStoreConnections => Place::Link(Store, 1, Fault::Reset),
            FaultKind::CutStoreReplies => {
                let (direction, bytes) = (Direction::ToClient, CUT_AFTER_BYTES);
                Place::Link(Store, 1, Fault::CutAfter { direction, bytes })
            }
            FaultKind::DelayReplies => delay(Clients),
            FaultKind::DelayStoreReplies | FaultKind::FewConnections => delay(Store),
            FaultKind::WithholdRequests => withhold(Clients, Direction::ToServer),
            FaultKind::WithholdStoreRequests => withhold(Store, Direction::ToServer),
            FaultKind::WithholdReplies => withhold(Clients, Direction::ToClient),
            FaultKind::WithholdStoreReplies => withhold(Store, Direction::ToClient),
            FaultKind::HalfOpen => Place::Link(Clients, 1, Fault::HalfOpen),
            FaultKind::HalfOpenToStore => Place::Link(Store, 1, Fault::HalfOpen),
            FaultKind::OneByteAtATime => chop(Clients),
            FaultKind::OneByteAtATimeToStore => chop(Store),
            FaultKind::FullDisk
            | FaultKind::KillStore
            | FaultKind::AbortStore
            | FaultKind::PauseStore
            | FaultKind::TakeConnections
            | FaultKind::CrossLocks
            | FaultKind::FullMemory
            | FaultKind::FlushScripts
            | FaultKind::KillSentinel
            | FaultKind::PauseReplica
            | FaultKind::MigrateSlots
            | FaultKind::LoseQuorum => Place::Store,
            FaultKind::KillPrimary | FaultKind::PausePrimary | FaultKind::SwitchPrimary => {
                Place::Primary
            }
        }
    }

    pub(crate) fn bite(self) -> Bite {
        match self {
            // Who is switched to has to take over before it is over.
            FaultKind::None | FaultKind::SwitchPrimary => Bite::No,
            FaultKind::OneByteAtATime => Bite::Connections(Side::Clients),
            FaultKind::OneByteAtATimeToStore => Bite::Connections(Side::Store),
            FaultKind::FlushScripts
            | FaultKind::KillSentinel
            | FaultKind::MigrateSlots
            | FaultKind::CrossLocks => Bite::Meetings,
            _ => Bite::Failures,
        }
    }

    /// Whether most operations have nothing to do with it, and have to go on.
    pub(crate) fn spares_most(self) -> bool {
        matches!(
            self,
            FaultKind::FlushScripts
                | FaultKind::SwitchPrimary
                | FaultKind::KillSentinel
                | FaultKind::PauseReplica
                | FaultKind::MigrateSlots
                | FaultKind::CrossLocks
        )
    }

    /// How long one lasts, in milliseconds. One in which another server takes the writes lasts until it
    /// does, and this much longer.
    pub(crate) fn lasts_ms(self) -> Range<u64> {
        match self {
            // Less than any time-out of the store, and more than all of them.
            FaultKind::PauseStore => 100..10_000,
            FaultKind::KillSentinel | FaultKind::PauseReplica | FaultKind::MigrateSlots => {
                1_000..3_000
            }
            _ => 200..1_500,
        }
    }
}
