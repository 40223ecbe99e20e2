use std::time::Duration;

use bytes::Bytes;
use state::{Consistencies, Durability, ETag, Format, Outcome};

use super::*;

/// A store that can do nothing, and would accept everything.
#[derive(Debug)]
struct Careless(Capabilities);

impl Careless {
    fn new() -> Careless {
        Careless(Capabilities {
            etag: false,
            ttl: false,
            list: false,
            transaction_len_max: None,
            key_len_max: 4,
            exact_values: true,
            consistency: Consistencies {
                strong_write: None,
                strong_read: None,
                eventual_read: None,
            },
            durability: Durability {
                process_crash: false,
                power_loss: false,
                failover: None,
                memory_pressure: true,
            },
            server_settings: Default::default(),
        })
    }
}

#[async_trait]
impl Store for Careless {
    fn capabilities(&self) -> &Capabilities {
        &self.0
    }

    async fn get(&self, _: &Read) -> Result<Option<Item>> {
        Ok(None)
    }

    async fn write(&self, _: &Write) -> Result<Written> {
        Ok(Written { etag: None })
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        Ok(writes.iter().map(|_| Written { etag: None }).collect())
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }
}

fn guarded() -> Guarded {
    Guarded { inner: Arc::new(Careless::new()) }
}

fn put(key: &str) -> Write {
    Write::put(Key::new(key).unwrap(), "1")
}

fn refused<T: std::fmt::Debug>(result: Result<T>) -> FailureKind {
    let e = result.unwrap_err();
    assert_eq!(e.outcome(), Outcome::NotApplied);
    match e {
        Error::Failure(it) => it.kind(),
        Error::Conflict(_) => unreachable!("its outcome is another"),
    }
}

#[tokio::test]
async fn what_a_store_lacks_is_refused_and_the_rest_is_not() {
    let store = guarded();
    let etag = ETag::new("1").unwrap();
    let ttl = Ttl::After(Duration::from_secs(1));
    let expiring = Change::Put { value: Bytes::new(), format: Format::Opaque, ttl };
    let strong = Consistency::Strong;
    for (write, feature) in [
        (put("k").when(Precondition::Absent), Feature::ETags),
        (put("k").when(Precondition::Matches(etag)), Feature::ETags),
        (Write { change: expiring, ..put("k") }, Feature::Ttl),
        (Write { consistency: strong, ..put("k") }, Feature::StrongConsistency),
    ] {
        assert_eq!(refused(store.write(&write).await), FailureKind::Unsupported(feature));
        let results = store.write_many(&[put("a"), write, put("b")]).await;
        let ok: Vec<_> = results.iter().map(Result::is_ok).collect();
        assert_eq!(ok, [true, false, true], "{feature:?}");
    }
    let read = Read { consistency: strong, ..Read::new(Key::new("k").unwrap()) };
    let kind = FailureKind::Unsupported(Feature::StrongConsistency);
    assert_eq!(refused(store.get(&read).await), kind);
    let kind = FailureKind::Unsupported(Feature::Transactions);
    assert_eq!(refused(store.transact(&[put("k")]).await), kind);
    assert_eq!(refused(store.list("", None, 1).await), FailureKind::Unsupported(Feature::List));
    assert!(store.write(&put("k")).await.is_ok());
}

#[tokio::test]
async fn limits_are_checked_before_the_store_is_asked() {
    let store = guarded();
    assert!(store.write(&put("four")).await.is_ok());
    assert_eq!(refused(store.write(&put("fünf")).await), FailureKind::Invalid, "bytes count");
    let careless = Careless::new();
    let can = Capabilities { transaction_len_max: Some(2), ..careless.0 };
    let store = Guarded { inner: Arc::new(Careless(can)) };
    assert!(store.transact(&[put("a"), put("b")]).await.is_ok());
    let kind = FailureKind::TooManyOperations { count: 3, max: 2 };
    assert_eq!(refused(store.transact(&[put("a"), put("b"), put("c")]).await), kind);
}

#[tokio::test]
async fn a_prefix_leaves_less_room_for_the_key() {
    let prefixed = crate::Prefixed::new(Arc::new(Careless::new()), "a||".to_owned());
    let store = Guarded { inner: Arc::new(prefixed) };
    assert!(store.write(&put("k")).await.is_ok());
    assert_eq!(refused(store.write(&put("kk")).await), FailureKind::Invalid);
}
