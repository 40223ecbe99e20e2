//! Keys that are written once, before anything happens, and looked at when all is over.

use std::{collections::BTreeMap, sync::Arc};

use state::Store;
use state_checker::{Call, Change, Condition, Effect, Record, Reply};

use crate::{Plan, Theme, Time, Workload};

/// Acknowledged writes that nobody touches: whatever happens, they must be there.
#[derive(Debug)]
pub(crate) struct Sealed {
    workload: Workload,
    written: parking_lot::Mutex<BTreeMap<u32, Vec<Record>>>,
}

/// How many there are. Each is written through the next way to the data.
const KEYS: u32 = 64;

impl Sealed {
    pub(crate) fn new(stores: Vec<Arc<dyn Store>>, time: Arc<dyn Time>, plan: &Plan) -> Sealed {
        let prefix = format!("{}-s", plan.prefix);
        let plan = Plan { prefix, themes: vec![Theme::Register], groups: KEYS, ..plan.clone() };
        Sealed { workload: Workload::new(stores, time, plan), written: Default::default() }
    }

    /// Writes them.
    pub(crate) async fn write(&self) {
        for group in 0..KEYS {
            let effect = Effect::Put { value: u64::from(group) + 1, ttl_ms: None };
            let call = Call::Write(Change { key: 0, condition: Condition::Any, effect });
            let record = self.workload.make(group, call).await;
            self.written.lock().insert(group, vec![record]);
        }
    }

    /// What was written and is there, for each key whose write was acknowledged, as seen through
    /// these ways to the data.
    pub(crate) async fn look(&self, endpoints: &[usize]) -> BTreeMap<u32, Vec<Record>> {
        let mut groups = std::mem::take(&mut *self.written.lock());
        groups.retain(|_, it| it.iter().all(|it| matches!(it.reply, Reply::Done { .. })));
        for (group, records) in &mut groups {
            records.extend(self.workload.look_through(endpoints, *group).await);
        }
        groups
    }

    /// What they are called.
    pub(crate) fn keys(&self) -> impl Iterator<Item = String> {
        (0..KEYS).flat_map(|it| self.workload.keys(it))
    }
}
