//! A server's certificate, after one byte, and a list of authorities.
#![no_main]

use std::{sync::Arc, time::Duration};

use cloudtenant_operator::trust::{Authorities, Trust};
use libfuzzer_sys::fuzz_target;
use rustls::{
    client::danger::ServerCertVerifier,
    pki_types::{CertificateDer, ServerName, UnixTime},
};

/// In seconds since 1970.
const NOW: u64 = 1_795_320_000;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Authorities::from_pem(text).map(|authorities| authorities.name_servers());
    }
    let Some((issuers, certificate)) = bytes.split_first() else { return };
    let certificate = CertificateDer::from(certificate.to_vec());
    let authorities = Authorities::from_der(vec![certificate.clone()]);
    let _ = authorities.name_servers();
    // The certificate alone is trusted only if it is on the list.
    let chain = vec![certificate.clone(); usize::from(issuers % 8)];
    let name = ServerName::try_from("keystone.example").unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
    for (given, may_be_trusted) in [(vec![Arc::new(authorities)], true), (Vec::new(), false)] {
        let verdict = Trust::new(given, None).verify_server_cert(&certificate, &chain, &name, &[], now);
        assert!(may_be_trusted || verdict.is_err());
    }
});
