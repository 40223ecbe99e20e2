//! Strong operations: sent together, and answered when the replicas have confirmed them.
//!
//! `WAIT` tells how many replicas have all that there was when its own connection sent its last command, be that
//! a write or a read, and blocks that connection meanwhile. So strong operations have a connection of their
//! own, and those that gather while it is blocked share the next `WAIT`.

use std::{sync::Arc, time::Duration};

use redis::{Cmd, Pipeline, Value, cmd, from_redis_value};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    info,
    line::{Line, Silence},
};

/// What makes a write strong on this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Demand {
    /// How the replicas that are connected now are counted. `None` if the server tells in no way.
    pub(super) census: Option<Census>,
    /// Whether replicas can be waited for.
    pub(super) can_wait: bool,
    /// How many have to confirm, even if fewer are connected.
    pub(super) at_least: u32,
}

/// A command that tells which replicas are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Census {
    Role,
    Info,
}

/// The reply to a strong operation.
#[derive(Clone, Debug)]
pub(super) struct Confirmed {
    pub(super) reply: Value,
    /// Why what the reply says may not last, if so.
    pub(super) shortfall: Option<Arc<str>>,
}

/// Where strong operations on one server queue up.
#[derive(Debug)]
pub(super) struct Confirmations {
    queue: mpsc::Sender<Job>,
    line: Arc<Line>,
}

struct Job {
    commands: Vec<Cmd>,
    since: Instant,
    answer: oneshot::Sender<Result<Vec<Confirmed>, Silence>>,
}

/// How many jobs may wait. Those behind them wait for a place.
const QUEUE_LEN: usize = 1024;

/// How many commands are sent together, unless one job has more.
const BATCH_LEN: usize = 256;

impl Confirmations {
    /// Starts the task that sends them on `line`, which nobody else uses. It ends when this is dropped.
    pub(super) fn start(line: Line, demand: Demand) -> Confirmations {
        let line = Arc::new(line);
        let (queue, jobs) = mpsc::channel(QUEUE_LEN);
        tokio::spawn(serve(line.clone(), demand, jobs));
        Confirmations { queue, line }
    }

    /// The connection that they go over.
    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// Sends commands, and says for each what the server has replied and whether replicas have it.
    pub(super) async fn ask_all(&self, commands: Vec<Cmd>) -> Result<Vec<Confirmed>, Silence> {
        let (answer, answered) = oneshot::channel();
        let ended = || "the program is about to end".to_owned();
        let job = Job { commands, since: Instant::now(), answer };
        self.queue.send(job).await.map_err(|_| Silence::NotSent(ended()))?;
        answered.await.map_err(|_| Silence::Lost(ended()))?
    }
}

async fn serve(line: Arc<Line>, demand: Demand, mut jobs: mpsc::Receiver<Job>) {
    // What was needed last time is most likely needed again.
    let mut expected = demand.at_least;
    while let Some(first) = jobs.recv().await {
        let mut batch = vec![first];
        let mut len = batch[0].commands.len();
        while len < BATCH_LEN
            && let Ok(job) = jobs.try_recv()
        {
            len += job.commands.len();
            batch.push(job);
        }
        let (mut pipeline, mut waiting) = (Pipeline::with_capacity(len + 2), Vec::new());
        for job in batch {
            // Whoever has given up is not to be written for.
            if job.answer.is_closed() {
                continue;
            }
            if job.since.elapsed() > line.connector.timing.reply {
                job.refuse(format!(
                    "redis at {} takes too long for strong operations",
                    line.address
                ));
                continue;
            }
            waiting.push((job.commands.len(), job.answer));
            for it in job.commands {
                pipeline.add_command(it);
            }
        }
        if pipeline.is_empty() {
            continue;
        }
        let answered = confirm(&line, demand, &mut expected, pipeline).await;
        // Who has given up meanwhile does not want to know.
        match answered {
            Ok(mut confirmed) => {
                for (len, answer) in waiting {
                    let _ = answer.send(Ok(confirmed.drain(..len).collect()));
                }
            }
            Err(silence) => {
                for (_, answer) in waiting {
                    let _ = answer.send(Err(silence.clone()));
                }
                // Those behind them need not find out for themselves, one after the other.
                while let Ok(job) = jobs.try_recv() {
                    let (Silence::NotSent(message) | Silence::Lost(message)) = silence.clone();
                    job.refuse(message);
                }
            }
        }
    }
}

impl Job {
    /// Says that it was not sent.
    fn refuse(self, message: String) {
        // Who has given up does not want to know.
        let _ = self.answer.send(Err(Silence::NotSent(message)));
    }
}

async fn confirm(
    line: &Line,
    demand: Demand,
    expected: &mut u32,
    mut pipeline: Pipeline,
) -> Result<Vec<Confirmed>, Silence> {
    let (len, patience) = (pipeline.len(), line.connector.timing.confirm);
    if let Some(census) = demand.census {
        pipeline.add_command(census.command());
    }
    if demand.can_wait {
        pipeline.add_command(wait(*expected, patience));
    }
    let connection = line.connection().await?;
    let mut replies = line.ask_all_on(&connection, &pipeline).await?;
    let told = replies.split_off(len);
    let connected = match demand.census {
        Some(it) => it.count(&told[0]),
        None => Some(0),
    };
    let mut confirmed = if demand.can_wait { told.last().and_then(number) } else { Some(0) };
    let needed = connected.map(|it| it.max(demand.at_least));
    if let (Some(needed), Some(count)) = (needed, confirmed)
        && demand.can_wait
        && count < needed
        && *expected < needed
    {
        // There are more than there were. Only this connection knows what was written on it, and nothing was
        // since.
        let again = line.ask_on(&connection, &wait(needed, patience)).await;
        confirmed = again.ok().as_ref().and_then(number);
    }
    *expected = needed.unwrap_or(demand.at_least);
    let shortfall = shortfall(confirmed, needed, patience).map(Arc::from);
    let confirmed = |reply| Confirmed { reply, shortfall: shortfall.clone() };
    Ok(replies.into_iter().map(confirmed).collect())
}

/// What is missing, if anything is.
fn shortfall(confirmed: Option<u32>, needed: Option<u32>, patience: Duration) -> Option<String> {
    match (confirmed, needed) {
        (Some(confirmed), Some(needed)) if confirmed >= needed => None,
        (Some(confirmed), Some(needed)) => Some(format!(
            "only {confirmed} of {needed} replicas confirmed that they have it, too, within {patience:?}"
        )),
        _ => Some("does not say which replicas have it, too".to_owned()),
    }
}

fn wait(replicas: u32, patience: Duration) -> Cmd {
    let mut command = cmd("WAIT");
    // 0 would be for ever.
    command.arg(replicas).arg(patience.as_millis().max(1) as u64);
    command
}

fn number(reply: &Value) -> Option<u32> {
    match reply {
        Value::Int(it) => u32::try_from(*it).ok(),
        _ => None,
    }
}

impl Census {
    pub(super) fn command(self) -> Cmd {
        match self {
            Census::Role => cmd("ROLE"),
            Census::Info => {
                let mut command = cmd("INFO");
                command.arg("replication");
                command
            }
        }
    }

    /// How many replicas follow: those that have caught up once, and get every write. `None` if the server
    /// is a replica itself, or does not say.
    pub(super) fn count(self, reply: &Value) -> Option<u32> {
        match self {
            Census::Role => match reply {
                Value::Array(role) => match role.as_slice() {
                    [Value::BulkString(name), _, Value::Array(replicas)] if name == b"master" => {
                        u32::try_from(replicas.len()).ok()
                    }
                    _ => None,
                },
                _ => None,
            },
            Census::Info => {
                let text: String = from_redis_value(reply.clone()).ok()?;
                let info = info::Replication::parse(&text)?;
                u32::try_from(info.replicas.iter().filter(|it| it.is_online).count()).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_counted_by_either_command() {
        let text = |it: &str| Value::BulkString(it.as_bytes().to_vec());
        let replica = Value::Array(vec![text("127.0.0.1"), text("1"), text("9")]);
        let role = Value::Array(vec![text("master"), Value::Int(9), Value::Array(vec![replica])]);
        assert_eq!(Census::Role.count(&role), Some(1));
        let role = Value::Array(vec![text("slave"), text("::1"), Value::Int(1)]);
        assert_eq!(Census::Role.count(&role), None);
        let info = "# Replication\r\nrole:master\r\nconnected_slaves:2\r\n\
                    slave0:ip=127.0.0.1,port=1,state=online,offset=9,lag=0\r\n\
                    slave1:ip=127.0.0.1,port=2,state=wait_bgsave,offset=0,lag=0\r\nmaster_repl_offset:9\r\n";
        assert_eq!(Census::Info.count(&text(info)), Some(1));
    }
}
