use std::sync::Arc;

use proptest::prelude::*;
use rustls::{
    client::danger::ServerCertVerifier as _,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use testkit::certificates::{Authority, Issued, rcgen};

use super::{
    Authorities, Distrust, Trust, Unreadable,
    facts::{Facts, signature},
};

fn own() -> Issued {
    let change = |params: &mut rcgen::CertificateParams| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    };
    Issued::by_itself(change).unwrap()
}

fn verdict(trust: &Trust, certificate: &[u8]) -> Result<(), Distrust> {
    let name = ServerName::try_from("localhost").unwrap();
    let verdict = trust.verify_server_cert(&CertificateDer::from(certificate), &[], &name, &[], UnixTime::now());
    verdict.map(drop).map_err(|error| Distrust::of(&error).unwrap())
}

#[test]
fn lists() {
    let (own, root) = (own(), Authority::root("root").unwrap());
    let pem = |bytes: &str| format!("-----BEGIN CERTIFICATE-----\n{bytes}\n-----END CERTIFICATE-----\n");
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (name, text, expected) in [
        ("one", own.pem.clone(), Ok(1)),
        ("two, and words between them", format!("a\r\n{}\r\nb\n{}c", own.pem, root.pem), Ok(2)),
        ("a key beside it", format!("{key}{}", own.pem), Ok(1)),
        ("nothing", String::new(), Err(Unreadable::Empty)),
        ("words", "none".to_owned(), Err(Unreadable::Empty)),
        ("a key alone", key.to_owned(), Err(Unreadable::Empty)),
        ("no end", own.pem.replace("-----END CERTIFICATE-----", ""), Err(Unreadable::Damaged)),
        ("no Base64", pem("!"), Err(Unreadable::Damaged)),
        ("no certificate", pem("AAAA"), Err(Unreadable::Damaged)),
        ("one that is good, and one that is not", own.pem.clone() + &pem("MAA="), Err(Unreadable::Damaged)),
    ] {
        assert_eq!(Authorities::from_pem(&text).map(|list| list.len()), expected, "{name}");
    }
    assert!(Authorities::from_pem(&own.pem).unwrap().name_servers());
    assert!(!Authorities::from_pem(&root.pem).unwrap().name_servers());
}

#[test]
fn the_same_bytes_are_trusted_and_no_others() {
    let own = own();
    let trust = Trust::new(vec![Arc::new(Authorities::from_pem(&own.pem).unwrap())], None);
    let certificate = own.chain[0].to_vec();
    assert_eq!(verdict(&trust, &certificate), Ok(()));
    for at in 0..certificate.len() {
        let mut other = certificate.clone();
        other[at] ^= 1;
        assert!(verdict(&trust, &other).is_err(), "with another byte at {at}");
    }
    for length in 0..certificate.len() {
        assert_eq!(verdict(&trust, &certificate[..length]), Err(Distrust::Unreadable), "cut to {length}");
    }
    assert_eq!(verdict(&trust, &[certificate, vec![0]].concat()), Err(Distrust::Unreadable));
}

proptest! {
    #[test]
    fn any_bytes_are_no_certificate(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(Facts::read(&CertificateDer::from(bytes.as_slice())).is_none());
        signature(&bytes);
    }

    #[test]
    fn a_changed_certificate_is_read_or_not(at in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 1..40)) {
        let mut certificate = own().chain[0].to_vec();
        let at = at.index(certificate.len());
        for (old, new) in certificate[at..].iter_mut().zip(&bytes) {
            *old = *new;
        }
        let trust = Trust::new(Vec::new(), None);
        prop_assert!(verdict(&trust, &certificate).is_err());
    }

    #[test]
    fn any_text_is_a_list_or_not(text in any::<String>(), body in "[A-Za-z0-9+/=\n ]{0,300}") {
        drop(Authorities::from_pem(&text));
        drop(Authorities::from_pem(&format!("{text}\n-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")));
    }
}
