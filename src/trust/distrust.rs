//! Why a server's certificate is not trusted.

use std::fmt;
use std::sync::Arc;

use rustls::{CertificateError, Error, OtherError};

/// Why a server's certificate is not trusted. The texts in it are ours, none is the certificate's.
///
/// `Display` completes a sentence after "since".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// The server presents none.
    #[error("the server presents none")]
    Absent,
    /// It is no X.509 certificate that can be read.
    #[error("it cannot be read")]
    Unreadable,
    /// Its key is of a kind that our TLS does not support.
    #[error("its key ({0}) is of a kind that the operator's TLS does not support")]
    Key(&'static str),
    /// It is past its `notAfter`.
    #[error("it has expired")]
    Expired,
    /// It is before its `notBefore`.
    #[error("it is not valid yet")]
    NotYetValid,
    /// It has no host name or address in a subjectAltName. OpenSSL and Go ignore CN, too.
    #[error("it has no subjectAltName, and a name in CN alone does not count")]
    NoNames,
    /// Its names are others than that which was called.
    #[error("it is for another name")]
    OtherName,
    /// Its extended key usage lacks serverAuth.
    #[error("it is not for servers")]
    Purpose,
    /// It is signed by itself, and it is not in a list.
    #[error("it is self-signed, and nobody has listed it")]
    SelfSigned,
    /// It is an authority's (`CA:TRUE`), not self-signed, and not in a list.
    #[error("it is an authority's own, and nobody has listed it")]
    Authority,
    /// Its authority is in no list.
    #[error("its authority is unknown")]
    UnknownAuthority,
    /// As before, and the server sends its own certificate alone.
    #[error("its authority is unknown, and the server sends no intermediate certificate")]
    NoIntermediates,
    /// The system's authorities would do, but the Secret's `cacert` replaces them.
    #[error("cacert replaces the system's authorities")]
    SystemReplaced,
    /// A certificate between it and its authority has expired, or is not valid yet.
    #[error("a certificate of its chain is outside of its dates")]
    ChainDates,
    /// An authority's key is of a kind that our TLS does not support.
    #[error("the key of one of its authorities ({0}) is of a kind that the operator's TLS does not support")]
    ChainKey(&'static str),
    /// It, or a certificate of its chain, is signed in a way that our TLS does not support.
    #[error("its chain has a signature ({0}) of a kind that the operator's TLS does not support")]
    Signature(&'static str),
    /// A signature of the chain is not that of the key that its authority's certificate has.
    #[error("a signature in its chain is not that of the listed authority's key")]
    WrongSignature,
    /// It has been revoked. Nothing checks that today.
    #[error("it has been revoked")]
    Revoked,
    /// The server did not prove that it has the certificate's key.
    #[error("the server does not prove that it has the certificate's key")]
    NoProof,
    /// Another rule of X.509, such as constraints of names.
    #[error("its chain breaks a rule of X.509")]
    Chain,
}

impl Distrust {
    /// The verdict of [`super::Trust`], or of rustls itself, in an error of rustls that is about a certificate.
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
            // By a key of the same kind as the authority's, or of another kind.
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
            // The enum may grow, and has a deprecated variant that nothing makes any more.
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
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Verdict(distrust)))))
    }
}
