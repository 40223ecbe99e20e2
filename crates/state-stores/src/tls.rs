//! TLS to servers: rustls, with the system's certificate authorities or one's own.

use std::sync::Arc;

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};

/// What a store's users call the texts that TLS needs, for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldNames {
    pub(crate) authorities: &'static str,
    pub(crate) certificate: &'static str,
    pub(crate) key: &'static str,
}

/// Which servers are trusted.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(any(feature = "postgresql", feature = "redis")),
    allow(dead_code, reason = "not every store trusts whoever comes")
)]
pub(crate) enum Trust<'a> {
    /// All. Whoever is in between can read and change everything.
    Anyone,
    /// Those that show a certificate of these authorities (PEM), or of the system's, whatever name it has.
    AnyName(Option<&'a str>),
    /// Those that show a certificate of these authorities (PEM), or of the system's, for their own name.
    Named(Option<&'a str>),
}

/// Reads PEM texts, those of the authorities and of `client`, a certificate with its key to show to the server.
///
/// # Errors
///
/// A text that is not what it should be, in words for the user, without any of the text.
pub(crate) fn configure(
    trust: Trust<'_>,
    client: Option<(&str, &str)>,
    names: &FieldNames,
) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS cannot be used: {e}"))?;
    let builder = match trust {
        Trust::Anyone => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
        }
        Trust::AnyName(authorities) => {
            let roots = Arc::new(roots(authorities, names)?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            let verifier = verifier.map_err(|e| format!("TLS cannot be used: {e}"))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName(verifier)))
        }
        Trust::Named(authorities) => builder.with_root_certificates(roots(authorities, names)?),
    };
    let Some((certificate, key)) = client else { return Ok(builder.with_no_client_auth()) };
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| format!("{} is not a private key in PEM", names.key))?;
    builder.with_client_auth_cert(certificates(names.certificate, certificate)?, key).map_err(|e| {
        format!("{} and {} cannot be used together: {e}", names.certificate, names.key)
    })
}

fn roots(authorities: Option<&str>, names: &FieldNames) -> Result<RootCertStore, String> {
    let field = names.authorities;
    let mut roots = RootCertStore::empty();
    if let Some(pem) = authorities {
        for it in certificates(field, pem)? {
            roots.add(it).map_err(|e| format!("{field} cannot be used: {e}"))?;
        }
        return Ok(roots);
    }
    let found = rustls_native_certs::load_native_certs();
    // One that cannot be read is of no use, and the others still are.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(format!(
            "this machine has no certificate authorities: install the package ca-certificates, or set {field}"
        ));
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

/// Trusts every server.
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

/// Trusts every server with a good certificate, even one for another name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.0.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // The name is looked at last, when everything else is known to be good.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: FieldNames =
        FieldNames { authorities: "caCert", certificate: "clientCert", key: "clientKey" };

    #[test]
    fn what_is_not_pem_is_refused_without_showing_it() {
        let refused = |trust, client| configure(trust, client, &NAMES).unwrap_err();
        for trust in [Trust::Named(Some("secret")), Trust::AnyName(Some("secret"))] {
            assert_eq!(refused(trust, None), "caCert is not a certificate in PEM");
        }
        let of_client = refused(Trust::Anyone, Some(("secret", "secret")));
        assert!(!of_client.contains("secret") && of_client.contains("clientKey"), "{of_client}");
    }
}
