//! The operator's own verdict on a server's certificate, before webpki's.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::{Authorities, Distrust, facts::Facts};

/// The maximum number of certificates that are parsed to explain a refusal. webpki's limit for a path is six.
const CHAIN: usize = 8;
/// The maximum number of hosts that are remembered. The hosts come from clouds' catalogues.
const HOSTS: usize = 1000;

/// How the system's authorities are used.
#[derive(Debug, Clone)]
pub enum System {
    /// They are trusted.
    Trusted,
    /// A list replaces them. They only serve to explain a refusal.
    Replaced,
    /// They are trusted beside a list that will replace them. Hosts that depend on them are recorded.
    Kept(Reliance),
}

/// The hosts whose certificates are trusted only by the system's authorities.
#[derive(Debug, Clone, Default)]
pub struct Reliance(Arc<Mutex<BTreeSet<String>>>);

impl Reliance {
    /// Whether the host's certificate was trusted only by the system's authorities. An IPv6 address has no brackets.
    #[must_use]
    pub fn includes(&self, host: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(host)
    }

    fn note(&self, host: &str) {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() < HOSTS && hosts.insert(host.to_owned()) {
            tracing::warn!(
                host,
                "only the system's authorities trust this host, and cacert replaces them from the next minor version \
                 on: add its authority to the Secret's key cacert"
            );
        }
    }
}

/// Decides which servers are trusted.
#[derive(Debug)]
pub struct Trust {
    given: Vec<Arc<Authorities>>,
    system: Option<System>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    /// Trusts the certificates in these lists, and the system's authorities as `system` says. With `None` these are not
    /// used.
    #[must_use]
    pub fn new(given: Vec<Arc<Authorities>>, system: Option<System>) -> Self {
        Self { given, system, algorithms: provider().signature_verification_algorithms }
    }

    /// The TLS configuration of a client with this trust.
    ///
    /// # Errors
    /// The crypto provider of the process supports no version of TLS.
    pub fn client_config(self: Arc<Self>) -> Result<ClientConfig, Error> {
        config(self, (*provider()).clone())
    }

    fn judge(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Distrust> {
        let facts = Facts::read(certificate);
        if let Some(facts) = &facts {
            of_facts(facts, Duration::from_secs(now.as_secs()))?;
        }
        let parsed = ParsedCertificate::try_from(certificate);
        let parsed = parsed.map_err(|error| facts.as_ref().map_or(Distrust::Unreadable, |_| of_webpki(&error)))?;
        verify_server_name(&parsed, name).map_err(|error| of_webpki(&error))?;
        if facts.as_ref().is_some_and(|facts| !facts.is_for_servers) {
            return Err(Distrust::Purpose);
        }
        let dated = facts.is_some();

        let Err(refused) = self.among(&self.given, dated.then_some(certificate), &parsed, chain, now) else {
            return Ok(());
        };
        let system = [Authorities::system().clone()];
        let by_system = || self.among(&system, dated.then_some(certificate), &parsed, chain, now);
        let refused = match &self.system {
            None => refused,
            Some(System::Replaced) if by_system().is_ok() => return Err(Distrust::SystemReplaced),
            Some(System::Replaced) => refused,
            Some(System::Trusted) => match by_system() {
                Ok(()) => return Ok(()),
                Err(also) => more_specific(refused, also),
            },
            Some(System::Kept(reliance)) => match by_system() {
                Ok(()) => {
                    reliance.note(&name.to_str());
                    return Ok(());
                }
                Err(also) => more_specific(refused, also),
            },
        };
        Err(facts.map_or(refused, |facts| self.explain(refused, &facts, chain)))
    }

    /// Whether one of the lists contains the certificate itself or its authority.
    ///
    /// `itself` is `None` if only webpki can parse the certificate. Its dates are then unknown, so it is not trusted by
    /// itself.
    fn among(
        &self,
        lists: &[Arc<Authorities>],
        itself: Option<&CertificateDer<'_>>,
        parsed: &ParsedCertificate<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Distrust> {
        if itself.is_some_and(|certificate| lists.iter().any(|list| list.contain(certificate))) {
            return Ok(());
        }
        let mut refused = Distrust::UnknownAuthority;
        for list in lists {
            let roots = list.roots();
            match verify_server_cert_signed_by_trust_anchor(parsed, roots, chain, now, self.algorithms.all) {
                Ok(()) => return Ok(()),
                Err(error) => refused = more_specific(refused, of_webpki(&error)),
            }
        }
        Err(refused)
    }

    /// The cause of webpki's verdict on a chain.
    fn explain(&self, refused: Distrust, facts: &Facts, chain: &[CertificateDer<'_>]) -> Distrust {
        let about_keys = matches!(refused, Distrust::WrongSignature | Distrust::Signature(_));
        match refused {
            Distrust::UnknownAuthority | Distrust::WrongSignature | Distrust::Signature(_) | Distrust::Chain
                if facts.is_self_signed() =>
            {
                Distrust::SelfSigned
            }
            _ if about_keys => self.weak_authority(facts, chain).map_or(refused, Distrust::ChainKey),
            Distrust::Chain if facts.is_authority => Distrust::Authority,
            Distrust::UnknownAuthority if chain.is_empty() => Distrust::NoIntermediates,
            _ => refused,
        }
    }

    /// The unsupported kind of key of an authority in this chain, or of a listed authority that issued a part of it.
    fn weak_authority(&self, facts: &Facts, chain: &[CertificateDer<'_>]) -> Option<&'static str> {
        let chain: Vec<Facts> = chain.iter().take(CHAIN).filter_map(Facts::read).collect();
        if let Some(kind) = chain.iter().find_map(|facts| facts.unsupported_key) {
            return Some(kind);
        }
        let issuers: Vec<_> = chain.iter().chain([facts]).map(|facts| &facts.issuer).collect();
        let listed = self.given.iter().flat_map(|list| list.certificates()).filter_map(Facts::read);
        listed.filter(|listed| issuers.contains(&&listed.subject)).find_map(|listed| listed.unsupported_key)
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity, intermediates, server_name, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms).map_err(of_handshake)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms).map_err(of_handshake)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The process' crypto provider; ring's if none was installed.
pub(super) fn provider() -> Arc<CryptoProvider> {
    match CryptoProvider::get_default() {
        Some(provider) => provider.clone(),
        None => Arc::new(rustls::crypto::ring::default_provider()),
    }
}

pub(super) fn config(verifier: Arc<dyn ServerCertVerifier>, provider: CryptoProvider) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Checks the properties that do not depend on the issuer.
fn of_facts(facts: &Facts, now: Duration) -> Result<(), Distrust> {
    match facts.unsupported_key {
        Some(kind) => Err(Distrust::Key(kind)),
        None if now > facts.not_after => Err(Distrust::Expired),
        None if now < facts.not_before => Err(Distrust::NotYetValid),
        None if !facts.names_hosts => Err(Distrust::NoNames),
        None => Ok(()),
    }
}

/// Chooses between the verdicts of two lists: any cause is more specific than an unknown authority.
fn more_specific(first: Distrust, second: Distrust) -> Distrust {
    if first == Distrust::UnknownAuthority { second } else { first }
}

fn of_webpki(error: &Error) -> Distrust {
    match error {
        Error::InvalidCertificate(error) => Distrust::of_certificate(error),
        _ => Distrust::Chain,
    }
}

/// The kind of key was checked before, so a wrong signature is a fault of the server.
fn of_handshake(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::Other(_)) => error,
        Error::InvalidCertificate(_) => Distrust::NoProof.into(),
        error => error,
    }
}
