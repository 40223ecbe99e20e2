//! Brings calls to the right servers, and tries again what was certainly not carried out.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use redis::{Pipeline, Value, cmd};
use state::{Error, FailureKind, Result};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{sleep, timeout},
};

use super::{
    address::Address,
    call::{Call, Way},
    confirmed::{Confirmed, Demand},
    line::{SUSPICION, Silence},
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

/// How a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lane {
    /// Answered when the replicas have it, too.
    confirmed: bool,
    /// Told that another server has sent the call.
    asking: bool,
    /// It is a replica, which another server can stand in for.
    replica: bool,
}

impl Lane {
    const PLAIN: Lane = Lane { confirmed: false, asking: false, replica: false };
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

    /// Sends one call. Nearly every one is answered by the first reply, and need not carry along what it takes to
    /// go on after another.
    pub(super) async fn one(&self, call: &Call<'_>) -> Result<Value> {
        let _place = self.place()?;
        let mut progress = Progress::default();
        if matches!(call.way, Way::Read | Way::Write)
            && let Ok((node, Lane::PLAIN)) = self.route(call, &mut progress)
        {
            let reply = node.ask(&call.command(false)).await.map_or_else(Reply::None, Reply::From);
            self.take(&mut progress, reply, (&node, Lane::PLAIN), call);
        }
        if let Some(answer) = progress.answer {
            return answer;
        }
        let on_its_way = self.go_on(std::slice::from_ref(call), vec![progress]);
        Box::pin(on_its_way).await.pop().expect("one answer for each call")
    }

    /// Sends calls that do not depend on each other. The i-th answer is to the i-th call. An error of the server's as an
    /// answer: the user may not read one of several keys.
    pub(super) async fn all(&self, calls: &[Call<'_>]) -> Vec<Result<Value>> {
        match self.place() {
            Ok(_place) => {
                let progress = calls.iter().map(|_| Progress::default()).collect();
                self.go_on(calls, progress).await
            }
            Err(_) => calls.iter().map(|_| Err(full())).collect(),
        }
    }

    fn place(&self) -> Result<SemaphorePermit<'_>> {
        self.places.try_acquire().map_err(|_| full())
    }

    /// Sends calls, from wherever they are, until all are answered.
    async fn go_on(&self, calls: &[Call<'_>], mut progress: Vec<Progress>) -> Vec<Result<Value>> {
        let mut attempt = 0;
        loop {
            if progress.iter().any(|it| it.pointed_to.is_some()) {
                self.topology.is_outdated();
            }
            if progress.iter().any(|it| it.answer.is_none() && it.trouble.is_some()) {
                if attempt == self.timing.retries {
                    // Others may only have been pointed to another server.
                    progress.iter_mut().for_each(Progress::give_up);
                } else {
                    self.topology.renew().await;
                    sleep(self.pause(attempt)).await;
                    attempt += 1;
                }
            }
            if progress.iter().all(|it| it.answer.is_some()) {
                break;
            }
            let groups = self.group(calls, &mut progress);
            let sent = groups.iter().map(|it| self.send(it, calls, &progress));
            let replies = join_all(sent).await;
            for (Group { node, lane, calls: positions }, replies) in groups.iter().zip(replies) {
                for (i, reply) in positions.iter().zip(replies) {
                    self.take(&mut progress[*i], reply, (node, *lane), &calls[*i]);
                }
            }
        }
        let answers = progress.into_iter().map(|it| it.answer);
        answers.map(|it| it.expect("it ends when all are answered")).collect()
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
        let node = self.topology.primary(call.slot)?;
        let confirmed = matches!(call.way, Way::WriteStrongly | Way::ReadStrongly);
        let plain = Lane { confirmed, ..Lane::PLAIN };
        if call.way == Way::ReadAnywhere
            && !progress.avoids_replicas
            && let Some(replicas) = &self.replicas
            && let Some(replica) = replicas.choose(node.address())
        {
            return Ok((replica, Lane { replica: true, ..plain }));
        }
        Ok(match progress.pointed_to.take() {
            None => (node, plain),
            Some((address, once)) => (
                self.topology.node_at(&address, &node),
                Lane { asking: once == Once::Yes, ..plain },
            ),
        })
    }

    async fn send(&self, group: &Group, calls: &[Call<'_>], progress: &[Progress]) -> Vec<Reply> {
        let Group { node, lane, calls: positions } = group;
        let mut commands = Vec::with_capacity(positions.len());
        for it in positions {
            if lane.asking {
                commands.push(cmd("ASKING"));
            }
            commands.push(calls[*it].command(progress[*it].by_text));
        }
        let sent = async {
            if lane.confirmed {
                return node.ask_strongly(commands, self.demand).await;
            }
            let at_once = |reply| Confirmed { reply, shortfall: None };
            if let [command] = commands.as_slice() {
                return node.ask(command).await.map(|it| vec![at_once(it)]);
            }
            let mut pipeline = Pipeline::with_capacity(commands.len());
            for it in commands {
                pipeline.add_command(it);
            }
            Ok(node.ask_all(&pipeline).await?.into_iter().map(at_once).collect())
        };
        let replies = match lane.replica {
            false => sent.await,
            // Its primary is as good, and may be quicker.
            true => timeout(SUSPICION, sent).await.unwrap_or_else(|_| {
                Err(Silence::Lost(format!("redis at {} is slow", node.address())))
            }),
        };
        match replies {
            Ok(mut replies) => {
                if lane.asking {
                    // Every other one is to the announcement.
                    replies = replies.into_iter().skip(1).step_by(2).collect();
                }
                let ways = positions.iter().map(|it| calls[*it].way);
                replies.into_iter().zip(ways).map(|(it, way)| Reply::of(it, way)).collect()
            }
            Err(silence) => {
                if let (true, Some(replicas)) = (lane.replica, &self.replicas) {
                    replicas.avoid(node);
                }
                positions.iter().map(|_| Reply::None(silence.clone())).collect()
            }
        }
    }

    /// Makes of a reply what is to be done next.
    fn take(
        &self,
        progress: &mut Progress,
        reply: Reply,
        (node, lane): (&Arc<Node>, Lane),
        call: &Call<'_>,
    ) {
        let intent = call.way.intent();
        let refusal = match reply {
            Reply::From(Value::ServerError(error))
                if error.code() == "NOPERM" && intent == Intent::Read && !call.has_one_key() =>
            {
                progress.answer = Some(Ok(Value::ServerError(error)));
                return;
            }
            Reply::From(Value::ServerError(error)) => Refusal::of(&error, node.address(), intent),
            // A replica is not told that a key is on its way to another server.
            Reply::From(Value::Nil) if lane.replica && self.topology.is_cluster() => {
                progress.avoids_replicas = true;
                return;
            }
            Reply::From(value) => {
                progress.answer = Some(Ok(value));
                return;
            }
            Reply::Unconfirmed(shortfall) => {
                let kind = match intent {
                    Intent::Read => FailureKind::Unavailable,
                    Intent::Write => FailureKind::Lost,
                };
                let what = match intent {
                    Intent::Read => "has what was asked for",
                    Intent::Write => "has written it",
                };
                let message = format!("redis at {} {what}, but {shortfall}", node.address());
                progress.answer = Some(Err(Error::new(kind, message)));
                return;
            }
            Reply::None(silence) => {
                let is_harmless = intent == Intent::Read || matches!(silence, Silence::NotSent(_));
                let error = silence.error(intent);
                if is_harmless { Refusal::NotNow(error) } else { Refusal::Final(error) }
            }
        };
        if lane.replica && !matches!(refusal, Refusal::NoScript) {
            // The primary will know better.
            progress.avoids_replicas = true;
            return;
        }
        match refusal {
            Refusal::NoScript => {
                progress.by_text = true;
                // The same server once more, which may have been asked for this once.
                let same = || (node.address().clone(), Once::Yes);
                progress.go_on(lane.asking.then(same));
            }
            Refusal::Moved(address) => progress.go_on(Some((address, Once::No))),
            Refusal::Ask(address) => progress.go_on(Some((address, Once::Yes))),
            Refusal::Demoted(error) => {
                // There may be another behind the same name by now.
                node.hang_up();
                progress.trouble = Some(error);
            }
            Refusal::NotNow(error) => progress.trouble = Some(error),
            Refusal::Final(error) => progress.answer = Some(Err(error)),
        }
    }
}

fn full() -> Error {
    let message = format!("{REQUESTS_MAX} requests wait for redis already");
    Error::new(FailureKind::Overloaded, message)
}

impl Reply {
    fn of(Confirmed { reply, shortfall }: Confirmed, way: Way) -> Reply {
        match shortfall {
            // What was refused need not be confirmed.
            Some(_) if matches!(reply, Value::ServerError(_)) => Reply::From(reply),
            Some(_) if way.intent() == Intent::Write && is_refusal(&reply) => Reply::From(reply),
            Some(shortfall) => Reply::Unconfirmed(shortfall),
            None => Reply::From(reply),
        }
    }
}

/// Whether the script has refused to write, and changed nothing.
fn is_refusal(reply: &Value) -> bool {
    let Value::Array(parts) = reply else { return false };
    matches!(parts.first(), Some(Value::BulkString(it)) if it == b"conflict" || it == b"foreign")
}

impl Progress {
    /// Sends it again at once, to another server or in another way: it was not carried out.
    fn go_on(&mut self, pointed_to: Option<(Address, Once)>) {
        self.hops += 1;
        if self.hops > HOPS_MAX {
            let message = "the servers of redis point to each other: see CLUSTER NODES on each";
            self.answer = Some(Err(Error::new(FailureKind::Unavailable, message)));
            return;
        }
        self.pointed_to = pointed_to;
    }

    /// Makes its trouble its answer, if it is in any.
    fn give_up(&mut self) {
        if self.answer.is_none() {
            self.answer = self.trouble.take().map(Err);
        }
    }
}
