//! What a sidecar says of itself.

use std::{
    env,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    time::Duration,
};

use serde_json::Value;

use super::{Facts, Instance};
use crate::access::API_TOKEN;

/// How long a sidecar may take to answer. One that hangs must not hide the others.
const PATIENCE: Duration = Duration::from_secs(2);

/// More than any metadata has.
const ANSWER_BYTES_MAX: u64 = 8 << 20;

/// What a sidecar has said.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) app_id: String,
    pub(super) app_port: Option<u16>,
    pub(super) facts: Facts,
}

/// Asks a sidecar; `None` if it does not answer, or wants a token that we do not have.
pub(super) fn ask(instance: &Instance) -> Option<Told> {
    let answer = match (&instance.http_socket, instance.http_port) {
        (Some(path), _) => UnixStream::connect(path).and_then(|it| {
            it.set_read_timeout(Some(PATIENCE))?;
            exchange(it)
        }),
        (None, Some(port)) => {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            TcpStream::connect_timeout(&address, PATIENCE).and_then(|it| {
                it.set_read_timeout(Some(PATIENCE))?;
                exchange(it)
            })
        }
        (None, None) => return None,
    };
    read(&answer.ok()?)
}

fn exchange(mut stream: impl Read + Write) -> io::Result<Vec<u8>> {
    let token = env::var(API_TOKEN).ok().filter(|it| !it.is_empty() && !it.contains(['\r', '\n']));
    let token = token.map(|it| format!("dapr-api-token: {it}\r\n")).unwrap_or_default();
    // In HTTP/1.0 the answer is never sent in chunks, and ends with the connection.
    let request = format!("GET /v1.0/metadata HTTP/1.0\r\nHost: localhost\r\n{token}\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

fn read(answer: &[u8]) -> Option<Told> {
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    if head.split(' ').nth(1) != Some("200") {
        return None;
    }
    let body: Value = serde_json::from_slice(&answer[end + 4..]).ok()?;
    let extended = |name: &str| body["extended"][name].as_str().filter(|it| !it.is_empty());
    let pid = |name| extended(name).and_then(|it| it.parse().ok()).filter(|it| *it > 0);
    Some(Told {
        app_id: body["id"].as_str().unwrap_or_default().to_owned(),
        app_port: body["appConnectionProperties"]["port"]
            .as_u64()
            .and_then(|it| u16::try_from(it).ok()),
        facts: Facts {
            command: extended("appCommand").unwrap_or_default().to_owned(),
            cli_pid: pid("cliPID"),
            app_pid: pid("appPID"),
            run_template_path: extended("runTemplatePath").map(Into::into),
            run_template_name: extended("runTemplateName").map(Into::into),
            app_log_path: extended("appLogPath").map(Into::into),
            daprd_log_path: extended("daprdLogPath").map(Into::into),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_of_daprs_cli_is_understood() {
        let answer = "HTTP/1.0 200 OK\r\nx: y\r\n\r\n{\"id\":\"cart\",\"appConnectionProperties\":{\"port\":80},\
            \"extended\":{\"cliPID\":\"7\",\"appPID\":\"0\",\"appCommand\":\"python3 app.py\",\"runTemplatePath\":\"\"}}";
        let told = read(answer.as_bytes()).unwrap();
        assert_eq!((&*told.app_id, told.app_port), ("cart", Some(80)));
        assert_eq!((told.facts.cli_pid, told.facts.app_pid), (Some(7), None));
        assert_eq!((&*told.facts.command, told.facts.run_template_path), ("python3 app.py", None));
        for other in ["", "HTTP/1.0 401 Unauthorized\r\n\r\n{}", "HTTP/1.0 200 OK\r\n\r\nno JSON"] {
            assert!(read(other.as_bytes()).is_none(), "{other}");
        }
    }
}
