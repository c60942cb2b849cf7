//! Why a server's certificate is not trusted.

use std::{fmt, sync::Arc};

use rustls::{CertificateError, Error, OtherError};

/// Why a server's certificate is not trusted. None of its texts comes from the certificate.
///
/// `Display` completes a sentence after "since".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// The server sends no certificate.
    #[error("the server presents none")]
    Absent,
    /// It is not a readable X.509 certificate.
    #[error("it cannot be read")]
    Unreadable,
    /// The client's TLS does not support its kind of key.
    #[error("its key ({0}) is of a kind that the operator's TLS does not support")]
    Key(&'static str),
    /// The current time is after its `notAfter`.
    #[error("it has expired")]
    Expired,
    /// The current time is before its `notBefore`.
    #[error("it is not valid yet")]
    NotYetValid,
    /// It has no host name or address in a subjectAltName. Like OpenSSL and Go, the client ignores CN.
    #[error("it has no subjectAltName, and a name in CN alone does not count")]
    NoNames,
    /// The requested host name is not among its names.
    #[error("it is for another name")]
    OtherName,
    /// Its extended key usage does not include serverAuth.
    #[error("it is not for servers")]
    Purpose,
    /// It is self-signed, and no list contains it.
    #[error("it is self-signed, and nobody has listed it")]
    SelfSigned,
    /// It is an authority's (`CA:TRUE`), it is not self-signed, and no list contains it.
    #[error("it is an authority's own, and nobody has listed it")]
    Authority,
    /// No list contains its authority.
    #[error("its authority is unknown")]
    UnknownAuthority,
    /// No list contains its authority, and the server sends no intermediate certificates.
    #[error("its authority is unknown, and the server sends no intermediate certificate")]
    NoIntermediates,
    /// The system's authorities include its authority, but the Secret's `cacert` replaces them.
    #[error("cacert replaces the system's authorities")]
    SystemReplaced,
    /// A certificate between it and its authority has expired or is not yet valid.
    #[error("a certificate of its chain is outside of its dates")]
    ChainDates,
    /// The client's TLS does not support an authority's kind of key.
    #[error("the key of one of its authorities ({0}) is of a kind that the operator's TLS does not support")]
    ChainKey(&'static str),
    /// The client's TLS does not support the signature algorithm of a certificate in the chain.
    #[error("its chain has a signature ({0}) of a kind that the operator's TLS does not support")]
    Signature(&'static str),
    /// A signature in the chain does not match the key in the authority's certificate.
    #[error("a signature in its chain is not that of the listed authority's key")]
    WrongSignature,
    /// It has been revoked. The operator does not check this today.
    #[error("it has been revoked")]
    Revoked,
    /// The server did not prove that it has the certificate's private key.
    #[error("the server does not prove that it has the certificate's key")]
    NoProof,
    /// The chain violates another rule of X.509, such as name constraints.
    #[error("its chain breaks a rule of X.509")]
    Chain,
}

impl Distrust {
    /// The verdict of [`super::Trust`] or of rustls, if the rustls error is about a certificate.
    #[must_use]
    pub fn of(error: &Error) -> Option<Self> {
        match error {
            Error::InvalidCertificate(CertificateError::Other(OtherError(other))) => {
                Some(other.downcast_ref().map_or(Self::Chain, |Verdict(distrust)| *distrust))
            }
            Error::InvalidCertificate(error) => Some(Self::of_certificate(error)),
            Error::NoCertificatesPresented => Some(Self::Absent),
            Error::InvalidCertRevocationList(_) => Some(Self::Chain),
            Error::UnsupportedNameType => Some(Self::OtherName),
            _ => None,
        }
    }

    /// The verdict for webpki's error. The server certificate's own key, dates and names were checked before.
    pub(super) fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::BadEncoding => Self::Unreadable,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::ChainDates,
            CertificateError::Revoked => Self::Revoked,
            CertificateError::UnknownIssuer => Self::UnknownAuthority,
            // Both cases mean a wrong key, of the same kind as the authority's or of another kind.
            CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Self::WrongSignature,
            CertificateError::UnsupportedSignatureAlgorithmContext { signature_algorithm_id, .. } => {
                Self::Signature(super::facts::signature(signature_algorithm_id))
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::OtherName,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Self::Purpose,
            CertificateError::UnhandledCriticalExtension
            | CertificateError::UnknownRevocationStatus
            | CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. }
            | CertificateError::InvalidOcspResponse
            | CertificateError::ApplicationVerificationFailure
            | CertificateError::Other(_) => Self::Chain,
            // The enum is non-exhaustive, and it has a deprecated variant that is no longer used.
            _ => Self::Chain,
        }
    }
}

/// Carries the verdict through rustls, which prints it with `Debug`.
#[derive(Clone, Copy, thiserror::Error)]
#[error("{0}")]
struct Verdict(Distrust);

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Distrust> for Error {
    fn from(distrust: Distrust) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Verdict(distrust)))))
    }
}
