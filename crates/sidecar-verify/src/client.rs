//! One client of a group.

use std::time::Duration;

use fastrand::Rng;
use state_checker::{Call, Effect, Record, Reply};

use crate::{
    Theme,
    recorder::{Recorder, Span},
    theme::{Chooser, Knowledge, Request},
    workload::Numbers,
};

/// Someone who asks one thing after the other.
#[derive(Debug)]
pub(crate) struct Client<'a> {
    recorder: &'a Recorder<'a>,
    numbers: &'a Numbers,
    group: u32,
    theme: Theme,
    rng: Rng,
    /// Changes whenever the fate of an operation is not known: it may still be under way.
    process: u32,
    /// Whether that has just happened.
    is_in_doubt: bool,
    knowledge: Vec<Knowledge>,
    /// A key that it looks at next, to see whether what it has asked for has happened.
    doubt: Option<u8>,
    etags: bool,
}

impl<'a> Client<'a> {
    pub(crate) fn new(
        recorder: &'a Recorder<'a>,
        numbers: &'a Numbers,
        group: u32,
        theme: Theme,
        seed: u64,
    ) -> Client<'a> {
        let knowledge = vec![Knowledge::default(); usize::from(theme.keys())];
        let etags = recorder.stores.iter().all(|it| it.capabilities().etag);
        let process = numbers.process();
        let rng = Rng::with_seed(seed);
        Client {
            recorder,
            numbers,
            group,
            theme,
            rng,
            process,
            is_in_doubt: false,
            knowledge,
            doubt: None,
            etags,
        }
    }

    /// How long to wait before the next operation. After one whose fate is not known, somewhat
    /// longer, as clients do: the more such operations there are at once, the more explanations
    /// there are for whatever is seen.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.theme.pause(&mut self.rng);
        if std::mem::take(&mut self.is_in_doubt) {
            return pause + self.recorder.timeout.mul_f64(1.0 + self.rng.f64());
        }
        pause
    }

    /// Asks something that fits the theme. One record for each key if it was several at once.
    pub(crate) async fn operate(&mut self) -> Vec<Record> {
        let request = match self.doubt.take() {
            Some(key) => Request::One(Call::Get { key, eventual: false }),
            None => self.choose(),
        };
        let endpoint = self.rng.usize(..self.recorder.stores.len());
        // Writes are linearizable whatever they ask for; reads that are recorded as such must ask.
        let reads = match &request {
            Request::One(it) => matches!(it, Call::Get { .. }),
            Request::Bulk(calls) => matches!(calls.first(), Some(Call::Get { .. })),
        };
        let strong = reads || self.rng.bool();
        match request {
            Request::One(call) => {
                let (span, reply) = self.recorder.call(endpoint, &call, strong).await;
                vec![self.record(span, call, reply)]
            }
            Request::Bulk(calls) => {
                let (span, replies) = self.recorder.bulk(endpoint, &calls, strong).await;
                calls
                    .into_iter()
                    .zip(replies)
                    .map(|(it, reply)| self.record(span, it, reply))
                    .collect()
            }
        }
    }

    fn choose(&mut self) -> Request {
        let chooser = Chooser {
            theme: self.theme,
            rng: &mut self.rng,
            knowledge: &self.knowledge,
            etags: self.etags,
            numbers: self.numbers,
        };
        chooser.request()
    }

    /// Reads a key through one endpoint.
    pub(crate) async fn look(&mut self, endpoint: usize, key: u8) -> Record {
        self.make(endpoint, Call::Get { key, eventual: false }).await
    }

    /// Makes one call through one endpoint.
    pub(crate) async fn make(&mut self, endpoint: usize, call: Call) -> Record {
        let (span, reply) = self.recorder.call(endpoint, &call, true).await;
        self.record(span, call, reply)
    }

    fn record(&mut self, span: Span, call: Call, reply: Reply) -> Record {
        let Span { endpoint, called, returned } = span;
        let process = self.process;
        let record = Record { group: self.group, process, endpoint, called, returned, call, reply };
        self.learn(&record);
        record
    }

    fn learn(&mut self, record: &Record) {
        if record.reply == Reply::Unknown {
            self.process = self.numbers.process();
        }
        // Whether one change has happened nobody can tell better than who has asked for it; and of
        // a transaction, whether all have.
        let is_joint = matches!(record.call, Call::Transact(_)) && self.rng.bool();
        if record.reply == Reply::Unknown || is_joint {
            self.doubt = self.rng.choice(record.changes()).map(|it| it.key);
        }
        match (&record.call, &record.reply) {
            (Call::Get { key, .. }, Reply::Found { value, etag }) => {
                self.see(*key, etag.clone().map(|etag| (etag, *value)));
            }
            (_, Reply::Done { etags }) => {
                for (change, etag) in record.changes().iter().zip(etags) {
                    let seen = match change.effect {
                        Effect::Put { value, .. } => etag.clone().map(|etag| (etag, value)),
                        Effect::Delete => None,
                    };
                    self.see(change.key, seen);
                }
            }
            _ => record.keys().for_each(|key| self.see(key, None)),
        }
    }

    fn see(&mut self, key: u8, seen: Option<(String, u64)>) {
        let knowledge = &mut self.knowledge[usize::from(key)];
        if let Some(before) = knowledge.latest.take()
            && seen.as_ref() != Some(&before)
        {
            knowledge.outdated = Some(before);
        }
        knowledge.latest = seen;
    }
}
