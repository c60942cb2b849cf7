//! TLS with a cloud, and its faults other than the certificate.

use std::{error::Error as StdError, sync::Arc, time::Duration};

use http::Uri;
use rustls::{AlertDescription, CertificateError, ClientConfig, InvalidMessage, OtherError, client::Resumption};
use tower::Service as _;
use url::Url;

use super::{Error, Network};
use crate::trust::{Trust, Unchecked, UnsupportedCurve, Witness};

/// Why TLS with a server fails, other than its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    /// Server and client have no TLS version or no cipher suite in common.
    #[error("the server speaks no TLS that the operator speaks")]
    NothingInCommon,
    /// The server requires a curve for the key exchange that the client does not support.
    #[error("the server exchanges keys only on {0}")]
    Curve(&'static str),
    /// The server's data is not TLS.
    #[error("the server speaks no TLS")]
    PlainText,
    /// The server's certificate can be verified, and the server refuses the client, usually because it requires a
    /// client certificate.
    #[error("the server refuses the handshake")]
    Refused,
    /// The server does not know the requested host name (RFC 6066, 3).
    #[error("the server does not know the host name")]
    UnknownName,
    /// Any other fault.
    #[error("TLS failed")]
    Other,
}

impl TlsFault {
    /// `None` for a fault of the client, or for an error of a newer rustls.
    pub(super) fn of(error: &rustls::Error) -> Option<Self> {
        use rustls::Error as Tls;
        match error {
            Tls::PeerIncompatible(_) => Some(Self::NothingInCommon),
            Tls::AlertReceived(alert) => Some(Self::of_alert(*alert)),
            // The server sent the greeting of another protocol, or HTTP's 400.
            Tls::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
                Some(Self::PlainText)
            }
            Tls::Other(OtherError(other)) => {
                Some(other.downcast_ref().map_or(Self::Other, |UnsupportedCurve(curve)| Self::Curve(curve)))
            }
            Tls::InvalidMessage(_)
            | Tls::InappropriateMessage { .. }
            | Tls::InappropriateHandshakeMessage { .. }
            | Tls::InvalidEncryptedClientHello(_)
            | Tls::DecryptError
            | Tls::PeerMisbehaved(_)
            | Tls::PeerSentOversizedRecord
            | Tls::NoApplicationProtocol => Some(Self::Other),
            // `Distrust` covers these.
            Tls::InvalidCertificate(_)
            | Tls::NoCertificatesPresented
            | Tls::InvalidCertRevocationList(_)
            | Tls::UnsupportedNameType => None,
            // Faults of the client, such as a lack of random numbers.
            Tls::EncryptError
            | Tls::General(_)
            | Tls::FailedToGetCurrentTime
            | Tls::FailedToGetRandomBytes
            | Tls::HandshakeNotComplete
            | Tls::BadMaxFragmentSize
            | Tls::InconsistentKeys(_) => None,
            // The enum is non-exhaustive.
            _ => None,
        }
    }

    /// The fault behind the alert with which the server ended the connection (RFC 8446, 6.2).
    fn of_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::HandshakeFailure
            | AlertDescription::ProtocolVersion
            | AlertDescription::InsufficientSecurity
            | AlertDescription::InappropriateFallback
            | AlertDescription::NoApplicationProtocol => Self::NothingInCommon,
            AlertDescription::UnrecognisedName => Self::UnknownName,
            // These concern a client certificate, and the client presents none.
            AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied => Self::Refused,
            _ => Self::Other,
        }
    }
}

/// How many servers' TLS sessions are kept for resumption. A server may send eight tickets of 64 KiB.
const SERVERS: usize = 8;

/// With `few`, only one server's TLS session is kept, because there may be many such configurations.
pub(super) fn client_config(trust: Trust, few: bool) -> Result<ClientConfig, rustls::Error> {
    let mut config = Arc::new(trust).client_config()?;
    // The argument is a number of tickets.
    config.resumption = Resumption::in_memory_sessions(8 * if few { 1 } else { SERVERS });
    with_http(&mut config);
    Ok(config)
}

/// The same without a check of certificates.
pub(super) fn unchecked_config() -> Result<ClientConfig, rustls::Error> {
    let mut config = Unchecked::client_config()?;
    with_http(&mut config);
    Ok(config)
}

/// A server that gets no offer of HTTP/2 does not select it, whatever it prefers.
fn with_http(config: &mut ClientConfig) {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
}

/// The deadline for each additional connection, so that the diagnosis ends before the caller's deadline.
const WITNESS_TIMEOUT: Duration = Duration::from_secs(2);

/// Finds out why a server refuses the handshake, with at most two additional connections. See [`Witness`].
pub(super) async fn explain(fault: TlsFault, url: &Url, network: &Network) -> Error {
    if fault != TlsFault::NothingInCommon {
        return Error::TlsFailed(fault);
    }
    for curves in [false, true] {
        let result = tokio::time::timeout(WITNESS_TIMEOUT, run_witness(url, network, curves)).await;
        match result.ok().flatten() {
            Some(WitnessResult::Certificate) if curves => {
                return Error::TlsFailed(TlsFault::Curve("a curve other than X25519, P-256 and P-384"));
            }
            Some(WitnessResult::Certificate) => return Error::TlsFailed(TlsFault::Refused),
            Some(WitnessResult::Other(
                error @ (Error::CertificateUntrusted(_) | Error::TlsFailed(TlsFault::Curve(_))),
            )) => {
                return error;
            }
            Some(WitnessResult::Other(_)) | None => {}
        }
    }
    Error::TlsFailed(fault)
}

/// The result of a [`Witness`].
enum WitnessResult {
    /// The server sent a certificate with a supported key.
    Certificate,
    Other(Error),
}

async fn run_witness(url: &Url, network: &Network, curves: bool) -> Option<WitnessResult> {
    let mut config = Witness::client_config(curves).ok()?;
    with_http(&mut config);
    let route = network.route(url).await.ok()?;
    let uri: Uri = url.as_str().parse().ok()?;
    // The connection always fails: the witness trusts no server.
    let error = network.connector(config, route).call(uri).await.err()?;
    let error: &(dyn StdError + 'static) = &*error;
    let refused = rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
    if super::error::tls_error(error) == Some(&refused) {
        return Some(WitnessResult::Certificate);
    }
    Some(WitnessResult::Other(Error::of_transport(error)))
}
