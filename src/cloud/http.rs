//! One HTTP client for one cloud: its certificates, its connections, and what an answer may cost.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Certificate, Client, ClientBuilder, Request, redirect};
use url::Origin;

use super::{Answer, CloudConfig, ConfigError, Error, Network};

/// The longest body that is read, decompressed. A list of a thousand servers' usage is below 1 MiB.
const BODY_LIMIT: usize = 16 << 20;
/// A host that drops packets shall not use up a whole deadline, of which Heat alone needs a minute.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept.
const POOL_IDLE: Duration = Duration::from_secs(90);
const REDIRECTS: usize = 3;

pub(super) struct Http {
    client: Client,
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
        Ok(Http { client, answered: Mutex::default() })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The whole answer. A call that failed on a connection from the pool is repeated once: servers close idle ones.
    pub(super) async fn send(&self, request: Request) -> Result<Answer, Error> {
        let origin = request.url().origin();
        let repeat = request.try_clone().filter(|_| self.may_be_pooled(&origin));
        let answer = match (self.client.execute(request).await, repeat) {
            (Err(error), Some(repeat)) if is_reset(&error) => self.client.execute(repeat).await,
            (answer, _) => answer,
        };
        let answer = read(answer.map_err(|error| Error::of_transport(&error))?).await?;
        self.note(origin);
        Ok(answer)
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

async fn read(mut response: reqwest::Response) -> Result<Answer, Error> {
    let mut body = Vec::new();
    loop {
        // Decompressed bytes: a small body that grows is cut as well.
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > BODY_LIMIT => {
                return Err(Error::BodyTooLarge);
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Err(Error::of_transport(&error)),
        }
    }
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    Ok(Answer::new(status, headers, body))
}
