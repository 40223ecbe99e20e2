//! Which member is asked: the one that was asked last, for as long as it answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use prost::Message;
use state::{Error, FailureKind};
use tokio::{sync::Mutex as Turn, time::sleep};

use super::{
    connection::{Connection, Unanswered},
    refusal::{Intent, Trouble},
    settings::{Endpoint, Login},
};

/// All members that the component file names.
#[derive(Debug)]
pub(super) struct Members {
    all: Vec<Arc<Member>>,
    login: Option<Login>,
    /// The one that is asked.
    current: AtomicUsize,
    /// What all of them are called in messages.
    pub(super) label: String,
}

#[derive(Debug)]
struct Member {
    endpoint: Endpoint,
    connection: Mutex<Option<Arc<Connection>>>,
    /// One at a time makes a connection, and the others have it too. When the last attempt failed, and with what.
    turn: Turn<Option<(Instant, Failed)>>,
    /// Others are asked first until then.
    avoided: Mutex<Option<Instant>>,
}

#[derive(Clone, Debug)]
struct Failed {
    is_final: bool,
    message: String,
}

/// A member that says nothing for this long is suspected: others are asked from then on.
const SUSPICION: Duration = Duration::from_secs(1);

/// How long a member that failed is asked last.
const AVOIDANCE: Duration = Duration::from_secs(1);

impl Members {
    pub(super) fn new(endpoints: Vec<Endpoint>, login: Option<Login>) -> Members {
        let label = match endpoints.as_slice() {
            [one] => one.to_string(),
            more => format!("etcd at {} endpoints", more.len()),
        };
        // So that not all sidecars ask the same.
        let current = AtomicUsize::new(fastrand::usize(0..endpoints.len()));
        let member = |endpoint| {
            Arc::new(Member {
                endpoint,
                connection: Mutex::default(),
                turn: Turn::default(),
                avoided: Mutex::default(),
            })
        };
        Members { all: endpoints.into_iter().map(member).collect(), login, current, label }
    }

    /// How many there are to ask.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Makes a call to a member that can be reached.
    pub(super) async fn call<A: Message + Default>(
        &self,
        path: &str,
        message: &impl Message,
        intent: Intent,
        sends: impl FnOnce(),
    ) -> Result<A, Trouble> {
        let (member, connection) = self.connection().await?;
        sends();
        let label = member.endpoint.to_string();
        let answer = member.watch(&connection, intent, connection.call(path, message)).await;
        let trouble = match answer {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(why)) => {
                let is_silent = matches!(why, Unanswered::Silence(_) | Unanswered::NotSent(_));
                let trouble = Trouble::of(why, &label, intent);
                if is_silent || matches!(trouble, Trouble::NotHere(_)) {
                    connection.retire();
                    member.avoid();
                }
                trouble
            }
            None => {
                let message = format!("{label} gave no answer within {SUSPICION:?}");
                Trouble::NotHere(Error::new(FailureKind::Unavailable, message))
            }
        };
        Err(trouble)
    }

    /// A connection to the current member, or else to the first that takes one.
    async fn connection(&self) -> Result<(&Member, Arc<Connection>), Trouble> {
        let current = self.current.load(Relaxed);
        let mut order: Vec<usize> =
            (0..self.all.len()).map(|i| (current + i) % self.all.len()).collect();
        order.sort_by_key(|i| self.all[*i].is_avoided());
        let mut trouble = None;
        for i in order {
            let member = &self.all[i];
            match member.connect(self.login.as_ref()).await {
                Ok(connection) => {
                    self.current.store(i, Relaxed);
                    return Ok((member, connection));
                }
                Err(it @ Trouble::Final(_)) => return Err(it),
                Err(it) => trouble = Some(it),
            }
        }
        Err(trouble.expect("there is a member"))
    }

    /// The version of the server that a connection is to.
    pub(super) async fn version(&self) -> Result<String, Trouble> {
        Ok(self.connection().await?.1.version.clone())
    }
}

impl Member {
    fn is_avoided(&self) -> bool {
        self.avoided.lock().is_some_and(|it| it > Instant::now())
    }

    fn avoid(&self) {
        *self.avoided.lock() = Some(Instant::now() + AVOIDANCE);
    }

    fn usable(&self) -> Option<Arc<Connection>> {
        self.connection.lock().clone().filter(|it| it.is_usable())
    }

    /// The connection, which is made if there is none.
    async fn connect(self: &Arc<Self>, login: Option<&Login>) -> Result<Arc<Connection>, Trouble> {
        if let Some(it) = self.usable() {
            return Ok(it);
        }
        // Whoever gives up waiting does not keep the others from having it.
        let (member, login, asked) = (self.clone(), login.cloned(), Instant::now());
        let made = tokio::spawn(async move { member.make(login.as_ref(), asked).await });
        made.await.unwrap_or_else(|_| {
            let message = format!("{} was not asked: the process ends", self.endpoint);
            Err(Trouble::Final(Error::new(FailureKind::Unavailable, message)))
        })
    }

    async fn make(
        &self,
        login: Option<&Login>,
        asked: Instant,
    ) -> Result<Arc<Connection>, Trouble> {
        let mut last = self.turn.lock().await;
        if let Some(it) = self.usable() {
            return Ok(it);
        }
        // Somebody has just tried.
        if let Some((at, failed)) = &*last
            && *at > asked
        {
            return Err(failed.trouble());
        }
        match Connection::open(&self.endpoint, login).await {
            Ok(it) => {
                *self.connection.lock() = Some(it.clone());
                *last = None;
                Ok(it)
            }
            Err(why) => {
                self.avoid();
                let trouble = Trouble::of_connecting(why, &self.endpoint.to_string());
                let is_final = matches!(trouble, Trouble::Final(_));
                let failed = Failed { is_final, message: trouble.error().to_string() };
                let trouble = failed.trouble();
                *last = Some((Instant::now(), failed));
                Err(trouble)
            }
        }
    }

    /// Waits for an answer. When nothing was heard for some time, others are asked from then on, and a read does not wait:
    /// `None`.
    async fn watch<A>(
        &self,
        connection: &Connection,
        intent: Intent,
        answer: impl Future<Output = A>,
    ) -> Option<A> {
        tokio::pin!(answer);
        let mut heard = connection.heard();
        loop {
            tokio::select! {
                it = &mut answer => return Some(it),
                () = sleep(SUSPICION) => {}
            }
            let now = connection.heard();
            if now == heard {
                connection.retire();
                self.avoid();
                if intent == Intent::Read {
                    return None;
                }
            }
            heard = now;
        }
    }
}

impl Failed {
    fn trouble(&self) -> Trouble {
        let error = Error::new(FailureKind::Unavailable, self.message.clone());
        if self.is_final { Trouble::Final(error) } else { Trouble::NotHere(error) }
    }
}
