//! Many clients on many groups of keys.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use fastrand::Rng;
use futures::{Stream, StreamExt, future::join_all, stream};
use state::Store;
use state_checker::{Call, Record, Reply};

use crate::{Theme, Time, client::Client, recorder::Recorder};

/// What a workload is like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What all keys begin with: letters, digits and dashes.
    pub prefix: String,
    /// What all choices are made from.
    pub seed: u64,
    /// What the groups are for, in turn.
    pub themes: Vec<Theme>,
    /// How many groups of keys are worked on, one after the other.
    pub groups: u32,
    /// How many of them at once. Those of [`Theme::Expiry`] have places of their own besides, one
    /// for six.
    pub groups_at_once: usize,
    /// How many clients contend for each.
    pub clients: usize,
    /// How many operations a group has before it is left in peace. The longer a history, the less
    /// any one of its operations tells.
    pub operations: usize,
    /// The clients of a group ask at the same moments, this far apart; `None` for as fast as they
    /// are answered.
    pub pace: Option<Duration>,
    /// After which an answer is no longer waited for, and the outcome is unknown.
    pub timeout: Duration,
    /// For how long values are stored that are to stay, if the store can.
    pub lifetime: Option<Duration>,
    /// How many bytes values have besides their number.
    pub filling: usize,
}

/// How far a workload has come, for whoever watches.
#[derive(Debug, Default)]
pub struct Progress {
    /// Set to end it early: clients finish what they have begun.
    pub stop: AtomicBool,
    /// Operations that were answered, or given up.
    pub operations: AtomicU64,
    /// Those of which the outcome is not known.
    pub unknown: AtomicU64,
    /// Those that were refused for another reason than a condition.
    pub not_applied: AtomicU64,
    /// Groups that are done.
    pub groups: AtomicU32,
}

/// A plan, and the stores to carry it out on. All stores are ways to the same data.
#[derive(Debug)]
pub struct Workload {
    /// The ways to the data.
    pub stores: Vec<Arc<dyn Store>>,
    /// The clock of the records.
    pub time: Arc<dyn Time>,
    /// What to do.
    pub plan: Plan,
    /// How far it has come.
    pub progress: Arc<Progress>,
    /// What makes processes and values differ.
    numbers: Numbers,
}

/// Numbers that are given out once.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    processes: AtomicU32,
    values: AtomicU64,
}

/// After so many changes whose fate is not known, a group is left in peace: each of them doubles what
/// may have happened, and soon nobody can judge it.
const DOUBTS_MAX: usize = 12;

/// How often a last read is tried before it is left out.
const LAST_READ_TRIES: usize = 5;

impl Numbers {
    pub(crate) fn process(&self) -> u32 {
        self.processes.fetch_add(1, Relaxed)
    }

    pub(crate) fn value(&self) -> u64 {
        self.values.fetch_add(1, Relaxed) + 1
    }
}

impl Workload {
    /// A workload that has not begun.
    pub fn new(stores: Vec<Arc<dyn Store>>, time: Arc<dyn Time>, plan: Plan) -> Workload {
        let (progress, numbers) = (Arc::default(), Numbers::default());
        Workload { stores, time, plan, progress, numbers }
    }

    /// Works until all groups are done, or somebody wants it to stop. Returns the records of each
    /// group that was begun.
    pub async fn run(&self) -> BTreeMap<u32, Vec<Record>> {
        self.histories().collect().await
    }

    /// As [`run`](Workload::run), but tells of each group as soon as it is done.
    pub fn histories(&self) -> impl Stream<Item = (u32, Vec<Record>)> {
        let slots = self.plan.groups_at_once;
        // Groups that wait for values to expire would soon have all the places.
        let waiting = self.groups_of(true).buffer_unordered(slots.div_ceil(6));
        let working = self.groups_of(false).buffer_unordered(slots);
        stream::select(working, waiting)
    }

    /// The groups of themes that wait, or of those that do not.
    fn groups_of(
        &self,
        waiting: bool,
    ) -> impl Stream<Item = impl Future<Output = (u32, Vec<Record>)>> {
        let themes = (0_u32..).zip(&self.plan.themes);
        let places: Vec<u32> = themes
            .filter(|(_, it)| (**it == Theme::Expiry) == waiting)
            .map(|(place, _)| place)
            .collect();
        let round = u32::try_from(self.plan.themes.len()).expect("there are few themes");
        // Many rounds without a place would take long to come to nothing.
        let rounds = if places.is_empty() { 0 } else { self.plan.groups.div_ceil(round) };
        let groups = (0..rounds)
            .flat_map(move |it| {
                places
                    .clone()
                    .into_iter()
                    .map(move |place| it.saturating_mul(round).saturating_add(place))
            })
            .take_while(|it| *it < self.plan.groups && !self.progress.stop.load(Relaxed));
        stream::iter(groups.map(move |group| async move {
            let records = self.work_on(group).await;
            self.progress.groups.fetch_add(1, Relaxed);
            (group, records)
        }))
    }

    /// What `group` is for.
    pub fn theme(&self, group: u32) -> Theme {
        self.plan.themes[group as usize % self.plan.themes.len()]
    }

    /// The keys of `group`, as applications call them.
    pub fn keys(&self, group: u32) -> impl Iterator<Item = String> {
        let prefix = self.prefix_of(group);
        (0..self.theme(group).keys()).map(move |key| format!("{prefix}-{key}"))
    }

    /// Reads every key of `group` through every store: what is there when all is quiet.
    pub async fn look_at(&self, group: u32) -> Vec<Record> {
        let all: Vec<usize> = (0..self.stores.len()).collect();
        self.look_through(&all, group).await
    }

    /// As [`look_at`](Workload::look_at), through some of the stores.
    pub(crate) async fn look_through(&self, endpoints: &[usize], group: u32) -> Vec<Record> {
        let recorder = self.recorder(group);
        let theme = self.theme(group);
        let mut client = Client::new(&recorder, &self.numbers, group, theme, self.plan.seed);
        let mut records = Vec::new();
        for key in 0..theme.keys() {
            for endpoint in endpoints {
                for _ in 0..LAST_READ_TRIES {
                    let record = client.look(*endpoint, key).await;
                    self.count(&record);
                    let failed = matches!(record.reply, Reply::Unknown | Reply::NotApplied);
                    records.push(record);
                    if !failed {
                        break;
                    }
                }
            }
        }
        records
    }

    /// Makes one call on a group that nobody works on.
    pub(crate) async fn make(&self, group: u32, call: Call) -> Record {
        let recorder = self.recorder(group);
        let theme = self.theme(group);
        let mut client = Client::new(&recorder, &self.numbers, group, theme, self.plan.seed);
        let record = client.make(group as usize % self.stores.len(), call).await;
        self.count(&record);
        record
    }

    fn prefix_of(&self, group: u32) -> String {
        // In braces, so that a cluster has the keys of a group in one place, as transactions need them.
        format!("{}-{{{group}}}", self.plan.prefix)
    }

    fn recorder(&self, group: u32) -> Recorder<'_> {
        Recorder {
            time: &*self.time,
            stores: &self.stores,
            prefix: self.prefix_of(group),
            timeout: self.plan.timeout,
            // There, a value that is to stay must not have one.
            lifetime: self.plan.lifetime.filter(|_| self.theme(group) != Theme::Expiry),
            filling: self.plan.filling,
        }
    }

    async fn work_on(&self, group: u32) -> Vec<Record> {
        let recorder = self.recorder(group);
        let theme = self.theme(group);
        let mut seeds = Rng::with_seed(self.plan.seed ^ (u64::from(group) << 32));
        let operations = self.plan.operations * theme.share_of_operations() / 100;
        let (begun, doubts) = (AtomicU64::new(0), AtomicUsize::new(0));
        let clients = (0..self.plan.clients).map(|_| {
            let client = Client::new(&recorder, &self.numbers, group, theme, seeds.u64(..));
            self.drive(client, &begun, &doubts, operations as u64)
        });
        let mut records: Vec<Record> = join_all(clients).await.into_iter().flatten().collect();
        records.extend(self.look_at(group).await);
        for (calls, wait) in theme.endings(&self.numbers) {
            if self.progress.stop.load(Relaxed) {
                break;
            }
            for call in calls {
                records.push(self.make(group, call).await);
            }
            self.time.sleep(wait).await;
            records.extend(self.look_at(group).await);
        }
        records
    }

    async fn drive(
        &self,
        mut client: Client<'_>,
        begun: &AtomicU64,
        doubts: &AtomicUsize,
        max: u64,
    ) -> Vec<Record> {
        let mut records = Vec::new();
        while begun.fetch_add(1, Relaxed) < max
            && doubts.load(Relaxed) < DOUBTS_MAX
            && !self.progress.stop.load(Relaxed)
        {
            if let Some(pace) = self.plan.pace {
                let pace = u64::try_from(pace.as_nanos()).expect("a pace is short").max(1);
                let wait = pace - self.time.now() % pace;
                self.time.sleep(Duration::from_nanos(wait)).await;
            }
            let pause = client.pause();
            if !pause.is_zero() {
                self.time.sleep(pause).await;
            }
            let answered = client.operate().await;
            answered.iter().for_each(|it| self.count(it));
            let in_doubt = |it: &&Record| it.reply == Reply::Unknown && !it.changes().is_empty();
            doubts.fetch_add(answered.iter().filter(in_doubt).count(), Relaxed);
            records.extend(answered);
        }
        records
    }

    fn count(&self, record: &Record) {
        self.progress.operations.fetch_add(1, Relaxed);
        match record.reply {
            Reply::Unknown => self.progress.unknown.fetch_add(1, Relaxed),
            Reply::NotApplied => self.progress.not_applied.fetch_add(1, Relaxed),
            _ => 0,
        };
    }
}
