//! TLS for applications on other machines: certificates from files, which are read again when they change.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use rustls::{
    CertificateError, RootCertStore, ServerConfig,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::WebPkiClientVerifier,
};
use sidecar_api::Tls;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::cli::SidecarArgs;

/// How often the files are looked at. They are small, and whoever replaces certificates does so long before they expire.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The protocols that are offered, the best one first. Source: RFC 7301, section 6; RFC 9113, section 3.1.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The files that TLS needs.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_authorities: Option<PathBuf>,
}

/// What was in them.
#[derive(Clone, PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_authorities: Option<Vec<u8>>,
}

/// TLS as the files had it last.
struct Current {
    files: Files,
    /// What is in use.
    contents: Contents,
    /// What is wrong now, and whether it was said.
    problem: Option<(String, bool)>,
}

/// What a look at the files has brought.
enum Seen {
    /// Nothing that was not there before.
    Nothing,
    /// Another certificate, which is in use from now on.
    Other(Arc<ServerConfig>),
    /// What is wrong, said once.
    Problem(String),
}

impl Files {
    /// The files of the command line, if there is to be TLS.
    pub(crate) fn of(args: &SidecarArgs) -> Option<Files> {
        Some(Files {
            certificate: args.tls_cert.clone()?,
            key: args.tls_key.clone()?,
            client_authorities: args.tls_client_ca.clone(),
        })
    }

    /// Whether clients have to show a certificate.
    pub(crate) fn ask_clients(&self) -> bool {
        self.client_authorities.is_some()
    }

    /// TLS with these files, also after they change, as long as the runtime lives that this is called in.
    ///
    /// # Errors
    ///
    /// If they are not there, not what they should be, or do not belong together, in words for the user.
    pub(crate) fn open(self) -> anyhow::Result<Tls> {
        let (mut current, settings) = Current::new(self)?;
        let (replace, settings) = watch::channel(settings);
        tokio::spawn(async move {
            while !replace.is_closed() {
                tokio::time::sleep(LOOK_INTERVAL).await;
                let looking = tokio::task::spawn_blocking(move || {
                    let seen = current.look();
                    (current, seen)
                });
                let Ok((looked, seen)) = looking.await else {
                    error!(
                        "the files of TLS are looked at no more: start again after changing them"
                    );
                    return;
                };
                current = looked;
                match seen {
                    Seen::Nothing => {}
                    Seen::Other(settings) => {
                        replace.send_replace(settings);
                        info!("new connections have the TLS certificate that was put in place");
                    }
                    Seen::Problem(it) => warn!("the TLS certificate stays as it was: {it}"),
                }
            }
        });
        Ok(Tls::new(settings))
    }

    fn read(&self) -> anyhow::Result<Contents> {
        let read = |flag, path: &Path| {
            fs::read(path).with_context(|| format!("cannot read {flag} {}", path.display()))
        };
        let client_authorities = self.client_authorities.as_deref();
        Ok(Contents {
            certificate: read("--tls-cert", &self.certificate)?,
            key: read("--tls-key", &self.key)?,
            client_authorities: client_authorities
                .map(|it| read("--tls-client-ca", it))
                .transpose()?,
        })
    }

    fn configure(&self, contents: &Contents) -> anyhow::Result<Arc<ServerConfig>> {
        let provider = Arc::new(ring::default_provider());
        let certificate = self.certificate.display();
        let chain = certificates("--tls-cert", &self.certificate, &contents.certificate)?;
        if let Some(problem) = invalid(&chain[0], &provider) {
            bail!("the certificate in --tls-cert {certificate} {problem}: put a valid one there");
        }
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|_| {
            let key = self.key.display();
            anyhow!(
                "--tls-key {key} has no private key in PEM: give one that is not encrypted by a password"
            )
        })?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .context("TLS cannot be used")?;
        let builder = match (&self.client_authorities, &contents.client_authorities) {
            (Some(path), Some(pem)) => {
                let roots = Arc::new(authorities(path, pem, &provider)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let verifier = verifier.build().with_context(|| {
                    format!("--tls-client-ca {} cannot be used", path.display())
                })?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut settings = builder.with_single_cert(chain, key).with_context(|| {
            format!(
                "--tls-key {} does not go with --tls-cert {certificate}: give the two that were made \
                 together, and in the latter the sidecar's own certificate first",
                self.key.display()
            )
        })?;
        settings.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Arc::new(settings))
    }
}

impl Current {
    fn new(files: Files) -> anyhow::Result<(Current, Arc<ServerConfig>)> {
        let contents = files.read()?;
        let settings = files.configure(&contents)?;
        Ok((Current { files, contents, problem: None }, settings))
    }

    /// Looks whether the files have changed.
    fn look(&mut self) -> Seen {
        match self.try_look() {
            Ok(None) => {
                self.problem = None;
                Seen::Nothing
            }
            Ok(Some(settings)) => {
                self.problem = None;
                Seen::Other(settings)
            }
            Err(e) => self.suffer(format!("{e:#}")),
        }
    }

    fn try_look(&mut self) -> anyhow::Result<Option<Arc<ServerConfig>>> {
        let contents = self.files.read()?;
        // The same ones are configured anew only to learn whether they have expired meanwhile.
        let settings = self.files.configure(&contents)?;
        if contents == self.contents {
            return Ok(None);
        }
        self.contents = contents;
        Ok(Some(settings))
    }

    /// While files are being replaced, one by one, they do not go together. So a problem counts when it is there at the
    /// second look.
    fn suffer(&mut self, problem: String) -> Seen {
        match &mut self.problem {
            Some((known, true)) if *known == problem => Seen::Nothing,
            Some((known, said)) if *known == problem => {
                *said = true;
                Seen::Problem(problem)
            }
            _ => {
                self.problem = Some((problem, false));
                Seen::Nothing
            }
        }
    }
}

/// The authorities whose certificates clients may show, without those that have expired.
fn authorities(
    path: &Path,
    pem: &[u8],
    provider: &Arc<CryptoProvider>,
) -> anyhow::Result<RootCertStore> {
    let shown = path.display();
    let mut roots = RootCertStore::empty();
    for it in certificates("--tls-client-ca", path, pem)? {
        // What checks the certificates of clients does not look at this.
        if invalid(&it, provider).is_none() {
            roots.add(it).with_context(|| format!("--tls-client-ca {shown} cannot be used"))?;
        }
    }
    if roots.is_empty() {
        bail!(
            "no certificate in --tls-client-ca {shown} is valid at this time: put a valid one there"
        );
    }
    Ok(roots)
}

fn certificates(
    flag: &str,
    path: &Path,
    pem: &[u8],
) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(it) if !it.is_empty() => Ok(it),
        _ => bail!("{flag} {} has no certificate in PEM", path.display()),
    }
}

/// Whether a certificate's time is over or still to come. Nothing else is looked at: what its authority is, clients know.
fn invalid(
    certificate: &CertificateDer<'_>,
    provider: &Arc<CryptoProvider>,
) -> Option<&'static str> {
    let mut itself = RootCertStore::empty();
    if let Err(e) = itself.add(certificate.clone()) {
        return matches!(e, rustls::Error::InvalidCertificate(CertificateError::BadEncoding))
            .then_some("is damaged");
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(itself.into(), provider.clone());
    let name = ServerName::try_from("localhost").expect("it is a name");
    let verified =
        verifier.build().ok()?.verify_server_cert(certificate, &[], &name, &[], UnixTime::now());
    match verified {
        Err(rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => Some("has expired"),
        Err(rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        )) => Some("is not valid yet"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
