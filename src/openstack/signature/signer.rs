//! Sends signed requests, and remembers what the cloud answered to the signatures of one access key.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use jiff::{SignedDuration, Timestamp};
use reqwest::Request;
use url::Url;

use super::{
    ClockGap, Keys, SignatureRefusal,
    refusal::{self, SMALL_GAP},
    sign,
};
use crate::openstack::{
    Answer, Clock, CloudConfig, Error, Failure, Network, Service,
    brake::{Brakes, Login, LoginPermit},
    credential::{Credential, FIVE_MINUTES},
    http::Http,
    stream::Sink,
    words::ErrorBody,
};

/// The client signs with the cloud's clock up to this difference. A larger one is reported, because a signature for a
/// time that far away could be used long after the request.
const LARGEST_GAP: SignedDuration = SignedDuration::from_hours(24);

/// The maximum number of origins whose clocks are remembered. A session has one for each service, until its catalogue
/// changes.
const MOST_ORIGINS: usize = 16;

/// The access key of one session.
pub(in crate::openstack) struct Signer {
    keys: Keys,
    http: Arc<Http>,
    clock: Clock,
    credential: Arc<Credential>,
    brakes: Arc<Brakes>,
    braked: Login,
    /// Whether Keystone answers signatures of the access key, and not only other services.
    by_keystone: bool,
    /// The sessions for the projects of an entry share it.
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The services whose calls are signed.
    signed: BTreeSet<Service>,
    /// How far each origin's clock is ahead of the operator's, if a signature was refused for that.
    ahead: BTreeMap<String, SignedDuration>,
    /// When each service last refused a signature. It gets no other one for five minutes.
    refusals: BTreeMap<Service, (Instant, Failure)>,
}

impl Signer {
    /// The signer of an entry; `None` if it has no access key.
    pub(in crate::openstack) fn of(
        config: &CloudConfig,
        network: &Network,
        http: Arc<Http>,
        clock: Clock,
        entry: Option<&Self>,
    ) -> Option<Arc<Self>> {
        let keys = config.keys()?.clone();
        let credential = network.credentials().of_keys(config, &keys, clock());
        let (braked, by_keystone) = (Login::of_keys(config, &keys), config.signs_all());
        let new = || Arc::new(Mutex::new(State { signed: config.signed_services(), ..State::default() }));
        let state = entry.map_or_else(new, |entry| entry.state.clone());
        let brakes = network.brakes().clone();
        Some(Arc::new(Self { keys, http, clock, credential, brakes, braked, by_keystone, state }))
    }

    /// Whether calls of the service are signed.
    pub(in crate::openstack) fn signs(&self, service: Service) -> bool {
        self.state().signed.contains(&service)
    }

    /// Signs the further calls of a service, which has accepted a signature and no token.
    pub(in crate::openstack) fn prefer(&self, service: Service) {
        if self.state().signed.insert(service) {
            tracing::info!(%service, "the service accepts signatures and no token: its calls are signed");
        }
    }

    /// The text that the log must not contain.
    pub(in crate::openstack) fn confidential(&self) -> &str {
        self.keys.confidential()
    }

    /// Whether a service's refusal of a token asks for a signature.
    pub(in crate::openstack) fn is_asked_for(answer: &Answer) -> bool {
        refusal::asks_for_signature(answer)
    }

    /// Whether a service has accepted a signature.
    pub(in crate::openstack) fn is_accepted(&self) -> bool {
        self.credential.has_logged_in()
    }

    /// How far the operator's clock is from that of an origin, if signatures use the origin's.
    pub(in crate::openstack) fn clock_gap(&self) -> Option<ClockGap> {
        self.state().ahead.values().max_by_key(|ahead| ahead.abs()).copied().map(ClockGap::of)
    }

    /// Signs a request and sends it. If the answer refuses the signature and its `Date` shows that the clocks differ,
    /// the client signs with the cloud's clock and sends the request once more.
    pub(in crate::openstack) async fn send<S: Sink>(
        &self,
        limit: usize,
        request: Request,
        project: Option<&str>,
    ) -> Result<(Answer, S), Error> {
        let origin = origin_of(request.url());
        let again = request.try_clone();
        let (answer, sink) = self.send_once(limit, request, project, &origin).await?;
        match again {
            Some(again) if refusal::refuses(&answer) && self.learn_clock(&origin, &answer) => {
                // The answer may hold memory that the next one needs.
                drop(answer);
                self.send_once(limit, again, project, &origin).await
            }
            _ => Ok((answer, sink)),
        }
    }

    async fn send_once<S: Sink>(
        &self,
        limit: usize,
        request: Request,
        project: Option<&str>,
        origin: &str,
    ) -> Result<(Answer, S), Error> {
        let sign = |request: &mut Request| sign(request, project, self.time(origin), &self.keys);
        self.http.send_prepared(limit, request, sign).await
    }

    /// Takes the origin's clock from an answer. Returns whether another signature is worth it.
    fn learn_clock(&self, origin: &str, answer: &Answer) -> bool {
        let Some(date) = answer.date else { return false };
        let ahead = date.duration_since(Timestamp::now());
        let gap = ahead.saturating_sub(self.ahead(origin));
        if gap.abs() <= SMALL_GAP || ahead.abs() > LARGEST_GAP {
            return false;
        }
        let mut state = self.state();
        if state.ahead.len() >= MOST_ORIGINS {
            state.ahead.clear();
        }
        state.ahead.insert(origin.to_owned(), ahead);
        drop(state);
        tracing::warn!(origin, seconds = ahead.as_secs(), "requests are signed by the cloud's clock: set the clocks");
        true
    }

    /// Why the answer refuses the signature; `None` if it does not.
    pub(in crate::openstack) fn refusal(&self, url: &Url, answer: &Answer) -> Option<SignatureRefusal> {
        let signed = self.time(&origin_of(url));
        let ahead = answer.date.map(|date| date.duration_since(signed));
        refusal::refuses(answer).then(|| refusal::why(answer, &self.keys, ahead))
    }

    /// The failure of a call whose signature was refused, with the service's error code.
    pub(in crate::openstack) fn failure(service: Service, why: SignatureRefusal, answer: &Answer) -> Failure {
        let code = ErrorBody::of(&answer.body).code;
        Failure { code, ..Error::SignatureRefused(why).at(service) }
    }

    /// Waits for the right to send a signature of an access key that no service has accepted yet.
    ///
    /// # Errors
    /// The service refused a signature less than five minutes ago, or other keys of the access key were refused.
    pub(in crate::openstack) async fn permit(
        &self,
        service: Service,
        namespaces: &[String],
    ) -> Result<Option<LoginPermit>, Failure> {
        self.recent_refusal(service)?;
        self.refusal_of_keys(service)?;
        if self.is_accepted() {
            return Ok(None);
        }
        let turn = self.brakes.turn(namespaces, self.braked, || (self.clock)()).await;
        let permit = turn.ok_or_else(|| Error::LoginBraked.at(Service::Identity))?;
        // Another call may have been refused in the meantime.
        self.recent_refusal(service)?;
        self.refusal_of_keys(service)?;
        Ok(Some(permit))
    }

    /// Whether the access key was refused less than five minutes ago, perhaps for another project.
    fn refusal_of_keys(&self, service: Service) -> Result<(), Failure> {
        let by = if self.by_keystone { Service::Identity } else { service };
        let refused = self.credential.refuses((self.clock)());
        if refused { Err(Error::SignatureRefused(SignatureRefusal::Keys).at(by)) } else { Ok(()) }
    }

    /// Records that Keystone refused the access key when it was asked about a refused signature of this service. The
    /// service gets no signature for five minutes.
    pub(in crate::openstack) fn pause(&self, service: Service, failure: &Failure) {
        self.state().refusals.insert(service, ((self.clock)(), failure.clone()));
    }

    fn recent_refusal(&self, service: Service) -> Result<(), Failure> {
        let now = (self.clock)();
        let state = self.state();
        let recent = |(at, _): &&(Instant, Failure)| now.saturating_duration_since(*at) < FIVE_MINUTES;
        state.refusals.get(&service).filter(recent).map_or(Ok(()), |(_, failure)| Err(failure.clone()))
    }

    /// Records that a service accepted a signature.
    pub(in crate::openstack) fn note_accepted(&self, service: Service, namespaces: &[String]) {
        self.state().refusals.remove(&service);
        if !self.is_accepted() {
            self.note(namespaces, true);
        }
    }

    /// Records that a service refused a signature. If none has accepted one yet, this counts as a refused login.
    pub(in crate::openstack) fn note_refused(&self, failure: &Failure, why: SignatureRefusal, namespaces: &[String]) {
        let now = (self.clock)();
        self.state().refusals.insert(failure.service, (now, failure.clone()));
        let of_keys = !matches!(why, SignatureRefusal::Clock(_) | SignatureRefusal::ByService);
        if of_keys && !self.is_accepted() {
            self.note(namespaces, false);
        }
    }

    fn note(&self, namespaces: &[String], accepted: bool) {
        let now = (self.clock)();
        self.credential.note(accepted, now);
        self.brakes.note(namespaces, self.braked, accepted, now);
    }

    fn time(&self, origin: &str) -> Timestamp {
        let now = Timestamp::now();
        now.saturating_add(self.ahead(origin)).unwrap_or(now)
    }

    fn ahead(&self, origin: &str) -> SignedDuration {
        self.state().ahead.get(origin).copied().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn origin_of(url: &Url) -> String {
    url.origin().ascii_serialization()
}
