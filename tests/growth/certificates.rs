//! Bundles of certificates in PEM.

use std::{hint::black_box, str};

use cloudtenant_operator::trust::Authorities;
use testkit::certificates::Authority;

use super::measure::{Case, Shape, cases, reader_of, same};

const PEM: &[Shape] = &[
    same!("text between", "", "a\n", ""),
    same!("one line", "", "a", ""),
    same!("empty lines", "", "\n", ""),
    same!("headings", "", "-----BEGIN CERTIFICATE-----\n", ""),
    same!("ends", "", "-----END CERTIFICATE-----\n", ""),
    same!("empty certificates", "", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", ""),
    same!("one certificate", "-----BEGIN CERTIFICATE-----\n", "AAAA\n", "-----END CERTIFICATE-----\n"),
    same!("dashes", "", "-----", ""),
    same!("keys", "", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", ""),
];

pub fn cases_of_all() -> Vec<Case> {
    let read = |bytes: &[u8]| {
        if let Ok(authorities) = Authorities::from_pem(str::from_utf8(bytes).unwrap()) {
            black_box(authorities.name_servers());
        }
    };
    let mut all = cases("certificates", ("", ""), 16 << 10, PEM, read);
    let pem = Authority::root("growth").unwrap().pem;
    let make = move |length: usize| pem.repeat(length / pem.len()).into_bytes();
    let name = "certificates: whole ones".to_owned();
    all.push(Case { name, length: 16 << 10, make: Box::new(make), read: reader_of(read) });
    all
}
