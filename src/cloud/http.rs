//! One HTTP client for one cloud: its certificates, its connections, and what an answer may cost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, ClientBuilder, Request, Response, redirect};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use url::Origin;

use super::{Answer, CloudConfig, ConfigError, Error, Network, Service};

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
const REDIRECTS: usize = 3;

/// The longest body that is read, decompressed, in bytes.
const fn limit(service: Service) -> usize {
    match service {
        // DCS counts its instances, and names a hundred numbers at most.
        Service::Cache => 256 * KIB,
        // A catalogue with many regions.
        Service::Identity => 4096 * KIB,
        // Ten thousand engines; ten thousand servers, of which Nova lists a thousand unless told otherwise.
        Service::Orchestration | Service::Compute => 8192 * KIB,
    }
}

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
    room: Arc<Room>,
    /// Held by the one large body of this cloud that may be under way: others have their turn in between.
    large: Arc<tokio::sync::Mutex<()>>,
    /// When each origin last answered: for so long one of its connections may be in the pool.
    answered: Mutex<HashMap<Origin, Instant>>,
}

impl Http {
    pub(super) fn new(config: &CloudConfig, network: &Network) -> Result<Http, ConfigError> {
        let mut certificates = match &config.cacert {
            Some(pem) => Certificate::from_pem_bundle(pem.as_bytes()).map_err(unusable)?,
            None => Vec::new(),
        };
        certificates.extend_from_slice(network.authorities());
        let builder = || network.apply(builder()).tls_danger_accept_invalid_certs(!config.verify);
        let platform = builder().tls_certs_merge(certificates.clone()).build();
        // An image without any root certificate, as `scratch`, makes that fail; the Secret's may suffice.
        let client = match platform {
            Ok(client) => client,
            Err(_) => builder().tls_certs_only(certificates).build().map_err(unusable)?,
        };
        Ok(Http { client, room: network.room(), large: Arc::default(), answered: Mutex::default() })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The whole answer. A call that failed on a connection from the pool is repeated once: servers close idle ones.
    pub(super) async fn send(&self, service: Service, request: Request) -> Result<Answer, Error> {
        let origin = request.url().origin();
        let repeat = request.try_clone().filter(|_| self.may_be_pooled(&origin));
        let answer = match (self.client.execute(request).await, repeat) {
            (Err(error), Some(repeat)) if is_reset(&error) => self.client.execute(repeat).await,
            (answer, _) => answer,
        };
        let answer = self.read(service, answer.map_err(|error| Error::of_transport(&error))?).await?;
        self.note(origin);
        Ok(answer)
    }

    async fn read(&self, service: Service, mut response: Response) -> Result<Answer, Error> {
        let limit = limit(service);
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
        answered.insert(origin, Instant::now());
    }
}

fn builder() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("cloudtenant-operator/", env!("CARGO_PKG_VERSION")))
        .default_headers(HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]))
        .gzip(true)
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE)
        .redirect(redirect::Policy::custom(|attempt| {
            // The token goes along: never to another origin.
            let first = attempt.previous().first().map(|url| url.origin());
            if first != Some(attempt.url().origin()) || attempt.previous().len() > REDIRECTS {
                attempt.error("redirect refused")
            } else {
                attempt.follow()
            }
        }))
}

fn unusable(_: reqwest::Error) -> ConfigError {
    ConfigError::Invalid {
        field: "cacert".into(),
        problem: "cannot be used as a certificate authority: give its certificate in PEM".into(),
    }
}

/// Neither refused nor late: the connection ended before the head of an answer.
fn is_reset(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout() && !error.is_redirect()
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
