//! A server and a client that speak in lines.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use super::*;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long to watch that something does not happen.
pub(crate) const MOMENT: Duration = Duration::from_millis(100);

/// Answers each line with `ok` and the line. Ends when it is dropped, with its connections.
pub(crate) struct LineServer {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    acceptor: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    bytes: usize,
    open: usize,
}

impl LineServer {
    pub(crate) async fn start() -> LineServer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::<Mutex<Seen>>::default());
        let shared = seen.clone();
        let acceptor = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let seen = shared.clone();
                seen.lock().unwrap().open += 1;
                connections.spawn(async move {
                    // A connection may be reset at any point.
                    let _ = answer(stream, &seen).await;
                    seen.lock().unwrap().open -= 1;
                });
            }
        });
        LineServer { address, seen, acceptor }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The whole lines that have come.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen.lock().unwrap().lines.clone()
    }

    /// How many bytes have come, also of lines that have no end.
    pub(crate) fn bytes(&self) -> usize {
        self.seen.lock().unwrap().bytes
    }

    pub(crate) fn open(&self) -> usize {
        self.seen.lock().unwrap().open
    }
}

impl Drop for LineServer {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn answer(mut stream: TcpStream, seen: &Mutex<Seen>) -> io::Result<()> {
    let mut line = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        seen.lock().unwrap().bytes += read;
        for byte in &buffer[..read] {
            if *byte != b'\n' {
                line.push(*byte);
                continue;
            }
            let text = String::from_utf8(std::mem::take(&mut line)).unwrap();
            seen.lock().unwrap().lines.push(text.clone());
            stream.write_all(format!("ok {text}\n").as_bytes()).await?;
        }
    }
}

pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) async fn connect(proxy: &Proxy) -> Client {
        let stream = TcpStream::connect(proxy.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client(BufReader::new(stream))
    }

    pub(crate) async fn send(&mut self, line: &str) {
        self.write(&format!("{line}\n")).await.unwrap();
    }

    /// Sends to a connection that may be gone.
    pub(crate) async fn try_send(&mut self, line: &str) {
        let _ = self.write(&format!("{line}\n")).await;
    }

    pub(crate) async fn write(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes()).await
    }

    pub(crate) async fn finish(&mut self) {
        self.0.shutdown().await.unwrap();
    }

    /// The next line, or `None` at the end.
    pub(crate) async fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        timeout(PATIENCE, self.0.read_line(&mut line)).await.expect("nothing comes")?;
        Ok(line.strip_suffix('\n').map(str::to_owned))
    }

    /// What came before the end, also if it is not a line.
    pub(crate) async fn rest(&mut self) -> io::Result<String> {
        let mut text = String::new();
        timeout(PATIENCE, self.0.read_to_string(&mut text)).await.expect("it does not end")?;
        Ok(text)
    }

    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> usize {
        timeout(PATIENCE, self.0.read(buffer)).await.expect("nothing comes").unwrap()
    }

    pub(crate) async fn ask(&mut self, line: &str) -> String {
        let (reader, mut writer) = tokio::io::split(&mut self.0);
        let request = format!("{line}\n");
        let mut reply = String::new();
        let mut reader = BufReader::new(reader);
        let exchange = async {
            tokio::try_join!(writer.write_all(request.as_bytes()), reader.read_line(&mut reply))
        };
        timeout(PATIENCE, exchange).await.expect("no reply").unwrap();
        reply.strip_suffix('\n').expect("the connection was closed").to_owned()
    }

    /// Whether nothing comes, not even an end, for a moment.
    pub(crate) async fn is_kept_waiting(&mut self) -> bool {
        timeout(MOMENT, self.0.fill_buf()).await.is_err()
    }

    /// Whether the connection ends, in one way or the other, and nothing comes before.
    pub(crate) async fn is_gone(&mut self) -> bool {
        matches!(self.line().await, Ok(None) | Err(_))
    }
}

/// Waits for something that no event tells of.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "it never came to pass that {what}");
        sleep(Duration::from_millis(1)).await;
    }
}
