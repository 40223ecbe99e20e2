//! A TCP proxy that delays, cuts, resets and withholds what passes through it, on command.
//!
//! It stands between a client and a server that know nothing of it. One [`Fault`] at a time applies, to
//! connections that are open as to new ones, until it is replaced or healed. For two at once, put a proxy
//! before a proxy.
//!
//! It passes bytes and knows no protocol. A request is what came from the client, and its reply begins with the
//! next byte from the server; so where requests are pipelined or multiplexed, a lost reply may be
//! that of an earlier request.

mod connection;
mod course;
mod fault;
mod link;
mod mark;
mod proxy;
mod pump;
mod random;

pub use fault::{AtMark, Direction, Fault};
pub use proxy::{Counts, Proxy};
