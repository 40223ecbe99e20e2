use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use state::{Capabilities, Item, Key, Result, Written};

use super::*;

/// A store in which somebody else does something after each look at a key.
#[derive(Debug)]
struct Meddled {
    inner: Arc<dyn Store>,
    meddling: Mutex<Option<Write>>,
}

#[async_trait]
impl Store for Meddled {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        let item = self.inner.get(read).await;
        let meddling = self.meddling.lock().unwrap().take();
        if let Some(write) = meddling {
            self.inner.write(&write).await.unwrap();
        }
        item
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        self.inner.write(write).await
    }

    async fn ping(&self) -> Result<()> {
        self.inner.ping().await
    }
}

async fn memory() -> Arc<dyn Store> {
    let driver = state_stores::driver("state.in-memory").unwrap();
    (driver.open)(state_config::Properties::default()).await.unwrap()
}

fn key() -> Key {
    Key::new("k").unwrap()
}

fn record(value: &'static str) -> Record {
    Record { key: key(), value: value.into(), etag: None, expires_at: None }
}

async fn value(store: &dyn Store) -> Vec<u8> {
    store.get(&Read::new(key())).await.unwrap().unwrap().value.to_vec()
}

/// What becomes of a record `new` where `old` was, and somebody does this in between; and the value in the end.
async fn meddled(meddling: Write, if_exists: IfExists) -> (String, Vec<u8>) {
    let inner = memory().await;
    inner.write(&Write::put(key(), "old")).await.unwrap();
    let store = Meddled { inner: inner.clone(), meddling: Mutex::new(Some(meddling)) };
    let placed = place(&store, &[record("new")], if_exists).await;
    (format!("{:?}", placed[0]), value(&*inner).await)
}

#[tokio::test]
async fn what_changes_after_the_look_stays() {
    let newer = Write::put(key(), "newer");
    let (placed, value) = meddled(newer, IfExists::Overwrite).await;
    assert_eq!((placed.as_str(), &*value), ("Changed", &b"newer"[..]));
}

#[tokio::test]
async fn what_nobody_changes_is_overwritten() {
    let elsewhere = Write::put(Key::new("other").unwrap(), "1");
    let (placed, value) = meddled(elsewhere, IfExists::Overwrite).await;
    assert_eq!((placed.as_str(), &*value), ("Overwritten", &b"new"[..]));
}

#[tokio::test]
async fn each_record_is_told_what_became_of_it() {
    let store = memory().await;
    let place = async |value, if_exists| {
        let placed = place(&*store, &[record(value)], if_exists).await;
        format!("{:?}", placed[0])
    };
    assert_eq!(place("1", IfExists::Fail).await, "Created");
    assert_eq!(place("1", IfExists::Fail).await, "Same");
    assert_eq!(place("2", IfExists::Fail).await, "Exists");
    assert_eq!(place("2", IfExists::Skip).await, "Skipped");
    assert_eq!(value(&*store).await, b"1");
    assert_eq!(place("2", IfExists::Overwrite).await, "Overwritten");
    assert_eq!(value(&*store).await, b"2");
}

#[tokio::test]
async fn an_expiry_that_is_another_is_another_value() {
    let store = memory().await;
    let until = |seconds| Record {
        expires_at: Some(SystemTime::now() + Duration::from_secs(seconds)),
        ..record("1")
    };
    let place = async |record: Record| {
        let placed = place(&*store, &[record], IfExists::Fail).await;
        format!("{:?}", placed[0])
    };
    assert_eq!(place(until(100)).await, "Created");
    assert_eq!(place(until(100)).await, "Same");
    assert_eq!(place(until(200)).await, "Exists");
    assert_eq!(place(record("1")).await, "Exists");
    let past = SystemTime::now() - Duration::from_secs(1);
    let expired = Record { expires_at: Some(past), ..record("1") };
    assert_eq!(place(expired).await, "Expired");
}
