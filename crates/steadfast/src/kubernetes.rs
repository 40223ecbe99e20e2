//! The cluster that the sidecar runs in, asked for secrets as the service account of its pod.

use std::{env, fs, path::PathBuf, sync::Arc, thread, time::Duration};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::Value;
use state_config::{Secret, SecretRefusal, SecretSource};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where Kubernetes puts the files of the service account. Source: Kubernetes, Accessing the API
/// from a Pod.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Another folder with such files, for tokens that are mounted elsewhere.
const SERVICE_ACCOUNT_DIR: &str = "STEADFAST_SERVICE_ACCOUNT_DIR";

/// From the first packet to the last byte of the answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// A Secret has 1 MiB at most, a third more in base64, and some metadata.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// How much of what the server says is passed on.
const EXPLANATION_LEN_MAX: usize = 300;

/// The API server, as pods see it.
#[derive(Debug)]
pub(crate) struct ApiServer {
    host: String,
    port: u16,
    /// `ca.crt`, `token` and `namespace`. Read for each request: they are replaced.
    service_account: PathBuf,
    deadline: Duration,
}

impl ApiServer {
    /// The API server of the cluster that this process runs in. `None` outside of Kubernetes.
    ///
    /// # Errors
    ///
    /// If `KUBERNETES_SERVICE_PORT` is no port.
    pub(crate) fn of_pod() -> anyhow::Result<Option<ApiServer>> {
        let set = |name| env::var(name).ok().filter(|it| !it.is_empty());
        let Some(host) = set("KUBERNETES_SERVICE_HOST") else { return Ok(None) };
        let port = match set("KUBERNETES_SERVICE_PORT") {
            Some(port) => port
                .parse()
                .context("the environment variable KUBERNETES_SERVICE_PORT is not a port")?,
            None => 443,
        };
        let folder = env::var_os(SERVICE_ACCOUNT_DIR).filter(|it| !it.is_empty());
        let service_account = folder.unwrap_or_else(|| SERVICE_ACCOUNT.into()).into();
        Ok(Some(ApiServer { host, port, service_account, deadline: DEADLINE }))
    }

    async fn ask(&self, namespace: &str, name: &str) -> Result<Secret, SecretRefusal> {
        let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
        let (status, body) = self.get(&path).await?;
        if status == StatusCode::OK {
            return values(&body).map_err(|reason| SecretRefusal {
                message: format!("{} for the Secret `{name}`: {reason}", self.answered(status)),
                hint: String::new(),
                is_unreachable: false,
            });
        }
        Err(self.refusal(status, &body, namespace, name))
    }

    /// Sends one request on a connection of its own.
    async fn get(&self, path: &str) -> Result<(StatusCode, Bytes), SecretRefusal> {
        let token = self.file("token")?;
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.trim()))
            .map_err(|_| self.unusable("token", "is not a token"))?;
        authorization.set_sensitive(true);
        let tls = self.tls()?;
        let server = ServerName::try_from(self.host.clone())
            .map_err(|_| self.unreachable("`KUBERNETES_SERVICE_HOST` is not a host".to_owned()))?;

        let failed = |e: &dyn std::error::Error| self.unreachable(with_causes(e));
        let stream = TcpStream::connect((&*self.host, self.port)).await.map_err(|e| failed(&e))?;
        let stream = TlsConnector::from(Arc::new(tls)).connect(server, stream).await;
        let stream = TokioIo::new(stream.map_err(|e| failed(&e))?);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(stream).await.map_err(|e| failed(&e))?;
        // Ends with the runtime, and its errors are those of the request.
        tokio::spawn(connection);
        let request = Request::get(path)
            .header(HOST, self.address())
            .header(AUTHORIZATION, authorization)
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("steadfast/", env!("CARGO_PKG_VERSION")))
            .body(Empty::<Bytes>::new())
            .map_err(|e| failed(&e))?;
        let answer = sender.send_request(request).await.map_err(|e| failed(&e))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok((status, body.map_err(|e| failed(&*e))?.to_bytes()))
    }

    fn tls(&self) -> Result<ClientConfig, SecretRefusal> {
        const FILE: &str = "ca.crt";
        let pem = self.file(FILE)?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let added = certificate.is_ok_and(|it| roots.add(it).is_ok());
            if !added {
                return Err(self.unusable(FILE, "is not a certificate in PEM"));
            }
        }
        if roots.is_empty() {
            return Err(self.unusable(FILE, "has no certificate"));
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| self.unreachable(e.to_string()))?;
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }

    fn file(&self, name: &str) -> Result<String, SecretRefusal> {
        let path = self.service_account.join(name);
        fs::read_to_string(path).map_err(|e| self.unusable(name, &format!("cannot be read: {e}")))
    }

    /// What an answer without a Secret means.
    fn refusal(
        &self,
        status: StatusCode,
        body: &[u8],
        namespace: &str,
        name: &str,
    ) -> SecretRefusal {
        let (message, hint, is_unreachable) = match status {
            StatusCode::NOT_FOUND => (
                format!("there is no Secret `{name}` in the namespace `{namespace}`"),
                format!(
                    "create it: `kubectl create secret generic {name} -n {namespace} \
                     --from-file=<key>=<file>`"
                ),
                false,
            ),
            StatusCode::FORBIDDEN => (
                format!(
                    "this pod may not read the Secret `{name}` in the namespace `{namespace}`{}",
                    explanation(body)
                ),
                format!(
                    "its service account needs a Role, and a RoleBinding to it: `kubectl create \
                     role read-{name} -n {namespace} --verb=get --resource=secrets \
                     --resource-name={name}`, then `kubectl create rolebinding read-{name} -n \
                     {namespace} --role=read-{name} --serviceaccount=<namespace>:<name>`"
                ),
                false,
            ),
            StatusCode::UNAUTHORIZED => (
                format!("{}: it does not know the service account's token", self.answered(status)),
                "see whether the token in the pod is current, and of this cluster".to_owned(),
                true,
            ),
            _ => (
                format!("{}{}", self.answered(status), explanation(body)),
                "start again when the cluster is well".to_owned(),
                true,
            ),
        };
        SecretRefusal { message, hint, is_unreachable }
    }

    fn unusable(&self, file: &str, reason: &str) -> SecretRefusal {
        let path = self.service_account.join(file);
        SecretRefusal {
            message: format!("the service account's file `{}` {reason}", path.display()),
            hint: "mount a service account's token into the container: \
                   `automountServiceAccountToken: true`"
                .to_owned(),
            is_unreachable: true,
        }
    }

    fn unreachable(&self, reason: String) -> SecretRefusal {
        let address = self.address();
        SecretRefusal {
            message: format!("the API server of Kubernetes at {address} cannot be asked: {reason}"),
            hint: "see whether a network policy keeps the pod from it".to_owned(),
            is_unreachable: true,
        }
    }

    fn answered(&self, status: StatusCode) -> String {
        format!("the API server of Kubernetes at {} answered {status}", self.address())
    }

    fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl SecretSource for ApiServer {
    /// On a thread and a runtime of its own, so that any thread may call it, also one of a runtime.
    fn read(&self, namespace: &str, name: &str) -> Result<Secret, SecretRefusal> {
        let read = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|e| self.unreachable(e.to_string()))?;
            runtime.block_on(async {
                let asking = self.ask(namespace, name);
                let late = || format!("no answer within {:?}", self.deadline);
                let answer = tokio::time::timeout(self.deadline, asking).await;
                answer.unwrap_or_else(|_| Err(self.unreachable(late())))
            })
        };
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("kubernetes".to_owned());
            let reading = thread.spawn_scoped(scope, read);
            let reading = reading.map_err(|e| self.unreachable(e.to_string()))?;
            let failed = |_| Err(self.unreachable("the thread that asks has failed".to_owned()));
            reading.join().unwrap_or_else(failed)
        })
    }

    fn namespace(&self) -> Option<String> {
        let namespace = fs::read_to_string(self.service_account.join("namespace")).ok()?;
        Some(namespace.trim().to_owned()).filter(|it| !it.is_empty())
    }
}

/// The values of a Secret, which Kubernetes writes in base64. Errors say no value.
fn values(body: &[u8]) -> Result<Secret, String> {
    let secret: Value = serde_json::from_slice(body).map_err(|_| "this is not JSON".to_owned())?;
    let mut values = Secret::new();
    for (key, value) in secret["data"].as_object().into_iter().flatten() {
        let value = value.as_str().and_then(|it| STANDARD.decode(it).ok());
        let value = value.ok_or_else(|| format!("the value of `{key}` is not base64"))?;
        values.insert(key.clone(), value);
    }
    Ok(values)
}

/// The words of the API server itself, which names the user that a rule is missing for.
fn explanation(body: &[u8]) -> String {
    let status: Value = serde_json::from_slice(body).unwrap_or_default();
    match status["message"].as_str() {
        Some(message) => {
            format!(": {}", message.chars().take(EXPLANATION_LEN_MAX).collect::<String>())
        }
        None => String::new(),
    }
}

fn with_causes(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(it) = cause {
        let deeper = it.to_string();
        // Some errors show their cause themselves.
        if !text.contains(&deeper) {
            text = format!("{text}: {deeper}");
        }
        cause = it.source();
    }
    text
}

#[cfg(test)]
mod tests;
