//! Sessions share an HTTP client only where they trust the same authorities.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use cloudtenant_operator::openstack::{Distrust, Error, Network};
use rustls::version::{TLS12, TLS13};
use testkit::certificates::{Authority, Issued};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::greet_with;

/// Serves TLS and keeps each connection open. Counts the connections and the requests.
async fn serve(
    issued: &Issued,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> (std::net::SocketAddr, Arc<[AtomicUsize; 2]>) {
    let acceptor = issued.acceptor(versions).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let counted = counts.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, counted) = (acceptor.clone(), counted.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                counted[0].fetch_add(1, SeqCst);
                let mut head = Vec::new();
                while let Ok(byte) = stream.read_u8().await {
                    head.push(byte);
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        counted[1].fetch_add(1, SeqCst);
                        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
                    }
                }
            });
        }
    });
    (address, counts)
}

/// Over HTTP/2 the calls of a service that hangs would hold up all others: docs/decisions/0024.
#[tokio::test]
async fn calls_use_http_1_1_where_a_gateway_prefers_http_2() {
    let root = Authority::root("root").unwrap();
    let acceptor = root.issue(|_| {}).unwrap().acceptor(&[&TLS13]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let negotiated = async {
        let stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec)
    };
    let network = Network::default().allowing_loopback();
    let (negotiated, _) = tokio::join!(negotiated, greet_with(server, "127.0.0.1", Some(&root.pem), true, &network));
    assert_eq!(negotiated.as_deref(), Some(&b"http/1.1"[..]));
}

/// A connection, and a TLS session that can be resumed, would otherwise let a call pass without a check.
#[tokio::test]
async fn a_connection_is_used_only_by_sessions_that_trust_its_server() {
    let (root, other) = (Authority::root("root").unwrap(), Authority::root("other").unwrap());
    let issued = root.issue(|_| {}).unwrap();
    let untrusted = |distrust| Err(Error::CertificateUntrusted(distrust));
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let (server, counts) = serve(&issued, versions).await;
        let network = Network::default().allowing_loopback();
        let merging = network.clone().keeping_system(true);
        for (number, (network, cacert, verify, expected, connections)) in [
            (&network, Some(&root.pem), true, Ok(()), 1),
            (&network, Some(&root.pem), true, Ok(()), 1),
            (&network, Some(&other.pem), true, untrusted(Distrust::NoIntermediates), 1),
            (&network, None, true, untrusted(Distrust::NoIntermediates), 1),
            (&network, None, false, Ok(()), 2),
            (&network, None, true, untrusted(Distrust::NoIntermediates), 2),
            (&network, Some(&other.pem), false, Ok(()), 2),
            (&network, Some(&other.pem), true, untrusted(Distrust::NoIntermediates), 2),
            (&merging, Some(&root.pem), true, Ok(()), 3),
            (&merging, Some(&other.pem), true, untrusted(Distrust::NoIntermediates), 3),
            (&network, Some(&root.pem), true, Ok(()), 3),
        ]
        .into_iter()
        .enumerate()
        {
            let requests = counts[1].load(SeqCst);
            let ended = greet_with(server, "localhost", cacert.map(String::as_str), verify, network).await;
            assert_eq!(ended, expected, "{number}");
            assert_eq!(counts[1].load(SeqCst) - requests, usize::from(ended.is_ok()), "{number}");
            assert_eq!(counts[0].load(SeqCst), connections, "{number}");
        }
    }
}
