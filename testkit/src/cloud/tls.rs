//! A certificate authority and the services' certificate.

use anyhow::Result;
use tokio_rustls::TlsAcceptor;

use crate::certificates::{Authority, Issued};

/// The authority's certificate as PEM, and what accepts connections with one that it signed for this host.
pub(super) fn authority() -> Result<(String, TlsAcceptor)> {
    let authority = Authority::root("simulated cloud")?;
    let acceptor = acceptor(&authority.issue(|_| ())?)?;
    Ok((authority.pem, acceptor))
}

/// What accepts connections with this certificate.
pub(super) fn acceptor(issued: &Issued) -> Result<TlsAcceptor> {
    issued.acceptor(rustls::DEFAULT_VERSIONS)
}
