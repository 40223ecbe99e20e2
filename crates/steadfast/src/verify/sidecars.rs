//! What is verified: sidecars of our own, or those of the user, each behind a proxy that disturbs
//! our own connections and nobody else's.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use fastrand::Rng;
use fault_proxy::{Direction, Fault, Proxy};
use rustix::process::{Pid, Signal, kill_process_group};
use sidecar_client::{GrpcStore, HttpStore, Protocol};
use sidecar_verify::{KILL, Target};
use state::Store;
use state_stores::Driver;
use tokio::sync::Mutex;

use super::child::{Child, folders};
use crate::{cli::VerifyArgs, components, opening};

/// Sidecars, and the ways to them.
#[derive(Debug)]
pub(crate) struct Sidecars {
    names: Vec<String>,
    stores: Vec<Arc<dyn Store>>,
    proxies: Vec<Proxy>,
    /// Our own, in the order of the others; none if they are the user's.
    children: Vec<Mutex<Child>>,
    /// Whether the store is a part of its sidecar, and is killed with it.
    in_process: bool,
    disturbs: bool,
    /// The troubles that are still to come before any comes again; `None` before the first.
    deck: Mutex<Option<Vec<&'static (&'static str, Trouble)>>>,
    hook: Option<String>,
}

/// What can go wrong here.
#[derive(Debug)]
enum Trouble {
    /// To one connection, or reply, in so many.
    Connections(u32, Fault),
    Kill,
    Pause,
}

/// How long a fault lasts, in milliseconds: some longer than an answer is waited for.
const FAULT_MS: std::ops::Range<u64> = 200..900;

/// How long the user's own command may take.
const HOOK_MAX: Duration = Duration::from_secs(300);

/// Longer than most answers take, and not always shorter than they are waited for.
const DELAY: Fault = Fault::Delay {
    direction: Direction::ToClient,
    latency: Duration::from_millis(50),
    jitter: Duration::from_millis(500),
};

static TROUBLES: [(&str, Trouble); 8] = [
    ("reply lost", Trouble::Connections(3, Fault::LoseReply)),
    ("connections reset", Trouble::Connections(1, Fault::Reset)),
    ("replies delayed", Trouble::Connections(1, DELAY)),
    (
        "requests withheld",
        Trouble::Connections(1, Fault::Blackhole { direction: Direction::ToServer }),
    ),
    (
        "replies withheld",
        Trouble::Connections(1, Fault::Blackhole { direction: Direction::ToClient }),
    ),
    ("one byte at a time", Trouble::Connections(1, Fault::Chop { direction: Direction::Both })),
    (KILL, Trouble::Kill),
    ("paused", Trouble::Pause),
];

impl Sidecars {
    /// Starts sidecars, or connects to those that the user has named.
    pub(crate) async fn start(args: &VerifyArgs) -> Result<Sidecars> {
        let mut all = Sidecars {
            names: Vec::new(),
            stores: Vec::new(),
            proxies: Vec::new(),
            children: Vec::new(),
            in_process: false,
            disturbs: !args.no_faults,
            deck: Default::default(),
            hook: args.hook.clone(),
        };
        for url in &args.endpoint {
            let (wire, address) = resolve(url).await?;
            all.connect(url.clone(), wire, address, &args.store).await?;
        }
        if !args.endpoint.is_empty() {
            return Ok(all);
        }
        all.in_process = driver(args)?.in_process;
        for number in 1..=args.processes {
            let child = Child::start(args).await?;
            let address = SocketAddr::from(([127, 0, 0, 1], child.port()));
            let name = format!("sidecar {number}");
            let connected = all.connect(name, Wire::Http, address, &args.store).await;
            connected.map_err(|e| match child.errors() {
                [] => e,
                errors => e.context(errors.join("\n")),
            })?;
            all.children.push(Mutex::new(child));
            if !all.outlives_a_sidecar() {
                // What one process keeps to itself, another cannot see.
                break;
            }
        }
        Ok(all)
    }

    /// What they are called.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Ends our own.
    pub(crate) async fn end(&self) {
        for child in &self.children {
            child.lock().await.end().await;
        }
    }

    async fn connect(
        &mut self,
        name: String,
        wire: Wire,
        address: SocketAddr,
        store: &str,
    ) -> Result<()> {
        let proxy = Proxy::start(address).await.context("cannot start a proxy")?;
        let base = format!("http://{}", proxy.address());
        let token = std::env::var("DAPR_API_TOKEN").ok().filter(|it| !it.is_empty());
        let token = token.as_deref();
        let connected: state::Result<Arc<dyn Store>> = match wire {
            Wire::Http => HttpStore::connect_over(Protocol::Http1, &base, store, token)
                .await
                .map(|it| Arc::new(it) as Arc<dyn Store>),
            Wire::Grpc => GrpcStore::connect(&base, store, token)
                .await
                .map(|it| Arc::new(it) as Arc<dyn Store>),
        };
        self.stores.push(connected.with_context(|| format!("cannot use {name}"))?);
        self.names.push(name);
        self.proxies.push(proxy);
        Ok(())
    }

    fn survives_a_crash(&self) -> bool {
        self.stores.iter().all(|it| it.capabilities().durability.process_crash)
    }

    /// Whether what was acknowledged is there when a sidecar is killed: it is kept elsewhere, or on a disk.
    fn outlives_a_sidecar(&self) -> bool {
        !self.in_process || self.survives_a_crash()
    }

    /// Each of them once before any comes again, and a kill first: a short run must have one to say
    /// anything of durability.
    async fn next_trouble(&self, rng: &mut Rng) -> &'static (&'static str, Trouble) {
        let mut deck = self.deck.lock().await;
        let (is_new, mut cards) = match deck.take() {
            None => (true, Vec::new()),
            Some(cards) => (false, cards),
        };
        if cards.is_empty() {
            cards = self.troubles();
            rng.shuffle(&mut cards);
        }
        if is_new {
            cards.sort_by_key(|it| matches!(it.1, Trouble::Kill));
        }
        let next = cards.pop().expect("connections can always be disturbed");
        *deck = Some(cards);
        next
    }

    fn troubles(&self) -> Vec<&'static (&'static str, Trouble)> {
        let ours = !self.children.is_empty();
        let possible = |it: &&(&str, Trouble)| match it.1 {
            Trouble::Connections(..) => true,
            Trouble::Kill => ours && self.outlives_a_sidecar(),
            Trouble::Pause => ours,
        };
        TROUBLES.iter().filter(possible).collect()
    }
}

#[async_trait]
impl Target for Sidecars {
    fn stores(&self) -> &[Arc<dyn Store>] {
        &self.stores
    }

    fn kills_the_store(&self) -> bool {
        self.disturbs && self.in_process && self.survives_a_crash()
    }

    async fn disturb(&self, rng: &mut Rng) -> Result<Option<&'static str>> {
        if !self.disturbs {
            return Ok(None);
        }
        let (name, trouble) = self.next_trouble(rng).await;
        let which = rng.usize(..self.stores.len());
        let duration = Duration::from_millis(rng.u64(FAULT_MS));
        match trouble {
            Trouble::Kill => self.children[which].lock().await.restart().await?,
            Trouble::Pause => self.children[which].lock().await.pause(duration).await,
            Trouble::Connections(one_in, fault) => {
                let proxy = &self.proxies[which];
                proxy.set_one_in(*one_in, fault.clone());
                tokio::time::sleep(duration).await;
                proxy.heal();
            }
        }
        Ok(Some(name))
    }

    async fn provoke(&self) -> Result<Option<String>> {
        let Some(hook) = &self.hook else { return Ok(None) };
        let mut command = tokio::process::Command::new("sh");
        command.args(["-c", hook]).stdin(std::process::Stdio::null()).process_group(0);
        // What it prints must not get between the lines of a report in JSON.
        command.stdout(std::io::stderr());
        let mut process = command.spawn().context("cannot start a shell")?;
        let group = Group(process.id().and_then(|it| Pid::from_raw(it.cast_signed())));
        let status = tokio::time::timeout(HOOK_MAX, process.wait()).await;
        let status = status.with_context(|| format!("it did not end within {HOOK_MAX:?}"))??;
        // What it has left running on purpose, such as a server, may go on.
        group.spare();
        if !status.success() {
            bail!("it failed: {status}");
        }
        Ok(Some(hook.clone()))
    }
}

/// The processes of a command, which are killed when this is dropped.
struct Group(Option<Pid>);

impl Group {
    /// Lets those go on that there still are.
    fn spare(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // They may have ended at this moment.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// The driver of the component, if its file says what it should.
fn driver(args: &VerifyArgs) -> Result<&'static Driver> {
    components::check_app_id(&args.app_id)?;
    let components = components::load(&args.app_id, &folders(args))?.components;
    let component = components.iter().find(|it| it.name == args.store).with_context(|| {
        let names: Vec<_> = components.iter().map(|it| it.name.as_str()).collect();
        let folders: Vec<_> = folders(args).iter().map(|it| it.display().to_string()).collect();
        format!(
            "there is no state store {} in {} for the app-id {}; there are: {}",
            args.store,
            folders.join(", "),
            args.app_id,
            names.join(", ")
        )
    })?;
    opening::driver(component).map_err(anyhow::Error::msg)
}

/// What an endpoint is spoken to in.
#[derive(Clone, Copy, Debug)]
enum Wire {
    Http,
    Grpc,
}

/// The address of an endpoint.
async fn resolve(url: &str) -> Result<(Wire, SocketAddr)> {
    let (wire, rest) = match url.split_once("://") {
        Some(("http", rest)) => (Wire::Http, rest),
        Some(("grpc", rest)) => (Wire::Grpc, rest),
        Some((scheme, _)) => {
            bail!("--endpoint {url}: {scheme} is not supported, only http and grpc")
        }
        None => bail!("--endpoint {url}: write it as http://host:port or grpc://host:port"),
    };
    let host = rest.trim_end_matches('/');
    if host.contains('/') {
        bail!("--endpoint {url}: there is a path after the port; write scheme://host:port");
    }
    let usual = match wire {
        Wire::Http => 80,
        Wire::Grpc => 50001,
    };
    let host = if host.rsplit(']').next().unwrap_or(host).contains(':') {
        host.to_owned()
    } else {
        format!("{host}:{usual}")
    };
    let mut addresses = tokio::net::lookup_host(&host)
        .await
        .with_context(|| format!("--endpoint {url}: cannot find {host}"))?;
    let first = addresses.next();
    let address = first.with_context(|| format!("--endpoint {url}: {host} has no address"))?;
    Ok((wire, address))
}
