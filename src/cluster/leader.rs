//! Leader election by a Lease, after client-go. It compares and swaps by resourceVersion. It measures the other
//! holder's expiry on the local monotonic clock, and its deadline for renewals is shorter than the lease.
//!
//! A standby watches the Lease, so that it can take a released one at once. With several shards there is a Lease for
//! each, and one that tells the processes of another number of shards to wait: docs/decisions/0050.

mod candidate;
mod election;
mod gate;
mod lease;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use candidate::{Candidate, Standing, Step, step};
pub use election::Election;
use futures::StreamExt as _;
pub use gate::Gate;
use jiff::Timestamp;
use k8s_openapi::{api::coordination::v1::LeaseSpec, apimachinery::pkg::apis::meta::v1::MicroTime};
use kube::{Api, Config, api::PostParams, runtime::WatchStreamExt as _};
use lease::Held;
use tokio::time::{sleep, timeout};

use crate::cluster::api_server::{self, AfterError, Lists};

/// Time for which a Lease is valid after its last renewal. LEASE, RENEW_DEADLINE and RETRY are client-go's defaults.
pub const LEASE: Duration = Duration::from_secs(15);
/// Time without a renewal after which a leader gives up leadership.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Interval between renewals.
const RETRY: Duration = Duration::from_secs(2);
/// Longest time for one attempt. A dead connection must not use up the deadline.
const TRY: Duration = Duration::from_secs(RENEW_DEADLINE.as_secs() / 2);
/// Longest time for a release. Without a release the Lease expires by itself.
const RELEASE: Duration = Duration::from_secs(2);

/// On the Lease of a shard: the shard of the process that holds it.
const HOLDER_SHARD: &str = "cloudtenant.dev/holder-shard";
/// On the Lease of a shard: the process of that shard which asks for it.
const PREFERRED_HOLDER: &str = "cloudtenant.dev/preferred-holder";

/// When a Lease was last renewed. `None` once it is lost.
type Renewed = Arc<Mutex<Option<Instant>>>;

/// The right to act as leader, which expires by itself. A process that was frozen or cut off past the deadline finds it
/// expired before it does anything else.
#[derive(Debug, Clone, Default)]
pub struct Mandate {
    own: Option<Renewed>,
    /// The common Lease, which a process with one of several shards needs, too.
    common: Option<Renewed>,
}

impl Mandate {
    /// Creates a mandate without end, for a process without leader election.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self { own: None, common: None }
    }

    /// Creates a mandate that is not valid yet.
    fn ended() -> Self {
        Self { own: Some(Arc::default()), common: None }
    }

    /// Returns this mandate, which is then valid only while the other one is, too.
    #[must_use]
    pub fn while_valid(self, other: &Self) -> Self {
        Self { common: other.own.clone(), ..self }
    }

    /// Whether the process may act now.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        !self.left().is_zero()
    }

    /// Ends the mandate now, for all its copies.
    pub fn revoke(&self) {
        if let Some(own) = &self.own {
            *own.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    pub(crate) fn since(renewed: Instant) -> Self {
        Self { own: Some(Arc::new(Mutex::new(Some(renewed)))), common: None }
    }

    /// Records a renewal. One that is older than the last changes nothing.
    fn renew(&self, renewed: Instant) {
        if let Some(own) = &self.own {
            let mut last = own.lock().unwrap_or_else(PoisonError::into_inner);
            *last = (*last).max(Some(renewed));
        }
    }

    fn left(&self) -> Duration {
        let left = |renewed: &Renewed| {
            let renewed = *renewed.lock().unwrap_or_else(PoisonError::into_inner);
            renewed.map_or(Duration::ZERO, |renewed| RENEW_DEADLINE.saturating_sub(renewed.elapsed()))
        };
        self.own.iter().chain(&self.common).map(left).min().unwrap_or(Duration::MAX)
    }
}

/// A candidate for one Lease.
pub struct Elector {
    config: Config,
    api: Api<Held>,
    namespace: String,
    name: String,
    identity: String,
    candidate: Candidate,
    created: Instant,
    /// The Lease as it last was, and when the candidate first observed that.
    observed: Option<(String, Instant)>,
    /// The Lease as the candidate last read or wrote it, and when that call began.
    read: Option<(String, Instant)>,
}

/// The result of one attempt.
#[derive(Debug, PartialEq, Eq)]
enum Try {
    /// This process holds it, since this time at least.
    Held(Instant),
    /// The candidate has to wait for this time, unless the Lease changes.
    Taken(Duration),
    /// Another process was faster. The candidate has to read the Lease again.
    Lost,
    /// This process holds it, and has to give it to the process that asked for it.
    Asked,
}

/// Why a process no longer holds a Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It lost the Lease.
    Lost,
    /// It has to release the Lease for the process that asked for it.
    Asked,
}

impl Elector {
    /// Creates a candidate for the only Lease of an installation. Its identity must be unique.
    ///
    /// # Errors
    /// The configuration gives no connection to the API server.
    pub fn new(config: Config, namespace: &str, name: &str, identity: &str) -> Result<Self, kube::Error> {
        Self::of(Candidate::Only, config, namespace, name, identity)
    }

    fn of(
        candidate: Candidate,
        config: Config,
        namespace: &str,
        name: &str,
        identity: &str,
    ) -> Result<Self, kube::Error> {
        Ok(Self {
            api: Api::namespaced(api_server::client(config.clone())?, namespace),
            config,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: identity.to_owned(),
            candidate,
            created: Instant::now(),
            observed: None,
            read: None,
        })
    }

    /// Drops all open connections. They may all be dead, and the next attempts would meet one after the other.
    fn reconnect(&mut self) {
        match api_server::client(self.config.clone()) {
            Ok(client) => self.api = Api::namespaced(client, &self.namespace),
            Err(error) => tracing::warn!(%error, "no new connection for the Lease"),
        }
    }

    /// Waits until this process holds the Lease. It calls `waits` when another process holds it, or with the reason why
    /// the holder is unknown. The future may be dropped at any time; [`Self::release`] then returns a Lease that was
    /// just taken.
    pub async fn acquire(&mut self, waits: impl Fn(Result<(), String>)) -> Mandate {
        Mandate::since(self.take(waits).await)
    }

    /// The same. Returns since when the process holds the Lease. It writes the Lease, or another process of the same
    /// number of shards has written it since.
    async fn take(&mut self, waits: impl Fn(Result<(), String>)) -> Instant {
        let only = Lists::only_streams(format!("metadata.name={}", self.name));
        let changes = api_server::follow(self.api.clone(), only, AfterError::Resumes);
        let mut changes = std::pin::pin!(changes.applied_objects());
        // Without a working watch, the candidate polls.
        let mut watching = false;
        self.read = None;
        loop {
            let began = Instant::now();
            let mut until = began
                + match timeout(TRY, self.try_once()).await {
                    Ok(Ok(Try::Held(since))) => return since,
                    Ok(Ok(Try::Taken(left))) => {
                        waits(Ok(()));
                        if watching { left } else { left.min(RETRY) }
                    }
                    Ok(Ok(Try::Lost)) => Duration::ZERO,
                    Ok(Ok(Try::Asked)) => {
                        self.release().await;
                        RETRY
                    }
                    Ok(Err(error)) => {
                        tracing::warn!(%error, "the Lease could not be taken");
                        waits(Err(error.to_string()));
                        RETRY
                    }
                    Err(_) => {
                        self.reconnect();
                        waits(Err("the API server does not answer".to_owned()));
                        RETRY
                    }
                };
            loop {
                tokio::select! {
                    () = sleep(until.saturating_duration_since(Instant::now())) => break,
                    Some(change) = changes.next() => match change {
                        Ok(lease) => {
                            watching = true;
                            let Step::Wait(left) = self.step(Some(&lease), Instant::now()) else { break };
                            waits(Ok(()));
                            until = Instant::now() + left;
                        }
                        Err(error) => {
                            tracing::debug!(%error, "the watch on the Lease");
                            watching = false;
                            until = until.min(Instant::now() + RETRY);
                        }
                    },
                }
            }
        }
    }

    /// Renews the Lease and returns once it is lost, or once a process that goes before this one asks for it.
    pub async fn hold(&mut self, mandate: &Mandate) -> Ended {
        let mut pause = RETRY;
        loop {
            sleep(pause.min(mandate.left())).await;
            match self.renew(mandate).await {
                Ok(next) => pause = next,
                Err(ended) => return ended,
            }
        }
    }

    /// Renews the Lease once. Returns the pause before the next time.
    async fn renew(&mut self, mandate: &Mandate) -> Result<Duration, Ended> {
        let mut pause = RETRY;
        match timeout(TRY.min(mandate.left()), self.try_once()).await {
            // A late answer is no renewal: another process may have observed the expiry.
            Ok(Ok(Try::Held(since))) if mandate.is_valid() => mandate.renew(since),
            Ok(Ok(Try::Taken(_))) => {
                mandate.revoke();
                tracing::warn!("somebody else has taken the Lease");
                return Err(Ended::Lost);
            }
            Ok(Ok(Try::Asked)) => {
                tracing::info!(lease = self.name, "a process of this shard asks for its Lease");
                return Err(Ended::Asked);
            }
            Ok(Ok(Try::Held(_) | Try::Lost)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the Lease could not be renewed"),
            Err(_) => {
                self.reconnect();
                pause = Duration::ZERO;
                tracing::warn!("the Lease could not be renewed: the API server does not answer");
            }
        }
        if !mandate.is_valid() {
            tracing::warn!("the Lease could not be renewed in time");
            return Err(Ended::Lost);
        }
        Ok(pause)
    }

    /// Releases the Lease if this process holds it, so that another one can take it now.
    pub async fn release(&self) {
        self.release_unless_held(&[]).await;
    }

    /// The same, unless one of these Leases has a holder. A process that takes one of them later writes this Lease
    /// after that, and then this release fails or comes first.
    async fn release_unless_held(&self, others: &[String]) {
        let release = async {
            let Some(lease) = self.api.get_opt(&self.name).await? else { return Ok(false) };
            if lease.spec.holder_identity.as_ref() != Some(&self.identity) {
                return Ok(false);
            }
            for other in others {
                let other = self.api.get_opt(other).await?;
                if other.and_then(|other| other.spec.holder_identity).is_some_and(|holder| !holder.is_empty()) {
                    return Ok(false);
                }
            }
            let spec = LeaseSpec {
                holder_identity: Some(String::new()),
                lease_duration_seconds: Some(1),
                renew_time: Some(MicroTime(Timestamp::now())),
                ..lease.spec.clone()
            };
            self.api.replace(&self.name, &PostParams::default(), &lease.with(spec)).await.map(|_| true)
        };
        match timeout(RELEASE, release).await {
            Ok(Ok(true)) => tracing::info!(lease = self.name, "released the Lease"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the Lease was not released"),
            Err(_) => tracing::warn!("the Lease was not released in time"),
        }
    }

    /// Returns what the candidate knows about the Lease.
    fn standing(&mut self, lease: Option<&Held>, now: Instant) -> Standing {
        let text = lease.map_or("", Held::spec_text);
        let since = match &self.observed {
            Some((observed, since)) if *observed == text => *since,
            _ => now,
        };
        self.observed = Some((text.to_owned(), since));
        let unchanged_for = now.saturating_duration_since(since);
        let Some(lease) = lease else { return Standing::Released(unchanged_for) };
        let asked = lease.annotation(PREFERRED_HOLDER).is_some();
        match lease.spec.holder_identity.as_deref().unwrap_or_default() {
            "" => return Standing::Released(unchanged_for),
            holder if holder == self.identity => return Standing::Ours { asked },
            _ => {}
        }
        let length = u64::try_from(lease.spec.lease_duration_seconds.unwrap_or_default()).unwrap_or_default();
        let length = Duration::from_secs(length);
        match length.checked_sub(unchanged_for).filter(|left| !left.is_zero()) {
            Some(left) => {
                let by_shard = lease.annotation(HOLDER_SHARD).and_then(|shard| shard.parse().ok());
                Standing::Held { left, by_shard, asked }
            }
            None => Standing::Expired(unchanged_for.saturating_sub(length)),
        }
    }

    fn step(&mut self, lease: Option<&Held>, now: Instant) -> Step {
        let standing = self.standing(lease, now);
        step(self.candidate, standing, now.saturating_duration_since(self.created))
    }

    async fn try_once(&mut self) -> Result<Try, kube::Error> {
        let began = Instant::now();
        let found = self.api.get_opt(&self.name).await?;
        // Use the time of arrival: the holder may have renewed between the request and its answer.
        let step = self.step(found.as_ref(), Instant::now());
        let text = found.as_ref().map_or("", Held::spec_text).to_owned();
        let before = self.read.replace((text, began));
        match (step, found) {
            (Step::Wait(left), _) => Ok(Try::Taken(left)),
            (Step::GiveUp, _) => Ok(Try::Asked),
            (Step::Ask(left), Some(found)) => {
                let asks = found.annotated(PREFERRED_HOLDER, Some(&self.identity));
                tracing::info!(lease = self.name, "asks the holder of another shard for the Lease");
                let asked = self.api.replace(&self.name, &PostParams::default(), &asks).await;
                swapped(asked).map(|asked| asked.map_or(Try::Lost, |_| Try::Taken(left)))
            }
            (Step::Take | Step::Ask(_), None) => {
                let lease = self.claimed(Held::new(&self.name, LeaseSpec::default()));
                let created = self.api.create(&PostParams::default(), &lease).await;
                Ok(self.written(began, swapped(created)?))
            }
            (Step::Take, Some(found)) => {
                if let Some(since) = self.renewed_by_another(&found, before) {
                    return Ok(Try::Held(since));
                }
                let lease = self.claimed(found);
                let replaced = self.api.replace(&self.name, &PostParams::default(), &lease).await;
                Ok(self.written(began, swapped(replaced)?))
            }
        }
    }

    fn written(&mut self, began: Instant, lease: Option<Held>) -> Try {
        let Some(lease) = lease else { return Try::Lost };
        self.read = Some((lease.spec_text().to_owned(), began));
        Try::Held(began)
    }

    /// Returns since when the common Lease is held at least, if another process has renewed it since `before`, the last
    /// time that this one read or wrote it. Then this process need not write it.
    fn renewed_by_another(&self, found: &Held, before: Option<(String, Instant)>) -> Option<Instant> {
        let is_ours = found.spec.holder_identity.as_ref() == Some(&self.identity);
        let (text, since) = before.filter(|_| self.candidate == Candidate::Common && is_ours)?;
        (text != found.spec_text()).then_some(since)
    }

    /// Returns the Lease as this process takes or renews it.
    fn claimed(&self, found: Held) -> Held {
        let spec = self.claim(&found.spec);
        let lease = found.with(spec);
        match self.candidate {
            Candidate::Only | Candidate::Common => lease,
            Candidate::Own(shard) | Candidate::Other(shard) => {
                lease.annotated(HOLDER_SHARD, Some(&shard.to_string())).annotated(PREFERRED_HOLDER, None)
            }
        }
    }

    fn claim(&self, before: &LeaseSpec) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let ours = before.holder_identity.as_ref() == Some(&self.identity);
        let transitions = before.lease_transitions.unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
            acquire_time: before.acquire_time.clone().filter(|_| ours).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(if ours { transitions } else { transitions.saturating_add(1) }),
            ..LeaseSpec::default()
        }
    }
}

/// The resource version in the object makes the write a compare-and-swap. Returns the written Lease. `None` if another
/// process was faster.
fn swapped(answer: Result<Held, kube::Error>) -> Result<Option<Held>, kube::Error> {
    match answer {
        Ok(lease) => Ok(Some(lease)),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lease(holder: &str, renewed: &str) -> Held {
        let spec = json!({
            "holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 3, "renewTime": renewed,
        });
        Held::read(&json!({ "metadata": { "resourceVersion": "1" }, "spec": spec }).to_string())
    }

    fn elector() -> Elector {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let nowhere = Config::new("http://127.0.0.1:9".parse().unwrap());
        Elector::new(nowhere, "ours", "lease", "me").unwrap()
    }

    #[tokio::test]
    async fn another_holders_lease_expires_without_a_change() {
        let start = Instant::now();
        let mut elector = elector();
        for (name, holder, renewed, second, left) in [
            ("first seen", "other", "1", 0, Some(15)),
            ("not renewed", "other", "1", 10, Some(5)),
            ("renewed", "other", "2", 14, Some(15)),
            ("by a third one", "third", "3", 20, Some(15)),
            ("a moment before its end", "third", "3", 34, Some(1)),
            ("ended", "third", "3", 35, None),
            ("released", "", "4", 36, None),
            ("ours", "me", "5", 37, None),
        ] {
            let step = elector.step(Some(&lease(holder, renewed)), start + Duration::from_secs(second));
            assert_eq!(step, left.map_or(Step::Take, |left| Step::Wait(Duration::from_secs(left))), "{name}");
        }
    }

    /// Each line: Lease | second of the look | what the candidate knows.
    #[tokio::test]
    async fn an_annotation_is_no_renewal() {
        let start = Instant::now();
        let mut elector = elector();
        let s = Duration::from_secs;
        let asked = |lease: Held| lease.annotated(PREFERRED_HOLDER, Some("other"));
        let by = |lease: Held, shard| lease.annotated(HOLDER_SHARD, Some(shard));
        let held = |left, by_shard, asked| Standing::Held { left: s(left), by_shard, asked };
        for (name, lease, second, expected) in [
            ("none", None, 0, Standing::Released(s(0))),
            ("still none", None, 5, Standing::Released(s(5))),
            ("held", Some(lease("other", "1")), 6, held(15, None, false)),
            ("by a shard", Some(by(lease("other", "1"), "1")), 8, held(13, Some(1), false)),
            ("by what is no shard", Some(by(lease("other", "1"), "x")), 8, held(13, None, false)),
            ("asked for", Some(asked(by(lease("other", "1"), "1"))), 20, held(1, Some(1), true)),
            ("expired", Some(asked(lease("other", "1"))), 23, Standing::Expired(s(2))),
            ("ours", Some(asked(lease("me", "2"))), 24, Standing::Ours { asked: true }),
            ("released", Some(lease("", "3")), 30, Standing::Released(s(0))),
            ("asked for, and still free", Some(asked(lease("", "3"))), 33, Standing::Released(s(3))),
        ] {
            assert_eq!(elector.standing(lease.as_ref(), start + s(second)), expected, "{name}");
        }
    }

    #[tokio::test]
    async fn a_renewal_keeps_what_a_takeover_changes() {
        let elector = elector();
        let earlier = MicroTime(Timestamp::UNIX_EPOCH);
        for (name, holder, transitions, kept) in [("renewed", "me", 3, true), ("taken over", "other", 4, false)] {
            let mut before = lease(holder, "1").spec;
            before.acquire_time = Some(earlier.clone());
            let claim = elector.claim(&before);
            assert_eq!(claim.holder_identity.as_deref(), Some("me"), "{name}");
            assert_eq!(claim.lease_transitions, Some(transitions), "{name}");
            assert_eq!(claim.acquire_time == Some(earlier.clone()), kept, "{name}");
        }
    }

    #[test]
    fn a_mandate_expires_by_itself() {
        let mandate = |ago| Mandate::since(Instant::now().checked_sub(ago).unwrap());
        assert!(Mandate::unlimited().is_valid());
        assert!(mandate(Duration::ZERO).is_valid());
        assert!(!mandate(RENEW_DEADLINE).is_valid());
        let revoked = mandate(Duration::ZERO);
        let copy = revoked.clone();
        revoked.revoke();
        assert!(!copy.is_valid());
        assert!(!Mandate::ended().is_valid());
    }

    #[test]
    fn a_mandate_for_a_shard_needs_the_common_lease() {
        let common = Mandate::ended();
        let own = Mandate::since(Instant::now());
        let both = own.clone().while_valid(&common);
        assert!(own.is_valid() && !both.is_valid());
        common.renew(Instant::now());
        assert!(both.is_valid());
        common.renew(Instant::now().checked_sub(RENEW_DEADLINE).unwrap());
        assert!(both.is_valid(), "an older renewal changes nothing");
        both.revoke();
        assert!(!own.is_valid() && common.is_valid());
    }

    /// A Lease on an API server without conflicts. `renew` has another process renew it.
    #[derive(Clone, Default)]
    struct Server(Arc<Mutex<Vec<String>>>);

    impl Server {
        fn renew(&self, renewed: &str) {
            self.0.lock().unwrap().push(serde_json::to_string(&lease("shards/2", renewed)).unwrap());
        }

        fn writes(&self) -> usize {
            self.0.lock().unwrap().len()
        }

        async fn start(&self) -> Config {
            let stored = self.0.clone();
            let server = axum::Router::new().fallback(async move |request: axum::extract::Request| {
                if request.method() == "PUT" {
                    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
                    stored.lock().unwrap().push(String::from_utf8(body.to_vec()).unwrap());
                }
                stored.lock().unwrap().last().cloned().unwrap()
            });
            let _ = rustls::crypto::ring::default_provider().install_default();
            Config::new(testkit::router::serve(server).await.unwrap().parse().unwrap())
        }
    }

    /// The processes with one number of shards need one write in each interval, whatever their number.
    #[tokio::test]
    async fn a_renewal_by_another_process_counts_from_the_read_before_it() {
        let server = Server::default();
        server.renew("1");
        let config = server.start().await;
        let mut elector = Elector::of(Candidate::Common, config, "ours", "lease", "shards/2").unwrap();
        let began = Instant::now();
        let Try::Held(first) = elector.try_once().await.unwrap() else { panic!("it is free") };
        assert!(first >= began);
        assert_eq!(server.writes(), 2, "the first attempt writes");
        let Try::Held(second) = elector.try_once().await.unwrap() else { panic!("it is ours") };
        assert!(second > first);
        assert_eq!(server.writes(), 3, "nobody else has renewed it");
        server.renew("2");
        assert_eq!(elector.try_once().await.unwrap(), Try::Held(second), "another process has");
        assert_eq!(server.writes(), 4);
        let Try::Held(third) = elector.try_once().await.unwrap() else { panic!("it is ours") };
        assert!(third > second);
        assert_eq!(server.writes(), 5, "nobody has since");
        server.renew("3");
        let entered = elector.take(|_| ()).await;
        assert!(entered > third);
        assert_eq!(server.writes(), 7, "who begins to serve writes it in any case");
    }

    #[tokio::test]
    async fn a_slow_answer_counts_from_its_arrival() {
        let answer = serde_json::to_string(&lease("other", "1")).unwrap();
        let slow = axum::Router::new().fallback(async move || {
            sleep(Duration::from_millis(300)).await;
            answer
        });
        let url = testkit::router::serve(slow).await.unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut elector = Elector::new(Config::new(url.parse().unwrap()), "ours", "lease", "me").unwrap();
        let tried = elector.try_once().await.unwrap();
        assert_eq!(tried, Try::Taken(LEASE));
    }
}
