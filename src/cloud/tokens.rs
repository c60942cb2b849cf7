//! The session's one token: who logs in, when, and who waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use tokio::time::Instant as Deadline;

use super::http::Http;
use super::token::{self, Token};
use super::{Clock, CloudConfig, Error, Failure, Service};
use crate::metrics::Metrics;

/// A refused login is not repeated for so long, nor a token renewed more often because it is doubted:
/// accounts get locked, and Keystone serves others too.
pub(super) const FIVE_MINUTES: Duration = Duration::from_secs(300);
/// The pause between two renewals ahead of time. A token that cannot get younger would be renewed at each call.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);
/// How long a renewal ahead of time may take. Nobody waits for it.
const RENEWAL_DEADLINE: Duration = Duration::from_secs(60);

pub(super) struct Tokens {
    config: Arc<CloudConfig>,
    http: Arc<Http>,
    metrics: Arc<Metrics>,
    clock: Clock,
    state: Mutex<State>,
    /// Held while a login is under way.
    gate: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    token: Option<Arc<Token>>,
    /// Logins so far, and how the last one failed.
    logins: u64,
    failed: Option<Error>,
    last_login: Option<Instant>,
    refused: Option<Instant>,
    doubted: Option<Instant>,
    /// The token is to be renewed before the next call.
    in_doubt: bool,
}

/// A token for a call.
pub(super) struct Current {
    pub(super) token: Arc<Token>,
    /// Whether the call waited for it, so that a 401 speaks of the service and not of the token's age.
    pub(super) fresh: bool,
}

impl Tokens {
    pub(super) fn new(config: Arc<CloudConfig>, http: Arc<Http>, metrics: Arc<Metrics>, clock: Clock) -> Arc<Tokens> {
        Arc::new(Tokens { config, http, metrics, clock, state: Mutex::default(), gate: Arc::default() })
    }

    /// The token in hand, whatever its age.
    pub(super) fn held(&self) -> Option<Arc<Token>> {
        self.state().token.clone()
    }

    /// A token that has not ended, from Keystone if need be.
    pub(super) async fn current(self: &Arc<Self>, deadline: Deadline) -> Result<Current, Failure> {
        let now = (self.clock)();
        let (held, in_doubt) = {
            let mut state = self.state();
            let held = state.token.clone().filter(|token| !token.has_ended(now));
            (held, std::mem::take(&mut state.in_doubt))
        };
        let Some(token) = held else {
            let token = self.renewed(None, deadline).await?;
            return Ok(Current { token, fresh: true });
        };
        if in_doubt {
            // At most half of the time: should Keystone be down, the old token may still do.
            let left = deadline.saturating_duration_since(Deadline::now());
            let half = Deadline::now() + left / 2;
            if let Ok(token) = self.renewed(Some(&token), half).await {
                return Ok(Current { token, fresh: true });
            }
        } else if token.ends_soon(now) {
            self.renew_aside(now);
        }
        Ok(Current { token, fresh: false })
    }

    /// A token other than `old`: another caller's, if one was faster, else a new one.
    pub(super) async fn renewed(&self, old: Option<&Arc<Token>>, deadline: Deadline) -> Result<Arc<Token>, Failure> {
        let late = |_| Error::Timeout.at(Service::Identity);
        let seen = self.state().logins;
        let gate = tokio::time::timeout_at(deadline, self.gate.lock());
        let _gate = gate.await.map_err(late)?;
        let now = (self.clock)();
        {
            let state = self.state();
            if let Some(token) = &state.token
                && !token.has_ended(now)
                && !old.is_some_and(|old| Arc::ptr_eq(old, token))
            {
                return Ok(token.clone());
            }
            if state.refuses(now) {
                return Err(Error::LoginRefused.at(Service::Identity));
            }
            // Who waited for a login that failed shares the failure, unless only the other's time ran out.
            if let Some(error) = &state.failed
                && state.logins != seen
                && *error != Error::Timeout
            {
                return Err(error.clone().at(Service::Identity));
            }
        }
        self.log_in(deadline).await
    }

    /// The token may be out of date in what it carries: roles and catalogue.
    pub(super) fn doubt(&self) {
        let now = (self.clock)();
        let mut state = self.state();
        let recent = |at: Instant| now.saturating_duration_since(at) < FIVE_MINUTES;
        if state.token.is_some() && !state.doubted.is_some_and(recent) {
            state.doubted = Some(now);
            state.in_doubt = true;
        }
    }

    /// Renews in the background, unless that is under way or was tried just now.
    fn renew_aside(self: &Arc<Self>, now: Instant) {
        {
            let state = self.state();
            let pause = |at: Instant| now.saturating_duration_since(at) < RENEWAL_PAUSE;
            if state.last_login.is_some_and(pause) || state.refuses(now) {
                return;
            }
        }
        if let Ok(gate) = self.gate.clone().try_lock_owned() {
            let tokens = self.clone();
            tokio::spawn(async move {
                let _gate = gate;
                let deadline = Deadline::now() + RENEWAL_DEADLINE;
                if let Err(failure) = tokens.log_in(deadline).await {
                    tracing::warn!(host = tokens.config.host(), error = %failure, "the token was not renewed, the old one stays in use");
                }
            });
        }
    }

    /// One login, its outcome kept. The caller holds the gate.
    async fn log_in(&self, deadline: Deadline) -> Result<Arc<Token>, Failure> {
        let started = Instant::now();
        let asked = (self.clock)();
        let outcome = tokio::time::timeout_at(deadline, self.ask(asked)).await;
        let outcome = outcome.unwrap_or(Err(Error::Timeout)).map(Arc::new);
        let label = outcome.as_ref().err().map_or("ok", Error::kind);
        self.metrics.cloud_login(label);
        self.metrics.cloud_request(Service::Identity.as_str(), label, started.elapsed());

        let mut state = self.state();
        state.logins += 1;
        state.last_login = Some(asked);
        state.failed = outcome.as_ref().err().cloned();
        state.refused = matches!(outcome, Err(Error::LoginRefused)).then_some(asked);
        match outcome {
            Ok(token) => {
                state.in_doubt = false;
                state.token = Some(token.clone());
                Ok(token)
            }
            Err(error) => Err(error.at(Service::Identity)),
        }
    }

    async fn ask(&self, asked: Instant) -> Result<Token, Error> {
        let mut url = self.config.auth_url.clone();
        url.set_path(&format!("{}/auth/tokens", url.path()));
        let body = token::login(&self.config.auth).to_string();
        let request = self
            .http
            .client()
            .post(url)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body)
            .build()
            .map_err(|error| Error::of_transport(&error))?;
        let answer = self.http.send(request).await?;
        match answer.status {
            // 404 is Keystone's word for an unknown application credential; a wrong auth_url looks the same.
            401 | 403 | 404 => Err(Error::LoginRefused),
            _ => Token::read(&answer.ok()?, asked),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refuses(&self, now: Instant) -> bool {
        let recent = |at: Instant| now.saturating_duration_since(at) < FIVE_MINUTES;
        self.refused.is_some_and(recent)
    }
}
