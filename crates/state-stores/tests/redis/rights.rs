//! Servers that do not permit everything: what can be done without is missing, what cannot is said.

use real_servers::redis::{Options, Redis};
use state::{Outcome, Read, Store};

use crate::support::{arrange, get, key, open, put, strong, try_open};

/// A server with a user `app` who has these rights.
async fn server(rights: &[&str]) -> Redis {
    let server = Redis::start(&Options::default()).await.unwrap();
    let user = ["ACL", "SETUSER", "app", "on", ">secret", "~app||*", "~steadfast-rights-*"];
    arrange(&server, &[&[&user, rights].concat()]).await;
    server
}

async fn refused(rights: &[&str]) -> String {
    let server = server(rights).await;
    let address = server.address().to_string();
    let login = [("redisHost", &*address), ("redisUsername", "app"), ("redisPassword", "secret")];
    let error = try_open(&login).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied);
    error.to_string()
}

async fn opened(server: &Redis) -> std::sync::Arc<dyn Store> {
    open(server.address(), &[("redisUsername", "app"), ("redisPassword", "secret")]).await
}

const NEEDED: &[&str] = &[
    "-@all", "+eval", "+evalsha", "+time", "+hget", "+hmget", "+exists", "+type", "+get", "+pttl",
    "+persist", "+pexpire", "+del", "+hset",
];

#[tokio::test]
async fn the_documented_rights_are_enough_on_the_keys_of_the_application() {
    let server = server(NEEDED).await;
    let store = opened(&server).await;
    store.write(&put("app||k", "1")).await.unwrap();
    store.transact(&[put("app||k", "2"), put("app||l", "2")]).await.unwrap();
    assert!(get(&store, "app||k").await.is_some());
    // What was not permitted is not claimed.
    let can = store.capabilities();
    assert!(!can.list && can.consistency.strong_write.is_none());
    assert!(!can.durability.process_crash && can.server_settings.is_empty());
    let error = store.write(&put("other||k", "1")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    assert!(error.to_string().contains("redisUsername"), "{error}");
}

#[tokio::test]
async fn a_bulk_read_tells_what_may_be_read_and_what_may_not() {
    let server = server(NEEDED).await;
    let store = opened(&server).await;
    store.write(&put("app||k", "1")).await.unwrap();
    arrange(&server, &[&["LPUSH", "app||list", "1"]]).await;
    let reads = ["app||k", "other||k", "app||list", "app||none", "app||k"];
    let reads: Vec<Read> = reads.iter().map(|it| Read::new(key(it))).collect();
    let answers = store.get_many(&reads).await;
    let [k, other, list, none, again] = answers.as_slice() else { panic!("{answers:?}") };
    for it in [k, again] {
        assert_eq!(&it.as_ref().unwrap().as_ref().unwrap().value[..], b"1");
    }
    assert!(other.as_ref().unwrap_err().to_string().contains("redisUsername"), "{other:?}");
    assert!(list.as_ref().unwrap_err().to_string().contains("a list"), "{list:?}");
    assert!(none.as_ref().unwrap().is_none());
}

#[tokio::test]
async fn what_every_operation_needs_is_named() {
    assert!(refused(&["+@all", "-eval"]).await.contains("does not permit EVAL,"));
    assert!(refused(&["+@all", "-evalsha"]).await.contains("does not permit EVALSHA,"));
    for command in ["hset", "pexpire", "persist", "del", "time", "pttl"] {
        let message = refused(&["+@all", &format!("-{command}")]).await;
        assert!(message.contains(&format!("permit +{command}")), "{message}");
    }
}

#[tokio::test]
async fn a_server_that_forgets_its_scripts_or_hides_them_is_no_trouble() {
    let server = server(&["+@all", "-script"]).await;
    let store = opened(&server).await;
    store.write(&put("app||k", "1")).await.unwrap();
}

#[tokio::test]
async fn strong_writes_need_a_way_to_count_and_to_wait_for_replicas() {
    let strong_write = async |rights: &[&str], more: &[(&str, &str)]| {
        let server = server(&[&["+@all"], rights].concat()).await;
        let login = [("redisUsername", "app"), ("redisPassword", "secret")];
        let store = open(server.address(), &[&login, more].concat()).await;
        let offered = store.capabilities().consistency.strong_write.is_some();
        if offered && more.is_empty() {
            store.write(&strong(put("app||k", "1"))).await.unwrap();
        }
        offered
    };
    assert!(strong_write(&["-role"], &[]).await, "INFO tells as well");
    assert!(strong_write(&["-info"], &[]).await, "ROLE tells as well");
    assert!(!strong_write(&["-role", "-info"], &[]).await);
    assert!(strong_write(&["-role", "-info"], &[("strongReplicas", "1")]).await);
    assert!(strong_write(&["-wait"], &[]).await, "there is nobody to wait for");
    assert!(!strong_write(&["-wait"], &[("strongReplicas", "1")]).await);
    let server = server(&["+@all", "-wait"]).await;
    let login = [("redisUsername", "app"), ("redisPassword", "secret"), ("strongReplicas", "1")];
    let store = open(server.address(), &login).await;
    assert!(!store.capabilities().consistency.strong_read.as_ref().unwrap().contains("replicas"));
}
