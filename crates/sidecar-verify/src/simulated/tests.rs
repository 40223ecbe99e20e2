use std::time::Duration;

use ::state::{Change, Format, Outcome, Write};
use futures::future::join_all;

use super::*;

fn data(seed: u64) -> (Arc<SimulatedTime>, Arc<SimulatedData>) {
    let time = Arc::new(SimulatedTime::default());
    let data = SimulatedData::new(Arc::clone(&time), seed, None);
    (time, data)
}

fn key(name: &str) -> Key {
    Key::new(name).expect("it is a word")
}

fn put(name: &str, ttl: Option<Duration>) -> Write {
    Write::new(key(name), Change::Put { value: "1".into(), format: Format::Json, ttl: ttl.into() })
}

/// What `key` has once an answer is not lost.
async fn look(store: &SimulatedStore, name: &str) -> Option<Item> {
    loop {
        if let Ok(it) = store.get(&Read::new(key(name))).await {
            return it;
        }
    }
}

/// Writes until it is known to have happened.
async fn write(store: &SimulatedStore, write: &Write) -> Written {
    loop {
        if let Ok(it) = store.write(write).await {
            return it;
        }
    }
}

#[tokio::test]
async fn every_way_to_the_data_sees_the_same() {
    let (time, data) = data(1);
    let (one, other) = (SimulatedStore::open(&data), SimulatedStore::open(&data));
    time.drive(async {
        let written = write(&one, &put("k", None)).await;
        let seen = look(&other, "k").await.expect("it was written");
        assert_eq!(seen.etag, written.etag);
    })
    .await;
}

#[tokio::test]
async fn a_value_lives_for_its_time_and_no_longer() {
    let (time, data) = data(2);
    let store = SimulatedStore::open(&data);
    time.drive(async {
        write(&store, &put("k", Some(Duration::from_secs(10)))).await;
        time.sleep(Duration::from_secs(7)).await;
        assert!(look(&store, "k").await.is_some());
        time.sleep(Duration::from_secs(4)).await;
        assert!(look(&store, "k").await.is_none());
    })
    .await;
}

#[tokio::test]
async fn of_creates_at_one_time_one_wins() {
    let (time, data) = data(3);
    let store = SimulatedStore::open(&data);
    let won = time
        .drive(async {
            let creates = (0..20).map(|i| {
                let create = put(&format!("k{}", i % 2), None).when(Precondition::Absent);
                let store = &store;
                async move { store.write(&create).await.is_ok() }
            });
            join_all(creates).await.into_iter().filter(|it| *it).count()
        })
        .await;
    assert_eq!(won, 2);
}

#[tokio::test]
async fn all_outcomes_occur_and_most_requests_are_answered() {
    let (time, data) = data(4);
    let store = SimulatedStore::open(&data);
    let (mut unknown, mut refused) = (0, 0);
    time.drive(async {
        for _ in 0..10_000 {
            match store.write(&put("k", None)).await {
                Ok(_) => {}
                Err(e) => match e.outcome() {
                    Outcome::Unknown => unknown += 1,
                    Outcome::NotApplied => refused += 1,
                    Outcome::Conflict => panic!("there was no condition"),
                },
            }
        }
    })
    .await;
    assert!((150..250).contains(&unknown), "{unknown} were unknown");
    assert!((25..75).contains(&refused), "{refused} were refused");
}

#[tokio::test]
async fn keys_are_listed_in_order_page_by_page() {
    let (time, data) = data(5);
    let store = SimulatedStore::open(&data);
    time.drive(async {
        for name in ["b2", "a", "b1", "b3"] {
            write(&store, &put(name, None)).await;
        }
        let first = store.list("b", None, 2).await.expect("it can list");
        assert_eq!((first.keys, first.more), (vec![key("b1"), key("b2")], true));
        let rest = store.list("b", Some(&key("b2")), 2).await.expect("it can list");
        assert_eq!((rest.keys, rest.more), (vec![key("b3")], false));
    })
    .await;
}
