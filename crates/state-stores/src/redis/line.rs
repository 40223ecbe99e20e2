//! One connection to one server, made when it is needed and made anew when it has ended.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;
use redis::{Cmd, Pipeline, RedisError, Value};
use tokio::{
    task::AbortHandle,
    time::{Instant, timeout},
};

use super::{
    address::Address,
    connector::{Connection, Connector},
};

/// The way to one server. All who use it share its connection; nobody waits for another's reply.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) address: Address,
    pub(super) connector: Connector,
    state: Mutex<State>,
    /// How many wait longer than they should.
    overdue: AtomicUsize,
    /// Whether another server has taken the place of this one. Shared by all lines to it.
    is_superseded: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Closed,
    /// On its way, by a task. All who need it wait for the same one.
    Opening(Opening, AbortHandle),
    Open(Arc<Connection>),
}

type Opening = Shared<BoxFuture<'static, Result<Arc<Connection>, String>>>;

/// What a request goes out on.
enum Next {
    Open(Arc<Connection>),
    Opening(Opening),
}

/// Why there is no reply, in words for users.
#[derive(Clone, Debug)]
pub(super) enum Silence {
    /// The request was never sent.
    NotSent(String),
    /// It may have been sent, so it may have been carried out, and may still be.
    Lost(String),
}

/// After how long a server is suspected of having gone. Short of what clients wait for, and longer than
/// a healthy server takes for anything this program asks.
pub(super) const SUSPICION: Duration = Duration::from_millis(500);

impl Line {
    pub(super) fn new(address: Address, connector: Connector) -> Line {
        Line {
            address,
            connector,
            state: Mutex::default(),
            overdue: AtomicUsize::new(0),
            is_superseded: Arc::default(),
        }
    }

    /// Another line to the same server.
    pub(super) fn another(&self) -> Line {
        let is_superseded = self.is_superseded.clone();
        Line { is_superseded, ..Line::new(self.address.clone(), self.connector.clone()) }
    }

    /// Sends one command. An error of the server's is a reply.
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value, Silence> {
        let connection = self.connection().await?;
        self.ask_on(&connection, command).await
    }

    /// Sends commands with nobody else's between them. One reply for each.
    pub(super) async fn ask_all(&self, commands: &Pipeline) -> Result<Vec<Value>, Silence> {
        let connection = self.connection().await?;
        self.ask_all_on(&connection, commands).await
    }

    /// As [`ask`](Line::ask), on the very connection that was used before.
    pub(super) async fn ask_on(
        &self,
        connection: &Connection,
        command: &Cmd,
    ) -> Result<Value, Silence> {
        self.reply(connection, pin!(connection.ask(command))).await
    }

    /// As [`ask_all`](Line::ask_all), on the very connection that was used before.
    pub(super) async fn ask_all_on(
        &self,
        connection: &Connection,
        commands: &Pipeline,
    ) -> Result<Vec<Value>, Silence> {
        self.reply(connection, pin!(connection.ask_all(commands))).await
    }

    /// Says that another server has taken the place of this one: what it does not answer soon, it will
    /// not answer.
    pub(super) fn supersede(&self) {
        self.is_superseded.store(true, Relaxed);
        if self.overdue.load(Relaxed) > 0
            && let State::Open(connection) = &*self.state.lock()
        {
            connection.cut();
        }
    }

    /// Uses another connection from now on, perhaps to another server behind the same name. Who waits on this
    /// one still gets its reply.
    pub(super) fn hang_up(&self) {
        let mut state = self.state.lock();
        if matches!(&*state, State::Open(_)) {
            *state = State::Closed;
        }
    }

    /// The connection that is open, or the next one.
    pub(super) async fn connection(&self) -> Result<Arc<Connection>, Silence> {
        let opening = match self.next() {
            Next::Open(it) => return Ok(it),
            Next::Opening(it) => it,
        };
        let opened = self.opened(opening.clone()).await;
        let mut state = self.state.lock();
        // The first to get here settles it for all.
        if matches!(&*state, State::Opening(it, _) if it.ptr_eq(&opening)) {
            match &opened {
                Some(Ok(it)) => *state = State::Open(it.clone()),
                Some(Err(_)) => *state = State::Closed,
                // It goes on for those who still wait.
                None => {}
            }
        }
        let superseded =
            || Err(format!("redis at {} was replaced by another server", self.address));
        opened.unwrap_or_else(superseded).map_err(|message| {
            self.connector.suspicion.notify_one();
            Silence::NotSent(message)
        })
    }

    fn next(&self) -> Next {
        let mut state = self.state.lock();
        let open = match &*state {
            State::Closed => None,
            State::Open(it) => Some(it.clone()),
            State::Opening(it, task) if !task.is_finished() => return Next::Opening(it.clone()),
            // Perhaps all who waited for it have given up, and how it ended is news of long ago.
            State::Opening(it, _) => it.clone().now_or_never().and_then(Result::ok),
        };
        if let Some(open) = open.filter(|it| it.is_usable(self.connector.timing.reply)) {
            *state = State::Open(open.clone());
            return Next::Open(open);
        }
        let (opening, task) = self.open();
        *state = State::Opening(opening.clone(), task);
        Next::Opening(opening)
    }

    /// Waits for the connection; `None` when another server has taken the place of this one.
    async fn opened(&self, mut opening: Opening) -> Option<Result<Arc<Connection>, String>> {
        loop {
            if let Ok(opened) = timeout(SUSPICION, &mut opening).await {
                return Some(opened);
            }
            self.connector.suspicion.notify_one();
            if self.is_superseded.load(Relaxed) {
                return None;
            }
        }
    }

    /// In a task of its own, so that it goes on if whoever asked for it gives up.
    fn open(&self) -> (Opening, AbortHandle) {
        let (address, connector) = (self.address.clone(), self.connector.clone());
        let task = tokio::spawn(async move { connector.connect(&address).await });
        let handle = task.abort_handle();
        let opening = async move {
            match task.await {
                Ok(connected) => connected.map(Arc::new),
                Err(_) => Err("the program is about to end".to_owned()),
            }
        };
        (opening.boxed().shared(), handle)
    }

    /// The request is pinned by whoever asks: what an async function is given by value has two places in its future, and
    /// this future is one of every request.
    async fn reply<T>(
        &self,
        connection: &Connection,
        mut reply: Pin<&mut impl Future<Output = Result<T, RedisError>>>,
    ) -> Result<T, Silence> {
        let (began, patience) = (Instant::now(), self.connector.timing.reply);
        let mut overdue = None;
        let replied = loop {
            let left = patience.saturating_sub(began.elapsed());
            if let Ok(replied) = timeout(SUSPICION.min(left), reply.as_mut()).await {
                break replied;
            }
            overdue.get_or_insert_with(|| Overdue::new(&self.overdue));
            self.connector.suspicion.notify_one();
            if self.is_superseded.load(Relaxed) || began.elapsed() >= patience {
                // Replies come in order: what others wait for will not come either.
                connection.cut();
                let (address, waited) = (&self.address, began.elapsed().as_secs_f32());
                return Err(Silence::Lost(format!(
                    "redis at {address} gave no answer within {waited:.1} s"
                )));
            }
        };
        replied.map_err(|e| {
            self.connector.suspicion.notify_one();
            Silence::Lost(format!("the connection to redis at {} was lost: {e}", self.address))
        })
    }
}

/// Counts one who waits, for as long as it does.
struct Overdue<'a>(&'a AtomicUsize);

impl<'a> Overdue<'a> {
    fn new(count: &'a AtomicUsize) -> Overdue<'a> {
        count.fetch_add(1, Relaxed);
        Overdue(count)
    }
}

impl Drop for Overdue<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
