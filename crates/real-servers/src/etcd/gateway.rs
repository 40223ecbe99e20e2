//! What etcd answers in JSON over HTTP, for clients that are no more than a connection.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long a node may take. One that is paused never answers.
const ANSWER_MAX: Duration = Duration::from_secs(2);

pub(super) async fn get(address: SocketAddr, path: &str) -> Result<String> {
    send(address, &format!("GET {path} HTTP/1.0\r\n\r\n")).await
}

pub(super) async fn post(address: SocketAddr, path: &str, question: &str) -> Result<String> {
    let length = question.len();
    send(address, &format!("POST {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{question}"))
        .await
}

async fn send(address: SocketAddr, request: &str) -> Result<String> {
    let mut answer = Vec::new();
    let talk = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut answer).await
    };
    timeout(ANSWER_MAX, talk).await.context("no answer in time")?.context("no answer")?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer in HTTP")?;
    ensure!(head.contains(" 200 "), "etcd refuses {request:?}: {body}");
    Ok(body.to_owned())
}

/// A number that an answer has as a text.
pub(super) fn field<'a>(answer: &'a str, name: &str) -> Result<&'a str> {
    let (_, rest) = answer.split_once(&format!("\"{name}\":\"")).context("it does not tell")?;
    Ok(rest.split('"').next().unwrap_or(rest))
}

/// Has a leader hand over to another member, as a call of gRPC with one number in it.
pub(super) async fn move_leader(leader: SocketAddr, member: u64) -> Result<()> {
    let mut message = vec![0x08];
    let mut rest = member;
    while rest >= 0x80 {
        message.push((rest as u8 & 0x7f) | 0x80);
        rest >>= 7;
    }
    message.push(rest as u8);
    call(leader, "/etcdserverpb.Maintenance/MoveLeader", &message).await
}

/// Frames of HTTP/2, with headers that need no compression.
async fn call(address: SocketAddr, path: &str, message: &[u8]) -> Result<()> {
    const HEADERS: u8 = 1;
    const DATA: u8 = 0;
    const SETTINGS: u8 = 4;
    const END_HEADERS: u8 = 4;
    const END_STREAM: u8 = 1;
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let length = u32::try_from(payload.len()).expect("it is short").to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        frame
    };
    let mut headers = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "etcd"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        headers.push(0);
        for text in [name, value] {
            headers.push(u8::try_from(text.len()).expect("it is short"));
            headers.extend(text.as_bytes());
        }
    }
    let mut data = vec![0];
    data.extend(u32::try_from(message.len())?.to_be_bytes());
    data.extend(message);
    let talk = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
        stream.write_all(&frame(HEADERS, END_HEADERS, 1, &headers)).await?;
        stream.write_all(&frame(DATA, END_STREAM, 1, &data)).await?;
        // The answer ends the stream.
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            stream.read_exact(&mut payload).await?;
            if head[3] == HEADERS && head[4] & END_STREAM != 0 {
                return anyhow::Ok(());
            }
        }
    };
    timeout(ANSWER_MAX, talk).await.context("no answer in time")?
}
