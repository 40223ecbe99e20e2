use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use state::{ETag, Error, FailureKind, Item, Key, Outcome, Read, Result, Store, Write, Written};
use tokio::sync::watch;

use crate::{
    ApiError, Op,
    error::{ItemOutcome, OK, with_causes},
    vocabulary,
};

/// The state API itself. Fronts translate to and from this, and decide nothing.
#[derive(Debug)]
pub struct Service {
    app_id: String,
    /// Replaced as a whole whenever a component comes or goes, so that no request waits for that.
    components: ArcSwap<BTreeMap<String, Arc<Component>>>,
}

/// A state store by the name that applications use, open or on its way there.
#[derive(Debug)]
pub struct Component {
    /// The name in the component file.
    pub name: String,
    /// The type as the component file has it, such as `state.sqlite`.
    pub component_type: String,
    /// The version as the component file has it.
    pub version: String,
    /// Whether the sidecar counts as ready without it.
    pub optional: bool,
    store: OnceLock<Arc<dyn Store>>,
    not_open: Mutex<Status>,
    update_error: Mutex<Option<String>>,
    /// Dropped with the component, which tells that nobody uses it any more.
    in_use: watch::Sender<()>,
}

/// How much the values of one bulk get may take: a short request must not fill the memory.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How many keys are read before it is looked how much their values take.
const READ_AT_ONCE: usize = 32;

fn too_much() -> Error {
    let message = "not read: the values of the keys before it take 64 MiB; ask for fewer at once";
    Error::new(FailureKind::Invalid, message)
}

/// Whether a component can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Being opened for the first time.
    Opening,
    /// Could not be opened, for this reason, and is being tried again.
    Failing(String),
    /// Cannot be opened, for this reason, until its component file is corrected.
    Rejected(String),
    /// Open.
    Ready,
}

impl Status {
    /// Its name in the metadata.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Status::Opening => "opening",
            Status::Failing(_) => "failing",
            Status::Rejected(_) => "rejected",
            Status::Ready => "ready",
        }
    }

    /// Why it cannot be used.
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Status::Opening | Status::Ready => None,
            Status::Failing(reason) | Status::Rejected(reason) => Some(reason),
        }
    }
}

/// A store that is ready, for one request.
#[derive(Clone, Debug)]
pub struct StoreHandle {
    component: Arc<Component>,
    store: Arc<dyn Store>,
}

impl Component {
    /// A component that is not open yet.
    pub fn new(name: &str, component_type: &str, version: &str, optional: bool) -> Component {
        Component {
            name: name.to_owned(),
            component_type: component_type.to_owned(),
            version: version.to_owned(),
            optional,
            store: OnceLock::new(),
            not_open: Mutex::new(Status::Opening),
            update_error: Mutex::default(),
            in_use: watch::Sender::new(()),
        }
    }

    /// Makes the component serve from `store`, which is open and has its layers. Only the first
    /// call has an effect.
    pub fn opened(&self, store: Arc<dyn Store>) {
        let _ = self.store.set(store);
    }

    /// Notes why the component could not be opened this time. Only what is wrong with its settings
    /// is not going to pass.
    pub fn failed(&self, e: &Error) {
        let invalid = matches!(e, Error::Failure(it) if it.kind() == FailureKind::Invalid);
        let status = if invalid { Status::Rejected } else { Status::Failing };
        *self.not_open.lock() = status(with_causes(e));
    }

    /// Whether it can be used.
    pub fn status(&self) -> Status {
        if self.store.get().is_some() { Status::Ready } else { self.not_open.lock().clone() }
    }

    /// The open store.
    pub fn store(&self) -> Option<&Arc<dyn Store>> {
        self.store.get()
    }

    /// Why the component is not what its file asks for by now, if it is not.
    pub fn update_error(&self) -> Option<String> {
        self.update_error.lock().clone()
    }

    /// Notes why the component stays as it was though its file has changed; or that it need not be noted any more.
    pub fn set_update_error(&self, reason: Option<String>) {
        *self.update_error.lock() = reason;
    }

    /// Waits until no request uses the component any more, and puts its store in order. It must have been taken out of
    /// the [`Service`], and this must be the last reference besides those of requests.
    pub async fn retire(self: Arc<Component>) {
        let store = self.store().cloned();
        let mut in_use = self.in_use.subscribe();
        drop(self);
        // Nothing is ever sent: this ends with the sender.
        while in_use.changed().await.is_ok() {}
        if let Some(store) = store {
            store.close().await;
        }
    }
}

impl Service {
    /// Serves these components to the application `app_id`.
    pub fn new(app_id: &str, components: impl IntoIterator<Item = Arc<Component>>) -> Service {
        let by_name = |it: Arc<Component>| (it.name.clone(), it);
        let components = ArcSwap::from_pointee(components.into_iter().map(by_name).collect());
        Service { app_id: app_id.to_owned(), components }
    }

    /// The components there are now, in the order of their names.
    pub fn components(&self) -> Vec<Arc<Component>> {
        self.components.load().values().cloned().collect()
    }

    /// The component of this name.
    pub fn component(&self, name: &str) -> Option<Arc<Component>> {
        self.components.load().get(name).cloned()
    }

    /// Adds a component, in the place of that of the same name if there is one, which is returned. Requests under way
    /// are finished by the one that they began with.
    pub fn put(&self, component: &Arc<Component>) -> Option<Arc<Component>> {
        let before = self.components.rcu(|it| {
            let mut components = BTreeMap::clone(it);
            components.insert(component.name.clone(), component.clone());
            components
        });
        before.get(&component.name).cloned()
    }

    /// Takes a component out, so that no further request finds it.
    pub fn remove(&self, name: &str) -> Option<Arc<Component>> {
        let before = self.components.rcu(|it| {
            let mut components = BTreeMap::clone(it);
            components.remove(name);
            components
        });
        before.get(name).cloned()
    }

    /// The store of this name.
    ///
    /// # Errors
    ///
    /// If there is none, or it is not open yet. This comes before anything is said of the request
    /// itself, as in Dapr.
    pub fn store(&self, name: &str) -> Result<StoreHandle, ApiError> {
        let components = self.components.load();
        let Some(component) = components.get(name) else {
            if components.is_empty() {
                return Err(ApiError::no_stores(name, &self.app_id));
            }
            let loaded: Vec<_> = components.keys().map(String::as_str).collect();
            return Err(ApiError::no_such_store(name, &self.app_id, &loaded));
        };
        if let Some(store) = component.store() {
            return Ok(StoreHandle { component: component.clone(), store: store.clone() });
        }
        Err(match component.status() {
            Status::Failing(reason) => ApiError::store_not_ready(name, &reason),
            Status::Rejected(reason) => ApiError::store_rejected(name, &reason),
            Status::Opening | Status::Ready => {
                ApiError::store_not_ready(name, "it is being opened")
            }
        })
    }
}

impl StoreHandle {
    /// The component's name.
    pub fn name(&self) -> &str {
        &self.component.name
    }

    /// Whether it has transactions at all, which is asked before a request is read, as in Dapr.
    pub fn check_transactions(&self) -> Result<(), ApiError> {
        if self.store.capabilities().transaction_len_max.is_some() {
            return Ok(());
        }
        let e =
            Error::new(FailureKind::Unsupported(state::Feature::Transactions), "no transactions");
        Err(ApiError::of(Op::Transact(&[]), self.name(), &e))
    }

    /// Refuses a transaction of this many operations if it is too long, before more than its length
    /// is known.
    pub fn check_transaction_len(&self, count: usize) -> Result<(), ApiError> {
        let max = self.store.capabilities().transaction_len_max.unwrap_or_default();
        let max = max.min(vocabulary::BULK_LEN_MAX);
        if count <= max {
            return Ok(());
        }
        let message = format!(
            "the transaction contains {count} operations, which is more than what the state store \
             supports: {max}"
        );
        let e = Error::new(FailureKind::TooManyOperations { count, max }, message);
        Err(ApiError::of(Op::Transact(&[]), self.name(), &e))
    }

    /// Makes a key of what the application sent for one.
    ///
    /// # Errors
    ///
    /// If it is none, or too long for this store.
    pub fn key(&self, text: &str) -> Result<Key, ApiError> {
        let key = vocabulary::key(text, self.name())?;
        let (len, max) = (text.len(), self.store.capabilities().key_len_max);
        if len <= max {
            return Ok(key);
        }
        let message = format!(
            "the key has {len} bytes, which is more than store {} takes: {max}",
            self.name()
        );
        Err(ApiError::malformed(message).hint("use shorter keys, or a digest of them"))
    }

    /// Reads one key.
    pub async fn get(&self, read: &Read) -> Result<Option<Item>, ApiError> {
        let op = Op::Get(read.key.as_str());
        self.store.get(read).await.map_err(|e| ApiError::of(op, self.name(), &e))
    }

    /// Reads keys: the i-th answer is to the i-th read, and one that fails does not fail others.
    /// Once the values take 64 MiB, no more are read, and the rest fail.
    pub async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        let mut answers = Vec::with_capacity(reads.len());
        let mut bytes = 0;
        for some in reads.chunks(READ_AT_ONCE) {
            if bytes >= ANSWER_BYTES_MAX {
                answers.extend(some.iter().map(|_| Err(too_much())));
                continue;
            }
            let found = self.store.get_many(some).await;
            bytes += found.iter().flatten().flatten().map(|it| it.value.len()).sum::<usize>();
            answers.extend(found);
        }
        answers
    }

    /// Saves items, each on its own, and returns their new versions.
    ///
    /// # Errors
    ///
    /// If any item could not be saved: the others are saved nevertheless, and the error says for
    /// each what became of it.
    pub async fn save(&self, writes: &[Write]) -> Result<Vec<Written>, ApiError> {
        if let [write] = writes {
            let result = self.store.write(write).await;
            return result.map(|it| vec![it]).map_err(|e| ApiError::of(Op::Save, self.name(), &e));
        }
        self.write_each(Op::Save, writes).await
    }

    /// Deletes keys, each on its own.
    ///
    /// # Errors
    ///
    /// As for [`save`](StoreHandle::save).
    pub async fn delete_many(&self, writes: &[Write]) -> Result<(), ApiError> {
        match writes {
            [write] => self.delete(write).await,
            _ => self.write_each(Op::DeleteMany, writes).await.map(drop),
        }
    }

    async fn write_each(&self, op: Op<'_>, writes: &[Write]) -> Result<Vec<Written>, ApiError> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let results = self.store.write_many(writes).await;
        if results.iter().all(Result::is_ok) {
            let of = |e| ApiError::of(op, self.name(), &e);
            return results.into_iter().collect::<Result<_>>().map_err(of);
        }
        Err(self.partial_failure(op, writes, &results))
    }

    /// Deletes one key.
    pub async fn delete(&self, write: &Write) -> Result<(), ApiError> {
        let op = Op::Delete(write.key.as_str());
        self.store.write(write).await.map(drop).map_err(|e| ApiError::of(op, self.name(), &e))
    }

    /// Makes all the changes or none, and returns the new versions.
    pub async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>, ApiError> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let result = self.store.transact(writes).await;
        result.map_err(|e| {
            let keys: Vec<_> = writes.iter().map(|it| it.key.as_str()).collect();
            ApiError::of(Op::Transact(&keys), self.name(), &e)
        })
    }

    /// One error for several: that of the gravest failure, with every item's outcome.
    fn partial_failure(
        &self,
        op: Op<'_>,
        writes: &[Write],
        results: &[Result<Written>],
    ) -> ApiError {
        let gravity = |e: &Error| match e.outcome() {
            Outcome::Conflict => 0,
            Outcome::NotApplied => 1,
            Outcome::Unknown => 2,
        };
        let failures = results.iter().filter_map(|it| it.as_ref().err());
        let gravest = failures.clone().max_by_key(|e| gravity(e)).expect("at least one failed");
        let mut error = ApiError::of(op, self.name(), gravest);
        let (failed, all) = (failures.count(), results.len());
        error.message = format!("{} ({failed} of {all} items failed)", error.message);
        if failed < all {
            // Part of the request was applied, and whoever looks no further has to know that.
            error.outcome = Outcome::Unknown;
            error = error.hint("a part of it was applied: `items` says what became of each");
        }
        error.extra.items =
            writes.iter().zip(results).map(|(it, result)| item(it, result)).collect();
        error
    }
}

fn item(write: &Write, result: &Result<Written>) -> ItemOutcome {
    let key = write.key.as_str().to_owned();
    let text = |it: &ETag| it.as_str().to_owned();
    match result {
        Ok(it) => {
            let etag = it.etag.as_ref().map(text);
            ItemOutcome { key, outcome: OK, etag, current_etag: None, message: None }
        }
        Err(e) => {
            let current_etag = match e {
                Error::Conflict(it) => it.found().etag().map(text),
                Error::Failure(_) => None,
            };
            let message = Some(with_causes(e));
            ItemOutcome { key, outcome: e.outcome().name(), etag: None, current_etag, message }
        }
    }
}
