//! The sidecars and their store, and what is done to them.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::Result;
use fastrand::Rng;
use fault_proxy::{Fault, Proxy};
use sidecar_client::{GrpcStore, HttpStore};
use sidecar_verify::{Theme, Workload};
use state::Store;
use tokio::time::sleep;

use super::{PEACE, STORE_NAME, Session, recover};
use crate::{
    cell::Tortured,
    excuse::Twilight,
    fault::{FaultKind, Place, Side},
    sidecar::{self, Sidecar},
};

/// A sidecar that can be started again, and the way that clients take to it.
pub(super) struct Replica {
    plan: sidecar::Plan,
    sidecar: Sidecar,
    wire: Wire,
    pub(super) link: Proxy,
}

/// What clients speak to a sidecar.
#[derive(Clone, Copy, Debug)]
enum Wire {
    Http,
    Grpc,
}

pub(super) struct Stage<'a> {
    replicas: Vec<Replica>,
    pub(super) store: Box<dyn Tortured>,
    /// The sidecars as clients have them.
    stores: &'a [Arc<dyn Store>],
    rng: Rng,
    pub(super) faults: u64,
    /// The times in which something was wrong, on the clock of the records.
    pub(super) windows: Vec<(u64, u64)>,
    /// Those in which another server took over.
    pub(super) twilights: Vec<Twilight>,
    /// How long sidecars took to serve after the last fault.
    pub(super) recovery: Duration,
    /// The longest that they took after another server had taken over.
    pub(super) succession: Duration,
    /// What did not come back.
    pub(super) dead: Vec<String>,
}

/// The pause until the next fault, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 300..1500;

impl Replica {
    pub(super) async fn start(
        session: &Session,
        number: usize,
        store: &dyn Tortured,
        folder: &Path,
    ) -> Result<Replica> {
        let components = folder.join(format!("components-{number}"));
        fs::create_dir(&components)?;
        let spec = store.spec(number);
        let component = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: {STORE_NAME}\nspec:\n\
             {spec}"
        );
        fs::write(components.join("statestore.yaml"), component)?;
        let plan = sidecar::Plan::serve(&session.program, folder)
            .argument("--resources-path")
            .argument(components)
            .under(store.wrapper(number));
        let sidecar = Sidecar::start(&plan).await?;
        // Every second one over gRPC: whatever the wire, they have one state.
        let (wire, port, flag) = match number % 2 {
            0 => (Wire::Http, sidecar.port(), "--dapr-http-port"),
            _ => (Wire::Grpc, sidecar.grpc_port(), "--dapr-grpc-port"),
        };
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let link = Proxy::start_with_seed(address, session.seed).await?;
        // From now on it has to be where its clients look for it.
        let plan = plan.argument(flag).argument(port.to_string());
        Ok(Replica { plan, sidecar, wire, link })
    }

    /// A client of it.
    pub(super) async fn client(&self) -> Result<Arc<dyn Store>> {
        let url = format!("http://{}", self.link.address());
        Ok(match self.wire {
            Wire::Http => Arc::new(HttpStore::connect(&url, STORE_NAME).await?),
            Wire::Grpc => Arc::new(GrpcStore::connect(&url, STORE_NAME, None).await?),
        })
    }
}

impl<'a> Stage<'a> {
    pub(super) fn new(
        replicas: Vec<Replica>,
        store: Box<dyn Tortured>,
        stores: &'a [Arc<dyn Store>],
        rng: Rng,
    ) -> Stage<'a> {
        Stage {
            replicas,
            store,
            stores,
            rng,
            faults: 0,
            windows: Vec::new(),
            twilights: Vec::new(),
            recovery: Duration::ZERO,
            succession: Duration::ZERO,
            dead: Vec::new(),
        }
    }

    /// Peace, then one fault after the other. The last one is ended, however long it takes, and then every sidecar
    /// has to serve.
    pub(super) async fn torture(&mut self, session: &Session, workload: &Workload) -> Result<()> {
        let started = Instant::now();
        sleep(PEACE).await;
        loop {
            let from = workload.time.now();
            let made = self.disturb(session.fault, workload).await?;
            self.windows.push((from, workload.time.now()));
            self.faults += u64::from(made);
            if started.elapsed() >= session.duration {
                break;
            }
            if made {
                sleep(Duration::from_millis(self.rng.u64(PAUSE_MS))).await;
            }
        }
        self.faults += self.store.faults_of_its_own();
        let recovered = recover(self.stores).await;
        self.recovery = recovered.took;
        self.dead.extend(recovered.dead);
        Ok(())
    }

    /// How many connections on one side of the sidecars a fault has done something to.
    pub(super) fn hit(&self, side: Side) -> u64 {
        let links: Vec<&Proxy> = match side {
            Side::Clients => self.replicas.iter().map(|it| &it.link).collect(),
            Side::Store => self.store.links().iter().collect(),
        };
        links.into_iter().map(|it| it.counts().hit).sum()
    }

    /// Makes one fault, and ends it again; says whether there was one to make.
    async fn disturb(&mut self, fault: FaultKind, workload: &Workload) -> Result<bool> {
        let which = self.rng.usize(..self.replicas.len());
        let duration = self.duration(fault);
        let replica = &mut self.replicas[which];
        let busy = |rng: &mut Rng| busy_key(workload, rng);
        match fault.place() {
            Place::Nowhere => {
                sleep(duration).await;
                return Ok(false);
            }
            Place::Link(side, one_in, fault) => {
                let link = match side {
                    Side::Clients => &replica.link,
                    Side::Store => &self.store.links()[which],
                };
                link.set_one_in(one_in, fault.clone());
                if fault == Fault::HalfOpen {
                    // It meets new connections only.
                    link.cut_all();
                }
                sleep(duration).await;
                link.heal();
            }
            Place::Sidecar if fault == FaultKind::PauseSidecar => {
                replica.sidecar.pause();
                sleep(duration).await;
                replica.sidecar.resume();
            }
            Place::Sidecar => {
                replica.sidecar.kill();
                replica.sidecar.wait().await?;
                sleep(duration / 4).await;
                replica.sidecar = Sidecar::start(&replica.plan).await?;
            }
            Place::Store => {
                self.store.harm(fault, &busy).await?;
                self.store.prolong(fault, duration, &busy).await?;
                self.store.repair(fault).await?;
            }
            Place::Primary => {
                let from = workload.time.now();
                self.store.harm(fault, &busy).await?;
                self.store.succeeded().await?;
                // As long as the former one answers, that sidecars serve does not tell that they have noticed.
                self.store.deposed().await?;
                let recovered = recover(self.stores).await;
                self.succession = self.succession.max(recovered.took);
                self.dead.extend(recovered.dead);
                self.twilights.push(Twilight { from, to: workload.time.now() });
                self.store.prolong(fault, duration, &busy).await?;
                self.store.repair(fault).await?;
            }
        }
        Ok(true)
    }

    /// Long ones are rarer than short ones.
    fn duration(&mut self, fault: FaultKind) -> Duration {
        let lasts = fault.lasts_ms();
        let ratio = lasts.end as f64 / lasts.start as f64;
        Duration::from_millis(lasts.start).mul_f64(ratio.powf(self.rng.f64()))
    }
}

/// A key of a group that is most likely being worked on: one of the first that are not done. Those that wait for values
/// to expire have places of their own, and are hardly ever done.
fn busy_key(workload: &Workload, rng: &mut Rng) -> String {
    let themes = (0_u32..).zip(&workload.plan.themes);
    let working: Vec<u32> =
        themes.filter(|(_, it)| **it != Theme::Expiry).map(|(place, _)| place).collect();
    let done = workload.progress.groups.load(Relaxed) as usize;
    let nth = done + rng.usize(..workload.plan.groups_at_once);
    let round = (nth / working.len() * workload.plan.themes.len()) as u32;
    let group = round + working[nth % working.len()];
    workload.keys(group).next().expect("every group has a key")
}
