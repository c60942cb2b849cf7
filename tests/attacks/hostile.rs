//! A server that a tenant owns: a Keystone, a Heat, a DCS and a Nova that answer what they like.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, Uri, header},
    response::Response,
};
use flate2::{Compression, write::GzEncoder};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime, sync::oneshot};

use crate::scene::{PASSWORD, PROJECT};

#[derive(Clone)]
pub enum Reply {
    /// With this status, and `Retry-After: 0`.
    Status(u16, Bytes),
    /// 200, or 201 to a login, with JSON in gzip.
    Gzip(Bytes),
    /// 200 with so many bytes.
    Long(u64),
    /// 200 with so many bytes, and no end.
    Endless(u64),
    /// 200 with single bytes, without end.
    SingleBytes,
    /// Nothing.
    Silence,
    /// One after the other, and from the first again.
    Turns(Vec<Self>),
}

impl Reply {
    pub fn ok(body: &Value) -> Self {
        Self::Status(200, body.to_string().into())
    }

    pub fn gzip(text: &[u8]) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        Self::Gzip(encoder.finish().unwrap().into())
    }
}

/// What each service answers, whatever the request is.
pub struct Answers {
    /// `None`: a token with a catalogue of these three.
    pub keystone: Option<Reply>,
    pub heat: Reply,
    pub dcs: Reply,
    pub nova: Reply,
    /// What follows the service's name in the catalogue's addresses.
    pub version: &'static str,
    /// The name of the token's project, user and role.
    pub names: &'static str,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            keystone: None,
            heat: Reply::ok(&json!({ "services": [] })),
            dcs: Reply::ok(&json!({})),
            nova: Reply::ok(&json!({ "tenant_usage": {} })),
            version: "/v1/p",
            names: "shop",
        }
    }
}

pub struct Hostile {
    base: String,
    shared: Arc<Shared>,
    _stop: oneshot::Sender<()>,
}

struct Shared {
    answers: Answers,
    token: Reply,
    calls: [AtomicUsize; 4],
}

impl Hostile {
    pub fn start(answers: Answers) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let token = answers
            .keystone
            .clone()
            .unwrap_or_else(|| Reply::Status(201, token(&base, answers.version, answers.names).into()));
        let shared = Arc::new(Shared { answers, token, calls: Default::default() });
        let app = Router::new().fallback(answer).with_state(shared.clone());
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    _ = axum::serve(listener, app) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { base, shared, _stop: stop }
    }

    /// A clouds.yaml for it, with more keys.
    pub fn clouds_yaml(&self, more: &str) -> String {
        self.clouds_yaml_of("u", more)
    }

    /// The same for another user.
    pub fn clouds_yaml_of(&self, user: &str, more: &str) -> String {
        format!(
            "clouds: {{openstack: {{auth: {{auth_url: '{}/v3', username: {user}, password: {PASSWORD}, \
             user_domain_id: d, project_id: {PROJECT}}}{more}}}}}",
            self.base
        )
    }

    /// Requests so far of Keystone, Heat, DCS and Nova.
    pub fn calls(&self) -> [usize; 4] {
        self.shared.calls.each_ref().map(|calls| calls.load(Relaxed))
    }
}

pub fn token(base: &str, version: &str, name: &str) -> String {
    let service = |kind: &str, name: &str| {
        let url = format!("{base}/{name}{version}");
        json!({ "type": kind, "endpoints": [{ "interface": "public", "region": "R", "url": url }] })
    };
    json!({ "token": {
        "expires_at": "2099-01-01T00:00:00Z",
        "project": { "id": PROJECT, "name": name },
        "user": { "id": "u", "name": name },
        "roles": [{ "name": name }],
        "catalog": [service("orchestration", "heat"), service("dcs", "dcs"), service("compute", "nova")],
    }})
    .to_string()
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    let answers = &shared.answers;
    let services = [
        ("/v3", &shared.token, 201),
        ("/heat", &answers.heat, 200),
        ("/dcs", &answers.dcs, 200),
        ("/nova", &answers.nova, 200),
    ];
    let Some(at) = services.iter().position(|(path, ..)| uri.path().starts_with(path)) else {
        return respond(404, None, Body::empty());
    };
    let (_, reply, success) = services[at];
    give(reply, success, shared.calls[at].fetch_add(1, Relaxed)).await
}

fn chunks(bytes: u64) -> impl Iterator<Item = Result<Bytes, std::io::Error>> {
    const CHUNK: &[u8] = &[b' '; 1 << 16];
    (0..bytes / CHUNK.len() as u64).map(|_| Ok(Bytes::from_static(CHUNK)))
}

async fn give(reply: &Reply, success: u16, call: usize) -> Response {
    match reply {
        Reply::Status(status, body) => respond(*status, None, body.clone().into()),
        Reply::Gzip(body) => respond(success, Some("gzip"), body.clone().into()),
        Reply::Long(bytes) => respond(success, None, Body::from_stream(futures::stream::iter(chunks(*bytes)))),
        Reply::Endless(bytes) => {
            let chunks = futures::stream::iter(chunks(*bytes)).chain(futures::stream::pending());
            respond(success, None, Body::from_stream(chunks))
        }
        Reply::SingleBytes => {
            let bytes = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(b" ")));
            respond(success, None, Body::from_stream(bytes))
        }
        Reply::Silence => std::future::pending().await,
        Reply::Turns(replies) => Box::pin(give(&replies[call % replies.len()], success, call)).await,
    }
}

fn respond(status: u16, encoding: Option<&str>, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    headers.insert(header::RETRY_AFTER, "0".parse().unwrap());
    headers.insert("x-subject-token", "t".parse().unwrap());
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
    }
    response
}
