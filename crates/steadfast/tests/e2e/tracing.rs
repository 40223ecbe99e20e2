//! Traces, from the header of a request to a collector.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::mpsc::{Receiver, channel},
    thread,
};

use tempfile::TempDir;

use crate::support::{Client, Steadfast, command};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";

/// A collector over HTTP/1.1: its address, and the paths and bodies that it gets.
fn collector() -> (String, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, got) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).unwrap() > 0 {}
            let head = head.to_lowercase();
            let len = head.lines().find_map(|it| it.strip_prefix("content-length: "));
            let mut body = vec![0; len.unwrap().parse().unwrap()];
            stream.read_exact(&mut body).unwrap();
            stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            let path = head.split(' ').nth(1).unwrap().to_owned();
            if sender.send((path, body)).is_err() {
                return;
            }
        }
    });
    (address, got)
}

fn traceparent(client: &mut Client, key: &str, flags: &str) -> Option<String> {
    let path =
        format!("/v1.0/state/statestore/{key} HTTP/1.1\r\ntraceparent: {PARENT}-{flags}\r\nx:");
    let answer = client.send("GET", &path, "");
    answer.head.lines().find_map(|it| it.strip_prefix("traceparent: ")).map(str::to_owned)
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|it| it == text.as_bytes())
}

#[test]
fn a_sampled_request_reaches_the_collector_without_its_key() {
    let folder = TempDir::new().unwrap();
    let (address, got) = collector();
    let serve = ["serve", "--app-id", "app", "-H", "0", "-G", "0", "-M", "0"];
    let mut start = command(folder.path(), &[&serve[..], &["--state-store", "memory"]].concat());
    start.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"));
    start.env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    let mut sidecar = Steadfast::start(start);
    sidecar.line_with("Dapr trace sampler initialized: ParentBased{root:AlwaysOnSampler}");
    let port = sidecar.port();
    sidecar.line_with("dapr initialized");
    let mut client = Client::new(port);
    let unsampled = traceparent(&mut client, "unsampled-key", "00").unwrap();
    assert!(unsampled.starts_with(&PARENT[..36]) && unsampled.ends_with("-00"), "{unsampled}");
    let sampled = traceparent(&mut client, "secret-key", "01").unwrap();
    assert!(sampled.starts_with(&PARENT[..36]) && sampled.ends_with("-01"), "{sampled}");
    assert_ne!(&sampled[36..52], &PARENT[36..52], "the span is a new one");
    // The last spans are sent before the end.
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait().code(), Some(0));
    let (path, body) = got.recv().unwrap();
    assert_eq!(path, "/v1/traces");
    for text in ["GET /v1.0/state/statestore/{key}", "db.name", "service.name", "statestore"] {
        assert!(contains(&body, text), "{text}");
    }
    assert!(!contains(&body, "secret-key"));
    assert!(got.try_recv().is_err(), "the other request was not recorded");
}

#[test]
fn without_tracing_a_context_is_sent_back() {
    let folder = TempDir::new().unwrap();
    let arguments = ["--state-store", "memory", "-G", "0", "-M", "0"];
    let (_sidecar, port) = Steadfast::serve(folder.path(), &arguments);
    let mut client = Client::new(port);
    assert_eq!(traceparent(&mut client, "k", "01"), Some(format!("{PARENT}-01")));
    assert!(!client.get("k").head.contains("traceparent"));
}
