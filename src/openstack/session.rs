//! A session: one user at one cloud.

mod domains;
mod identity;
mod kept;
mod signed;
mod skew;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use domains::Domains;
use identity::{End, Projects};
use jiff::{SignedDuration, Timestamp};
use reqwest::header::HeaderValue;
use skew::Skew;
use tokio::{
    sync::Semaphore,
    time::{Instant as Deadline, timeout_at},
};
use url::Url;

use super::{
    Answer, CloudConfig, ConfigError, Counters, Error, Failure, Network, Refusal, Service,
    config::{needs_project, web_url, with_token, with_version},
    credential::FIVE_MINUTES,
    http::{self, Http, SHORT},
    log,
    signature::Signer,
    stream::Sink,
    token::{Holder, Token, TokenProject},
    tokens::{Current, Tokens},
};
use crate::words::word;

/// The maximum number of concurrent calls of a session to one service. Further calls wait, within their deadlines.
const IN_FLIGHT: usize = 16;
/// A larger clock difference is logged once.
const MUCH_SKEW: Duration = Duration::from_secs(30);
/// The upper bound of a deadline, so that a clock can represent its end.
const LONGEST_DEADLINE: Duration = Duration::from_secs(86_400);

/// A monotonic clock for the age of tokens. Deadlines of calls always use real time.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// The address of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The URL has no trailing slash, unless it is only an origin.
    pub url: Url,
    /// Whether it comes from clouds.yaml instead of the service catalogue.
    pub overridden: bool,
    /// The ID of the token's project, which some addresses in a catalogue contain.
    pub token_project: Option<String>,
}

/// A GET with a token.
struct Call<'a> {
    /// The statuses besides 2xx that a healthy service returns.
    expected: &'a [u16],
    service: Service,
    url: Url,
    headers: &'a [(&'static str, &'a str)],
    /// The limit for the body, in bytes.
    most: usize,
    deadline: Deadline,
}

/// What proves a call's right.
#[derive(Clone, Copy)]
enum Proof<'a> {
    Token,
    Signature(&'a Signer),
}

/// An authenticated user of a cloud. All callers share one token.
pub struct Session {
    config: Arc<CloudConfig>,
    /// Keystone's host, as the configuration says it.
    host: Box<str>,
    http: Arc<Http>,
    pub(super) tokens: Arc<Tokens>,
    /// The entry's access key.
    signer: Option<Arc<Signer>>,
    counters: Arc<dyn Counters>,
    clock: Clock,
    /// One semaphore per service, so that a service that hangs does not delay calls to the others. The sessions for the
    /// projects of an entry share them.
    in_flight: Arc<[Semaphore; Service::ALL.len()]>,
    /// How far each service's clock is ahead of the operator's, from its latest answer with a `Date`. Indexed by
    /// [`Service`].
    ahead: Mutex<[Option<Skew>; Service::ALL.len()]>,
    projects: Mutex<Projects>,
    domains: Mutex<Domains>,
    /// When the application credential expires. Locked during a query, so that only one caller queries.
    ends: tokio::sync::Mutex<End>,
    /// When each service last rejected a new token. Such a service rejects any token, so a further login would not
    /// help.
    rejected: Mutex<BTreeMap<Service, Instant>>,
    /// When a service last asked for a pause, with the failure that did. Until it is over, nothing is sent to the service,
    /// also not for other projects of the entry.
    pauses: Arc<Mutex<BTreeMap<Service, (Instant, Failure)>>>,
    /// The error of each service's latest call, removed at the next success. The first such failure is logged as a
    /// warning.
    failing: Mutex<BTreeMap<Service, &'static str>>,
}

impl Session {
    /// Creates a session. It sends no request.
    ///
    /// # Errors
    /// Currently none: `cacert` is checked with the entry, and the HTTP client is built at the first call.
    ///
    /// # Panics
    /// If the process has no default rustls crypto provider.
    pub fn new(config: Arc<CloudConfig>, network: &Network, counters: Arc<dyn Counters>) -> Result<Self, ConfigError> {
        Self::with_clock(config, network, counters, Arc::new(Instant::now))
    }

    /// [`Session::new`] with another clock, so that tests need not wait for tokens to age.
    ///
    /// # Errors
    /// The errors of [`Session::new`].
    pub fn with_clock(
        config: Arc<CloudConfig>,
        network: &Network,
        counters: Arc<dyn Counters>,
        clock: Clock,
    ) -> Result<Self, ConfigError> {
        Self::build(config, network, counters, clock, None)
    }

    /// Creates a session for an observed project; this one is the session of its
    /// [entry](CloudConfig::entry). Its logins wait for this one's.
    ///
    /// # Errors
    /// The errors of [`Session::new`].
    pub fn for_project(self: &Arc<Self>, config: Arc<CloudConfig>, network: &Network) -> Result<Self, ConfigError> {
        let session = Self::build(config, network, self.counters.clone(), self.clock.clone(), Some(self.clone()))?;
        session.tokens.rely_on(self, network);
        Ok(session)
    }

    fn build(
        config: Arc<CloudConfig>,
        network: &Network,
        counters: Arc<dyn Counters>,
        clock: Clock,
        entry: Option<Arc<Self>>,
    ) -> Result<Self, ConfigError> {
        let http = Arc::new(Http::new(config.clone(), network));
        if !config.verify && entry.is_none() {
            tracing::warn!(
                host = config.host(),
                "verify is false in clouds.yaml: the cloud's certificates are not checked"
            );
        }
        let credential = network.credentials().of(&config, clock());
        let signer = Signer::of(
            &config,
            network,
            http.clone(),
            clock.clone(),
            entry.as_ref().and_then(|entry| entry.signer.as_deref()),
        );
        let (in_flight, pauses) = match &entry {
            Some(entry) => (entry.in_flight.clone(), entry.pauses.clone()),
            None => (Arc::new(Service::ALL.map(|_| Semaphore::new(IN_FLIGHT))), Arc::default()),
        };
        Ok(Self {
            tokens: Tokens::new(
                config.clone(),
                (http.clone(), signer.clone()),
                (credential, network.brakes().clone()),
                counters.clone(),
                clock.clone(),
                entry,
            ),
            signer,
            in_flight,
            ahead: Mutex::default(),
            projects: Mutex::default(),
            domains: Mutex::default(),
            ends: tokio::sync::Mutex::default(),
            rejected: Mutex::default(),
            pauses,
            failing: Mutex::default(),
            host: config.host().into(),
            config,
            http,
            counters,
            clock,
        })
    }

    /// The service's address. Logs in if necessary.
    ///
    /// An override in clouds.yaml takes precedence over the catalogue. Keystone's address is the `auth_url`.
    ///
    /// # Errors
    /// A failed login, [`Error::ServiceNotInCatalogue`], [`Error::ServiceElsewhere`], [`Error::RegionNotFound`],
    /// [`Error::Unscoped`], [`Error::NoProject`].
    pub async fn endpoint(&self, service: Service, deadline: Duration) -> Result<Endpoint, Failure> {
        let current = self.tokens.current(end(deadline)).await?;
        self.locate(service, &current.token)
    }

    /// Requests Keystone's versions without a token, to check that it answers and that its certificate is trusted.
    ///
    /// # Errors
    /// No answer, or an untrusted certificate. Any status is a success.
    pub async fn greet(&self, deadline: Duration) -> Result<(), Failure> {
        self.greet_at(Service::Identity, self.config.auth_url.clone(), deadline).await
    }

    /// [`Session::greet`] for any service at this address.
    ///
    /// # Errors
    /// The errors of [`Session::greet`].
    pub async fn greet_at(&self, service: Service, url: Url, deadline: Duration) -> Result<(), Failure> {
        let request = http::get(url, &[]).map_err(|error| error.at(service))?;
        let answer = timeout_at(end(deadline), self.http.send(service.row().body_limit, request))
            .await
            .unwrap_or(Err(Error::Timeout));
        answer.map(drop).map_err(|error| error.at(service))
    }

    /// Logs in if necessary.
    ///
    /// # Errors
    /// A failed login.
    pub async fn log_in(&self, deadline: Duration) -> Result<(), Failure> {
        self.tokens.current(end(deadline)).await.map(drop)
    }

    /// The token's project. Logs in if necessary.
    ///
    /// # Errors
    /// A failed login, and [`Error::Unscoped`].
    pub async fn project(&self, deadline: Duration) -> Result<TokenProject, Failure> {
        let current = self.tokens.current(end(deadline)).await?;
        let project = current.token.project.clone();
        project.ok_or(Error::Unscoped.at(Service::Identity))
    }

    /// The project of the current token; `None` before the first login.
    pub fn known_project(&self) -> Option<TokenProject> {
        self.tokens.held()?.project.clone()
    }

    /// The region whose addresses are used: the configured one, or else the one that was chosen from the catalogue of
    /// the current token. In the form that may be displayed.
    pub fn known_region(&self) -> Option<String> {
        let named = self.config.region().map(word);
        named.or_else(|| Some(word(self.tokens.held()?.places.region()?)))
    }

    /// The error for a call that needs a project, if the current token has none.
    pub(crate) fn no_project(&self) -> Option<Error> {
        self.tokens.held()?.no_project()
    }

    /// The cloud's host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What Keystone said about the credential of the current token; `None` before the first login.
    pub fn known_holder(&self) -> Option<Holder> {
        Some(self.tokens.held()?.holder.clone())
    }

    /// The service's clock when the operator's shows `now`, from the service's answers. Before its first answer,
    /// Keystone's clock from the login applies, and before that the operator's.
    pub fn cloud_time(&self, service: Service, now: Timestamp) -> Timestamp {
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner)[service as usize];
        let ahead = ahead.map(|skew| skew.now());
        let ahead = ahead.or_else(|| Some(self.tokens.held()?.ahead)).unwrap_or_default();
        now.saturating_add(ahead).unwrap_or(now)
    }

    /// Sends a GET to `url`, which must have the service's origin, with the token and `headers`.
    ///
    /// `deadline` covers everything: the wait for other calls, a login, and the body. Any status except 401 is
    /// returned. After a 401 the client renews the token and repeats the call once.
    ///
    /// # Errors
    /// A failed login has [`Service::Identity`]. After a 401 with a new token: [`Error::TokenRejected`] or
    /// [`Error::OutsideAccessRules`]. For the next five minutes a 401 of this service no longer renews the token.
    pub async fn get(
        &self,
        service: Service,
        url: Url,
        headers: &[(&'static str, &str)],
        deadline: Duration,
    ) -> Result<Answer, Failure> {
        self.get_expecting(&[], service, url, headers, deadline).await
    }

    /// [`Session::get`] for a call where a healthy service may return these statuses, too: metrics count them as `ok`.
    ///
    /// If 401 is among them, it does not renew a token whose application credential has access rules.
    ///
    /// # Errors
    /// The errors of [`Session::get`].
    pub async fn get_expecting(
        &self,
        expected: &[u16],
        service: Service,
        url: Url,
        headers: &[(&'static str, &str)],
        deadline: Duration,
    ) -> Result<Answer, Failure> {
        self.get_into::<()>(expected, service, url, headers, deadline).await.map(|(answer, ())| answer)
    }

    /// [`Session::get_expecting`] with a sink that takes a large body of status 2xx while it arrives. The answer then
    /// has the end of the body, which the sink has not taken.
    ///
    /// # Errors
    /// The errors of [`Session::get`].
    pub(crate) async fn get_into<S: Sink>(
        &self,
        expected: &[u16],
        service: Service,
        url: Url,
        headers: &[(&'static str, &str)],
        deadline: Duration,
    ) -> Result<(Answer, S), Failure> {
        let most = service.row().body_limit;
        self.call(&Call { expected, service, url, headers, most, deadline: end(deadline) }).await
    }

    /// [`Session::get_expecting`] without headers and with a limit of 64 KiB for the body.
    ///
    /// # Errors
    /// The errors of [`Session::get`].
    pub async fn get_short(
        &self,
        expected: &[u16],
        service: Service,
        url: Url,
        deadline: Duration,
    ) -> Result<Answer, Failure> {
        let call = Call { expected, service, url, headers: &[], most: SHORT, deadline: end(deadline) };
        self.call::<()>(&call).await.map(|(answer, ())| answer)
    }

    async fn call<S: Sink>(&self, call: &Call<'_>) -> Result<(Answer, S), Failure> {
        let Call { service, deadline, expected, .. } = *call;
        let Current { mut token, fresh } = self.tokens.current(deadline).await?;
        if let Some(signer) = self.signer_of(service) {
            return self.call_signed(signer, call, &token, fresh).await;
        }
        let (mut answer, mut sink) = self.send(call, &token, Proof::Token).await?;
        if answer.status != 401 {
            self.rejections().remove(&service);
            return Ok((answer, sink));
        }
        let tolerated = expected.contains(&401);
        if tolerated && token.holder.has_access_rules {
            return Ok((answer, sink));
        }
        let fresh = fresh || self.signer.is_some() && token.is_new((self.clock)());
        if !fresh && !self.rejects(service) {
            // The answer may hold memory that the next one needs.
            drop(answer);
            token = self.tokens.replacement_for(&token, deadline).await?;
            (answer, sink) = self.send(call, &token, Proof::Token).await?;
            if answer.status != 401 {
                return Ok((answer, sink));
            }
        }
        let now = (self.clock)();
        self.rejections().entry(service).or_insert(now);
        if let Some(signer) = self.signer_instead(call, &answer) {
            drop(answer);
            return self.call_signed_instead(signer, call, &token).await;
        }
        let error = if token.holder.has_access_rules { Error::OutsideAccessRules } else { Error::TokenRejected };
        if tolerated {
            return Ok((answer, sink));
        }
        let code = answer.failure(service).and_then(|failure| failure.code);
        Err(Failure { code, ..error.at(service) })
    }

    /// Causes a renewal of the token before the next call, at most once in five minutes.
    ///
    /// Call it after [`Error::Forbidden`], [`Error::NotFound`], [`Error::ServiceNotInCatalogue`] or
    /// [`Error::RegionNotFound`]. A token has the roles and the catalogue of the time of its login.
    pub fn doubt_token(&self) {
        self.tokens.doubt();
    }

    fn locate(&self, service: Service, token: &Token) -> Result<Endpoint, Failure> {
        Ok(Endpoint {
            url: self.address(service, token)?.into_owned(),
            overridden: self.config.overrides.contains_key(&service),
            token_project: token.project.as_ref().map(|project| project.id.clone()),
        })
    }

    fn address<'a>(&'a self, service: Service, token: &'a Token) -> Result<Cow<'a, Url>, Failure> {
        let url = match self.config.overrides.get(&service) {
            Some(text) => {
                let project = token.project.as_ref().map_or("", |project| &project.id);
                let url = web_url(&with_token(text, project, &token.holder.user_id));
                let url = if service == Service::Identity { url.map(with_version) } else { url };
                let problem = "the endpoint override is no URL with the token's project and user in it";
                let missing = token.no_project().filter(|_| needs_project(text));
                missing.map_or_else(|| url.ok_or(Error::Unexpected(problem)), Err).map(Cow::Owned)
            }
            None if service == Service::Identity => Ok(Cow::Borrowed(&self.config.auth_url)),
            None => in_catalogue(service, token).map(Cow::Owned),
        };
        url.map_err(|error| error.at(service))
    }

    /// Sends one GET with one token.
    async fn send<S: Sink>(&self, call: &Call<'_>, token: &Token, proof: Proof<'_>) -> Result<(Answer, S), Failure> {
        let Call { expected, service, ref url, headers, most, deadline } = *call;
        if !has_same_origin(url, &*self.address(service, token)?) {
            return Err(Error::AddressRefused(Refusal::OtherOrigin).at(service));
        }
        let permit = timeout_at(deadline, self.in_flight[service as usize].acquire()).await;
        let _permit = permit.map_err(|_| Error::Timeout.at(service))?;
        if let Some(failure) = self.pause(service) {
            return Err(failure);
        }

        let mut request = http::get(url.clone(), headers).map_err(|error| error.at(service))?;
        if matches!(proof, Proof::Token) {
            let mut value = HeaderValue::from_str(token.value.expose())
                .map_err(|_| Error::Unexpected("the token is no header value").at(Service::Identity))?;
            value.set_sensitive(true);
            request.headers_mut().insert("x-auth-token", value);
        }
        let project = token.project.as_ref().map(|project| project.id.as_str());
        let confidential = match proof {
            Proof::Token => token.value.expose(),
            Proof::Signature(signer) => signer.confidential(),
        };
        let sent = async {
            match proof {
                Proof::Token => self.http.send_prepared(most, request, |_| Ok(())).await,
                Proof::Signature(signer) => signer.send(most, request, project).await,
            }
        };

        let started = Instant::now();
        let sent = timeout_at(deadline, sent).await;
        let took = started.elapsed();
        let (mut answer, sink) = match sent.unwrap_or(Err(Error::Timeout)) {
            Ok((answer, sink)) => (Ok(answer), sink),
            Err(error) => (Err(error), S::default()),
        };
        if let Ok(answer) = &mut answer {
            answer.took = took;
            answer.deadline = deadline;
        }
        if let Ok(Answer { date: Some(date), .. }) = &answer {
            self.set_clock(service, date.duration_since(Timestamp::now()));
        }
        let failed = match &answer {
            Ok(answer) if expected.contains(&answer.status) => None,
            Ok(answer) => answer.failure(service),
            Err(error) => Some(error.clone().at(service)),
        };
        self.note_pause(service, failed.as_ref());
        let outcome = failed.as_ref().map_or("ok", Failure::kind);
        self.counters.cloud_request(service, outcome, took);
        let first = self.is_new_failure(service, outcome);
        if let Some(failure) = failed {
            log::failed(self.config.host(), &failure, answer.as_ref().ok(), confidential, first);
        }
        answer.map(|answer| (answer, sink)).map_err(|error| error.at(service))
    }

    /// The failure of a service that asked for a pause which is not over. Many tenants may share the session, and one
    /// refused call suffices for all of them.
    fn pause(&self, service: Service) -> Option<Failure> {
        let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, failure) = pauses.get(&service)?;
        let passed = (self.clock)().saturating_duration_since(*since);
        match failure.error.clone().still_after(passed, Duration::ZERO) {
            Some(error) => Some(Failure { error, ..failure.clone() }),
            None => {
                pauses.remove(&service);
                None
            }
        }
    }

    /// Records whether the service asked for a pause. Heat has one caller, which counts its answers: it honours the pause
    /// itself, and each 503 must be one that Heat sent.
    fn note_pause(&self, service: Service, failed: Option<&Failure>) {
        let asked = failed.filter(|failure| failure.retry_after().is_some() && service != Service::Orchestration);
        if let Some(failure) = asked {
            let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
            pauses.insert(service, ((self.clock)(), failure.clone()));
        }
    }

    /// Records how a call ended. A failure is new if the service's latest call succeeded or failed with another error.
    fn is_new_failure(&self, service: Service, outcome: &'static str) -> bool {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            "ok" => failing.remove(&service).is_some(),
            kind => failing.insert(service, kind) != Some(kind),
        }
    }

    /// Records how far the service's clock is ahead of the operator's. Logs once when the difference becomes large.
    fn set_clock(&self, service: Service, ahead: SignedDuration) {
        self.counters.clock_ahead(&self.host, service, ahead.as_secs_f64());
        let known = &mut self.ahead.lock().unwrap_or_else(PoisonError::into_inner)[service as usize];
        let before = known.replace(Skew::new(ahead));
        let much = |ahead: SignedDuration| ahead.unsigned_abs() > MUCH_SKEW;
        if much(ahead) && !before.is_some_and(|before| much(before.ahead)) {
            let seconds = ahead.as_secs();
            tracing::warn!(
                host = self.config.host(),
                service = service.as_str(),
                seconds,
                "the cloud's clock is ahead of ours, or behind: set the clocks"
            );
        }
    }

    fn rejects(&self, service: Service) -> bool {
        let now = (self.clock)();
        let recent = |at: &Instant| now.saturating_duration_since(*at) < FIVE_MINUTES;
        let mut rejections = self.rejections();
        let rejects = rejections.get(&service).is_some_and(recent);
        if !rejects {
            rejections.remove(&service);
        }
        rejects
    }

    fn rejections(&self) -> MutexGuard<'_, BTreeMap<Service, Instant>> {
        self.rejected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("host", &self.config.host()).finish_non_exhaustive()
    }
}

/// Whether both URLs, which are web addresses, have the same origin.
fn has_same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}

fn in_catalogue(service: Service, token: &Token) -> Result<Url, Error> {
    token.places.find(service).map_err(|error| match error {
        Error::ServiceNotInCatalogue | Error::ServiceElsewhere { .. } | Error::RegionNotFound { .. } => {
            token.without_project(service).unwrap_or(error)
        }
        other => other,
    })
}

fn end(deadline: Duration) -> Deadline {
    Deadline::now() + deadline.min(LONGEST_DEADLINE)
}
