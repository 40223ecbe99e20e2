//! Processes and a plain HTTP client.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// Far longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A `steadfast` process; killed when dropped.
pub(crate) struct Steadfast {
    pub(crate) child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

/// `steadfast` with these arguments, in a folder and with a home of its own.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    command
        .args(arguments)
        .current_dir(folder)
        .env("HOME", folder)
        .env_remove("NAMESPACE")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs `steadfast` to its end; returns its exit code and all it printed.
pub(crate) fn finished(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let mut process = Steadfast::start(command(folder, arguments));
    let status = process.wait();
    (status.code().unwrap(), process.output())
}

impl Steadfast {
    pub(crate) fn start(mut command: Command) -> Steadfast {
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(output).lines() {
                    let Ok(line) = line else { return };
                    let _ = sender.send(line);
                }
            });
        }
        Steadfast { child, lines, seen: Vec::new() }
    }

    /// The bare sidecar on any free port; returns the port once it is ready.
    pub(crate) fn serve(folder: &Path, arguments: &[&str]) -> (Steadfast, u16) {
        let mut all = vec!["serve", "--app-id", "app", "--dapr-http-port", "0"];
        all.extend(arguments);
        let mut process = Steadfast::start(command(folder, &all));
        let port = process.port();
        process.line_with("dapr initialized");
        (process, port)
    }

    /// The next line that contains `text`.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(e) => panic!("no line with {text:?} ({e}) in\n{}", self.seen.join("\n")),
            }
        }
    }

    /// Waits for a line that contains `text`, unless one has come before: for what has no order among the others.
    pub(crate) fn has_said_or_says(&mut self, text: &str) {
        if !self.has_said(text) {
            self.line_with(text);
        }
    }

    /// Whether a line with `text` has come before the one that was waited for last.
    pub(crate) fn has_said(&self, text: &str) -> bool {
        self.seen.iter().any(|it| it.contains(text))
    }

    /// The port of the HTTP API, as the log says it.
    pub(crate) fn port(&mut self) -> u16 {
        self.port_after("HTTP server is running on port ")
    }

    /// The port that a line to come has after `text`.
    pub(crate) fn port_after(&mut self, text: &str) -> u16 {
        let line = self.line_with(text);
        leading_number(line.split(text).nth(1).unwrap())
    }

    /// The port of its gRPC API, which it has told by the time it has told that of HTTP.
    pub(crate) fn grpc_port(&self) -> u16 {
        self.told_port("gRPC server is running on port ")
    }

    /// The port that a line that was seen has after `text`.
    pub(crate) fn told_port(&self, text: &str) -> u16 {
        leading_number(self.seen.iter().find_map(|it| it.split(text).nth(1)).unwrap())
    }

    /// Sends a signal to this process alone.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the process ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Everything it has printed. Waits until it has closed its output.
    pub(crate) fn output(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => return self.seen.join("\n"),
                Err(RecvTimeoutError::Timeout) => panic!("the output stays open"),
            }
        }
    }
}

fn leading_number(text: &str) -> u16 {
    text.split(|it: char| !it.is_ascii_digit()).next().unwrap().parse().unwrap()
}

impl Drop for Steadfast {
    fn drop(&mut self) {
        if thread::panicking() {
            self.seen.extend(self.lines.try_iter());
            eprintln!("the process said:\n{}", self.seen.join("\n"));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for something that no event tells of.
#[expect(clippy::disallowed_methods, reason = "looks again, and fails at a deadline")]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it never came to pass that {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process exists.
pub(crate) fn lives(pid: &str) -> bool {
    // A zombie has ended, though nobody has asked how.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|it| !it.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

/// A keep-alive connection to a sidecar.
pub(crate) struct Client(BufReader<TcpStream>);

/// An answer: its status, head and body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Client {
    pub(crate) fn new(port: u16) -> Client {
        Client::connect(port).unwrap()
    }

    pub(crate) fn connect(port: u16) -> std::io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Client(BufReader::new(stream)))
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, body: &str) -> Answer {
        self.try_send(method, path, body).unwrap()
    }

    /// Fails if the connection is lost, in which case nobody knows what was done.
    pub(crate) fn try_send(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> std::io::Result<Answer> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.get_mut().write_all(request.as_bytes())?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        let head = head.to_lowercase();
        let len = head.lines().find_map(|it| it.strip_prefix("content-length: "));
        let mut body = vec![0; len.map_or(0, |it| it.parse().unwrap())];
        self.0.read_exact(&mut body)?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok(Answer { status, head, body: String::from_utf8(body).unwrap() })
    }

    pub(crate) fn save(&mut self, key: &str, value: &str) -> Answer {
        let body = format!(r#"[{{"key":"{key}","value":{value}}}]"#);
        self.send("POST", "/v1.0/state/statestore", &body)
    }

    pub(crate) fn get(&mut self, key: &str) -> Answer {
        self.send("GET", &format!("/v1.0/state/statestore/{key}"), "")
    }
}

/// Runs `verify`, for which all that can be tested here has to hold.
pub(crate) fn verifies(folder: &Path, more: &[&str], required: &str) {
    let arguments = ["verify", "--duration", "6s", "--json", "report.json", "--require", required];
    let (code, output) = finished(folder, &[&arguments, more].concat());
    assert_eq!(code, 0, "{output}");
    let report = fs::read_to_string(folder.join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert!(report["operations"].as_u64().unwrap() > 1000, "{output}");
    assert!(report["faults"].as_u64().unwrap() > 0, "{output}");
}
