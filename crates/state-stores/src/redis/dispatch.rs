//! Brings calls to the right servers, and tries again what was certainly not carried out.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use redis::{Pipeline, Value, cmd};
use state::{Error, FailureKind, Result};
use tokio::{sync::Semaphore, time::sleep};

use super::{
    address::Address,
    call::{Call, Way},
    confirmed::{Confirmed, Demand},
    line::Silence,
    node::Node,
    refusal::{Intent, Refusal},
    replicas::Replicas,
    settings::Timing,
    topology::Topology,
};

#[derive(Debug)]
pub(super) struct Dispatch {
    pub(super) topology: Arc<Topology>,
    /// Where eventual reads go, if not to the primary.
    pub(super) replicas: Option<Replicas>,
    pub(super) demand: Demand,
    timing: Timing,
    /// One place for each request that is under way, however many calls it has.
    places: Semaphore,
}

/// How many requests may be under way at once: more than clients can usefully send, and few enough that
/// a server which stands still does not fill the memory.
const REQUESTS_MAX: usize = 4096;

/// How often servers may point to others before something must be wrong with them.
const HOPS_MAX: u32 = 16;

/// How many commands are sent to one server in one piece, so that others get their turn.
const PIPELINE_LEN: usize = 512;

/// How far a call has come.
#[derive(Debug, Default)]
struct Progress {
    answer: Option<Result<Value>>,
    /// Why it was not carried out the last time.
    trouble: Option<Error>,
    by_text: bool,
    /// The server that it was sent to, and whether for this once.
    pointed_to: Option<(Address, Once)>,
    hops: u32,
    avoids_replicas: bool,
}

/// Whether a server takes a call only when it is told that another has sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Once {
    Yes,
    No,
}

/// Calls that go to one server in one way.
struct Group {
    node: Arc<Node>,
    lane: Lane,
    /// Their positions.
    calls: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Plain,
    Asking,
    Confirmed,
    Replica,
}

/// What came of sending one call.
enum Reply {
    From(Value),
    /// The server has done it, but it may not last.
    Unconfirmed(Arc<str>),
    None(Silence),
}

impl Dispatch {
    pub(super) fn new(
        topology: Arc<Topology>,
        replicas: Option<Replicas>,
        demand: Demand,
        timing: Timing,
    ) -> Dispatch {
        Dispatch { topology, replicas, demand, timing, places: Semaphore::new(REQUESTS_MAX) }
    }

    /// Sends one call.
    pub(super) async fn one(&self, call: Call<'_>) -> Result<Value> {
        let mut answers = self.all(std::slice::from_ref(&call)).await;
        answers.pop().expect("one answer for each call")
    }

    /// Sends calls that do not depend on each other. The i-th answer is to the i-th call.
    pub(super) async fn all(&self, calls: &[Call<'_>]) -> Vec<Result<Value>> {
        let Ok(_place) = self.places.try_acquire() else {
            let full = || {
                let message = format!("{REQUESTS_MAX} requests wait for redis already");
                Err(Error::new(FailureKind::Overloaded, message))
            };
            return calls.iter().map(|_| full()).collect();
        };
        let mut progress: Vec<Progress> = calls.iter().map(|_| Progress::default()).collect();
        let mut attempt = 0;
        loop {
            let groups = self.group(calls, &mut progress);
            let sent = groups.iter().map(|it| self.send(it, calls, &progress));
            let replies = join_all(sent).await;
            for (group, replies) in groups.iter().zip(replies) {
                for (i, reply) in group.calls.iter().zip(replies) {
                    progress[*i].take(reply, group, calls[*i].way.intent());
                }
            }
            if progress.iter().any(|it| it.pointed_to.is_some()) {
                self.topology.is_outdated();
            }
            if progress.iter().all(|it| it.answer.is_some()) {
                break;
            }
            if progress.iter().any(|it| it.answer.is_none() && it.trouble.is_some()) {
                if attempt == self.timing.retries {
                    break;
                }
                self.topology.renew().await;
                sleep(self.pause(attempt)).await;
                attempt += 1;
            }
        }
        progress.into_iter().map(Progress::finish).collect()
    }

    /// Doubles with each attempt, and differs between those who wait for the same.
    fn pause(&self, attempt: u32) -> Duration {
        let (shortest, longest) = self.timing.pause;
        let pause = shortest.saturating_mul(2_u32.saturating_pow(attempt)).min(longest);
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// The calls that have no answer yet, by where they go. Those that can go nowhere say so.
    fn group(&self, calls: &[Call<'_>], progress: &mut [Progress]) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for (i, (call, progress)) in calls.iter().zip(progress).enumerate() {
            if progress.answer.is_some() {
                continue;
            }
            progress.trouble = None;
            let (node, lane) = match self.route(call, progress) {
                Ok(it) => it,
                Err(e) => {
                    progress.trouble = Some(e);
                    continue;
                }
            };
            let fits = |it: &&mut Group| {
                Arc::ptr_eq(&it.node, &node) && it.lane == lane && it.calls.len() < PIPELINE_LEN
            };
            match groups.iter_mut().rev().find(fits) {
                Some(group) => group.calls.push(i),
                None => groups.push(Group { node, lane, calls: vec![i] }),
            }
        }
        groups
    }

    fn route(&self, call: &Call<'_>, progress: &mut Progress) -> Result<(Arc<Node>, Lane)> {
        if call.way == Way::ReadAnywhere
            && !progress.avoids_replicas
            && let Some(replicas) = &self.replicas
            && let Some(replica) = replicas.choose(self.topology.primary(call.slot)?.address())
        {
            return Ok((replica, Lane::Replica));
        }
        let node = self.topology.primary(call.slot)?;
        let lane = if call.way == Way::WriteStrongly { Lane::Confirmed } else { Lane::Plain };
        Ok(match progress.pointed_to.take() {
            None => (node, lane),
            Some((address, Once::No)) => (self.topology.node_at(&address, &node), lane),
            // The command that asks for it and the call have to go together, which confirmed ones do not.
            Some((address, Once::Yes)) => (self.topology.node_at(&address, &node), Lane::Asking),
        })
    }

    async fn send(&self, group: &Group, calls: &[Call<'_>], progress: &[Progress]) -> Vec<Reply> {
        let Group { node, lane, calls: positions } = group;
        let commands = positions.iter().map(|it| calls[*it].command(progress[*it].by_text));
        let replies = match lane {
            Lane::Plain | Lane::Replica if positions.len() == 1 => {
                let command = commands.into_iter().next().expect("there is one");
                node.ask(&command).await.map(|it| vec![Reply::From(it)])
            }
            Lane::Plain | Lane::Replica => {
                let mut pipeline = Pipeline::with_capacity(positions.len());
                for it in commands {
                    pipeline.add_command(it);
                }
                node.ask_all(&pipeline).await.map(|it| it.into_iter().map(Reply::From).collect())
            }
            Lane::Asking => {
                let mut pipeline = Pipeline::with_capacity(2 * positions.len());
                for it in commands {
                    pipeline.add_command(cmd("ASKING")).add_command(it);
                }
                let replies = node.ask_all(&pipeline).await;
                let is_call = |(i, it)| (i % 2 == 1).then_some(Reply::From(it));
                replies.map(|it| it.into_iter().enumerate().filter_map(is_call).collect())
            }
            Lane::Confirmed => {
                let replies = node.ask_strongly(commands.collect(), self.demand).await;
                replies.map(|it| it.into_iter().map(Reply::of).collect())
            }
        };
        match replies {
            Ok(replies) => replies,
            Err(silence) => positions.iter().map(|_| Reply::None(silence.clone())).collect(),
        }
    }
}

impl Reply {
    fn of(confirmed: Confirmed) -> Reply {
        match confirmed {
            // What was refused need not be confirmed.
            Confirmed { reply: reply @ Value::ServerError(_), .. } => Reply::From(reply),
            Confirmed { reply, shortfall } if is_conflict(&reply) || shortfall.is_none() => {
                Reply::From(reply)
            }
            Confirmed { shortfall, .. } => Reply::Unconfirmed(shortfall.unwrap_or_default()),
        }
    }
}

/// Whether the script has changed nothing.
fn is_conflict(reply: &Value) -> bool {
    let Value::Array(parts) = reply else { return false };
    !matches!(parts.first(), Some(Value::BulkString(it)) if it == b"ok")
}

impl Progress {
    fn take(&mut self, reply: Reply, group: &Group, intent: Intent) {
        let refusal = match reply {
            Reply::From(Value::ServerError(error)) => {
                Refusal::of(&error, group.node.address(), intent)
            }
            Reply::From(value) => return self.answer = Some(Ok(value)),
            Reply::Unconfirmed(shortfall) => {
                let error = Error::new(FailureKind::Lost, shortfall.to_string());
                return self.answer = Some(Err(error));
            }
            Reply::None(silence) => {
                let is_harmless = intent == Intent::Read || matches!(silence, Silence::NotSent(_));
                let error = silence.error(intent);
                if is_harmless { Refusal::NotNow(error) } else { Refusal::Final(error) }
            }
        };
        if group.lane == Lane::Replica && !matches!(refusal, Refusal::NoScript) {
            // The primary will know better.
            self.avoids_replicas = true;
            return;
        }
        self.hops += 1;
        match refusal {
            _ if self.hops > HOPS_MAX => {
                let message = "the servers of redis point to each other: see CLUSTER NODES on each";
                self.answer = Some(Err(Error::new(FailureKind::Unavailable, message)));
            }
            Refusal::NoScript => {
                self.by_text = true;
                // The same server once more, which may have been asked for this once.
                if group.lane == Lane::Asking {
                    self.pointed_to = Some((group.node.address().clone(), Once::Yes));
                }
            }
            Refusal::Moved(address) => self.pointed_to = Some((address, Once::No)),
            Refusal::Ask(address) => self.pointed_to = Some((address, Once::Yes)),
            Refusal::NotNow(error) => self.trouble = Some(error),
            Refusal::Final(error) => self.answer = Some(Err(error)),
        }
    }

    fn finish(self) -> Result<Value> {
        let unanswered = || Error::new(FailureKind::Unavailable, "redis was not asked");
        self.answer.unwrap_or_else(|| Err(self.trouble.unwrap_or_else(unanswered)))
    }
}
