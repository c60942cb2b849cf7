//! HTTP connections with bounds: their number, the time for a request's head, and their whole time.
//!
//! Anyone who reaches the port can open connections. Such connections must neither fill the memory nor keep the
//! kubelet's probe from its answer.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    Router,
    http::{Request, StatusCode},
    response::{IntoResponse as _, Response},
};
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tower::ServiceExt as _;

/// The bounds of a server's connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The maximum number of connections. For a further one, [`surplus`] chooses one that ends.
    pub(super) connections: usize,
    /// The time for a request's head.
    pub(super) head: Duration,
    /// The time for a whole connection. It serves one request.
    pub(super) whole: Duration,
}

/// The maximum length of a request's head, in bytes. hyper needs at least 8 KiB.
const LONGEST_HEAD: usize = 8 << 10;

/// The maximum number of headers. Prometheus sends six.
const MOST_HEADERS: usize = 32;

/// The pause after an error that concerns all connections, such as too many open files.
const PAUSE: Duration = Duration::from_secs(1);

/// A connection that is served.
struct Connection {
    peer: IpAddr,
    task: JoinHandle<()>,
    /// Whether the request's head is complete.
    has_request: Arc<AtomicBool>,
}

/// Serves until the process ends.
pub(super) async fn serve(listener: TcpListener, app: Router, limits: Limits) -> Infallible {
    // In the order in which they were accepted.
    let mut connections: Vec<Connection> = Vec::new();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok((stream, peer)) => (stream, peer.ip()),
            Err(error) if is_of_connection(&error) => continue,
            Err(error) => {
                tracing::error!(%error, "a connection was not accepted");
                sleep(PAUSE).await;
                continue;
            }
        };
        connections.retain(|connection| !connection.task.is_finished());
        while connections.len() >= limits.connections {
            let ended = connections.remove(surplus(&connections)).task;
            ended.abort();
            // The task, with its buffers, is gone before the next one begins.
            let _ = ended.await;
        }
        let has_request = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(answer(stream, app.clone(), has_request.clone(), limits));
        connections.push(Connection { peer, task, has_request });
    }
}

/// The place of the connection that ends first: of the address with the most connections, the oldest without a complete
/// request, or else the oldest. So one address cannot displace the kubelet and Prometheus.
fn surplus(connections: &[Connection]) -> usize {
    let mut numbers: HashMap<IpAddr, usize> = HashMap::new();
    connections.iter().for_each(|connection| *numbers.entry(connection.peer).or_default() += 1);
    let most = numbers.values().max().copied().unwrap_or_default();
    let candidates = || (0..connections.len()).filter(|at| numbers.get(&connections[*at].peer) == Some(&most));
    let waiting = candidates().find(|at| !connections[*at].has_request.load(Relaxed));
    waiting.or_else(|| candidates().next()).unwrap_or_default()
}

/// Whether the error concerns one connection that its peer has closed already.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Answers one request. A client that is too slow gets no answer, because it may not read one either.
async fn answer(stream: TcpStream, app: Router, has_request: Arc<AtomicBool>, limits: Limits) {
    let service = service_fn(move |request: Request<Incoming>| {
        has_request.store(true, Relaxed);
        let app = app.clone();
        async move {
            if request.body().is_end_stream() {
                app.oneshot(request).await
            } else {
                Ok::<Response, Infallible>(StatusCode::PAYLOAD_TOO_LARGE.into_response())
            }
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(LONGEST_HEAD)
        .max_headers(MOST_HEADERS)
        // So that one bound holds for the request and its answer.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // The time is over, or the client sent no HTTP or has gone.
    let _ = timeout(limits.whole, connection).await;
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const LIMITS: Limits =
        Limits { connections: 4, head: Duration::from_millis(300), whole: Duration::from_millis(900) };

    async fn served(limits: Limits) -> SocketAddr {
        let app = Router::new()
            .route("/healthz", get(async || "ok"))
            // More than the kernel's buffers take.
            .route("/long", get(async || "x".repeat(64 << 20)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, app, limits));
        address
    }

    async fn send(address: SocketAddr, request: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        stream
    }

    /// The answer's status, or nothing if the connection ends without an answer. Panics if it stays open.
    async fn end_of(mut stream: TcpStream) -> String {
        let mut answer = Vec::new();
        // A reset is an end, too.
        let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap_or_default().to_owned()
    }

    async fn status(address: SocketAddr, request: &[u8]) -> String {
        end_of(send(address, request).await).await
    }

    #[tokio::test]
    async fn requests_and_their_answers() {
        let address = served(LIMITS).await;
        let long_head = format!("GET /healthz HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(LONGEST_HEAD));
        let many_headers = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(MOST_HEADERS + 1));
        for (name, request, expected) in [
            ("HTTP/1.1", "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", "200"),
            ("HTTP/1.0", "GET /healthz HTTP/1.0\r\n\r\n", "200"),
            ("an unknown path", "GET /x HTTP/1.1\r\nHost: h\r\n\r\n", "404"),
            ("a body", "GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", "413"),
            ("an endless body", "GET /healthz HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "413"),
            ("a long head", &long_head, "431"),
            ("many headers", &many_headers, "431"),
            ("no HTTP", "hello\r\n\r\n", "400"),
            ("half a head", "GET /healthz HTTP/1.1\r\nHost: h\r\n", ""),
            ("nothing", "", ""),
        ] {
            assert_eq!(status(address, request.as_bytes()).await, expected, "{name}");
        }
    }

    /// Half requests and slow readers end by themselves. A client that sends a byte now and then gains no time.
    #[tokio::test]
    async fn slow_clients_are_cut_off() {
        let address = served(LIMITS).await;
        let mut trickle = send(address, b"GET ").await;
        let ended = timeout(Duration::from_secs(10), async {
            while trickle.write_all(b"x").await.is_ok() {
                sleep(Duration::from_millis(50)).await;
            }
        });
        ended.await.unwrap();
        let mut reader = send(address, b"GET /long HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let mut byte = [0; 1];
        let ended = timeout(Duration::from_secs(10), async {
            // One byte at a time, until what the kernel holds is read or the reset arrives.
            sleep(LIMITS.whole * 2).await;
            let mut rest = Vec::new();
            let _ = reader.read(&mut byte).await;
            let _ = reader.read_to_end(&mut rest).await;
            rest.len()
        });
        assert!(ended.await.unwrap() < 64 << 20, "the whole answer was sent");
    }

    /// A line is: the connections in their order, each with its address and whether its request is complete | the one
    /// that ends.
    #[tokio::test]
    async fn the_address_with_the_most_connections_loses_one() {
        for (name, connections, expected) in [
            ("one", &[("10.0.0.1", true)][..], 0),
            ("the oldest half request", &[("10.0.0.1", true), ("10.0.0.1", false), ("10.0.0.1", false)], 1),
            ("the oldest", &[("10.0.0.1", true), ("10.0.0.1", true)], 0),
            ("the kubelet's stays", &[("10.0.0.1", false), ("10.0.0.2", true), ("10.0.0.2", true)], 1),
            ("Prometheus' stays", &[("10.0.0.1", true), ("fd00::2", true), ("fd00::2", false)], 2),
            ("equal numbers", &[("10.0.0.1", true), ("10.0.0.2", false)], 1),
        ] {
            let connection = |(peer, has_request): &(&str, bool)| Connection {
                peer: peer.parse().unwrap(),
                task: tokio::spawn(async {}),
                has_request: Arc::new(AtomicBool::new(*has_request)),
            };
            assert_eq!(surplus(&connections.iter().map(connection).collect::<Vec<_>>()), expected, "{name}");
        }
    }

    #[tokio::test]
    async fn half_requests_do_not_keep_others_from_an_answer() {
        let limits = Limits { head: Duration::from_secs(60), whole: Duration::from_secs(60), ..LIMITS };
        let address = served(limits).await;
        // This one has a request, so that others end before it.
        let mut reader = send(address, b"GET /long HTTP/1.1\r\nHost: h\r\n\r\n").await;
        reader.read_exact(&mut [0; 100]).await.unwrap();
        let mut half = Vec::new();
        for _ in 0..20 {
            half.push(send(address, b"GET /healthz HTTP/1.1\r\n").await);
            let answered = status(address, b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(timeout(Duration::from_secs(5), answered).await.unwrap(), "200");
        }
        let first = half.remove(0);
        assert_eq!(end_of(first).await, "", "the oldest half request is still there");
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).await.unwrap();
        assert!(rest.len() >= (64 << 20) - 100, "the answer of a complete request was cut off");
        // Among complete requests, the oldest ends.
        let mut readers = Vec::new();
        for _ in 0..20 {
            let mut reader = send(address, b"GET /long HTTP/1.1\r\nHost: h\r\n\r\n").await;
            reader.read_exact(&mut [0; 100]).await.unwrap();
            readers.push(reader);
        }
        assert_eq!(status(address, b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").await, "200");
    }
}
