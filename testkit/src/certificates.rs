//! Certificates of every kind that clouds have, good and bad, and servers that present them.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
pub use rcgen;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// A certificate authority.
pub struct Authority {
    /// Its certificate.
    pub pem: String,
    /// What a server sends beside its own certificate; nothing for a root.
    chain: Vec<CertificateDer<'static>>,
    issuer: Issuer<'static, KeyPair>,
}

/// A server's certificate, what it sends beside it, and a key.
#[derive(Clone)]
pub struct Issued {
    /// The certificate alone.
    pub pem: String,
    /// The certificate first. Anything, if a test wants that.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key in PKCS #8. Another one, if a test wants that.
    pub key: Vec<u8>,
}

impl Authority {
    /// A root of this name.
    ///
    /// # Errors
    /// No key could be made.
    pub fn root(name: &str) -> Result<Self> {
        let (params, key) = (authority(name), KeyPair::generate()?);
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { pem, chain: Vec::new(), issuer: Issuer::new(params, key) })
    }

    /// An authority below this one.
    ///
    /// # Errors
    /// No key could be made.
    pub fn intermediate(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Result<Self> {
        let (mut params, key) = (authority(name), KeyPair::generate()?);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let chain = [vec![certificate.der().clone()], self.chain.clone()].concat();
        Ok(Self { pem: certificate.pem(), chain, issuer: Issuer::new(params, key) })
    }

    /// A server's certificate for this host, with the chain that belongs to it.
    ///
    /// # Errors
    /// No key could be made.
    pub fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Result<Issued> {
        let (mut params, key) = (server()?, KeyPair::generate()?);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let chain = [vec![certificate.der().clone()], self.chain.clone()].concat();
        Ok(Issued { pem: certificate.pem(), chain, key: key.serialize_der() })
    }
}

impl Issued {
    /// A certificate for this host that is signed by itself.
    ///
    /// # Errors
    /// No key could be made.
    pub fn by_itself(change: impl FnOnce(&mut CertificateParams)) -> Result<Self> {
        let (mut params, key) = (server()?, KeyPair::generate()?);
        change(&mut params);
        let certificate = params.self_signed(&key)?;
        Ok(Self { pem: certificate.pem(), chain: vec![certificate.der().clone()], key: key.serialize_der() })
    }

    /// What was made elsewhere, in PEM.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn from_pem(pem: &str, key: &str) -> Result<Self> {
        let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes())?.secret_pkcs8_der().to_vec();
        Ok(Self { pem: pem.to_owned(), chain, key })
    }

    /// What accepts connections with it. It need not be a certificate, and the key need not belong to it.
    ///
    /// # Errors
    /// The key cannot be used.
    pub fn acceptor(&self, versions: &[&'static SupportedProtocolVersion]) -> Result<TlsAcceptor> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        let key = ring::default_provider().key_provider.load_private_key(key)?;
        let certified = CertifiedKey::new(self.chain.clone(), key);
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        // Gateways prefer HTTP/2. The servers here speak HTTP/1.1 only, so a client that offers HTTP/2 fails.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// Serves `answer`, which is given the request's head, on this host until the runtime ends.
///
/// # Errors
/// No port is to be had.
pub async fn serve(
    acceptor: TlsAcceptor,
    answer: impl Fn(&str) -> String + Send + Sync + 'static,
) -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no port")?;
    let address = listener.local_addr()?;
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, answer) = (acceptor.clone(), answer.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte).await, Ok(1)) {
                    head.push(byte[0]);
                }
                let body = answer(&String::from_utf8_lossy(&head));
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
                let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    Ok(address)
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn server() -> Result<CertificateParams> {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, "localhost");
    Ok(params)
}
