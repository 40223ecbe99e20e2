//! What becomes of the bytes that were read.

#[cfg(test)]
mod tests;

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::time::Instant;

use crate::{
    AtMark, Direction, Fault,
    link::{Ending, Link, Orders},
    mark::Finder,
    random::Random,
};

/// How much may be on its way at once if it is delayed, in bytes: enough that it is the delay that is felt.
const FLIGHT_BYTES_MAX: usize = 1024 * 1024;

/// How much of a second's bandwidth is used at once: 20 ms.
const BURSTS_PER_S: u64 = 50;

/// Bytes on their way.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) due: Instant,
    pub(crate) bytes: Vec<u8>,
    pub(crate) after: After,
}

/// What to do when a segment was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    GoOn,
    /// The next reply is not for the client, unless the setting has changed.
    Doom {
        epoch: u64,
    },
    /// The stream ends here.
    End,
    Close,
}

/// A fault as one direction of one connection suffers it.
#[derive(Debug)]
pub(crate) struct Course {
    direction: Direction,
    orders: Orders,
    random: Random,
    /// Bytes let pass so far.
    passed: u64,
    finder: Option<Finder>,
}

impl Course {
    pub(crate) fn new(link: &Link, direction: Direction, orders: Orders) -> Course {
        let random = link.random(orders.epoch, direction);
        let finder = match &orders.fault {
            Some(Fault::OnMark { mark, .. }) => Some(Finder::new(mark.clone())),
            _ => None,
        };
        Course { direction, orders, random, passed: 0, finder }
    }

    /// Counts the connection as one that the fault has done something to.
    pub(crate) fn hit(&self, link: &Link) {
        link.hit(self.orders.epoch);
    }

    /// Whether nothing passes.
    pub(crate) fn withholds(&self) -> bool {
        let Some(Fault::Blackhole { direction }) = &self.orders.fault else { return false };
        direction.includes(self.direction)
    }

    /// How much may be read ahead of what was delivered, in bytes.
    pub(crate) fn flight_bytes_max(&self) -> usize {
        match &self.orders.fault {
            Some(Fault::Delay { .. }) => FLIGHT_BYTES_MAX,
            // Whoever sends should feel that it does not get through.
            _ => 1,
        }
    }

    /// How much may be written at once, in bytes.
    pub(crate) fn burst_bytes_max(&self) -> usize {
        match &self.orders.fault {
            Some(Fault::Bandwidth { direction, bytes_per_s })
                if direction.includes(self.direction) =>
            {
                usize::try_from((bytes_per_s / BURSTS_PER_S).max(1)).unwrap_or(usize::MAX)
            }
            Some(Fault::Chop { direction }) if direction.includes(self.direction) => 1,
            _ => usize::MAX,
        }
    }

    /// For how long some bytes occupy the line.
    pub(crate) fn occupation(&self, bytes: usize) -> Duration {
        match &self.orders.fault {
            Some(Fault::Bandwidth { direction, bytes_per_s })
                if direction.includes(self.direction) =>
            {
                Duration::from_secs(1).mul_f64(bytes as f64 / (*bytes_per_s).max(1) as f64)
            }
            _ => Duration::ZERO,
        }
    }

    /// Decides about bytes that were read. No bytes are the end of the stream.
    pub(crate) fn take(&mut self, link: &Link, read: &[u8]) -> Result<Segment, Ending> {
        let after = if read.is_empty() { After::End } else { After::GoOn };
        let mut segment = Segment { due: Instant::now(), bytes: read.to_vec(), after };
        let is_reply = self.direction == Direction::ToClient && !read.is_empty();
        let begins_reply = is_reply && link.awaits_reply.swap(false, Relaxed);
        let Orders { fault: Some(fault), one_in, epoch } = &self.orders else {
            return Ok(segment);
        };
        let lost = match fault {
            Fault::LoseReply => begins_reply && self.random.one_in(*one_in),
            Fault::OnMark { .. } => is_reply && link.doomed_in.load(Relaxed) == *epoch,
            _ => false,
        };
        if lost {
            link.hit(*epoch);
            return Err(Ending::Close);
        }
        let hit = match fault {
            Fault::Delay { direction, latency, jitter } if direction.includes(self.direction) => {
                segment.due += *latency + self.random.up_to(*jitter);
                true
            }
            Fault::CutAfter { direction, bytes } if direction.includes(self.direction) => {
                let left = usize::try_from(bytes - self.passed).unwrap_or(usize::MAX);
                let cut = read.len() > left;
                if cut {
                    segment.bytes.truncate(left);
                    segment.after = After::Close;
                }
                self.passed += segment.bytes.len() as u64;
                cut
            }
            Fault::OnMark { then, .. } if self.direction == Direction::ToServer => {
                let starts = self.finder.as_mut().map(|it| it.starts(read)).unwrap_or_default();
                let start = starts.into_iter().find(|_| self.random.one_in(*one_in));
                match (start, then) {
                    (None, _) => {}
                    (Some(_), AtMark::LoseReply) => segment.after = After::Doom { epoch: *epoch },
                    (Some(start), AtMark::Cut) => {
                        segment.bytes.truncate(start);
                        segment.after = After::Close;
                    }
                }
                segment.after == After::Close
            }
            Fault::Bandwidth { direction, .. }
            | Fault::Chop { direction }
            | Fault::Blackhole { direction } => direction.includes(self.direction),
            Fault::Delay { .. }
            | Fault::CutAfter { .. }
            | Fault::LoseReply
            | Fault::OnMark { .. }
            | Fault::Reset
            | Fault::Refuse
            | Fault::HalfOpen => false,
        };
        if hit {
            link.hit(*epoch);
        }
        Ok(segment)
    }
}
