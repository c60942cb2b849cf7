//! Sessions share connections. Nothing of one session is sent for another.

// clippy.toml lets tests unwrap, but not the helpers of an integration test.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::HeaderMap,
    response::Response,
};
use cloudtenant_operator::{
    metrics::Metrics,
    openstack::{CloudConfig, Network, Service, Session},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use url::Url;

const LONG: Duration = Duration::from_secs(20);

type Calls = Arc<Mutex<Vec<(SocketAddr, HeaderMap)>>>;

/// A Keystone and a Heat that try to make their client remember something.
async fn cloud() -> (String, Calls) {
    let calls = Calls::default();
    let app = Router::new().fallback(answer).with_state(calls.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(axum::serve(listener, app).into_future());
    (format!("http://{address}"), calls)
}

async fn answer(State(calls): State<Calls>, ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request) -> Response {
    calls.lock().unwrap().push((peer, request.headers().clone()));
    let answer = Response::builder().header("set-cookie", "session=1; Path=/").header("www-authenticate", "Basic");
    answer.header("strict-transport-security", "max-age=9").header("alt-svc", "h3=\":9\"").body(Body::empty()).unwrap()
}

fn session(network: &Network, cloud: &str, token: usize) -> Session {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let override_ = format!("orchestration_endpoint_override: '{cloud}'");
    let yaml = format!("clouds: {{c: {{{override_}, auth: {{auth_url: '{cloud}', token: t-{token}}}}}}}");
    let config = CloudConfig::parse(&yaml, "c", None, None).unwrap();
    Session::new(Arc::new(config), network, Arc::new(Metrics::new())).unwrap()
}

#[tokio::test]
async fn sessions_share_one_connection_and_no_state() {
    let (url, calls) = cloud().await;
    let network = Network::default().allowing_loopback();
    for number in 0..20 {
        session(&network, &url, number).greet(LONG).await.unwrap();
    }
    let calls = calls.lock().unwrap();
    assert_eq!(calls.len(), 20);
    let peers: BTreeSet<_> = calls.iter().map(|(peer, _)| peer).collect();
    assert_eq!(peers.len(), 1, "one connection: {peers:?}");
    for (_, headers) in calls.iter() {
        let names: BTreeSet<_> = headers.keys().map(|name| name.as_str()).collect();
        let of_each_call = BTreeSet::from(["accept", "accept-encoding", "host", "user-agent"]);
        assert_eq!(names, of_each_call, "{headers:?}");
    }
}

/// Every call has the token of its own session, also where many are under way on the same connections.
#[tokio::test]
async fn each_call_has_its_own_sessions_token() {
    let (url, calls) = cloud_with_logins().await;
    let network = Network::default().allowing_loopback();
    let sessions: Vec<_> = (0..30).map(|number| session(&network, &url, number)).collect();
    for _ in 0..3 {
        let asked = sessions.iter().enumerate().map(|(number, session)| {
            let heat = Url::parse(&format!("{url}/heat/{number}")).unwrap();
            async move { session.get(Service::Orchestration, heat, &[], LONG).await.unwrap() }
        });
        futures::future::join_all(asked).await;
    }
    let calls = calls.lock().unwrap();
    assert_eq!(calls.len(), 90);
    for (path, token) in calls.iter() {
        let number = path.strip_prefix("/heat/").unwrap();
        assert_eq!(token, &format!("scoped-t-{number}"), "{path}");
    }
}

/// Its tokens are `scoped-` and the token of the login. Returns the paths and tokens of other calls.
async fn cloud_with_logins() -> (String, Arc<Mutex<Vec<(String, String)>>>) {
    let calls = Arc::<Mutex<Vec<(String, String)>>>::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let noted = calls.clone();
    let answer = move |request: Request| async move {
        let path = request.uri().path().to_owned();
        if path == "/v3/auth/tokens" {
            let body = axum::body::to_bytes(request.into_body(), 4096).await.unwrap();
            let login: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let token = login["auth"]["identity"]["token"]["id"].as_str().unwrap();
            let body = r#"{"token": {"expires_at": "2126-11-22T06:00:00Z"}}"#;
            let answer = Response::builder().status(201).header("x-subject-token", format!("scoped-{token}"));
            return answer.body(Body::from(body)).unwrap();
        }
        let token = request.headers()["x-auth-token"].to_str().unwrap().to_owned();
        noted.lock().unwrap().push((path, token));
        Response::new(Body::empty())
    };
    tokio::spawn(axum::serve(listener, Router::new().fallback(answer)).into_future());
    (format!("http://{address}"), calls)
}

/// A credential whose catalogue names other hosts after each login would otherwise keep a connection to each.
#[tokio::test]
async fn idle_connections_have_a_bound() {
    const ORIGINS: usize = 300;
    let open = Arc::new(AtomicUsize::new(0));
    let network = Network::default().allowing_loopback();
    for number in 0..ORIGINS {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let open = open.clone();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            open.fetch_add(1, SeqCst);
            let mut bytes = [0; 1024];
            while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            }
            open.fetch_sub(1, SeqCst);
        });
        session(&network, &url, number).greet(LONG).await.unwrap();
    }
    let bounded = async {
        while open.load(SeqCst) > 256 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(LONG, bounded).await;
    assert!(waited.is_ok(), "{} connections are open", open.load(SeqCst));
    assert_eq!(open.load(SeqCst), 256, "the first ones are kept");
}
