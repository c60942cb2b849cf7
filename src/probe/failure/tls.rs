//! The messages about certificates and TLS, one per verdict, because each needs another remedy.

use super::{fatal, transient};
use crate::{
    api::Reason,
    observation::ProbeFailure,
    openstack::{Distrust, Service, TlsFault},
};

/// The kinds of keys that the operator's TLS supports.
const KEYS: &str = "RSA of 2048 to 8192 bits, ECDSA on P-256 or P-384, or Ed25519";

/// The failure for a certificate that is not trusted.
pub(super) fn of_certificate(service: Service, why: Distrust) -> ProbeFailure {
    let rest = match why {
        Distrust::Absent => "the server presents none: configure one there".to_owned(),
        Distrust::Unreadable => "it cannot be read as X.509: issue it again".to_owned(),
        Distrust::Key(kind) => {
            format!("the operator's TLS does not support its key ({kind}): issue it with {KEYS}")
        }
        Distrust::Expired => "it has expired: renew it".to_owned(),
        Distrust::NotYetValid => "it is not valid yet: check the clocks of the nodes and of its issuer".to_owned(),
        Distrust::NoNames => "it has no subjectAltName, and a host name in CN alone does not count: issue it with the \
                              host in subjectAltName"
            .to_owned(),
        Distrust::OtherName => {
            format!(
                "it is for another name: issue it for the host that is called, or correct {}",
                service.address_source()
            )
        }
        Distrust::Purpose => "its extended key usage is not that of a server: issue it with serverAuth".to_owned(),
        Distrust::SelfSigned => {
            "it is self-signed, and is not itself in the Secret's key cacert: add it there".to_owned()
        }
        Distrust::Authority => "it is a certificate authority's (CA:TRUE), and is not itself in the Secret's key \
                                cacert: add it there, or issue one with CA:FALSE"
            .to_owned(),
        Distrust::UnknownAuthority => {
            "its authority is unknown: add its authority to the Secret's key cacert".to_owned()
        }
        Distrust::NoIntermediates => "its authority is unknown, and the server sends no intermediate certificate: add \
                                      its authority to the Secret's key cacert, or let the server send its whole chain"
            .to_owned(),
        Distrust::SystemReplaced => {
            "cacert replaces the system's authorities: add this service's authority to it".to_owned()
        }
        Distrust::ChainDates => "a certificate between it and its authority has expired or is not valid yet: renew \
                                 what the server sends"
            .to_owned(),
        Distrust::ChainKey(kind) => {
            format!("the operator's TLS does not support the key of its authority ({kind}): use {KEYS} there")
        }
        Distrust::Signature(kind) => format!(
            "the operator's TLS does not support a signature in its chain ({kind}): issue it with SHA-256, or add the \
             server's certificate itself to the Secret's key cacert"
        ),
        Distrust::WrongSignature => "a signature in its chain is by another key than its authority's certificate has: \
                                     add the authority's present certificate to the Secret's key cacert"
            .to_owned(),
        Distrust::Revoked => "it has been revoked: renew it".to_owned(),
        Distrust::NoProof => {
            "the server does not prove that it has the certificate's key: configure the key that belongs to it"
                .to_owned()
        }
        Distrust::Chain => {
            "its chain breaks a rule of X.509, such as limits of names or an unknown critical extension: issue \
                            it again, or add the server's certificate itself to the Secret's key cacert"
                .to_owned()
        }
    };
    fatal(Reason::CertificateUntrusted, format!("The certificate of {service} is not trusted, since {rest}."))
}

/// The failure if TLS fails for another reason than the certificate.
pub(super) fn of_tls(service: Service, fault: TlsFault) -> ProbeFailure {
    let message = match fault {
        TlsFault::NothingInCommon => format!(
            "No TLS connection to {service}: let its server speak TLS 1.2 or 1.3 with ECDHE on X25519, P-256 or P-384, \
             AES-GCM or ChaCha20, and a certificate with {KEYS}."
        ),
        TlsFault::Curve(curve) => format!(
            "No TLS connection to {service}, since its server exchanges keys only on {curve}, which the operator's TLS \
             does not support: let it use X25519, P-256 or P-384, too."
        ),
        TlsFault::PlainText => format!(
            "No TLS connection to {service}, since what its server sends is not TLS: correct the port or the scheme \
             in {}.",
            service.address_source()
        ),
        TlsFault::Refused => format!(
            "The server of {service} refuses the operator's TLS connection: let it ask for no certificate of its \
             callers, and sign with SHA-256."
        ),
        TlsFault::UnknownName => format!(
            "The server of {service} does not know the host name that is called: correct {}, or the server's names.",
            service.address_source()
        ),
        TlsFault::Other => {
            format!("TLS with {service} fails: check its server's log and the proxies in front of it.")
        }
    };
    transient(Reason::ConnectionFailed, message)
}
