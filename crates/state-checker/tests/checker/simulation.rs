//! Clients of a store that keeps the contract, or breaks it in one way.

use std::collections::BTreeMap;

use state_checker::{Call, Change, Condition, Effect, Limits, Record, Reply};

/// One step of the clock.
pub(crate) const TICK: u64 = 1_000_000;

/// Numbers that look random and are the same every time.
pub(crate) struct Random(pub(crate) u64);

/// What the clients do.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) clients: usize,
    pub(crate) operations: usize,
    pub(crate) keys: u8,
    /// In ticks: how long it may take until an operation is called, happens, and is answered.
    pub(crate) pause_max: u64,
    pub(crate) unknown_percent: u64,
    pub(crate) transaction_percent: u64,
    pub(crate) ttl_percent: u64,
    pub(crate) limits: Limits,
    pub(crate) defect: Option<Defect>,
    /// How often the defect shows where it can.
    pub(crate) defect_percent: u64,
}

/// How a store breaks the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// A read returns what was there before.
    StaleRead,
    /// A write is acknowledged, and not applied.
    LostWrite,
    /// A compare-and-set is acknowledged and applied though the version is another.
    BlindCas,
    /// A compare-and-set that was applied is answered with a conflict.
    FalseConflict,
    /// A create wins though the key is there.
    CreateRace,
    /// Of a transaction only the first change is applied.
    HalfTransaction,
    /// Values do not expire.
    Immortal,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Call { client: usize },
    Happen { operation: usize },
    Return { operation: usize },
    Expire { key: u8, value: u64 },
}

struct Run<'a> {
    plan: &'a Plan,
    random: &'a mut Random,
    events: BTreeMap<(u64, u64), Event>,
    records: Vec<Record>,
    clients: Vec<Client>,
    /// Who asked for each record.
    askers: Vec<usize>,
    now: [Option<u64>; 2],
    before: [Option<u64>; 2],
    values: u64,
    processes: u32,
}

struct Client {
    process: u32,
    /// What it has last seen of each key.
    known: [Option<u64>; 2],
}

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
}

/// The ETag of a value.
pub(crate) fn etag(value: u64) -> String {
    format!("e{value}")
}

/// What the clients saw.
pub(crate) fn run(plan: &Plan, random: &mut Random) -> Vec<Record> {
    let clients = (0..plan.clients).map(|i| Client { process: i as u32, known: [None; 2] });
    let mut run = Run {
        plan,
        random,
        events: BTreeMap::new(),
        records: Vec::new(),
        clients: clients.collect(),
        askers: Vec::new(),
        now: [None; 2],
        before: [None; 2],
        values: 0,
        processes: plan.clients as u32,
    };
    for client in 0..plan.clients {
        run.at(0, Event::Call { client });
    }
    while let Some(((time, _), event)) = run.events.pop_first() {
        match event {
            Event::Call { client } => run.call(time, client),
            Event::Happen { operation } => run.happen(time, operation),
            Event::Return { operation } => run.answer(time, operation),
            Event::Expire { key, value } => {
                if run.now[usize::from(key)] == Some(value) {
                    run.set(key, None);
                }
            }
        }
    }
    // An operation that has not happened yet says that it does not know.
    run.records
}

impl Run<'_> {
    fn at(&mut self, time: u64, event: Event) {
        // The order of what happens at one instant is as random as all else.
        let mut place = (time, self.random.below(1 << 40));
        while self.events.contains_key(&place) {
            place.1 += 1;
        }
        self.events.insert(place, event);
    }

    fn pause(&mut self) -> u64 {
        self.random.below(self.plan.pause_max + 1) * TICK
    }

    fn set(&mut self, key: u8, value: Option<u64>) {
        let key = usize::from(key);
        self.before[key] = self.now[key];
        self.now[key] = value;
    }

    fn call(&mut self, time: u64, client: usize) {
        if self.records.len() == self.plan.operations {
            return;
        }
        let operation = self.records.len();
        let call = self.choose(client);
        let is_unknown = self.random.percent(self.plan.unknown_percent);
        let happens = time + self.pause();
        let returned = happens + self.pause();
        let reply = if is_unknown { Reply::Unknown } else { Reply::NotApplied };
        let process = self.clients[client].process;
        self.records.push(Record {
            group: 0,
            process,
            endpoint: 0,
            called: time,
            returned,
            call,
            reply,
        });
        self.askers.push(client);
        if !is_unknown {
            self.at(happens, Event::Happen { operation });
        } else if self.random.percent(50) {
            let late = if self.random.percent(50) { 10 * self.pause() } else { 0 };
            self.at(happens + late, Event::Happen { operation });
        }
        self.at(returned, Event::Return { operation });
    }

    fn choose(&mut self, client: usize) -> Call {
        if self.random.percent(35) {
            let key = self.key();
            return Call::Get { key, eventual: false };
        }
        if !self.random.percent(self.plan.transaction_percent) {
            return Call::Write(self.change(client));
        }
        let len = 1 + self.random.below(3);
        Call::Transact((0..len).map(|_| self.change(client)).collect())
    }

    fn key(&mut self) -> u8 {
        self.random.below(u64::from(self.plan.keys)) as u8
    }

    fn change(&mut self, client: usize) -> Change {
        let key = self.key();
        let known = self.clients[client].known[usize::from(key)];
        let condition = match (self.random.below(10), known) {
            (0..=4, Some(value)) => Condition::Matches { etag: etag(value), value: Some(value) },
            (5, _) => Condition::Matches { etag: "none".to_owned(), value: None },
            (6 | 7, _) => Condition::Absent,
            _ => Condition::Any,
        };
        let effect = if self.random.percent(20) {
            Effect::Delete
        } else {
            self.values += 1;
            let has_ttl = self.random.percent(self.plan.ttl_percent);
            let ttl_ms = has_ttl.then(|| 1 + self.random.below(3 * self.plan.pause_max + 1));
            Effect::Put { value: self.values, ttl_ms }
        };
        Change { key, condition, effect }
    }

    fn happen(&mut self, time: u64, operation: usize) {
        let Record { call, reply, .. } = self.records[operation].clone();
        let is_unknown = reply == Reply::Unknown;
        let defect = self.plan.defect.filter(|_| self.random.percent(self.plan.defect_percent));
        let reply = match &call {
            Call::Get { key, .. } => {
                let key = usize::from(*key);
                let is_stale = defect == Some(Defect::StaleRead);
                match if is_stale { self.before[key] } else { self.now[key] } {
                    Some(value) => Reply::Found { value, etag: Some(etag(value)) },
                    None => Reply::Absent,
                }
            }
            Call::Write(it) => self.change_all(time, std::slice::from_ref(it), defect),
            Call::Transact(it) => self.change_all(time, it, defect),
        };
        if !is_unknown {
            self.records[operation].reply = reply;
        }
    }

    fn change_all(&mut self, time: u64, changes: &[Change], defect: Option<Defect>) -> Reply {
        let holds = changes.iter().all(|it| {
            let now = self.now[usize::from(it.key)];
            match &it.condition {
                Condition::Any => true,
                Condition::Absent => now.is_none() || defect == Some(Defect::CreateRace),
                Condition::Matches { value, .. } => {
                    value.is_some() && (now == *value || defect == Some(Defect::BlindCas))
                }
            }
        });
        if !holds {
            return Reply::Conflict;
        }
        let is_half = defect == Some(Defect::HalfTransaction);
        let applied = match defect {
            Some(Defect::LostWrite) => &[],
            _ if is_half => &changes[..1],
            _ => changes,
        };
        for change in applied {
            match change.effect {
                Effect::Delete => self.set(change.key, None),
                Effect::Put { value, ttl_ms } => {
                    self.set(change.key, Some(value));
                    if let Some(ttl_ms) = ttl_ms
                        && defect != Some(Defect::Immortal)
                    {
                        let late = self.random.below(self.plan.limits.expiry_late_ns + 1);
                        let early = self.random.below(self.plan.limits.expiry_early_ns + 1);
                        let goes = (time + ttl_ms * TICK + late).saturating_sub(early).max(time);
                        self.at(goes, Event::Expire { key: change.key, value });
                    }
                }
            }
        }
        let is_compared = changes.iter().any(|it| it.condition != Condition::Any);
        if defect == Some(Defect::FalseConflict) && is_compared {
            return Reply::Conflict;
        }
        let etag_of = |it: &Change| match it.effect {
            Effect::Put { value, .. } => Some(etag(value)),
            Effect::Delete => None,
        };
        Reply::Done { etags: changes.iter().map(etag_of).collect() }
    }

    fn answer(&mut self, time: u64, operation: usize) {
        let client = self.askers[operation];
        let Record { call, reply, .. } = &self.records[operation];
        let known = &mut self.clients[client].known;
        match (call, reply) {
            (Call::Get { key, .. }, Reply::Found { value, .. }) => {
                known[usize::from(*key)] = Some(*value);
            }
            (Call::Write(it), Reply::Done { .. }) => {
                if let Effect::Put { value, .. } = it.effect {
                    known[usize::from(it.key)] = Some(value);
                }
            }
            _ => {}
        }
        if *reply == Reply::Unknown {
            self.clients[client].process = self.processes;
            self.processes += 1;
        }
        let next = time + self.pause();
        self.at(next, Event::Call { client });
    }
}
