//! What the Rust SDK's users do with state, one case after the other.
//!
//! The SDK has no transactions, no bulk get, no options or ETags of a delete, and no consistency of a read.

use std::{collections::HashMap, env, error::Error, time::Duration};

use dapr::{
    client::{Client, ClientOptions, Etag, StateItem, StateOptions, TonicClientWithAuth},
    error::Error as DaprError,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tonic::Code;

type Dapr = Client<TonicClientWithAuth>;
type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

const STORE: &str = "statestore";
const FIRST_WRITE: StateOptions = StateOptions { concurrency: 1, consistency: 0 };

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let mut client = connect().await;
    println!("ok start-up wait");
    save_and_get(&mut client).await?;
    println!("ok save and get");
    get_with_etag(&mut client).await?;
    println!("ok get with etag");
    let absent = client.get_state(STORE, "absent", None).await?;
    assert!(absent.data.is_empty() && absent.etag.is_empty());
    println!("ok absent key");
    let every: Vec<u8> = (0..=255).collect();
    client.save_state(STORE, "binary", every.clone(), None, None, None).await?;
    assert_eq!(client.get_state(STORE, "binary", None).await?.data, every);
    println!("ok binary values");
    bulk_save(&mut client).await?;
    println!("ok bulk save and get");
    delete(&mut client).await?;
    println!("ok delete");
    println!("skip delete with etag: the SDK has none");
    println!("skip transaction: the SDK has none");
    ttl(&mut client).await?;
    println!("ok ttl");
    first_write(&mut client).await?;
    println!("ok first write");
    strong_options(&mut client).await?;
    println!("ok strong options");
    client.set_metadata("suite", "rust").await?;
    let told = client.get_metadata().await?;
    assert_eq!(told.extended_metadata["suite"], "rust");
    assert!(told.registered_components.iter().any(|it| it.name == STORE));
    println!("ok metadata");
    token().await
}

/// The SDK does not wait for a sidecar.
async fn connect() -> Dapr {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match Dapr::new().await {
            Ok(client) => return client,
            Err(e) => assert!(Instant::now() < deadline, "cannot connect: {e}"),
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn save_and_get(client: &mut Dapr) -> Outcome {
    client.save_state(STORE, "order", br#"{"id":1}"#.to_vec(), None, None, None).await?;
    assert_eq!(client.get_state(STORE, "order", None).await?.data, br#"{"id":1}"#);
    Ok(())
}

async fn get_with_etag(client: &mut Dapr) -> Outcome {
    client.save_state(STORE, "k", b"1".to_vec(), None, None, None).await?;
    let etag = Etag { value: client.get_state(STORE, "k", None).await?.etag };
    client.save_state(STORE, "k", b"2".to_vec(), Some(etag.clone()), None, None).await?;
    let stale = client.save_state(STORE, "k", b"3".to_vec(), Some(etag), None, None).await;
    assert_eq!(code(stale), Some(Code::Aborted));
    assert_eq!(client.get_state(STORE, "k", None).await?.data, b"2");
    Ok(())
}

async fn bulk_save(client: &mut Dapr) -> Outcome {
    let item = |number: u8| StateItem {
        key: format!("bulk{number}"),
        value: vec![number],
        ..StateItem::default()
    };
    client.save_bulk_states(STORE, (0..10).map(item).collect::<Vec<_>>()).await?;
    for number in 0..10 {
        let key = format!("bulk{number}");
        assert_eq!(client.get_state(STORE, &key, None).await?.data, [number]);
    }
    Ok(())
}

async fn delete(client: &mut Dapr) -> Outcome {
    client.save_state(STORE, "k", b"1".to_vec(), None, None, None).await?;
    client.delete_state(STORE, "k", None).await?;
    assert!(client.get_state(STORE, "k", None).await?.data.is_empty());
    Ok(client.delete_state(STORE, "k", None).await?)
}

async fn ttl(client: &mut Dapr) -> Outcome {
    let lifetime =
        |seconds: &str| Some(HashMap::from([("ttlInSeconds".to_owned(), seconds.to_owned())]));
    client.save_state(STORE, "brief", b"1".to_vec(), None, lifetime("1"), None).await?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while !client.get_state(STORE, "brief", None).await?.data.is_empty() {
        assert!(Instant::now() < deadline, "it outlives its time");
        sleep(Duration::from_millis(100)).await;
    }
    client.save_state(STORE, "lasting", b"1".to_vec(), None, lifetime("1000"), None).await?;
    assert_eq!(client.get_state(STORE, "lasting", None).await?.data, b"1");
    Ok(())
}

async fn first_write(client: &mut Dapr) -> Outcome {
    client.delete_state(STORE, "once", None).await?;
    client.save_state(STORE, "once", b"1".to_vec(), None, None, Some(FIRST_WRITE)).await?;
    let second =
        client.save_state(STORE, "once", b"2".to_vec(), None, None, Some(FIRST_WRITE)).await;
    assert_eq!(code(second), Some(Code::Aborted));
    client.save_state(STORE, "counter", b"0".to_vec(), None, None, None).await?;
    let mut workers = JoinSet::new();
    for _ in 0..4 {
        workers.spawn(count(25));
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    assert_eq!(client.get_state(STORE, "counter", None).await?.data, b"100");
    Ok(())
}

async fn count(mut times: u32) -> Outcome {
    let mut client = connect().await;
    while times > 0 {
        let found = client.get_state(STORE, "counter", None).await?;
        let value: u32 = String::from_utf8(found.data)?.parse()?;
        let (next, etag) = ((value + 1).to_string().into_bytes(), Etag { value: found.etag });
        let saved =
            client.save_state(STORE, "counter", next, Some(etag), None, Some(FIRST_WRITE)).await;
        match code(saved) {
            None => times -= 1,
            Some(Code::Aborted) => {}
            Some(other) => return Err(format!("not counted: {other}").into()),
        }
    }
    Ok(())
}

async fn strong_options(client: &mut Dapr) -> Outcome {
    for concurrency in 0..3 {
        client.delete_state(STORE, "strong", None).await?;
        let options = StateOptions { concurrency, consistency: 2 };
        client.save_state(STORE, "strong", b"1".to_vec(), None, None, Some(options)).await?;
        assert_eq!(client.get_state(STORE, "strong", None).await?.data, b"1");
    }
    Ok(())
}

async fn token() -> Outcome {
    if env::var_os("DAPR_API_TOKEN").is_none() {
        println!("skip token: DAPR_API_TOKEN is not set");
        return Ok(());
    }
    let options = ClientOptions::from_env()?.with_api_token("wrong");
    let mut client = Dapr::from_options(options).await?;
    let refused = client.get_state(STORE, "k", None).await.map(drop);
    assert_eq!(code(refused), Some(Code::Unauthenticated));
    println!("ok token");
    Ok(())
}

/// The code that a call was refused with. The SDK shows it in its text only.
fn code(answer: Result<(), DaprError>) -> Option<Code> {
    let e = match answer {
        Ok(()) => return None,
        Err(e) => format!("{e:?}"),
    };
    let told = [Code::Aborted, Code::Unauthenticated]
        .into_iter()
        .find(|it| e.contains(&format!("{it:?}")));
    Some(told.unwrap_or_else(|| panic!("{e}")))
}
