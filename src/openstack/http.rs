//! A session's requests, with bounds for each answer.

mod incoming;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{
    HeaderMap, Response,
    header::{HeaderName, HeaderValue, LOCATION},
};
use hyper::body::{Body as _, Incoming as Stream};
use incoming::{Fill, Incoming, most_on_wire};
use reqwest::{Method, Request};
use tokio::time::timeout;
use url::{Origin, Url};

use super::{
    Answer, CloudConfig, Error, Network, Refusal, clients::Choice, connector::Unanswered, hosts::host_of, tls,
};
use crate::share::{Permit, Priority, Shares, Sharing, namespace};

/// In bytes.
const KIB: usize = 1 << 10;
/// Up to this number of bytes, a body needs no [`Room`]. Most answers are shorter.
const SMALL: usize = 256 * KIB;
/// The deadline for the rest of a large body, because other bodies wait for its memory.
const LARGE_DEADLINE: Duration = Duration::from_secs(15);
/// The maximum number of consecutive redirects.
const REDIRECTS: usize = 3;

/// In bytes: the limit for short answers, such as a service's list of versions.
pub(super) const SHORT: usize = 64 * KIB;

/// In KiB: the memory for large bodies of all clouds together, so that one cloud cannot exhaust the process's memory.
const ROOM: u32 = 32 << 10;

/// The memory for large bodies. One namespace gets at most half of it, so bodies that do not end leave room for others.
pub(super) struct Room(Shares);

impl Default for Room {
    fn default() -> Self {
        Self(Shares::new(ROOM, Sharing::LeavesAsMuch))
    }
}

impl Room {
    /// Waits until the limit of a body is available. Within a namespace, bodies that announce a small size go first.
    async fn take(&self, limit: usize, announced: Option<u64>) -> Permit {
        let size = announced.and_then(|bytes| usize::try_from(bytes).ok()).map_or(limit, |bytes| bytes.min(limit));
        let places = u32::try_from(limit / KIB).unwrap_or(ROOM);
        self.0.take(namespace(), places, Priority::BySize(size)).await
    }
}

/// The HTTP requests of one session. All sessions with the same TLS setting share the client.
pub(super) struct Http {
    config: Arc<CloudConfig>,
    network: Network,
    /// Allows one large body per session, so that other sessions get memory in between.
    large: Arc<tokio::sync::Mutex<()>>,
}

impl Http {
    pub(super) fn new(config: Arc<CloudConfig>, network: &Network) -> Self {
        Self { config, network: network.clone(), large: Arc::default() }
    }

    /// Returns the complete answer of at most `limit` bytes. Redirects are followed within the request's origin.
    ///
    /// A redirect keeps method, headers and body whatever its status, as in keystoneauth. Browsers change a POST to a
    /// GET, which would break a login. The request contains the token, so a redirect to another origin is refused.
    pub(super) async fn send(&self, limit: usize, request: Request) -> Result<Answer, Error> {
        self.send_prepared(limit, request, |_| Ok(())).await
    }

    /// [`Self::send`] with `prepare` applied before the request and before each redirect: a signature covers the path.
    pub(super) async fn send_prepared(
        &self,
        limit: usize,
        mut request: Request,
        prepare: impl Fn(&mut Request) -> Result<(), Error>,
    ) -> Result<Answer, Error> {
        let origin = request.url().origin();
        let clients = self.network.clients();
        for _ in 0..=REDIRECTS {
            let route = self.network.route(request.url()).await?;
            self.network.pace().wait(host_of(request.url())).await;
            let choice = clients.choose(&self.network, &self.config, &origin, route).await?;
            prepare(&mut request)?;
            let response = self.execute(&choice, &origin, &request, most_on_wire(limit)).await?;
            let target = is_redirect(response.status().as_u16()).then(|| target(request.url(), response.headers()));
            let Some(target) = target.flatten() else {
                let answer = self.read(limit, response).await?;
                if choice.keeps {
                    clients.note(self.network.setting(&self.config), origin, Instant::now());
                }
                return Ok(answer);
            };
            if target.origin() != origin {
                break;
            }
            *request.url_mut() = target;
        }
        Err(Error::AddressRefused(Refusal::Redirect))
    }

    /// Returns the head of one answer. Servers close idle connections, so a failure on a pooled connection is retried
    /// once.
    async fn execute(
        &self,
        choice: &Choice,
        origin: &Origin,
        request: &Request,
        most: u64,
    ) -> Result<Response<Stream>, Error> {
        let attempt = self.network.circuits().begin(origin, Instant::now())?;
        let mut answer = choice.client.send(request, most).await;
        if answer.as_ref().is_err_and(is_reset) && choice.may_reuse {
            answer = choice.client.send(request, most).await;
        }
        let failed = answer.as_ref().err().filter(|failed| !failed.was_connected).map(|failed| &failed.error);
        attempt.ended(failed, Instant::now());
        match answer.map_err(|failed| failed.error) {
            Err(Error::TlsFailed(fault)) => Err(tls::explain(fault, request.url(), &self.network).await),
            answer => answer,
        }
    }

    async fn read(&self, limit: usize, response: Response<Stream>) -> Result<Answer, Error> {
        let announced = response.body().size_hint().exact();
        let mut incoming = Incoming::new(limit, response);
        let mut room = None;
        if incoming.fill(SMALL.min(limit)).await? == Fill::Full {
            if limit <= SMALL {
                return Err(Error::BodyTooLarge);
            }
            let alone = self.large.clone().lock_owned().await;
            room = Some((self.network.room().take(limit, announced).await, alone));
            let rest = timeout(LARGE_DEADLINE, incoming.fill(limit));
            if rest.await.map_err(|_| Error::Timeout)?? == Fill::Full {
                return Err(Error::BodyTooLarge);
            }
        }
        let (status, headers, body) = incoming.into_parts();
        Ok(Answer::new(status, headers, body, room))
    }
}

/// Builds a GET request with these headers.
pub(super) fn get(url: Url, headers: &[(&'static str, &str)]) -> Result<Request, Error> {
    let mut request = Request::new(Method::GET, url);
    for (name, value) in headers {
        let header = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
        let (name, value) = header.ok_or(Error::UNSENDABLE)?;
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 305 | 307 | 308)
}

/// The target of a redirect from this URL; `None` without a usable address.
fn target(url: &Url, headers: &HeaderMap) -> Option<Url> {
    let location = headers.get(LOCATION)?.to_str().ok()?;
    let mut target = url.join(location).ok()?;
    // The operator sends no credential but its own.
    target.set_username("").ok()?;
    target.set_password(None).ok()?;
    Some(target)
}

/// Whether the connection ended before the head of an answer: neither a refused connection nor a time-out.
fn is_reset(failed: &Unanswered) -> bool {
    failed.was_connected && failed.error == Error::ConnectionFailed
}
