//! The HTTP client below a session: TCP after the guard of addresses, proxies and TLS, with bounds for what a server
//! sends (see [`Meter`]).

use std::{
    error::Error as StdError,
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{
    Uri,
    header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT},
    uri::Scheme,
};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::{
        legacy::{
            self,
            connect::{HttpConnector, proxy::Tunnel},
        },
        proxy::matcher::Intercept,
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use reqwest::{Body, Request};
use rustls::ClientConfig;
use tokio::{net::TcpStream, time::timeout};
use tower::{Service, ServiceExt as _};

use super::{
    Error,
    guard::Resolver,
    metered::{LONGEST_HEAD, Meter, Metered},
    network::Proxies,
};

/// A host that drops packets must not use up the whole deadline of a call. Heat may need one minute of it.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept.
pub(super) const POOL_IDLE: Duration = Duration::from_secs(30);

const AGENT: HeaderValue = HeaderValue::from_static(concat!("cloudtenant-operator/", env!("CARGO_PKG_VERSION")));

/// The kernel notices a dead peer: probes after this time without a packet, at this interval, so often.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 3;
/// How long sent bytes may stay unacknowledged.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

type BoxError = Box<dyn StdError + Send + Sync>;

/// TCP.
type Wire = TokioIo<Metered<TcpStream>>;
/// TLS to the proxy if the proxy has it, and within that TLS to the server if the URL begins with https.
type Stream = MaybeHttpsStream<MaybeHttpsStream<Wire>>;
type Connection = TokioIo<Metered<TokioIo<Stream>>>;

/// Connects to clouds with one TLS configuration, on one route.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector<Resolver>,
    tls: Arc<ClientConfig>,
    /// For calls through a proxy: the proxies, and the TLS configuration for a proxy with https.
    proxies: Option<(Proxies, Arc<ClientConfig>)>,
    connect_timeout: Duration,
}

impl Connector {
    pub(super) fn new(
        resolver: Resolver,
        tls: ClientConfig,
        proxies: Option<Proxies>,
        connect_timeout: Duration,
    ) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_timeout));
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE));
        tcp.set_keepalive_retries(Some(KEEPALIVE_PROBES));
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        let with_tls = |proxies| {
            let mut tls = tls.clone();
            tls.alpn_protocols.clear();
            (proxies, Arc::new(tls))
        };
        Self { tcp, proxies: proxies.map(with_tls), tls: Arc::new(tls), connect_timeout }
    }

    fn connect(&self, uri: Uri) -> BoxFuture<'static, Result<Connection, BoxError>> {
        let (meter, most) = (Arc::<Meter>::default(), self.connect_timeout);
        let (tls, of_wire) = (self.tls.clone(), meter.clone());
        let tcp = self.tcp.clone();
        let tcp = tcp.map_response(move |tcp| TokioIo::new(Metered::wire(tcp.into_inner(), of_wire)));
        let is_tunnel = uri.scheme() == Some(&Scheme::HTTPS);
        let (is_forwarded, stream): (_, BoxFuture<'_, Result<Stream, BoxError>>) = match &self.proxies {
            None => {
                let direct = HttpsConnector::from((tcp.map_response(MaybeHttpsStream::Http), tls));
                (false, Box::pin(direct.oneshot(uri)))
            }
            Some((proxies, to_proxy)) => {
                let Some(proxy) = proxies.of(&uri) else {
                    return Box::pin(async { Err("the proxy is unknown".into()) });
                };
                let to_proxy = HttpsConnector::from((tcp, to_proxy.clone()));
                if is_tunnel {
                    let tunnel = HttpsConnector::from((tunnel(&proxy, to_proxy), tls));
                    (false, Box::pin(tunnel.oneshot(uri)))
                } else {
                    let forwarded = to_proxy.map_response(MaybeHttpsStream::Http);
                    (true, Box::pin(forwarded.oneshot(proxy.uri().clone())))
                }
            }
        };
        Box::pin(async move {
            let late = |_| io::Error::from(io::ErrorKind::TimedOut);
            let stream = timeout(most, stream).await.map_err(late)??;
            Ok(TokioIo::new(Metered::http(TokioIo::new(stream), meter, is_forwarded)))
        })
    }
}

fn tunnel<C>(proxy: &Intercept, to_proxy: C) -> Tunnel<C> {
    let mut headers = HeaderMap::from_iter([(USER_AGENT, AGENT)]);
    headers.extend(proxy.basic_auth().map(|auth| (PROXY_AUTHORIZATION, auth.clone())));
    Tunnel::new(proxy.uri().clone(), to_proxy).with_headers(headers)
}

impl Service<Uri> for Connector {
    type Response = Connection;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Connection, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        self.connect(uri)
    }
}

/// An HTTP client. Between calls it keeps only connections: no cookies and no credential. It follows no redirects and
/// does not decompress.
#[derive(Clone)]
pub(super) struct Client {
    http: legacy::Client<Connector, Body>,
    proxies: Option<Proxies>,
}

/// A call without the head of an answer.
pub(super) struct Unanswered {
    pub(super) error: Error,
    /// Whether there was a connection.
    pub(super) was_connected: bool,
}

impl Client {
    /// `most_idle` is the number of idle connections that are kept for each origin.
    pub(super) fn new(connector: Connector, most_idle: usize) -> Self {
        let proxies = connector.proxies.as_ref().map(|(proxies, _)| proxies.clone());
        // HTTP/1.1, since the TLS configurations offer nothing else. Over HTTP/2 all calls to an origin would share one
        // connection with a limited number of streams, so the calls of one service that hangs would hold up all others.
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(most_idle)
            .http1_max_buf_size(LONGEST_HEAD)
            .build(connector);
        Self { http, proxies }
    }

    /// Sends a copy of the request. Returns the head of the answer, whose body may have at most `most` bytes on the wire.
    pub(super) async fn send(&self, request: &Request, most: u64) -> Result<http::Response<Incoming>, Unanswered> {
        let copy = request.try_clone().and_then(|copy| http::Request::<Body>::try_from(copy).ok());
        let Some(mut copy) = copy else {
            return Err(Unanswered { error: Error::UNSENDABLE, was_connected: true });
        };
        // For https the tunnel has this header.
        let proxies = self.proxies.as_ref().filter(|_| copy.uri().scheme() == Some(&Scheme::HTTP));
        let proxy = proxies.and_then(|proxies| proxies.of(copy.uri()));
        let headers = copy.headers_mut();
        headers.entry(USER_AGENT).or_insert(AGENT);
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        // The operator decompresses a body itself, with bounds for the compressed bytes.
        headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("gzip"));
        if let Some(auth) = proxy.as_ref().and_then(Intercept::basic_auth) {
            headers.insert(PROXY_AUTHORIZATION, auth.clone());
        }
        let answer = self.http.request(copy).await;
        let answer = answer
            .map_err(|error| Unanswered { error: Error::of_transport(&error), was_connected: !error.is_connect() })?;
        if let Some(meter) = answer.extensions().get::<Arc<Meter>>() {
            meter.head_ended(most);
        }
        Ok(answer)
    }
}
