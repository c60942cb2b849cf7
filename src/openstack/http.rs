//! A session's requests, and what an answer may cost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use url::Url;

use super::clients::Choice;
use super::{Answer, CloudConfig, Error, Network, Refusal, tls};

/// In bytes.
const KIB: usize = 1 << 10;
/// So many bytes of a body need no [`Room`]. Most answers are shorter.
const SMALL: usize = 256 * KIB;
/// How long the rest of a large body may take, while others wait for its room.
const LARGE_DEADLINE: Duration = Duration::from_secs(15);
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

/// One session's way to its cloud. Its client belongs to all sessions of the same TLS setting.
pub(super) struct Http {
    config: Arc<CloudConfig>,
    network: Network,
    /// Held by the one large body of this session that may be under way: others have their turn in between.
    large: Arc<tokio::sync::Mutex<()>>,
}

impl Http {
    pub(super) fn new(config: Arc<CloudConfig>, network: &Network) -> Http {
        Http { config, network: network.clone(), large: Arc::default() }
    }

    /// The whole answer of at most so many bytes, after the redirects within the request's origin.
    ///
    /// A redirect keeps method, headers and body whatever its status, as keystoneauth's does: browsers' habit of
    /// making a GET of a POST would lose a login. The token is in there, so it never leads to another origin.
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

    /// One answer's head. A call that failed on a connection from the pool is repeated once: servers close idle ones.
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

    async fn read(&self, limit: usize, mut response: Response) -> Result<Answer, Error> {
        let mut body = Vec::new();
        let mut room = None;
        if fill(&mut response, &mut body, SMALL.min(limit)).await? == Fill::Full {
            if limit <= SMALL {
                return Err(Error::BodyTooLarge);
            }
            let alone = self.large.clone().lock_owned().await;
            room = self.network.room().take(limit).await.map(|room| (room, alone));
            let rest = timeout(LARGE_DEADLINE, fill(&mut response, &mut body, limit));
            if rest.await.map_err(|_| Error::Timeout)?? == Fill::Full {
                return Err(Error::BodyTooLarge);
            }
        }
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        Ok(Answer::new(status, headers, body, room))
    }
}

/// A GET with these headers.
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
