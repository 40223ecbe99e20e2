//! The calls of Dapr's service: what they do, what they answer, and what their errors say.

use std::{collections::HashMap, sync::Arc, time::Duration};

use sidecar_api::{Component, Front, Identity, Limits, Protection, Service, Sidecar, Stop, Token};
use sidecar_proto::{
    common::v1::{StateItem, StateOptions},
    runtime::v1::{
        DeleteBulkStateRequest, ExecuteStateTransactionRequest, GetBulkStateRequest,
        GetMetadataRequest, GetStateRequest, SaveStateRequest, SetMetadataRequest, ShutdownRequest,
        TransactionalStateOperation,
    },
};
use tonic::{Code, Request, Status};
use tonic_types::{ErrorDetail, StatusExt};

use crate::support::{
    APP_ID, GRACE, STORE, Served,
    calls::{
        Calls, Troubled, etags, info, item, origin, outcome, transport, with_etag, with_metadata,
    },
    memory, ready,
};

mod support;

async fn serve() -> (Served, Calls) {
    let served = Served::store(memory().await).await;
    let calls = Calls::to(served.grpc_address);
    (served, calls)
}

fn operation(kind: &str, request: StateItem) -> TransactionalStateOperation {
    TransactionalStateOperation { operation_type: kind.to_owned(), request: Some(request) }
}

fn transaction(operations: Vec<TransactionalStateOperation>) -> ExecuteStateTransactionRequest {
    ExecuteStateTransactionRequest {
        store_name: STORE.to_owned(),
        operations,
        metadata: HashMap::new(),
    }
}

#[tokio::test]
async fn bytes_are_kept_as_they_are() {
    let (_served, mut calls) = serve().await;
    let values: [&[u8]; 5] =
        [b"", b"\x00\xff\xfe", b"{'orderId': '1'}", b" { \"a\" : 1 } ", b"null"];
    for value in values {
        calls.save(vec![item("k", value)]).await.unwrap();
        let found = calls.get("k").await.unwrap();
        assert_eq!(&found.data[..], value);
        assert!(!found.etag.is_empty(), "what is there has an ETag, be it empty");
    }
    let absent = calls.get("other").await.unwrap();
    assert_eq!((&absent.data[..], absent.etag.as_str()), (&b""[..], ""));
}

#[tokio::test]
async fn value_that_is_said_to_be_json_has_to_be() {
    let (served, mut calls) = serve().await;
    let json = |value: &[u8]| with_metadata(item("k", value), "contentType", "application/json");
    calls.save(vec![json(b"{\"n\":9007199254740993}")]).await.unwrap();
    let mut http = served.connect().await;
    let read = http.call("GET", "/v1.0/state/statestore/k", &[], "").await;
    assert_eq!(read.body, "{\"n\":9007199254740993}");
    let deep = "[".repeat(65) + &"]".repeat(65);
    for (value, why) in [(&b"{"[..], "JSON"), (b"\"\xff\"", "JSON"), (deep.as_bytes(), "nested")] {
        let refused = calls.save(vec![item("new", b"1"), json(value)]).await.unwrap_err();
        assert_eq!((refused.code(), &*outcome(&refused)), (Code::InvalidArgument, "not_applied"));
        assert!(refused.message().contains(why), "{refused:?}");
        assert!(calls.get("new").await.unwrap().etag.is_empty(), "nothing was saved");
    }
}

#[tokio::test]
async fn new_etags_come_in_the_metadata() {
    let (_served, mut calls) = serve().await;
    let told = calls.save(vec![item("a", b"1"), item("b", b"2")]).await.unwrap();
    let found = [calls.get("a").await.unwrap().etag, calls.get("b").await.unwrap().etag];
    assert_eq!(told, found);
    let operations =
        vec![operation("delete", item("a", b"")), operation("upsert", item("b", b"3"))];
    let response = calls.0.execute_state_transaction(transaction(operations)).await.unwrap();
    let told = etags(response.metadata());
    assert_eq!(told, ["".to_owned(), calls.get("b").await.unwrap().etag]);
    let many = (0..200).map(|it| item(&format!("k{it}"), b"1")).collect();
    assert!(
        calls.save(many).await.unwrap().is_empty(),
        "too many for what clients take of headers"
    );
}

#[tokio::test]
async fn options_and_etags_guard() {
    let (_served, mut calls) = serve().await;
    let first = |key| StateItem {
        options: Some(StateOptions { concurrency: 1, consistency: 2 }),
        ..item(key, b"1")
    };
    let etag = calls.save(vec![first("k")]).await.unwrap().remove(0);
    assert_eq!(calls.save(vec![first("k")]).await.unwrap_err().code(), Code::Aborted);
    let stale = calls.save(vec![with_etag(item("k", b"2"), "stale")]).await.unwrap_err();
    assert_eq!((stale.code(), &*outcome(&stale)), (Code::Aborted, "conflict"));
    assert_eq!(info(&stale).metadata["currentETag"], etag);
    assert_eq!(calls.delete("k", "stale").await.unwrap_err().code(), Code::Aborted);
    assert_eq!(&calls.get("k").await.unwrap().data[..], b"1");
    calls.save(vec![with_etag(item("k", b"2"), &etag)]).await.unwrap();
    calls.delete("k", "").await.unwrap();
    assert!(calls.get("k").await.unwrap().etag.is_empty());
    let unknown = StateItem {
        options: Some(StateOptions { concurrency: 7, consistency: 0 }),
        ..item("k", b"1")
    };
    let refused = calls.save(vec![unknown]).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("concurrency model '7'"), "{refused:?}");
}

#[tokio::test]
async fn bulk_get_answers_each_key_in_its_place() {
    let (_served, mut calls) = serve().await;
    let lasting = with_metadata(item("b", b"\xff"), "ttlInSeconds", "1000");
    calls.save(vec![item("a", b"1"), lasting]).await.unwrap();
    let keys = ["b", "none", "a", "b"].map(str::to_owned).to_vec();
    let message = GetBulkStateRequest {
        store_name: STORE.to_owned(),
        keys: keys.clone(),
        ..Default::default()
    };
    let items = calls.0.get_bulk_state(message).await.unwrap().into_inner().items;
    assert_eq!(items.iter().map(|it| it.key.clone()).collect::<Vec<_>>(), keys);
    let data: Vec<&[u8]> = items.iter().map(|it| &it.data[..]).collect();
    assert_eq!(data, [&b"\xff"[..], b"", b"1", b"\xff"]);
    assert!(items[0].metadata.contains_key("ttlExpireTime") && items[1].etag.is_empty());
    let nothing = GetBulkStateRequest { store_name: STORE.to_owned(), ..Default::default() };
    assert!(calls.0.get_bulk_state(nothing).await.unwrap().into_inner().items.is_empty());
}

#[tokio::test]
async fn bulk_delete_deletes_each_or_says_which_not() {
    let (_served, mut calls) = serve().await;
    calls.save(["a", "b", "c"].map(|it| item(it, b"1")).to_vec()).await.unwrap();
    let delete = |states| DeleteBulkStateRequest { store_name: STORE.to_owned(), states };
    calls.0.delete_bulk_state(delete(Vec::new())).await.unwrap();
    let states = vec![item("a", b""), with_etag(item("b", b""), "stale")];
    let refused = calls.0.delete_bulk_state(delete(states)).await.unwrap_err();
    assert_eq!((refused.code(), &*outcome(&refused)), (Code::Aborted, "unknown"));
    let info = info(&refused);
    let failed: serde_json::Value = serde_json::from_str(&info.metadata["items"]).unwrap();
    assert_eq!(failed.as_array().unwrap().len(), 1);
    assert_eq!((&failed[0]["position"], &failed[0]["outcome"]), (&1.into(), &"conflict".into()));
    assert!(calls.get("a").await.unwrap().etag.is_empty());
    assert!(!calls.get("b").await.unwrap().etag.is_empty());
}

#[tokio::test]
async fn save_in_part_tells_the_etags_of_what_was_saved() {
    let (_served, mut calls) = serve().await;
    let states = vec![with_etag(item("a", b"1"), "stale"), item("b", b"2")];
    let refused = calls.save(states).await.unwrap_err();
    let etag = calls.get("b").await.unwrap().etag;
    assert_eq!(etags(refused.metadata()), ["".to_owned(), etag]);
    assert!(refused.message().contains("1 of 2 items failed"), "{refused:?}");
}

#[tokio::test]
async fn transaction_is_all_or_nothing_and_names_the_operation() {
    let (_served, mut calls) = serve().await;
    calls.save(vec![item("b", b"1")]).await.unwrap();
    let operations = vec![
        operation("upsert", item("a", b"1")),
        operation("delete", with_etag(item("b", b""), "stale")),
    ];
    let refused = calls.0.execute_state_transaction(transaction(operations)).await.unwrap_err();
    assert_eq!((refused.code(), &*outcome(&refused)), (Code::Aborted, "conflict"));
    let info = info(&refused);
    assert_eq!((&*info.metadata["operation"], &*info.metadata["key"]), ("1", "b"));
    assert!(calls.get("a").await.unwrap().etag.is_empty(), "nothing was applied");
    let unknown = transaction(vec![operation("increment", item("a", b"1"))]);
    let refused = calls.0.execute_state_transaction(unknown).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    calls.0.execute_state_transaction(transaction(Vec::new())).await.unwrap();
    // What is said for all goes to each.
    let lasting = ExecuteStateTransactionRequest {
        metadata: HashMap::from([("ttlInSeconds".to_owned(), "1000".to_owned())]),
        ..transaction(vec![operation("upsert", item("a", b"1"))])
    };
    calls.0.execute_state_transaction(lasting).await.unwrap();
    assert!(calls.get("a").await.unwrap().metadata.contains_key("ttlExpireTime"));
}

/// The names of the details of a status, in their order.
fn names(status: &Status) -> Vec<&'static str> {
    let name = |it: &ErrorDetail| match it {
        ErrorDetail::ErrorInfo(_) => "ErrorInfo",
        ErrorDetail::ResourceInfo(_) => "ResourceInfo",
        ErrorDetail::BadRequest(_) => "BadRequest",
        ErrorDetail::Help(_) => "Help",
        ErrorDetail::RetryInfo(_) => "RetryInfo",
        _ => "another",
    };
    status.get_error_details_vec().iter().map(name).collect()
}

#[tokio::test]
async fn errors_have_the_codes_and_details_of_dapr() {
    let (_served, mut calls) = serve().await;
    let elsewhere = GetStateRequest { store_name: "x".to_owned(), ..Default::default() };
    let refused = calls.0.get_state(elsewhere.clone()).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::InvalidArgument, "state store x is not found")
    );
    assert_eq!(names(&refused), ["ErrorInfo", "ResourceInfo"]);
    assert_eq!(info(&refused).reason, "DAPR_STATE_NOT_FOUND");

    let refused = calls.get("a||b").await.unwrap_err();
    let expected = "input key/keyPrefix 'a||b' can't contain '||'";
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, expected));
    assert_eq!(names(&refused), ["BadRequest", "ResourceInfo", "ErrorInfo"]);
    let violations = refused.get_details_bad_request().unwrap().field_violations;
    assert_eq!(violations[0].description, expected);

    let bare = Served::components([], Limits::default()).await;
    let refused = Calls::to(bare.grpc_address).0.get_state(elsewhere).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(info(&refused).reason, "DAPR_STATE_NOT_CONFIGURED");

    for key in ["", "a\u{1}", &"k".repeat(5000)] {
        let refused = calls.save(vec![item(key, b"1")]).await.unwrap_err();
        assert_eq!((refused.code(), &*outcome(&refused)), (Code::InvalidArgument, "not_applied"));
        assert_eq!(info(&refused).reason, "ERR_MALFORMED_REQUEST");
    }
    let bad_ttl = with_metadata(item("k", b"1"), "ttlInSeconds", "soon");
    let refused = calls.save(vec![bad_ttl]).await.unwrap_err();
    assert!(refused.message().contains("ttlInSeconds"), "{refused:?}");

    let opening = Arc::new(Component::new(STORE, "state.sqlite", "v1", false));
    let late = Served::components([opening], Limits::default()).await;
    let refused = Calls::to(late.grpc_address).get("k").await.unwrap_err();
    assert_eq!((refused.code(), &*outcome(&refused)), (Code::Unavailable, "not_applied"));
    assert_eq!(names(&refused), ["ResourceInfo", "ErrorInfo", "RetryInfo"]);
}

#[tokio::test]
async fn calls_of_other_building_blocks_are_unimplemented() {
    let (served, mut calls) = serve().await;
    for path in ["/dapr.proto.runtime.v1.Dapr/InvokeService", "/helloworld.Greeter/SayHello"] {
        let mut grpc = tonic::client::Grpc::with_origin(transport(), origin(served.grpc_address));
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<GetMetadataRequest, GetMetadataRequest>::default();
        let request = Request::new(GetMetadataRequest {});
        let answer = grpc.unary(request, path.parse().unwrap(), codec).await;
        let refused = answer.unwrap_err();
        assert_eq!((refused.code(), &*outcome(&refused)), (Code::Unimplemented, "not_applied"));
        assert!(refused.message().contains("serves state alone"), "{refused:?}");
    }
    assert!(calls.get("k").await.is_ok());
}

#[tokio::test]
async fn metadata_says_what_there_is_and_can_be_added_to() {
    let (_served, mut calls) = serve().await;
    let set = SetMetadataRequest { key: "appPID".to_owned(), value: "7".to_owned() };
    calls.0.set_metadata(set).await.unwrap();
    let it = calls.0.get_metadata(GetMetadataRequest {}).await.unwrap().into_inner();
    assert_eq!((&*it.id, &*it.extended_metadata["appPID"]), (APP_ID, "7"));
    let component = &it.registered_components[0];
    assert_eq!((&*component.name, &*component.r#type), (STORE, "state.in-memory"));
    assert!(component.capabilities.iter().any(|it| it == "TRANSACTIONAL"));
    let promises: serde_json::Value = serde_json::from_str(&component.promises).unwrap();
    assert_eq!(promises["values"], "exact");
}

#[tokio::test]
async fn shutdown_is_asked_for() {
    let (served, mut calls) = serve().await;
    calls.0.shutdown(ShutdownRequest {}).await.unwrap();
    assert_eq!(served.sidecar.stopped().await, Stop::Gracefully);
}

#[tokio::test]
async fn a_context_of_a_trace_comes_back() {
    let (_served, mut calls) = serve().await;
    let binary: Vec<u8> = [&[0, 0][..], &[7; 16], &[1], &[8; 8], &[2, 1]].concat();
    let mut request = Request::new(GetMetadataRequest {});
    let value = tonic::metadata::BinaryMetadataValue::from_bytes(&binary);
    request.metadata_mut().insert_bin("grpc-trace-bin", value);
    let answer = calls.0.get_metadata(request).await.unwrap();
    let back = answer.metadata().get_bin("grpc-trace-bin").unwrap().to_bytes().unwrap();
    assert_eq!(&back[..], &binary[..]);
    let answer = calls.0.get_metadata(Request::new(GetMetadataRequest {})).await.unwrap();
    assert!(answer.metadata().get_bin("grpc-trace-bin").is_none());
}

#[tokio::test]
async fn whoever_knows_no_token_is_refused() {
    let service = Service::new(APP_ID, [ready(memory().await)]);
    let sidecar = Arc::new(Sidecar::new(Identity::default(), service));
    let protection = Protection {
        tokens: ["new", "old"].into_iter().filter_map(Token::new).collect(),
        ..Protection::default()
    };
    let front = Front::new(sidecar, Limits::default(), protection);
    let served = Served::front(Arc::new(front), GRACE).await;
    let mut calls = Calls::to(served.grpc_address);
    for (token, is_known) in [("new", true), ("old", true), ("older", false), ("", false)] {
        let mut request = Request::new(GetMetadataRequest {});
        request.metadata_mut().insert("dapr-api-token", token.parse().unwrap());
        match calls.0.get_metadata(request).await {
            Ok(_) => assert!(is_known, "{token}"),
            Err(refused) => {
                assert!(!is_known, "{token}: {refused:?}");
                assert_eq!(refused.code(), Code::Unauthenticated);
            }
        }
    }
    assert_eq!(calls.get("k").await.unwrap_err().code(), Code::Unauthenticated);
    let mut http = served.connect().await;
    assert_eq!(http.call("GET", "/v1.0/healthz/outbound", &[], "").await.status, 204);
}

#[tokio::test]
async fn web_pages_may_not_call() {
    let (_served, mut calls) = serve().await;
    let mut request = Request::new(GetMetadataRequest {});
    request.metadata_mut().insert("origin", "http://evil.example".parse().unwrap());
    let refused = calls.0.get_metadata(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn reflection_lists_the_service_in_both_versions() {
    use tonic_reflection::pb::{v1, v1alpha};
    let (served, _) = serve().await;
    let origin = origin(served.grpc_address);
    let dapr = "dapr.proto.runtime.v1.Dapr";

    let question = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let request =
        v1::ServerReflectionRequest { message_request: Some(question), ..Default::default() };
    let mut client = v1::server_reflection_client::ServerReflectionClient::with_origin(
        transport(),
        origin.clone(),
    );
    let asked = futures::stream::iter([request]);
    let mut answers = client.server_reflection_info(asked).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    assert!(format!("{answer:?}").contains(dapr), "{answer:?}");

    let symbol = format!("{dapr}.GetState");
    let question = v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(symbol);
    let request =
        v1alpha::ServerReflectionRequest { message_request: Some(question), ..Default::default() };
    let mut client =
        v1alpha::server_reflection_client::ServerReflectionClient::with_origin(transport(), origin);
    let asked = futures::stream::iter([request]);
    let mut answers = client.server_reflection_info(asked).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    assert!(format!("{answer:?}").contains("FileDescriptorResponse"), "{answer:?}");
}

#[tokio::test]
async fn messages_have_one_limit_in_both_directions() {
    let limits = Limits { body_bytes_max: 100_000, ..Limits::default() };
    let served = Served::components([ready(memory().await)], limits).await;
    let mut calls = Calls::to(served.grpc_address);
    let refused = calls.save(vec![item("k", &[0; 100_001])]).await.unwrap_err();
    assert_eq!((refused.code(), &*outcome(&refused)), (Code::ResourceExhausted, "not_applied"));
    assert!(info(&refused).metadata["hint"].contains("--max-body-size"));
    let large = |it: &str| item(it, &[b'1'; 60_000]);
    for key in ["a", "b"] {
        calls.save(vec![large(key)]).await.unwrap();
    }
    assert_eq!(calls.get("a").await.unwrap().data.len(), 60_000);
    let message = GetBulkStateRequest {
        store_name: STORE.to_owned(),
        keys: vec!["a".to_owned(), "b".to_owned()],
        ..Default::default()
    };
    let refused = calls.0.get_bulk_state(message).await.unwrap_err();
    assert_eq!((refused.code(), &*outcome(&refused)), (Code::ResourceExhausted, "not_applied"));
}

#[tokio::test]
async fn deadline_of_the_client_is_kept_and_says_what_is_known() {
    let served = Served::store(Arc::new(Troubled::new().await)).await;
    let calls = Calls::to(served.grpc_address);
    let soon = |mut request: Request<GetStateRequest>| {
        request.set_timeout(Duration::from_millis(100));
        request
    };
    let read = GetStateRequest {
        store_name: STORE.to_owned(),
        key: "wait".to_owned(),
        ..Default::default()
    };
    let late = calls.clone().0.get_state(soon(Request::new(read))).await.unwrap_err();
    assert_eq!((late.code(), &*outcome(&late)), (Code::DeadlineExceeded, "not_applied"));
    let save = SaveStateRequest { store_name: STORE.to_owned(), states: vec![item("wait", b"1")] };
    let mut request = Request::new(save);
    request.set_timeout(Duration::from_millis(100));
    let late = calls.clone().0.save_state(request).await.unwrap_err();
    assert_eq!((late.code(), &*outcome(&late)), (Code::DeadlineExceeded, "unknown"));
}

#[tokio::test]
async fn panic_ends_its_call_alone_and_is_counted() {
    let served = Served::store(Arc::new(Troubled::new().await)).await;
    let mut calls = Calls::to(served.grpc_address);
    for times in 1..=3 {
        let failed = calls.save(vec![item("panic", b"1")]).await.unwrap_err();
        assert_eq!((failed.code(), &*outcome(&failed)), (Code::Internal, "unknown"));
        assert_eq!(served.sidecar.panics(), times);
        calls.save(vec![item("k", b"1")]).await.unwrap();
    }
    let mut http = served.connect().await;
    assert_eq!(http.call("GET", "/v1.0/state/statestore/panic", &[], "").await.status, 500);
    assert_eq!(served.sidecar.panics(), 4);
    let metadata = http.call("GET", "/v1.0/metadata", &[], "").await.json();
    assert_eq!(metadata["extended"]["panics"], "4");
}

#[tokio::test]
async fn traces_are_accepted() {
    let (_served, mut calls) = serve().await;
    let mut request = Request::new(GetMetadataRequest {});
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", trace.parse().unwrap());
    metadata.insert_bin("grpc-trace-bin", tonic::metadata::MetadataValue::from_bytes(&[0; 29]));
    calls.0.get_metadata(request).await.unwrap();
}
