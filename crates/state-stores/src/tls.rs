//! TLS to Redis: rustls, with the system's certificate authorities or one's own.

use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_rustls::TlsConnector;

/// What makes a stream secure. The same for every connection.
#[derive(Clone)]
pub(super) struct Tls(pub(super) TlsConnector);

/// Reads PEM texts: the authorities to trust instead of the system's, and a certificate with its key to
/// show to the server.
///
/// # Errors
///
/// A text that is not what it should be, in words for the user, without any of the text.
pub(super) fn configure(
    authorities: Option<&str>,
    client: Option<(&str, &str)>,
    skip_verify: bool,
) -> Result<Tls, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS cannot be used: {e}"))?;
    let builder = match skip_verify {
        true => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider))),
        false => builder.with_root_certificates(match authorities {
            Some(pem) => named(pem)?,
            None => system()?,
        }),
    };
    let config = match client {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                .map_err(|_| "clientKey is not a private key in PEM".to_owned())?;
            builder
                .with_client_auth_cert(certificates("clientCert", cert)?, key)
                .map_err(|e| format!("clientCert and clientKey cannot be used together: {e}"))?
        }
    };
    Ok(Tls(TlsConnector::from(Arc::new(config))))
}

fn named(pem: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for it in certificates("caCert", pem)? {
        roots.add(it).map_err(|e| format!("caCert cannot be used: {e}"))?;
    }
    Ok(roots)
}

fn system() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    // One that cannot be read is of no use, and the others still are.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err("this machine has no certificate authorities: install the package \
                    ca-certificates, or set caCert"
            .to_owned());
    }
    Ok(roots)
}

fn certificates(field: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match certificates {
        Ok(it) if !it.is_empty() => Ok(it),
        _ => Err(format!("{field} is not a certificate in PEM")),
    }
}

/// Trusts every server, as `insecureSkipTLSVerify` asks.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl std::fmt::Debug for Tls {
    /// Hides the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_pem_is_refused_without_showing_it() {
        let refused = |authorities, client| configure(authorities, client, false).unwrap_err();
        assert_eq!(refused(Some("secret"), None), "caCert is not a certificate in PEM");
        let of_client = refused(None, Some(("secret", "secret")));
        assert!(!of_client.contains("secret") && of_client.contains("clientKey"), "{of_client}");
    }
}
