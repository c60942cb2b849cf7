//! Clients of `/metrics` that never finish a request, or never read an answer.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::{
    hostile::{Answers, Hostile},
    scene::Scene,
};

const MANY: usize = 3000;
/// So much more memory than before may 128 connections take.
const MOST: u64 = 16 << 20;

/// The beginning of a request.
pub fn half() -> String {
    format!("GET /metrics HTTP/1.1\r\nHost: h\r\nX: {}", "x".repeat(7 << 10))
}

/// A whole request.
pub const WHOLE: &str = "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n";

/// Opens connections that send this and nothing else, from another address than the other clients.
pub fn open(address: SocketAddr, number: usize, request: &str) -> Vec<TcpStream> {
    let one = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        // The operator may have closed it.
        let _ = stream.write_all(request.as_bytes());
        stream
    };
    (0..number).map(one).collect()
}

/// How many the operator has not closed.
fn still_open(streams: &[TcpStream]) -> usize {
    let is_open = |stream: &&TcpStream| {
        let mut stream = *stream;
        stream.set_nonblocking(true).unwrap();
        matches!(stream.read(&mut [0; 1]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    };
    streams.iter().filter(is_open).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn half_requests_3_000() {
    let scene = Scene::begin("3,000 half requests", &[]).await;
    let address = scene.operator().address();
    let streams = open(address, MANY, &half());
    scene.last(3).await;
    let (grown, left) = (scene.grown(), still_open(&streams));
    println!("{left} of {MANY} are open; {} KiB more memory", grown >> 10);
    // The last ones end by themselves.
    scene.last(12).await;
    let later = still_open(&streams);
    scene.end().await;
    assert!(grown < MOST, "{grown} bytes more than before");
    assert!((1..=128).contains(&left), "{left} connections are open");
    assert_eq!(later, 0, "connections are open after 15 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn scrapes_that_nobody_reads() {
    let scene = Scene::begin("scrapes that nobody reads", &[]).await;
    let cloud = Hostile::start(Answers::default());
    // A text of about a megabyte.
    for number in 0..200 {
        let name = format!("scraped-{number}");
        scene.add(&name, &[("clouds.yaml", cloud.clouds_yaml("").as_bytes())], &json!({})).await;
    }
    scene.last(20).await;
    let before = scene.grown();
    let address = scene.operator().address();
    let streams = open(address, 400, WHOLE);
    scene.last(5).await;
    let grown = scene.grown().saturating_sub(before);
    println!("{} KiB more memory", grown >> 10);
    // An honest scrape is answered beside them.
    let (status, text) = scene.operator().get("/metrics").unwrap();
    drop(streams);
    let figures = scene.end().await;
    assert_eq!(status, 200);
    assert!(text.len() > 500_000, "{}", text.len());
    assert!(figures.scrape > 500_000 && grown < 2 * MOST, "{grown} bytes more than before");
}
