use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::*;

/// Files in a folder of their own.
struct Pair {
    _folder: TempDir,
    files: Files,
}

/// A certificate and its key, as PEM.
fn issue(change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let mut certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    change(&mut certificate);
    let key = KeyPair::generate().unwrap();
    (certificate.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn authority(change: impl FnOnce(&mut CertificateParams)) -> String {
    let mut certificate = CertificateParams::default();
    certificate.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    change(&mut certificate);
    CertifiedIssuer::self_signed(certificate, KeyPair::generate().unwrap()).unwrap().pem()
}

fn expired(it: &mut CertificateParams) {
    it.not_after = date_time_ymd(2020, 1, 1);
}

impl Pair {
    fn new((certificate, key): &(String, String), client_authorities: Option<&str>) -> Pair {
        let folder = TempDir::new().unwrap();
        let path = |name| folder.path().join(name);
        let files = Files {
            certificate: path("cert.pem"),
            key: path("key.pem"),
            client_authorities: client_authorities.map(|_| path("ca.pem")),
        };
        fs::write(&files.certificate, certificate).unwrap();
        fs::write(&files.key, key).unwrap();
        if let Some(it) = client_authorities {
            fs::write(path("ca.pem"), it).unwrap();
        }
        Pair { _folder: folder, files }
    }

    fn current(&self) -> Current {
        Current::new(self.files.clone()).unwrap().0
    }

    fn refusal(&self) -> String {
        format!("{:#}", Current::new(self.files.clone()).err().expect("it is refused"))
    }
}

#[test]
fn files_that_cannot_be_used_are_refused_with_a_remedy() {
    let good = issue(|_| {});
    let check = |pair: &(String, String), authorities: Option<&str>, expected: &str| {
        let refusal = Pair::new(pair, authorities).refusal();
        assert!(refusal.contains(expected), "{refusal}");
        assert!(!refusal.contains("secret"), "{refusal}");
    };
    let text = "secret".to_owned();
    check(&(text.clone(), good.1.clone()), None, "cert.pem has no certificate in PEM");
    check(&(good.0.clone(), text), None, "key.pem has no private key in PEM");
    check(&(good.0.clone(), issue(|_| {}).1), None, "does not go with --tls-cert");
    check(&issue(expired), None, "has expired: put a valid one there");
    let early = issue(|it| it.not_before = date_time_ymd(2999, 1, 1));
    check(&early, None, "is not valid yet");
    check(&good, Some("secret"), "ca.pem has no certificate in PEM");
    check(&good, Some(&authority(expired)), "no certificate in --tls-client-ca");
    let gone = Pair::new(&good, None);
    fs::remove_file(&gone.files.key).unwrap();
    assert!(gone.refusal().contains("cannot read --tls-key"), "{}", gone.refusal());
}

#[test]
fn certificates_of_any_kind_that_is_valid_are_taken() {
    let mut itself = issue(|it| it.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
    Pair::new(&itself, None).current();
    itself.0 += &authority(|_| {});
    Pair::new(&itself, None).current();
    let both = [authority(expired), authority(|_| {})].concat();
    Pair::new(&itself, Some(&both)).current();
}

#[test]
fn files_that_change_take_effect_and_bad_ones_do_not() {
    let pair = Pair::new(&issue(|_| {}), None);
    let mut current = pair.current();
    assert!(matches!(current.look(), Seen::Nothing));
    let (certificate, key) = issue(|_| {});
    fs::write(&pair.files.certificate, certificate).unwrap();
    assert!(matches!(current.look(), Seen::Nothing), "it may be half done");
    let Seen::Problem(said) = current.look() else { panic!("it was never said") };
    assert!(said.contains("does not go with"), "{said}");
    assert!(matches!(current.look(), Seen::Nothing), "it is said once");
    fs::write(&pair.files.key, key).unwrap();
    assert!(matches!(current.look(), Seen::Other(_)));
    assert!(matches!(current.look(), Seen::Nothing));
    fs::write(&pair.files.certificate, issue(expired).0).unwrap();
    assert!(matches!(current.look(), Seen::Nothing));
    assert!(matches!(current.look(), Seen::Problem(it) if it.contains("has expired")));
}
