//! Lists of trusted certificates.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::facts::Facts;

/// Trusted certificates, of authorities and of servers.
pub struct Authorities {
    /// All certificates of the list. A server that presents one of them is trusted.
    certificates: Vec<CertificateDer<'static>>,
    roots: RootCertStore,
}

/// Why a list cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The list contains no certificate.
    #[error("holds no certificate: give one or more in PEM")]
    Empty,
    /// A certificate is damaged.
    #[error("holds a certificate that cannot be read: give each one whole, in PEM")]
    Damaged,
}

impl Default for Authorities {
    fn default() -> Self {
        Self { certificates: Vec::new(), roots: RootCertStore::empty() }
    }
}

impl Authorities {
    /// Parses the certificates of a PEM text. Text between them is ignored.
    ///
    /// # Errors
    /// The text contains no certificate, or one that cannot be parsed.
    pub fn from_pem(text: &str) -> Result<Self, Unreadable> {
        let certificates = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|_| Unreadable::Damaged)?;
        if certificates.is_empty() {
            return Err(Unreadable::Empty);
        }
        let mut authorities = Self::default();
        for certificate in certificates {
            let is_root = authorities.roots.add(certificate.clone()).is_ok();
            if !is_root && Facts::read(&certificate).is_none() {
                return Err(Unreadable::Damaged);
            }
            authorities.certificates.push(certificate);
        }
        Ok(authorities)
    }

    /// Builds a list. webpki uses those that can be authorities; all of them can match a server's own certificate.
    #[must_use]
    pub fn from_der(certificates: Vec<CertificateDer<'static>>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        Self { certificates, roots }
    }

    /// The system's list. The process reads it once, because a copy per client would take 0.16 MiB. It is empty if the
    /// system has no such file.
    pub fn system() -> &'static Arc<Self> {
        static SYSTEM: OnceLock<Arc<Authorities>> = OnceLock::new();
        SYSTEM.get_or_init(|| {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::debug!(%error, "a certificate authority of the system cannot be read");
            }
            Arc::new(Self::from_der(found.certs))
        })
    }

    /// The number of certificates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.certificates.len()
    }

    /// Whether the list is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// Whether a server could present one of them, because it contains a host name. An authority's certificate seldom
    /// does.
    #[must_use]
    pub fn name_servers(&self) -> bool {
        self.certificates.iter().any(|certificate| Facts::read(certificate).is_some_and(|facts| facts.names_hosts))
    }

    pub(super) fn contain(&self, certificate: &CertificateDer<'_>) -> bool {
        self.certificates.iter().any(|known| known.as_ref() == certificate.as_ref())
    }

    pub(super) fn roots(&self) -> &RootCertStore {
        &self.roots
    }

    pub(super) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authorities").field(&self.len()).finish()
    }
}
