//! Redirects: what is asked again, and where it is never asked.

// clippy.toml lets tests unwrap, but not the helpers of an integration test.
#![allow(clippy::unwrap_used)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::Response,
};
use cloudtenant_operator::{
    metrics::Metrics,
    openstack::{CloudConfig, Error, Network, Refusal, Service, Session},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const LONG: Duration = Duration::from_secs(20);

/// One request: its method, path, body, and the headers that matter.
#[derive(Debug, Clone, PartialEq)]
struct Asked {
    method: String,
    path: String,
    body: Value,
    content_type: Option<String>,
    token: Option<String>,
}

/// Where paths lead to, and with which status; any other path is answered.
type Leads = Box<dyn Fn(&str) -> Option<(u16, Option<String>)> + Send + Sync>;

struct Cloud {
    url: String,
    leads: Leads,
    asked: Mutex<Vec<Asked>>,
}

impl Cloud {
    async fn start(leads: impl Fn(&str) -> Option<(u16, Option<String>)> + Send + Sync + 'static) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let cloud = Arc::new(Self { url, leads: Box::new(leads), asked: Mutex::default() });
        let app = Router::new().fallback(handle).with_state(cloud.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        cloud
    }

    /// A session that logs in below `/old`.
    fn session(&self) -> Session {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let auth = "username: u, password: hunter2, user_domain_id: default, project_id: p";
        let yaml = format!("clouds: {{c: {{auth: {{auth_url: '{}/old/v3', {auth}}}}}}}", self.url);
        let config = CloudConfig::parse(&yaml, "c", None, None).unwrap();
        Session::new(Arc::new(config), &Network::default().allowing_loopback(), Arc::new(Metrics::new())).unwrap()
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn handle(State(cloud): State<Arc<Cloud>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let header = |name| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let (content_type, token) = (header("content-type"), header("x-auth-token"));
    let (method, path) = (parts.method.to_string(), parts.uri.path().to_owned());
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    cloud.asked.lock().unwrap().push(Asked { method, path: path.clone(), body, content_type, token });
    if let Some((status, location)) = (cloud.leads)(&path) {
        let answer = Response::builder().status(status);
        let answer = location.into_iter().fold(answer, |answer, location| answer.header("location", location));
        return answer.body(Body::empty()).unwrap();
    }
    let token = json!({ "token": {
        "issued_at": "2026-11-22T05:00:00.000000Z", "expires_at": "2026-11-22T06:00:00.000000Z",
        "project": { "id": "p", "name": "project" },
        "catalog": [{ "type": "orchestration", "endpoints": [
            { "interface": "public", "region": "r", "url": format!("{}/heat", cloud.url) }] }],
    } });
    let answer = Response::builder().status(201).header("x-subject-token", "token-1");
    answer.body(token.to_string().into()).unwrap()
}

/// As keystoneauth (`Session._send_request`): browsers would make a GET of it at 301, 302 and 303.
#[tokio::test]
async fn a_login_stays_a_login() {
    for status in [301, 302, 303, 305, 307, 308] {
        let cloud = Cloud::start(move |path| Some((status, Some(format!("/new{}", path.strip_prefix("/old")?))))).await;
        cloud.session().log_in(LONG).await.unwrap();
        let asked = cloud.asked();
        assert_eq!(asked.len(), 2, "{status}: {asked:?}");
        let expected = Asked { path: "/new/v3/auth/tokens".to_owned(), ..asked[0].clone() };
        assert_eq!(asked[1], expected, "{status}");
        assert_eq!((asked[0].method.as_str(), asked[0].content_type.as_deref()), ("POST", Some("application/json")));
        assert_eq!(asked[0].body["auth"]["identity"]["password"]["user"]["password"], "hunter2");
    }
}

#[tokio::test]
async fn a_call_keeps_its_token_within_the_origin() {
    let cloud = Cloud::start(|path| (path == "/heat/old").then(|| (302, Some("there?a=b#c".to_owned())))).await;
    let session = cloud.session();
    let url = format!("{}/heat/old", cloud.url).parse().unwrap();
    let answer = session.get(Service::Orchestration, url, &[("X-Extra", "1")], LONG).await.unwrap();
    assert_eq!(answer.status, 201);
    let asked: Vec<_> =
        cloud.asked().into_iter().skip(1).map(|asked| (asked.method, asked.path, asked.token)).collect();
    let get = |path: &str| ("GET".to_owned(), path.to_owned(), Some("token-1".to_owned()));
    assert_eq!(asked, [get("/heat/old"), get("/heat/there")]);
}

#[tokio::test]
async fn how_far_a_login_is_followed() {
    let other = Cloud::start(|_| None).await;
    let away = other.url.clone();
    let refused = Err(Error::AddressRefused(Refusal::Redirect));
    // A path that counts down, so that the number is how many redirects there are.
    let three = |path: &str, from: u32| {
        let step = path.strip_prefix("/step").map_or(Some(from), |rest| rest.parse().ok())?;
        (step > 0).then(|| (302, Some(format!("/step{}", step - 1))))
    };
    type Row = (&'static str, Leads, usize, Result<(), Error>);
    let rows: Vec<Row> = vec![
        ("three", Box::new(move |path| three(path, 3)), 4, Ok(())),
        ("four", Box::new(move |path| three(path, 4)), 4, refused.clone()),
        ("for ever", Box::new(|path| Some((307, Some(path.to_owned())))), 4, refused.clone()),
        ("elsewhere", Box::new(move |_| Some((307, Some(format!("{away}/v3/auth/tokens"))))), 1, refused.clone()),
        ("to another scheme", Box::new(|_| Some((301, Some("https://127.0.0.1/v3".to_owned())))), 1, refused.clone()),
        ("to no URL", Box::new(|_| Some((301, Some("http://[".to_owned())))), 1, Err(Error::UnexpectedStatus(301))),
        ("to nowhere", Box::new(|_| Some((301, None))), 1, Err(Error::UnexpectedStatus(301))),
        ("no redirect", Box::new(|_| Some((300, Some("/v3".to_owned())))), 1, Err(Error::UnexpectedStatus(300))),
    ];
    for (name, leads, calls, expected) in rows {
        let cloud = Cloud::start(leads).await;
        let ended = cloud.session().log_in(LONG).await.map_err(|failure| failure.error);
        assert_eq!(ended, expected, "{name}");
        assert_eq!(cloud.asked().len(), calls, "{name}");
    }
    assert!(other.asked().is_empty(), "a password went to another origin");
}
