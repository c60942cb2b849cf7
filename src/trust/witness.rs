//! Finds out why a server refuses the handshake. A client offers the keys and curves that it supports. A server that
//! has none of them answers "handshake failure" without its certificate.

use std::sync::Arc;

use rustls::{
    CertificateError, ClientConfig, Error, NamedGroup, OtherError, SignatureScheme,
    crypto::{ActiveKeyExchange, SupportedKxGroup},
    ffdhe_groups::FfdheGroup,
    pki_types::CertificateDer,
};

use super::{
    Distrust,
    facts::Facts,
    fixed::Fixed,
    verifier::{config, provider},
};

/// Offers more than the client supports, so that a server sends its certificate. It trusts no server, so no request is
/// sent.
#[derive(Debug)]
pub struct Witness;

/// The server requires a curve for the key exchange that the client's TLS does not support.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server insists on the curve {0}")]
pub struct UnsupportedCurve(pub &'static str);

impl Witness {
    /// The TLS configuration of a witness. With `curves`, the server may also choose an unsupported curve.
    ///
    /// # Errors
    /// The crypto provider of the process supports no version of TLS.
    pub fn client_config(curves: bool) -> Result<ClientConfig, Error> {
        let mut provider = (*provider()).clone();
        let mut schemes = provider.signature_verification_algorithms.supported_schemes();
        schemes.extend([
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::ED448,
            // RSASSA-PSS keys, and Brainpool curves (RFC 8446, 4.2.3; RFC 8734).
            SignatureScheme::Unknown(0x0809),
            SignatureScheme::Unknown(0x080a),
            SignatureScheme::Unknown(0x080b),
            SignatureScheme::Unknown(0x081a),
            SignatureScheme::Unknown(0x081b),
            SignatureScheme::Unknown(0x081c),
            SignatureScheme::RSA_PKCS1_SHA1,
            SignatureScheme::ECDSA_SHA1_Legacy,
            // DSA with SHA-256 and with SHA-1 (RFC 5246, 7.4.1.4.1).
            SignatureScheme::Unknown(0x0402),
            SignatureScheme::Unknown(0x0202),
        ]);
        if curves {
            provider.kx_groups.extend([
                &Unsupported(NamedGroup::secp521r1, "P-521") as &dyn SupportedKxGroup,
                &Unsupported(NamedGroup::X448, "X448"),
            ]);
        }
        let verifier = Fixed { schemes, certificate: judge, signature: || Err(refuse()) };
        config(Arc::new(verifier), provider)
    }
}

/// The verdict on a certificate. It is always an error.
fn judge(certificate: &CertificateDer<'_>) -> Result<(), Error> {
    let kind = Facts::read(certificate).and_then(|facts| facts.unsupported_key);
    Err(kind.map_or_else(refuse, |kind| Distrust::Key(kind).into()))
}

/// The verdict for a certificate with a supported key.
fn refuse() -> Error {
    Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
}

/// A curve that is offered so that the server can choose it. It is never used.
#[derive(Debug)]
struct Unsupported(NamedGroup, &'static str);

impl SupportedKxGroup for Unsupported {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Err(Error::Other(OtherError(Arc::new(UnsupportedCurve(self.1)))))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        self.0
    }
}
