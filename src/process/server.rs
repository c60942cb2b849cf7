//! Serves `/healthz`, `/readyz` and `/metrics`.

mod connections;
mod texts;

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{
        HeaderMap, HeaderName, StatusCode,
        header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use connections::Limits;
use futures::stream;
use socket2::{Domain, Protocol, Socket, Type};
use texts::Texts;
use tokio::net::TcpListener;

use crate::{
    cluster::readiness::Readiness,
    metrics::{Format, Metrics},
};

/// Number of connections that may wait to be accepted, as in tokio's own listener.
const BACKLOG: i32 = 1024;

/// Prometheus, the kubelet and a person's browser need a few. A half request costs about 10 KiB (measured).
const LIMITS: Limits = Limits { connections: 128, head: Duration::from_secs(10), whole: Duration::from_secs(60) };

/// Listens on this address. `[::]` accepts IPv4 too, and becomes `0.0.0.0` on a node without IPv6.
///
/// # Errors
/// Neither address can be bound. If the port is in use, no other one is tried.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::from_std(bound(address, bind)?)
}

fn bound<T>(address: SocketAddr, bind: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    match bind(address) {
        Err(error) if is_every_address(address) && error.kind() != io::ErrorKind::AddrInUse => {
            let only_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            tracing::info!(%error, address = %only_v4, "IPv6 cannot be used: listening on IPv4 alone");
            bind(only_v4)
        }
        other => other,
    }
}

fn is_every_address(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if is_every_address(address) {
        // Some systems set it by default (net.ipv6.bindv6only).
        socket.set_only_v6(false)?;
    }
    // As in tokio, a restarted process need not wait for old connections to end.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>, readiness: Readiness) -> Infallible {
    let app = Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(scrape).with_state(Arc::new(Texts::new(metrics))));
    connections::serve(listener, app, LIMITS).await
}

async fn readyz(State(readiness): State<Readiness>) -> impl IntoResponse {
    match readiness.lacking() {
        None => (StatusCode::OK, "ok".to_owned()),
        Some(lacks) => (StatusCode::SERVICE_UNAVAILABLE, lacks),
    }
}

/// Returns OpenMetrics to clients that accept it, such as Prometheus, and the older text format to all others.
async fn scrape(State(texts): State<Arc<Texts>>, headers: HeaderMap) -> Response {
    let accepts = |name: HeaderName, wanted: &str| {
        let accepted = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        accepted.flat_map(|value| value.split(',')).any(|range| is_accepted(range, wanted))
    };
    let (format, content_type) = if accepts(ACCEPT, "application/openmetrics-text") {
        (Format::OpenMetrics, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    } else {
        (Format::Plain, "text/plain; version=0.0.4; charset=utf-8")
    };
    let Some(text) = texts.get(format).await else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let content_type = (CONTENT_TYPE, content_type);
    if accepts(ACCEPT_ENCODING, "gzip") {
        ([content_type, (CONTENT_ENCODING, "gzip")], text).into_response()
    } else {
        ([content_type], Body::from_stream(stream::iter(texts::inflated(text)))).into_response()
    }
}

/// Whether an item of a header, such as `gzip;q=0.5`, accepts this.
fn is_accepted(range: &str, wanted: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
    let refused = |part: &str| part.strip_prefix("q=").is_some_and(|q| q.parse().is_ok_and(|q: f32| q == 0.0));
    named && !parts.any(refused)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn headers_of_what_a_client_accepts() {
        for (range, accepted) in [
            ("gzip", true),
            (" GZIP ", true),
            ("gzip;q=0.5", true),
            ("gzip; q=0", false),
            ("gzip;q=0.0", false),
            ("gzipped", false),
            ("identity", false),
        ] {
            assert_eq!(is_accepted(range, "gzip"), accepted, "{range}");
        }
    }

    #[test]
    fn the_unspecified_address_becomes_ipv4_without_ipv6() {
        const IN_USE: io::ErrorKind = io::ErrorKind::AddrInUse;
        const NONE: io::ErrorKind = io::ErrorKind::AddrNotAvailable;
        for (address, ipv6, ipv4, expected) in [
            ("[::]:8080", None, None, Ok("[::]:8080")),
            // The errors of a kernel without IPv6, and of one with IPv6 disabled.
            ("[::]:8080", Some(io::ErrorKind::Unsupported), None, Ok("0.0.0.0:8080")),
            ("[::]:8080", Some(NONE), None, Ok("0.0.0.0:8080")),
            ("[::]:8080", Some(NONE), Some(IN_USE), Err(IN_USE)),
            ("[::]:8080", Some(IN_USE), None, Err(IN_USE)),
            // A single address has no fallback.
            ("[::1]:8080", Some(NONE), None, Err(NONE)),
            ("[2001:db8::1]:8080", Some(NONE), None, Err(NONE)),
            ("0.0.0.0:8080", None, None, Ok("0.0.0.0:8080")),
            ("0.0.0.0:8080", None, Some(NONE), Err(NONE)),
        ] {
            let bind = |address: SocketAddr| match if address.is_ipv6() { ipv6 } else { ipv4 } {
                Some(kind) => Err(io::Error::from(kind)),
                None => Ok(address),
            };
            let found = bound(at(address), bind).map_err(|error| error.kind());
            assert_eq!(found, expected.map(at), "{address} {ipv6:?} {ipv4:?}");
        }
    }

    #[tokio::test]
    async fn the_unspecified_address_accepts_ipv4_and_ipv6() {
        let listener = listen(at("[::]:0")).unwrap();
        let found = listener.local_addr().unwrap();
        let port = found.port();
        TcpStream::connect(("127.0.0.1", port)).unwrap();
        // A machine without IPv6 has 0.0.0.0.
        if found.is_ipv6() {
            TcpStream::connect(("::1", port)).unwrap();
        }
        assert_eq!(listen(at(&format!("[::]:{port}"))).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let only = listen(at("127.0.0.1:0")).unwrap();
        assert_eq!(only.local_addr().unwrap().ip(), at("127.0.0.1:0").ip());
    }
}
