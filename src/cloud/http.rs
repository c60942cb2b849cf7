//! One HTTP client for one cloud: its certificates, its connections, and what an answer may cost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, ClientBuilder, Request, Response, redirect};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use url::{Origin, Url};

use super::{Answer, CloudConfig, ConfigError, Error, Network, Refusal, tls};
use crate::trust::Authorities;

/// In bytes.
const KIB: usize = 1 << 10;
/// So many bytes of a body need no [`Room`]. Most answers are shorter.
const SMALL: usize = 256 * KIB;
/// How long the rest of a large body may take, while others wait for its room.
const LARGE_DEADLINE: Duration = Duration::from_secs(15);
/// A host that drops packets shall not use up a whole deadline, of which Heat alone needs a minute.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept.
const POOL_IDLE: Duration = Duration::from_secs(90);
/// So many origins are remembered to have answered.
const MOST_ORIGINS: usize = 16;
/// As many redirects are followed in a row.
const REDIRECTS: usize = 3;

/// The longest list of a service's versions, and the like.
pub(super) const SHORT: usize = 64 * KIB;

/// The memory that large bodies of all clouds may take at the same time, so that one cloud's do not end the process.
pub(super) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Room {
        Room(Arc::new(Semaphore::new(64 * KIB)))
    }
}

impl Room {
    /// Waits for room for so many bytes.
    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let share = u32::try_from(bytes / KIB).unwrap_or(u32::MAX);
        self.0.clone().acquire_many_owned(share).await.ok()
    }
}

pub(super) struct Http {
    client: Client,
    network: Network,
    room: Arc<Room>,
    /// Held by the one large body of this cloud that may be under way: others have their turn in between.
    large: Arc<tokio::sync::Mutex<()>>,
    /// When each origin last answered: for so long one of its connections may be in the pool.
    answered: Mutex<HashMap<Origin, Instant>>,
}

impl Http {
    pub(super) fn new(config: &CloudConfig, network: &Network) -> Result<Http, ConfigError> {
        let cacert = config.cacert.as_deref().map(Authorities::from_pem).transpose().map_err(|_| unusable())?;
        let builder = network.apply(builder());
        let builder = if config.verify {
            builder.tls_backend_preconfigured(tls::client_config(network.trust(cacert)).map_err(|_| unusable())?)
        } else {
            builder.tls_danger_accept_invalid_certs(true)
        };
        let client = builder.build().map_err(|_| unusable())?;
        Ok(Http {
            client,
            network: network.clone(),
            room: network.room(),
            large: Arc::default(),
            answered: Mutex::default(),
        })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The whole answer of at most so many bytes, after the redirects within the request's origin.
    ///
    /// A redirect keeps method, headers and body whatever its status, as keystoneauth's does: browsers' habit of
    /// making a GET of a POST would lose a login. The token is in there, so it never leads to another origin.
    pub(super) async fn send(&self, limit: usize, mut request: Request) -> Result<Answer, Error> {
        let origin = request.url().origin();
        for _ in 0..=REDIRECTS {
            let response = self.execute(&request, &origin).await?;
            let Some(target) = redirect_target(&response) else {
                let answer = self.read(limit, response).await?;
                self.note(origin);
                return Ok(answer);
            };
            if target.origin() != origin {
                break;
            }
            *request.url_mut() = target;
        }
        Err(Error::AddressRefused(Refusal::Redirect))
    }

    /// One answer's head. A call that failed on a connection from the pool is repeated once: servers close idle ones.
    async fn execute(&self, request: &Request, origin: &Origin) -> Result<Response, Error> {
        let copy = || request.try_clone().ok_or(Error::Unexpected("the request could not be built"));
        let mut answer = self.client.execute(copy()?).await;
        if answer.as_ref().is_err_and(is_reset) && self.may_be_pooled(origin) {
            answer = self.client.execute(copy()?).await;
        }
        match answer.map_err(|error| Error::of_transport(&error)) {
            Err(Error::TlsFailed(fault)) => Err(tls::explain(fault, request.url(), &self.network).await),
            answer => answer,
        }
    }

    async fn read(&self, limit: usize, mut response: Response) -> Result<Answer, Error> {
        let mut body = Vec::new();
        let mut room = None;
        if fill(&mut response, &mut body, SMALL.min(limit)).await? == Fill::Full {
            if limit <= SMALL {
                return Err(Error::BodyTooLarge);
            }
            let alone = self.large.clone().lock_owned().await;
            room = self.room.take(limit).await.map(|room| (room, alone));
            let rest = timeout(LARGE_DEADLINE, fill(&mut response, &mut body, limit));
            if rest.await.map_err(|_| Error::Timeout)?? == Fill::Full {
                return Err(Error::BodyTooLarge);
            }
        }
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        Ok(Answer::new(status, headers, body, room))
    }

    fn may_be_pooled(&self, origin: &Origin) -> bool {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.get(origin).is_some_and(|at| at.elapsed() < POOL_IDLE)
    }

    fn note(&self, origin: Origin) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        remember(&mut answered, origin, Instant::now());
    }
}

/// Notes that the origin has answered now. The oldest are forgotten: a catalogue may name another origin after each
/// login.
fn remember(answered: &mut HashMap<Origin, Instant>, origin: Origin, now: Instant) {
    if answered.len() >= MOST_ORIGINS && !answered.contains_key(&origin) {
        let oldest = answered.iter().min_by_key(|(_, at)| **at).map(|(origin, _)| origin.clone());
        oldest.and_then(|oldest| answered.remove(&oldest));
    }
    answered.insert(origin, now);
}

/// Without what TLS needs.
pub(super) fn builder() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("cloudtenant-operator/", env!("CARGO_PKG_VERSION")))
        .default_headers(HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]))
        .gzip(true)
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE)
        .redirect(redirect::Policy::none())
}

/// Where an answer redirects to; `None` where it is an answer itself, as a redirect without an address is.
fn redirect_target(response: &Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 305 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let mut target = response.url().join(location).ok()?;
    // They would be sent as a header of their own.
    target.set_username("").ok()?;
    target.set_password(None).ok()?;
    Some(target)
}

fn unusable() -> ConfigError {
    ConfigError::Invalid {
        field: "cacert".into(),
        problem: "cannot be used as a certificate authority: give its certificate in PEM".into(),
    }
}

/// Neither refused nor late: the connection ended before the head of an answer.
fn is_reset(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}

#[derive(PartialEq, Eq)]
enum Fill {
    /// The body is complete.
    Ended,
    /// It is longer than it may be.
    Full,
}

/// Reads on until there are more bytes than `most`, decompressed: a small body that grows is cut as well.
async fn fill(response: &mut Response, body: &mut Vec<u8>, most: usize) -> Result<Fill, Error> {
    while body.len() <= most {
        match response.chunk().await.map_err(|error| Error::of_transport(&error))? {
            Some(chunk) => body.extend_from_slice(&chunk),
            None => return Ok(Fill::Ended),
        }
    }
    Ok(Fill::Full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origins_that_answered_last_are_remembered() {
        let (mut answered, start) = (HashMap::new(), Instant::now());
        let origin = |number: u16| Url::parse(&format!("http://k:{number}")).unwrap().origin();
        for number in 1..=300 {
            let now = start + Duration::from_secs(number.into());
            remember(&mut answered, origin(number), now);
            remember(&mut answered, origin(1), now);
            assert!(answered.len() <= MOST_ORIGINS, "{number}");
        }
        let kept = [1, 300, 286].map(|number| answered.contains_key(&origin(number)));
        assert_eq!((kept, answered.contains_key(&origin(285))), ([true; 3], false));
    }
}
