//! A way to the API server on which a test holds, answers or passes requests.
//!
//! It speaks HTTP to the operator and acts as the operator's account. So a test chooses the moment at which a process is
//! killed, and what other clients do between a request and its answer.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use anyhow::{Context as _, Result, ensure};
use axum::{
    Router,
    body::{Body, HttpBody, to_bytes},
    extract::{Request, State},
    response::Response,
};
use http::{
    HeaderMap, Method, StatusCode,
    header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
};
use hyper::body::{Bytes, Frame};
use kube::{Client, client, config::Kubeconfig};
use serde_json::Value;
use tokio::sync::watch;

use crate::{control_plane::ControlPlane, router::serve};

/// No request of the operator is longer.
const LONGEST: usize = 4 << 20;

/// Which requests a rule is for.
#[derive(Debug, Clone)]
pub struct Which {
    /// The method.
    pub method: Method,
    /// A part of the path with the query.
    pub path: &'static str,
    /// A part of the body.
    pub body: &'static str,
}

/// What happens to the next request that a rule is for. The rule is for one request.
#[derive(Debug, Clone)]
pub enum Deed {
    /// It waits for [`Gateway::release`], and then goes on to the API server.
    Hold,
    /// It goes on to the API server, and its answer never comes back.
    Swallow,
    /// It does not reach the API server, and has this answer.
    Answer(u16, Value),
}

/// The way.
pub struct Gateway {
    kubeconfig: Kubeconfig,
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    rules: Mutex<Vec<(Which, Deed)>>,
    /// So many requests have met a rule.
    met: watch::Sender<usize>,
    /// So many requests have been released.
    released: watch::Sender<usize>,
    /// So many times all answers under way have been ended.
    cuts: watch::Sender<usize>,
}

impl Gateway {
    /// A way for a ServiceAccount. It ends with the test's runtime.
    ///
    /// # Errors
    /// There is no such account, or no free port.
    pub async fn to(control_plane: &ControlPlane, namespace: &str, account: &str) -> Result<Self> {
        let shared = Arc::new(Shared {
            client: control_plane.client_for_service_account(namespace, account).await?,
            rules: Mutex::default(),
            met: watch::Sender::new(0),
            released: watch::Sender::new(0),
            cuts: watch::Sender::new(0),
        });
        let url = serve(Router::new().fallback(pass).with_state(shared.clone())).await?;
        let mut kubeconfig = control_plane.kubeconfig_for_service_account(namespace, account).await?;
        let cluster = kubeconfig.clusters.first_mut().and_then(|cluster| cluster.cluster.as_mut());
        let cluster = cluster.context("the kubeconfig has no cluster")?;
        cluster.server = Some(url);
        cluster.certificate_authority_data = None;
        Ok(Self { kubeconfig, shared })
    }

    /// The configuration of a client that takes this way.
    #[must_use]
    pub fn kubeconfig(&self) -> &Kubeconfig {
        &self.kubeconfig
    }

    /// The next request of this kind has this fate.
    pub fn next(&self, which: Which, deed: Deed) {
        self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner).push((which, deed));
    }

    /// Waits until every rule has had its request.
    ///
    /// # Errors
    /// The gateway has ended.
    pub async fn until_met(&self) -> Result<()> {
        let is_met = |_: &usize| self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        ensure!(self.shared.met.subscribe().wait_for(is_met).await.is_ok(), "the gateway has ended");
        Ok(())
    }

    /// Lets the requests go on that are held.
    pub fn release(&self) {
        self.shared.released.send_modify(|released| *released += 1);
    }

    /// Ends all answers under way, as an API server does that ends its watches.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Shared {
    fn deed(&self, method: &Method, path: &str, body: &[u8]) -> Option<Deed> {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(body);
        let is_for = |which: &Which| which.method == method && path.contains(which.path) && text.contains(which.body);
        let found = rules.iter().position(|(which, _)| is_for(which))?;
        Some(rules.remove(found).1)
    }
}

fn refusal(code: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = code;
    response
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match through(&shared, request).await {
        Ok(response) => response,
        Err(error) => refusal(StatusCode::BAD_GATEWAY, format!("{error:#}")),
    }
}

/// What belongs to one connection, and what the client sets itself.
fn without_hop(headers: &HeaderMap) -> HeaderMap {
    let own = [HOST, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING];
    headers.iter().filter(|(name, _)| !own.contains(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

async fn through(shared: &Shared, request: Request) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LONGEST).await?;
    let path = parts.uri.path_and_query().context("no path")?.as_str().to_owned();
    let mut released = shared.released.subscribe();
    let deed = shared.deed(&parts.method, &path, &body);
    let before = *released.borrow_and_update();
    if deed.is_some() {
        shared.met.send_modify(|met| *met += 1);
    }
    match &deed {
        Some(Deed::Hold) => drop(released.wait_for(|released| *released > before).await?),
        Some(Deed::Answer(code, answer)) => return Ok(refusal(StatusCode::from_u16(*code)?, answer.to_string())),
        Some(Deed::Swallow) | None => {}
    }
    let mut onward = http::Request::builder().method(parts.method).uri(path).body(client::Body::from(body.to_vec()))?;
    *onward.headers_mut() = without_hop(&parts.headers);
    let (parts, body) = shared.client.send(onward).await?.into_parts();
    if matches!(deed, Some(Deed::Swallow)) {
        std::future::pending::<()>().await;
    }
    let mut cuts = shared.cuts.subscribe();
    let before = *cuts.borrow_and_update();
    let end = Box::pin(async move {
        // The gateway outlives its answers.
        let _ = cuts.wait_for(|cuts| *cuts > before).await;
    });
    let mut response = Response::new(Body::new(Cut { body, end }));
    *response.status_mut() = parts.status;
    *response.headers_mut() = without_hop(&parts.headers);
    Ok(response)
}

/// An answer that can be ended.
struct Cut {
    body: client::Body,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl HttpBody for Cut {
    type Data = Bytes;
    type Error = kube::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if self.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        Poll::Ready(ready!(Pin::new(&mut self.body).poll_frame(context)))
    }
}
