use super::*;

#[test]
fn promises_of_our_sidecar_are_read_in_full() {
    let metadata = br#"{"components":[{"name":"other"},{"name":"s","status":"ready",
        "capabilities":["ETAG","TRANSACTIONAL","KEYS_LIKE"],"promises":{
        "strongWrite":"quorum","strongRead":"not offered","values":"exact",
        "eventualRead":"the same as a strong read","maxTransactionOperations":128,"maxKeyBytes":900,
        "acknowledgedWritesSurvive":{"processCrash":true,"powerLoss":true,"failover":false,"memoryPressure":true},
        "serverSettings":{"appendfsync":"always"}}}]}"#;
    let expected = Capabilities {
        etag: true,
        ttl: false,
        list: false,
        transaction_len_max: Some(128),
        key_len_max: 900,
        exact_values: true,
        consistency: Consistencies {
            strong_write: Some("quorum".into()),
            strong_read: None,
            eventual_read: None,
        },
        durability: Durability {
            process_crash: true,
            power_loss: true,
            failover: Some(false),
            memory_pressure: true,
        },
        server_settings: [("appendfsync".to_owned(), "always".to_owned())].into(),
    };
    assert_eq!(of(metadata, "s").unwrap(), expected);
}

#[test]
fn names_of_dapr_are_enough() {
    let metadata =
        br#"{"components":[{"name":"s","capabilities":["ETAG","TRANSACTIONAL","TTL"]}]}"#;
    let can = of(metadata, "s").unwrap();
    assert!(can.etag && can.ttl && !can.list && !can.exact_values);
    assert_eq!(can.transaction_len_max, Some(usize::MAX));
    assert!(can.consistency.strong_read.is_some());
}

#[test]
fn store_that_is_missing_or_not_ready_is_an_error() {
    let metadata = br#"{"components":[{"name":"s","status":"opening"}]}"#;
    let kind = |store| match of(metadata, store) {
        Err(Error::Failure(it)) => it.kind(),
        other => panic!("{other:?}"),
    };
    assert_eq!(kind("s"), FailureKind::Unavailable);
    assert_eq!(kind("t"), FailureKind::Invalid);
    assert!(of(b"<html>", "s").is_err());
}
