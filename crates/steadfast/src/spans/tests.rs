use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, header::HeaderValue, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc::UnboundedReceiver};

use super::{options::OtelOptions, *};

type Got = (String, Option<HeaderValue>, Bytes);

/// A collector that takes everything, over either version of HTTP, and passes it on.
async fn collector() -> (SocketAddr, UnboundedReceiver<Got>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sender = sender.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let sender = sender.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let token = parts.headers.get("authorization").cloned();
                    sender.send((parts.uri.path().to_owned(), token, body)).unwrap();
                    let mut response = Response::new(Full::new(Bytes::new()));
                    response.headers_mut().insert("grpc-status", HeaderValue::from_static("0"));
                    Ok::<_, Infallible>(response)
                }
            });
            tokio::spawn(async move {
                // It ends when the other side does.
                let _ = Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (address, receiver)
}

fn record(tracer: &Tracer, name: &str) -> TraceContext {
    let context = tracer.span(None);
    let attributes = vec![("db.name", "s".to_owned())];
    let span = Span { parent: None, own: Some(context) };
    let elapsed = Duration::from_millis(3);
    tracer.record(span, context, name.to_owned(), elapsed, attributes, 500, Some("bad".to_owned()));
    context
}

#[tokio::test]
async fn zipkin_gets_spans() {
    let (address, mut got) = collector().await;
    let zipkin = Some(format!("http://{address}/api/v2/spans"));
    let options = TracingOptions { sampling_rate: Some(1.), zipkin, ..Default::default() };
    let tracer = Tracer::start(options, "cart", false).unwrap();
    let context = record(&tracer, "/v1.0/state/s/{key}");
    tracer.flush().await;
    let (path, _, body) = got.recv().await.unwrap();
    assert_eq!(path, "/api/v2/spans");
    let spans: Value = serde_json::from_slice(&body).unwrap();
    let span = &spans[0];
    assert_eq!(span["traceId"], format!("{:032x}", context.trace_id));
    assert_eq!(span["kind"], "CLIENT");
    assert_eq!(span["duration"], 3000);
    assert_eq!(span["localEndpoint"]["serviceName"], "cart");
    assert_eq!(span["tags"]["dapr.status_code"], "500");
    assert_eq!(tracer.counts().exported.load(Relaxed), 1);
}

#[tokio::test]
async fn the_collector_of_opentelemetry_gets_spans_over_http_and_grpc() {
    for is_grpc in [false, true] {
        let (address, mut got) = collector().await;
        let otel = OtelOptions {
            is_grpc,
            endpoint: address.to_string(),
            is_secure: false,
            headers: vec![("authorization".to_owned(), "secret".to_owned())],
            ..OtelOptions::default()
        };
        let options =
            TracingOptions { sampling_rate: Some(1.), otel: Some(otel), ..Default::default() };
        let tracer = Tracer::start(options, "cart", false).unwrap();
        record(&tracer, "first");
        record(&tracer, "second");
        tracer.flush().await;
        let (path, token, body) = got.recv().await.unwrap();
        assert_eq!(token.unwrap(), "secret");
        let message = if is_grpc { &body[5..] } else { &body[..] };
        assert_eq!(path.ends_with(".TraceService/Export"), is_grpc, "{path}");
        assert_eq!(path == "/v1/traces", !is_grpc, "{path}");
        assert_eq!(otlp::names(message), ["first", "second"]);
        assert_eq!(tracer.counts().exported.load(Relaxed), 2, "{path}");
    }
}

#[tokio::test]
async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let zipkin = Some("http://127.0.0.1:1/".to_owned());
    let options = TracingOptions { sampling_rate: Some(1.), zipkin, ..Default::default() };
    let tracer = Tracer::start(options, "cart", false).unwrap();
    // More than fits: nobody takes any meanwhile, since this does not wait.
    for _ in 0..3000 {
        record(&tracer, "lost");
    }
    tracer.flush().await;
    assert_eq!(tracer.counts().dropped.load(Relaxed), 3000);
    assert_eq!(tracer.counts().exported.load(Relaxed), 0);
}

#[tokio::test]
async fn a_parent_has_the_say() {
    let options = |rate| TracingOptions { sampling_rate: Some(rate), ..Default::default() };
    let never = Tracer::start(options(1e-12), "cart", false).unwrap();
    let parent = TraceContext { trace_id: 7, span_id: 8, is_sampled: true };
    let own = never.span(Some(parent));
    assert_eq!((own.trace_id, own.is_sampled), (7, true));
    assert_ne!(own.span_id, 8);
    assert!(!never.span(None).is_sampled);
    let always = Tracer::start(options(1.), "cart", false).unwrap();
    assert!(always.span(None).is_sampled);
    assert!(!always.span(Some(TraceContext { is_sampled: false, ..parent })).is_sampled);
    assert!(Tracer::start(options(0.), "cart", false).is_none());
    assert!(Tracer::start(TracingOptions::default(), "cart", false).is_none(), "nobody wants any");
    let half = Tracer::start(options(0.5), "cart", false).unwrap();
    let sampled = (0..1000).filter(|_| half.span(None).is_sampled).count();
    assert!((350..650).contains(&sampled), "{sampled}");
}
