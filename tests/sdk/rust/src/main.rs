//! What the Rust SDK's users do with state, one case after the other.
//!
//! The SDK has no transactions, no bulk get, no options or ETags of a delete, and no consistency of a read.

use std::{
    collections::HashMap,
    env,
    error::Error,
    fmt::Debug,
    future::Future,
    process,
    time::{Duration, Instant},
};

use dapr::{
    client::{Client, ClientOptions, Etag, StateItem, StateOptions, TonicClientWithAuth},
    error::Error as DaprError,
};
use tokio::{task::JoinSet, time::sleep};
use tonic::Code;

type Dapr = Client<TonicClientWithAuth>;
type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const STORE: &str = "statestore";
/// The numbers are those of Dapr's messages, which the SDK has no names for.
const FIRST_WRITE: StateOptions = StateOptions { concurrency: 1, consistency: 0 };
const STRONG: i32 = 2;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let client = Dapr::new().await?;
    skip("start-up wait", "the SDK connects once");
    case("save and get", save_and_get(client.clone())).await;
    case("get with etag", get_with_etag(client.clone())).await;
    case("absent key", absent_key(client.clone())).await;
    case("binary values", binary_values(client.clone())).await;
    case("bulk save and get", bulk_save(client.clone())).await;
    case("delete", delete(client.clone())).await;
    skip("delete with etag", "the SDK has none");
    skip("transaction", "the SDK has none");
    case("ttl", ttl(client.clone())).await;
    case("first-write", first_write(client.clone())).await;
    case("strong options", strong_options(client.clone())).await;
    case("metadata", metadata(client)).await;
    match env::var_os("DAPR_API_TOKEN") {
        Some(_) => case("token", token()).await,
        None => skip("token", "DAPR_API_TOKEN is not set"),
    }
    Ok(())
}

async fn case(name: &str, run: impl Future<Output = Outcome>) {
    if let Err(e) = run.await {
        eprintln!("failed {name}: {e}");
        process::exit(1);
    }
    println!("ok {name}");
}

fn skip(name: &str, reason: &str) {
    println!("skip {name}: {reason}");
}

async fn save_and_get(mut client: Dapr) -> Outcome {
    save(&mut client, "order", br#"{"id":1}"#).await?;
    has(&mut client, "order", br#"{"id":1}"#).await
}

async fn get_with_etag(mut client: Dapr) -> Outcome {
    save(&mut client, "k", b"1").await?;
    let etag = Etag { value: client.get_state(STORE, "k", None).await?.etag };
    client.save_state(STORE, "k", b"2".to_vec(), Some(etag.clone()), None, None).await?;
    let stale = client.save_state(STORE, "k", b"3".to_vec(), Some(etag), None, None).await;
    is_refused(stale, Code::Aborted)?;
    has(&mut client, "k", b"2").await
}

async fn absent_key(mut client: Dapr) -> Outcome {
    let absent = client.get_state(STORE, "absent", None).await?;
    same((absent.data, absent.etag), (Vec::new(), String::new()))
}

async fn binary_values(mut client: Dapr) -> Outcome {
    let value: Vec<u8> = (0..=255).collect();
    save(&mut client, "binary", &value).await?;
    has(&mut client, "binary", &value).await
}

async fn bulk_save(mut client: Dapr) -> Outcome {
    let item = |number: u8| StateItem {
        key: format!("bulk{number}"),
        value: vec![number],
        ..StateItem::default()
    };
    client.save_bulk_states(STORE, (0..10).map(item).collect::<Vec<_>>()).await?;
    for number in 0..10 {
        has(&mut client, &format!("bulk{number}"), &[number]).await?;
    }
    Ok(())
}

async fn delete(mut client: Dapr) -> Outcome {
    save(&mut client, "k", b"1").await?;
    client.delete_state(STORE, "k", None).await?;
    has(&mut client, "k", b"").await?;
    Ok(client.delete_state(STORE, "k", None).await?)
}

async fn ttl(mut client: Dapr) -> Outcome {
    let lifetime = |seconds: &str| HashMap::from([("ttlInSeconds".to_owned(), seconds.to_owned())]);
    client.save_state(STORE, "brief", b"1".to_vec(), None, Some(lifetime("1")), None).await?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(e) = has(&mut client, "brief", b"").await {
        if Instant::now() > deadline {
            return Err(format!("it outlives its time: {e}").into());
        }
        sleep(Duration::from_millis(100)).await;
    }
    client.save_state(STORE, "lasting", b"1".to_vec(), None, Some(lifetime("1000")), None).await?;
    has(&mut client, "lasting", b"1").await
}

async fn first_write(mut client: Dapr) -> Outcome {
    client.delete_state(STORE, "once", None).await?;
    client.save_state(STORE, "once", b"1".to_vec(), None, None, Some(FIRST_WRITE)).await?;
    let second =
        client.save_state(STORE, "once", b"2".to_vec(), None, None, Some(FIRST_WRITE)).await;
    is_refused(second, Code::Aborted)?;
    save(&mut client, "counter", b"0").await?;
    let mut workers = JoinSet::new();
    for _ in 0..4 {
        workers.spawn(count(client.clone(), 25));
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    has(&mut client, "counter", b"100").await
}

async fn count(mut client: Dapr, mut times: u32) -> Outcome {
    while times > 0 {
        let found = client.get_state(STORE, "counter", None).await?;
        let value: u32 = String::from_utf8(found.data)?.parse()?;
        let (next, etag) = ((value + 1).to_string().into_bytes(), Etag { value: found.etag });
        let saved =
            client.save_state(STORE, "counter", next, Some(etag), None, Some(FIRST_WRITE)).await;
        match saved {
            Ok(()) => times -= 1,
            conflict => is_refused(conflict, Code::Aborted)?,
        }
    }
    Ok(())
}

async fn strong_options(mut client: Dapr) -> Outcome {
    for concurrency in 0..3 {
        client.delete_state(STORE, "strong", None).await?;
        let options = StateOptions { concurrency, consistency: STRONG };
        client.save_state(STORE, "strong", b"1".to_vec(), None, None, Some(options)).await?;
        has(&mut client, "strong", b"1").await?;
    }
    Ok(())
}

async fn metadata(mut client: Dapr) -> Outcome {
    client.set_metadata("suite", "rust").await?;
    let told = client.get_metadata().await?;
    same(told.extended_metadata.get("suite").map(String::as_str), Some("rust"))?;
    same(told.registered_components.iter().any(|it| it.name == STORE), true)
}

/// That the right token is accepted, all other cases show.
async fn token() -> Outcome {
    let options = ClientOptions::from_env()?.with_api_token("wrong");
    let mut client = Dapr::from_options(options).await?;
    is_refused(client.get_state(STORE, "k", None).await.map(drop), Code::Unauthenticated)
}

async fn save(client: &mut Dapr, key: &str, value: &[u8]) -> Outcome {
    Ok(client.save_state(STORE, key, value.to_vec(), None, None, None).await?)
}

async fn has(client: &mut Dapr, key: &str, value: &[u8]) -> Outcome {
    same(client.get_state(STORE, key, None).await?.data, value)
}

fn same<T: Debug + PartialEq<U>, U: Debug>(found: T, expected: U) -> Outcome {
    if found != expected {
        return Err(format!("found {found:?}, not {expected:?}").into());
    }
    Ok(())
}

/// The SDK shows the code of a refusal in its text only.
fn is_refused(answer: Result<(), DaprError>, code: Code) -> Outcome {
    let text = format!("{answer:?}");
    if answer.is_err() && text.contains(&format!("{code:?}")) {
        return Ok(());
    }
    Err(format!("not refused with {code:?}: {text}").into())
}
