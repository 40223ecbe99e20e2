use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use async_trait::async_trait;
use state::{Capabilities, Written};
use state_layers::{Encryption, EncryptionKey, WrittenForm};

use super::*;

/// A store in memory whose clock is ahead of ours, and that loses its first answer to a write.
#[derive(Debug)]
struct Distant {
    memory: Arc<dyn Store>,
    ahead: Duration,
    loses: AtomicBool,
}

#[async_trait]
impl Store for Distant {
    fn capabilities(&self) -> &Capabilities {
        self.memory.capabilities()
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        let item = self.memory.get(read).await?;
        Ok(item.map(|it| Item { expires_at: it.expires_at.map(|at| at + self.ahead), ..it }))
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        let written = self.memory.write(write).await;
        match self.loses.swap(false, Relaxed) {
            true => Err(Error::new(FailureKind::Lost, "the answer was lost")),
            false => written,
        }
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<KeyPage> {
        self.memory.list(prefix, after, limit).await
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }
}

fn cipher(name: &str) -> Cipher {
    let key = EncryptionKey::from_hex(name, &"0f".repeat(32)).unwrap();
    let old = EncryptionKey::from_hex("old", &"f0".repeat(16)).unwrap();
    let encryption = Encryption::new(key, Some(old), WrittenForm::Steadfast);
    Cipher::new("statestore", &encryption.unwrap())
}

/// A pass over `app||k`, which is under another key and expires after 100 s, and three other keys.
async fn pass(ahead: Duration, loses: bool) -> (Pass, Key, SystemTime) {
    let driver = state_stores::driver("state.in-memory").unwrap();
    let memory = (driver.open)(state_config::Properties::default()).await.unwrap();
    let key = Key::stored("app||k");
    for (other, value) in [("app||actor||1||k", "1"), ("app||plain", "2"), ("app2||k", "3")] {
        memory.write(&Write::put(Key::stored(other), value)).await.unwrap();
    }
    let old = Encryption::new(
        EncryptionKey::from_hex("old", &"f0".repeat(16)).unwrap(),
        None,
        WrittenForm::Dapr,
    );
    let value = Cipher::new("statestore", &old.unwrap()).seal(&key, b"4").unwrap();
    let ttl = Ttl::After(Duration::from_secs(100));
    let change = Change::Put { value, format: Format::Opaque, ttl };
    memory.write(&Write::new(key.clone(), change)).await.unwrap();
    let expires_at = memory.get(&Read::new(key.clone())).await.unwrap().unwrap().expires_at;
    let store = Arc::new(Distant { memory, ahead, loses: loses.into() });
    let pass = Pass {
        store,
        cipher: cipher("new"),
        prefix: "app||".to_owned(),
        dry_run: false,
        from_plaintext: false,
        counts: Mutex::default(),
    };
    (pass, key, expires_at.unwrap() + ahead)
}

async fn check(ahead: Duration, loses: bool) {
    let (pass, key, expires_at) = pass(ahead, loses).await;
    pass.run().await.unwrap();
    let item = pass.store.get(&Read::new(key.clone())).await.unwrap().unwrap();
    assert_eq!(pass.cipher.form(&item.value), pass.cipher.current());
    assert_eq!(pass.cipher.open(&key, &item.value).unwrap(), "4");
    let made = item.expires_at.unwrap();
    let late = made.duration_since(expires_at).unwrap_or_else(|e| e.duration());
    assert!(late <= EXPIRY_TOLERANCE, "{late:?} late or early");
    let counts = pass.counts.lock();
    assert_eq!((counts.keys, counts.passed_over, counts.plain_left), (2, 1, 1));
    assert_eq!(counts.found.get(&Form::Dapr("old".to_owned())), Some(&1));
    // Nobody knows whether it was this pass that has replaced a value whose answer was lost.
    assert_eq!(counts.rewritten, u64::from(!loses));
}

#[tokio::test]
async fn a_value_keeps_its_expiry_and_is_found_under_the_primary_key() {
    check(Duration::ZERO, false).await;
}

#[tokio::test]
async fn the_store_s_clock_need_not_be_ours() {
    check(Duration::from_secs(60), false).await;
}

#[tokio::test]
async fn an_answer_that_was_lost_is_no_value_that_was_lost() {
    check(Duration::ZERO, true).await;
}
