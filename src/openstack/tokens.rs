//! Manages a session's token: when to log in, and which callers wait for it.

mod project;
mod signatures;

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use reqwest::{
    Method, Request,
    header::{CONTENT_TYPE, HeaderValue},
};
use tokio::time::Instant as Deadline;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{
    Answer, Clock, CloudConfig, Counters, Error, Failure, Service, Session, SignatureRefusal,
    brake::{Brakes, Login as BrakedLogin, LoginPermit},
    credential::{self, Credential, FIVE_MINUTES},
    http::Http,
    log,
    proving::{Prover, Turn},
    signature::Signer,
    token::{self, Token},
};
use crate::share::{Priority, Shares, Sharing, namespace, on_behalf_of};

/// The minimum interval between early renewals. Without it, a token with a very short life would be renewed at each
/// call.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);
/// The minimum interval between a session's logins. It applies whatever expiry or `Retry-After` Keystone sends, and
/// however often a service rejects the token.
const LOGIN_PAUSE: Duration = Duration::from_secs(5);
/// The pause after a failed login if Keystone requests no other pause. Without it every caller would retry. Later
/// callers wait until [`LOGIN_PAUSE`] is over.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);
/// Logins under way, of one namespace at most half. A login may outlive the queries that wait for it.
static LOGINS: LazyLock<Shares> = LazyLock::new(|| Shares::new(512, Sharing::LeavesAsMuch));
/// The deadline of a login. It is independent of the deadlines of the callers.
const LOGIN_DEADLINE: Duration = Duration::from_secs(60);

pub(super) struct Tokens {
    config: Arc<CloudConfig>,
    http: Arc<Http>,
    /// The access key of an entry that signs all its requests, and therefore needs no token.
    signer: Option<Arc<Signer>>,
    credential: Arc<Credential>,
    brakes: Arc<Brakes>,
    /// The login as the brake sees it.
    braked: BrakedLogin,
    /// The session of the entry as it is written, if this one is for an observed project.
    entry: Option<Arc<Session>>,
    /// The user, if a session for an observed project uses it.
    prover: OnceLock<Arc<Prover>>,
    /// How much earlier than necessary a token is renewed, in thousandths of the usual time before its end. It spreads
    /// the renewals of many projects.
    early: u32,
    /// The namespaces whose tenants use the session, sorted. Most sessions have one.
    namespaces: Mutex<Vec<String>>,
    counters: Arc<dyn Counters>,
    clock: Clock,
    state: Mutex<State>,
    /// Cancelled when the session has no more users.
    abandoned: CancellationToken,
}

/// A login under way, shared by all callers that wait for it.
type Login = Shared<BoxFuture<'static, Result<Arc<Token>, Failure>>>;

#[derive(Default)]
struct State {
    token: Option<Arc<Token>>,
    login: Option<Login>,
    /// The time and the failure of the last login, if it failed. Boxed, as the refusal: most sessions have none.
    failed: Option<Box<(Instant, Failure)>>,
    /// The latest refusal of this login. A session for an observed project notes only those of its project: the session
    /// of its entry has those of the user.
    refusal: Option<Box<Failure>>,
    /// When the last login ended, with or without success.
    last_login: Option<Instant>,
    doubted: Option<Instant>,
    /// Whether the token must be renewed before the next call.
    in_doubt: bool,
    /// The memory reservation that an abandoned session still holds.
    account: Option<Arc<dyn Any + Send + Sync>>,
}

/// A token for a call.
pub(super) struct Current {
    pub(super) token: Arc<Token>,
    /// Whether the call waited for a new token. A 401 then does not come from an old token.
    pub(super) fresh: bool,
}

impl Tokens {
    pub(super) fn new(
        config: Arc<CloudConfig>,
        (http, signer): (Arc<Http>, Option<Arc<Signer>>),
        (credential, brakes): (Arc<Credential>, Arc<Brakes>),
        counters: Arc<dyn Counters>,
        clock: Clock,
        entry: Option<Arc<Session>>,
    ) -> Arc<Self> {
        let braked = BrakedLogin::of(&config);
        let early = entry.as_ref().map_or(0, |_| credential::login(&config).part_of(1000));
        let (namespaces, state, abandoned) = (Mutex::default(), Mutex::default(), CancellationToken::new());
        let signer = signer.filter(|_| config.signs_all());
        let prover = OnceLock::new();
        Arc::new(Self {
            config,
            http,
            signer,
            credential,
            brakes,
            braked,
            entry,
            prover,
            early,
            namespaces,
            counters,
            clock,
            state,
            abandoned,
        })
    }

    /// Ends the session. A login that waits for its turn is cancelled: if Keystone does not answer, its turn may come
    /// hours later. A login that was sent continues, because a refusal counts for the credential. Until its end it
    /// holds the memory, and therefore `account`.
    pub(super) fn abandon(&self, account: Arc<dyn Any + Send + Sync>) {
        self.abandoned.cancel();
        let mut state = self.state();
        state.account = state.under_way().map(|_| account);
    }

    /// The current token, whatever its age.
    pub(super) fn held(&self) -> Option<Arc<Token>> {
        self.state().token.clone()
    }

    /// A token that has not expired. Logs in if necessary.
    pub(super) async fn current(self: &Arc<Self>, deadline: Deadline) -> Result<Current, Failure> {
        let now = (self.clock)();
        let (held, in_doubt) = {
            let mut state = self.state();
            let held = state.token.clone().filter(|token| !token.has_ended(now));
            (held, std::mem::take(&mut state.in_doubt))
        };
        let Some(token) = held else {
            let token = self.renewed(None, LOGIN_PAUSE, deadline).await?;
            return Ok(Current { token, fresh: true });
        };
        if in_doubt {
            // No pause is needed, because a token is doubted at most once in five minutes. The renewal gets at most
            // half of the time: if Keystone is down, the old token may still work.
            let left = deadline.saturating_duration_since(Deadline::now());
            let half = Deadline::now() + left / 2;
            if let Ok(token) = self.renewed(Some(&token), Duration::ZERO, half).await {
                return Ok(Current { token, fresh: true });
            }
        } else if token.ends_soon(now, self.early) {
            self.renew_in_background(now);
        }
        Ok(Current { token, fresh: false })
    }

    /// Calls [`Self::renewed`] for a token that a service has rejected.
    pub(super) async fn replacement_for(
        self: &Arc<Self>,
        rejected: &Arc<Token>,
        deadline: Deadline,
    ) -> Result<Arc<Token>, Failure> {
        self.renewed(Some(rejected), LOGIN_PAUSE, deadline).await
    }

    /// Returns a token other than `old`: one that another caller obtained, or a new one. A new login starts at least
    /// `pause` after the last one. It continues if its caller gives up, so that the next caller gets its result.
    async fn renewed(
        self: &Arc<Self>,
        old: Option<&Arc<Token>>,
        pause: Duration,
        deadline: Deadline,
    ) -> Result<Arc<Token>, Failure> {
        let login = {
            let now = (self.clock)();
            let mut state = self.state();
            let other = |token: &&Arc<Token>| !token.has_ended(now) && !old.is_some_and(|old| Arc::ptr_eq(old, token));
            if let Some(token) = state.token.as_ref().filter(other) {
                return Ok(token.clone());
            }
            match state.under_way() {
                Some(login) => login,
                None => match self.why_no_login(&state, now) {
                    Some(failure) => return Err(failure),
                    None => self.start(&mut state, pause, now),
                },
            }
        };
        tokio::time::timeout_at(deadline, login).await.unwrap_or_else(|_| Err(Error::Timeout.at(Service::Identity)))
    }

    /// Marks the token's roles and catalogue as possibly out of date.
    pub(super) fn doubt(&self) {
        let now = (self.clock)();
        let mut state = self.state();
        let recent = |at: Instant| now.saturating_duration_since(at) < FIVE_MINUTES;
        if state.token.is_some() && !state.doubted.is_some_and(recent) {
            state.doubted = Some(now);
            state.in_doubt = true;
        }
    }

    /// Renews in the background, unless a login is under way or was tried recently.
    fn renew_in_background(self: &Arc<Self>, now: Instant) {
        let mut state = self.state();
        let paused = state.last_login.is_some_and(|at| now.saturating_duration_since(at) < RENEWAL_PAUSE);
        if !paused && state.under_way().is_none() && self.why_no_login(&state, now).is_none() {
            drop(self.start(&mut state, LOGIN_PAUSE, now));
        }
    }

    /// Why a login is useless now: Keystone refused the credential, or the last login failed recently.
    fn why_no_login(&self, state: &State, now: Instant) -> Option<Failure> {
        if let Some(refusal) = self.user_refusal(state, now) {
            return Some(refusal);
        }
        if self.credential.refuses(now) {
            return Some(self.refusal(state));
        }
        if !self.needs_no_brake() && self.brakes.refuses(&self.using(), self.braked, now) {
            return Some(Error::LoginBraked.at(Service::Identity));
        }
        let (at, failure) = *state.failed.clone()?;
        // A cloud may lock an access key after signatures of a wrong time, too.
        let is_signature = matches!(failure.error, Error::SignatureRefused(_));
        let pause = if is_signature { FIVE_MINUTES } else { FAILURE_PAUSE };
        let error = failure.error.still_after(now.saturating_duration_since(at), pause)?;
        Some(Failure { error, ..failure })
    }

    /// Starts a login, at least `pause` after the last one.
    fn start(self: &Arc<Self>, state: &mut State, pause: Duration, now: Instant) -> Login {
        let tokens = self.clone();
        let wait =
            state.last_login.map_or(Duration::ZERO, |at| pause.saturating_sub(now.saturating_duration_since(at)));
        let login = async move {
            tokio::time::sleep(wait).await;
            let login = AssertUnwindSafe(tokens.log_in()).catch_unwind().await;
            login.unwrap_or_else(|_| {
                tokens.counters.login_panicked();
                Err(login_aborted())
            })
        };
        // Set before the login, so that it also holds if the login panics.
        state.last_login = Some(now + wait);
        let login = tokio::spawn(on_behalf_of(namespace(), login.in_current_span()));
        let login = login.map(move |ended| ended.unwrap_or_else(|_| Err(login_aborted())));
        let login = login.boxed().shared();
        state.login.insert(login).clone()
    }

    /// Performs one login and stores its result.
    async fn log_in(&self) -> Result<Arc<Token>, Failure> {
        let user = self.abandoned.run_until_cancelled(self.user_turn()).await;
        let Some(user) = user else { return Err(login_aborted()) };
        let turn = self.abandoned.run_until_cancelled(self.credential.turn()).await;
        let Some(alone) = turn else { return Err(login_aborted()) };
        let namespaces = self.using();
        let turn = self.abandoned.run_until_cancelled(self.brake_turn(&namespaces)).await;
        let Some(turn) = turn else { return Err(login_aborted()) };
        let place = self.abandoned.run_until_cancelled(LOGINS.one(namespace(), Priority::Later)).await;
        let Some(place) = place else { return Err(login_aborted()) };
        let (sent, began) = ((self.clock)(), Instant::now());
        // Keystone may have refused another session of the same user in the meantime.
        let refused = self.credential.refuses(sent);
        let outcome = match (&user, &turn) {
            (Err(failure), _) => Err(failure.clone()),
            _ if refused => Err(self.refusal(&self.state())),
            (_, Err(failure)) => Err(failure.clone()),
            (Ok(_), Ok(_)) => self.try_once(sent, &namespaces).await,
        };
        let was_sent = !refused && user.is_ok() && turn.is_ok();
        // The explanation may need another login of the user, which waits for the same places.
        drop((turn, user, alone, place));
        let outcome = match outcome {
            Err(failure) if was_sent => Err(self.explained(failure, sent).await),
            outcome => outcome,
        };
        let mut state = self.state();
        let ended = sent + began.elapsed();
        (state.login, state.last_login, state.failed) = (None, Some(ended), None);
        match &outcome {
            Ok(token) => {
                state.in_doubt = false;
                state.token = Some(token.clone());
            }
            Err(failure) if self.is_own_refusal(failure) => state.refusal = Some(Box::new(failure.clone())),
            Err(failure) if is_refusal(failure) => {}
            Err(failure) => state.failed = Some(Box::new((ended, failure.clone()))),
        }
        if let Err(Failure { error, .. }) = &outcome
            && state.token.as_ref().is_some_and(|token| !token.has_ended(sent))
        {
            tracing::warn!(host = self.config.host(), %error, "no new token: the old one stays in use until its end");
        }
        outcome
    }

    async fn try_once(&self, sent: Instant, namespaces: &[String]) -> Result<Arc<Token>, Failure> {
        let started = Instant::now();
        let end = Deadline::now() + LOGIN_DEADLINE;
        let (outcome, answer) = match &self.signer {
            None => self.exchange(sent, end).await,
            Some(signer) => signatures::read_place(signer, &self.config, sent, end).await,
        };
        let label = outcome.as_ref().err().map_or("ok", Failure::kind);
        self.counters.cloud_login(label);
        self.counters.cloud_request(Service::Identity, label, started.elapsed());
        let outcome = outcome.map_err(|failure| self.without_rescoping(failure, answer.as_ref()));
        if let Some(prover) = self.prover.get() {
            prover.note_pause(outcome.as_ref().err(), sent + started.elapsed());
        }
        match &outcome {
            Ok(token) if token.proven => self.note(namespaces, true, sent),
            Err(failure) if is_refusal(failure) => self.note(namespaces, false, sent),
            Ok(_) | Err(_) => {}
        }
        outcome.map(Arc::new).inspect_err(|failure| {
            let sent = self.signer.as_ref().map(|signer| signer.confidential());
            let secret = sent.unwrap_or_else(|| token::secret(&self.config.auth).expose());
            let first = self.state().failed.as_ref().is_none_or(|before| before.1.kind() != failure.kind());
            log::failed(self.config.host(), failure, answer.as_ref(), secret, first);
        })
    }

    /// Sends the login.
    async fn exchange(&self, sent: Instant, end: Deadline) -> (Result<Token, Failure>, Option<Answer>) {
        let answer = tokio::time::timeout_at(end, self.send_login()).await.unwrap_or(Err(Error::Timeout));
        match answer {
            Ok(mut answer) => {
                answer.deadline = end;
                digest(answer, sent, self.config.clone()).await
            }
            Err(error) => (Err(error.at(Service::Identity)), None),
        }
    }

    /// Waits for the right to send the login. A credential that has logged in before needs none.
    async fn brake_turn(&self, namespaces: &[String]) -> Result<Option<LoginPermit>, Failure> {
        if self.needs_no_brake() {
            return Ok(None);
        }
        let turn = self.brakes.turn(namespaces, self.braked, || (self.clock)()).await;
        turn.map(Some).ok_or_else(|| Error::LoginBraked.at(Service::Identity))
    }

    fn note(&self, namespaces: &[String], accepted: bool, sent: Instant) {
        self.note_user(accepted, sent);
        if self.is_for_observed_project() {
            // The brake does not apply, and the proving login decides whether the project or the user was refused.
            if accepted {
                self.credential.note(true, sent);
            }
            return;
        }
        self.credential.note(accepted, sent);
        self.brakes.note(namespaces, self.braked, accepted, sent);
    }

    async fn send_login(&self) -> Result<Answer, Error> {
        let mut url = self.config.auth_url.clone();
        url.set_path(&format!("{}/auth/tokens", url.path()));
        let mut request = Request::new(Method::POST, url);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(token::login(&self.config.auth).to_string().into());
        self.http.send(Service::Identity.row().body_limit, request).await
    }

    /// The namespaces whose tenants use the session now.
    pub(super) fn using(&self) -> Vec<String> {
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records whether tenants of this namespace use the session.
    pub(super) fn note_use(&self, namespace: &str, is_used: bool) {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        match namespaces.binary_search_by(|known| known.as_str().cmp(namespace)) {
            Err(at) if is_used => {
                if namespaces.is_empty() {
                    namespaces.reserve_exact(1);
                }
                namespaces.insert(at, namespace.to_owned());
            }
            Ok(at) if !is_used => drop(namespaces.remove(at)),
            _ => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether Keystone refused the credential itself. A signature of a wrong time does not count, because the operator's
/// clock is not part of the credential.
const fn is_refusal(failure: &Failure) -> bool {
    match &failure.error {
        Error::LoginRefused => true,
        Error::SignatureRefused(why) => !matches!(why, SignatureRefusal::Clock(_)),
        _ => false,
    }
}

fn login_aborted() -> Failure {
    Error::Unexpected("the operator failed while it logged in").at(Service::Identity)
}

/// The result of [`read`], and the answer unless the deadline passed.
async fn digest(answer: Answer, sent: Instant, config: Arc<CloudConfig>) -> (Result<Token, Failure>, Option<Answer>) {
    let read = answer.digest(Service::Identity, move |answer| (read(&answer, sent, &config), Some(answer)));
    read.await.unwrap_or_else(|failure| (Err(failure), None))
}

/// The token in the answer to a login, or the failure.
fn read(answer: &Answer, sent: Instant, config: &CloudConfig) -> Result<Token, Failure> {
    match answer.failure(Service::Identity) {
        // 404 means an unknown application credential. A wrong auth_url gives the same status.
        Some(failure) if [401, 403, 404].contains(&answer.status) => {
            Err(Failure { error: Error::LoginRefused, ..failure })
        }
        Some(failure) => Err(failure),
        None => Token::read(answer, sent, config).map_err(|error| error.at(Service::Identity)),
    }
}

/// Whether Keystone accepts the user, and refused the project.
fn is_of_project(error: &Error) -> bool {
    matches!(error, Error::ProjectRefused | Error::ProjectFixed | Error::ProjectUnknown)
}

impl State {
    /// A login that has not ended. One that ended removed itself from the state, unless it panicked.
    fn under_way(&self) -> Option<Login> {
        self.login.clone().filter(|login| login.peek().is_none())
    }
}
