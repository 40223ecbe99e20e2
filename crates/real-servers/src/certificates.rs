use std::{fs, path::Path};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// The certificate of the authority, as it is called in a server's folder.
pub(crate) const AUTHORITY: &str = "authority.pem";
/// The certificate of the server.
pub(crate) const SERVER: &str = "server.pem";
/// The key of the server.
pub(crate) const SERVER_KEY: &str = "server-key.pem";

/// An authority that nobody else knows, and what it has signed. All as PEM.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The certificate that clients trust.
    pub authority: String,
    /// The certificate of servers, for `localhost` and `127.0.0.1`.
    pub server: String,
    /// Its private key.
    pub server_key: String,
    /// The certificate of a client.
    pub client: String,
    /// Its private key.
    pub client_key: String,
}

impl Certificates {
    /// Makes new ones.
    pub fn generate() -> Result<Certificates> {
        let authority = authority().context("cannot make an authority")?;
        let (server, server_key) =
            signed(&authority, &["localhost", "127.0.0.1"]).context("cannot sign for a server")?;
        let (client, client_key) =
            signed(&authority, &["client"]).context("cannot sign for a client")?;
        Ok(Certificates { authority: authority.pem(), server, server_key, client, client_key })
    }

    /// Writes what a server needs into its folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let files =
            [(AUTHORITY, &self.authority), (SERVER, &self.server), (SERVER_KEY, &self.server_key)];
        for (name, text) in files {
            fs::write(folder.join(name), text).context("cannot write a certificate")?;
        }
        Ok(())
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    // It must differ from what is signed, or OpenSSL takes that for signed by itself.
    authority.distinguished_name.push(DnType::CommonName, "authority of the tests");
    Ok(CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?)
}

/// A certificate for both ends of a connection, because servers are clients of each other, and its key.
fn signed(
    authority: &CertifiedIssuer<'static, KeyPair>,
    names: &[&str],
) -> Result<(String, String)> {
    let names: Vec<_> = names.iter().map(|it| (*it).to_owned()).collect();
    let mut certificate = CertificateParams::new(names)?;
    certificate.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    Ok((certificate.signed_by(&key, authority)?.pem(), key.serialize_pem()))
}
