//! The way to etcd: one connection to one endpoint at a time, another when it fails or is silent.

use std::{error::Error, fmt, pin::pin, sync::Arc, time::Duration};

use futures::future::{Either, select};
use parking_lot::Mutex;
use prost::Message;
use state::Result;
use tokio::{
    sync::{Mutex as AsyncMutex, MutexGuard},
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tonic::{
    ConnectError, Request, Status,
    client::Grpc,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::{
    messages::{AuthenticateRequest, AuthenticateResponse},
    refusal::{Intent, Refusal},
    settings::{Login, Settings},
};

/// How long an endpoint may be silent before another is used: several times what a busy disk takes to flush.
const PATIENCE: Duration = Duration::from_secs(1);

/// Before another try, doubled each time up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));

/// All the endpoints, of which one is in use.
#[derive(Debug)]
pub(super) struct Cluster {
    endpoints: Vec<Endpoint>,
    login: Option<Login>,
    timeout: Duration,
    link: AsyncMutex<Option<Link>>,
    /// The endpoint that is to be used, which others may have been before.
    turn: Mutex<usize>,
}

/// A connection, and the token that was given for it.
#[derive(Clone, Debug)]
struct Link {
    channel: Channel,
    token: Option<Token>,
    /// Which turn it is of.
    turn: usize,
}

/// As good as a password.
#[derive(Clone)]
struct Token(Arc<str>);

impl Cluster {
    pub(super) fn new(settings: &Settings) -> Cluster {
        Cluster {
            endpoints: settings.endpoints.clone(),
            login: settings.login.clone(),
            timeout: settings.timeout,
            link: AsyncMutex::default(),
            // So that sidecars share the members among them.
            turn: Mutex::new(fastrand::usize(..settings.endpoints.len())),
        }
    }

    /// When an operation that begins now must have ended.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Calls a method. A read is tried again, and so is a write that was certainly not applied.
    pub(super) async fn call<Q, A>(
        &self,
        method: &'static str,
        request: Q,
        intent: Intent,
        deadline: Instant,
    ) -> Result<A>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let mut pause = PAUSE.0;
        loop {
            let status = match self.attempt(method, request.clone(), intent, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(status) => status,
            };
            let refusal = Refusal::of(&status);
            let again = match refusal {
                Refusal::NotApplied | Refusal::Token => true,
                Refusal::Unknown => intent == Intent::Read,
                Refusal::Final(..) => false,
            };
            if !again || Instant::now() + pause >= deadline {
                return Err(refusal.error(intent, status));
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn attempt<Q, A>(
        &self,
        method: &'static str,
        request: Q,
        intent: Intent,
        deadline: Instant,
    ) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        // Nothing was sent yet.
        let not_sent = |_| not_connected("no connection in time");
        let link = timeout_at(deadline, self.link()).await.map_err(not_sent)??;
        let mut request = Request::new(request);
        if let Some(Token(token)) = &link.token {
            let token = token.parse().map_err(|_| Status::internal("the token is not text"))?;
            request.metadata_mut().insert("authorization", token);
        }
        let answer = pin!(unary(link.channel.clone(), method, request));
        let suspicion = pin!(sleep_until((Instant::now() + PATIENCE).min(deadline)));
        let answer = match select(answer, suspicion).await {
            Either::Left((answer, _)) => answer,
            Either::Right((_, answer)) => {
                self.leave(link.turn);
                if intent == Intent::Read {
                    return Err(Status::deadline_exceeded("no answer in time"));
                }
                let silent = |_| Err(Status::deadline_exceeded("no answer in time"));
                timeout_at(deadline, answer).await.unwrap_or_else(silent)
            }
        };
        if let Err(status) = &answer
            && matches!(
                Refusal::of(status),
                Refusal::NotApplied | Refusal::Token | Refusal::Unknown
            )
        {
            self.leave(link.turn);
        }
        answer
    }

    /// The connection in use, made anew if there is none.
    async fn link(&self) -> Result<Link, Status> {
        let mut link = self.link.lock().await;
        let turn = *self.turn.lock();
        if let Some(link) = &*link
            && link.turn == turn
        {
            return Ok(link.clone());
        }
        self.connect(&mut link, turn).await
    }

    async fn connect(
        &self,
        link: &mut MutexGuard<'_, Option<Link>>,
        turn: usize,
    ) -> Result<Link, Status> {
        let made = self.make(turn).await;
        match made {
            Ok(made) => {
                **link = Some(made.clone());
                Ok(made)
            }
            Err(status) => {
                self.leave(turn);
                Err(status)
            }
        }
    }

    async fn make(&self, turn: usize) -> Result<Link, Status> {
        let endpoint = &self.endpoints[turn % self.endpoints.len()];
        let until = Instant::now() + PATIENCE;
        let silent = |_| not_connected("no connection in time");
        let channel = timeout_at(until, endpoint.connect()).await.map_err(silent)?;
        let channel = channel.map_err(not_connected)?;
        let Some(Login { username, password }) = &self.login else {
            return Ok(Link { channel, token: None, turn });
        };
        let request = AuthenticateRequest { name: username.clone(), password: password.clone() };
        let login =
            unary(channel.clone(), "/etcdserverpb.Auth/Authenticate", Request::new(request));
        let answer: Result<AuthenticateResponse, Status> =
            timeout_at(until, login).await.map_err(silent)?;
        match answer {
            Ok(it) => Ok(Link { channel, token: Some(Token(it.token.into())), turn }),
            // A login changes nothing, so whatever was to follow it was not sent.
            Err(e) if Refusal::of(&e) == Refusal::Unknown => Err(not_connected(e)),
            Err(e) => Err(e),
        }
    }

    /// Lets the next endpoint have its turn, unless somebody else has done so.
    fn leave(&self, turn: usize) {
        let mut current = self.turn.lock();
        if *current == turn {
            *current = current.wrapping_add(1);
        }
    }
}

async fn unary<Q, A>(
    channel: Channel,
    method: &'static str,
    request: Request<Q>,
) -> Result<A, Status>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    // What a value may have is for etcd to say.
    let mut client = Grpc::new(channel).max_decoding_message_size(usize::MAX);
    client.ready().await.map_err(not_connected)?;
    let method = method.parse().expect("a method has the form of a path");
    let answer = client.unary(request, method, ProstCodec::default()).await?;
    Ok(answer.into_inner())
}

/// What [`Refusal::of`] takes for a request that was not sent.
fn not_connected(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Status {
    Status::from_error(Box::new(ConnectError(cause.into())))
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}
