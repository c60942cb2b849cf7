//! TLS without a check of certificates, for `verify: false`.

use std::sync::Arc;

use rustls::{ClientConfig, Error, SignatureScheme};

use super::{
    fixed::Fixed,
    verifier::{config, provider},
};

/// Accepts each certificate.
#[derive(Debug)]
pub struct Unchecked;

impl Unchecked {
    /// The TLS configuration.
    ///
    /// # Errors
    /// The crypto provider of the process supports no version of TLS.
    pub fn client_config() -> Result<ClientConfig, Error> {
        // All schemes that servers use, since no signature is checked.
        let schemes = vec![
            SignatureScheme::RSA_PKCS1_SHA1,
            SignatureScheme::ECDSA_SHA1_Legacy,
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::RSA_PKCS1_SHA384,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::RSA_PKCS1_SHA512,
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PSS_SHA384,
            SignatureScheme::RSA_PSS_SHA512,
            SignatureScheme::ED25519,
            SignatureScheme::ED448,
        ];
        let verifier = Fixed { schemes, certificate: |_| Ok(()), signature: || Ok(()) };
        config(Arc::new(verifier), (*provider()).clone())
    }
}
