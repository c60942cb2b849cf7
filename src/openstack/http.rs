//! A session's requests, with bounds for each answer.

mod incoming;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use incoming::{Fill, Incoming};
use reqwest::{
    Method, Request, Response,
    header::{HeaderName, HeaderValue, LOCATION},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use url::Url;

use super::{Answer, CloudConfig, Error, Network, Refusal, clients::Choice, tls};

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

/// The memory for large bodies of all clouds together, so that one cloud cannot exhaust the process's memory.
pub(super) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(32 * KIB)))
    }
}

impl Room {
    /// Waits until this number of bytes is available.
    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let share = u32::try_from(bytes / KIB).unwrap_or(u32::MAX);
        self.0.clone().acquire_many_owned(share).await.ok()
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
    pub(super) async fn send(&self, limit: usize, mut request: Request) -> Result<Answer, Error> {
        let origin = request.url().origin();
        let clients = self.network.clients();
        for _ in 0..=REDIRECTS {
            let choice = clients.choose(&self.network, &self.config, &origin).await?;
            let response = self.execute(&choice, &request).await?;
            let Some(target) = redirect_target(&response) else {
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
    async fn execute(&self, choice: &Choice, request: &Request) -> Result<Response, Error> {
        let copy = || request.try_clone().ok_or(Error::Unexpected("the request could not be built"));
        let mut answer = choice.client.execute(copy()?).await;
        if answer.as_ref().is_err_and(is_reset) && choice.may_reuse {
            answer = choice.client.execute(copy()?).await;
        }
        match answer.map_err(|error| Error::of_transport(&error)) {
            Err(Error::TlsFailed(fault)) => Err(tls::explain(fault, request.url(), &self.network).await),
            answer => answer,
        }
    }

    async fn read(&self, limit: usize, response: Response) -> Result<Answer, Error> {
        let mut incoming = Incoming::new(limit, response);
        let mut room = None;
        if incoming.fill(SMALL.min(limit)).await? == Fill::Full {
            if limit <= SMALL {
                return Err(Error::BodyTooLarge);
            }
            let alone = self.large.clone().lock_owned().await;
            room = self.network.room().take(limit).await.map(|room| (room, alone));
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
    let unusable = Error::Unexpected("the request could not be built");
    let mut request = Request::new(Method::GET, url);
    for (name, value) in headers {
        let header = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
        let (name, value) = header.ok_or_else(|| unusable.clone())?;
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

/// The target of a redirect; `None` for any other answer, including a redirect without an address.
fn redirect_target(response: &Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 305 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let mut target = response.url().join(location).ok()?;
    // The client would send them as an `Authorization` header.
    target.set_username("").ok()?;
    target.set_password(None).ok()?;
    Some(target)
}

/// Whether the connection ended before the head of an answer: neither a refused connection nor a time-out.
fn is_reset(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}
