//! Leader election by a Lease, after client-go. It compares and swaps by resourceVersion. It measures the other
//! holder's expiry on the local monotonic clock, and its deadline for renewals is shorter than the lease.
//!
//! A standby watches the Lease, so that it can take a released one at once.

mod lease;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::{api::coordination::v1::LeaseSpec, apimachinery::pkg::apis::meta::v1::MicroTime};
use kube::{Api, Config, Resource as _, api::PostParams, runtime::WatchStreamExt as _};
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

/// The right to act as leader, which expires by itself. A process that was frozen or cut off past the deadline finds it
/// expired before it does anything else.
#[derive(Debug, Clone, Default)]
pub struct Mandate(Option<Arc<Mutex<Option<Instant>>>>);

impl Mandate {
    /// Creates a mandate without end, for a process without leader election.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self(None)
    }

    /// Whether the process may act now.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        !self.left().is_zero()
    }

    /// Ends the mandate now, for all its copies.
    pub fn revoke(&self) {
        self.set(None);
    }

    pub(crate) fn since(renewed: Instant) -> Self {
        Self(Some(Arc::new(Mutex::new(Some(renewed)))))
    }

    fn set(&self, renewed: Option<Instant>) {
        if let Some(mandate) = &self.0 {
            *mandate.lock().unwrap_or_else(PoisonError::into_inner) = renewed;
        }
    }

    fn left(&self) -> Duration {
        let Some(mandate) = &self.0 else { return Duration::MAX };
        let renewed = *mandate.lock().unwrap_or_else(PoisonError::into_inner);
        renewed.map_or(Duration::ZERO, |renewed| RENEW_DEADLINE.saturating_sub(renewed.elapsed()))
    }
}

/// A candidate for one Lease.
pub struct Elector {
    config: Config,
    api: Api<Held>,
    namespace: String,
    name: String,
    identity: String,
    /// The last resource version of the Lease, and when the candidate first observed it.
    observed: Option<(String, Instant)>,
}

/// The result of one attempt.
#[derive(Debug, PartialEq, Eq)]
enum Try {
    Held,
    /// Another process holds it for this time, unless it renews or releases it.
    Taken(Duration),
    /// Another process was faster. The candidate has to read the Lease again.
    Lost,
}

impl Elector {
    /// Creates a candidate. Its identity must be unique.
    ///
    /// # Errors
    /// The configuration gives no connection to the API server.
    pub fn new(config: Config, namespace: &str, name: &str, identity: &str) -> Result<Self, kube::Error> {
        Ok(Self {
            api: Api::namespaced(api_server::client(config.clone())?, namespace),
            config,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: identity.to_owned(),
            observed: None,
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
        let only = Lists::only_streams(format!("metadata.name={}", self.name));
        let changes = api_server::follow(self.api.clone(), only, AfterError::Resumes);
        let mut changes = std::pin::pin!(changes.applied_objects());
        // Without a working watch, the candidate polls.
        let mut watching = false;
        loop {
            let began = Instant::now();
            let mut until = began
                + match timeout(TRY, self.try_once()).await {
                    Ok(Ok(Try::Held)) => return Mandate::since(began),
                    Ok(Ok(Try::Taken(left))) => {
                        waits(Ok(()));
                        if watching { left } else { left.min(RETRY) }
                    }
                    Ok(Ok(Try::Lost)) => Duration::ZERO,
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
                            let Some(left) = self.left(&lease, Instant::now()) else { break };
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

    /// Renews the Lease and returns once it is lost.
    pub async fn hold(&mut self, mandate: &Mandate) {
        let mut pause = RETRY;
        loop {
            sleep(pause.min(mandate.left())).await;
            pause = RETRY;
            let began = Instant::now();
            match timeout(TRY.min(mandate.left()), self.try_once()).await {
                // A late answer is no renewal: another process may have observed the expiry.
                Ok(Ok(Try::Held)) if mandate.is_valid() => mandate.set(Some(began)),
                Ok(Ok(Try::Taken(_))) => {
                    mandate.revoke();
                    return tracing::warn!("somebody else has taken the Lease");
                }
                Ok(Ok(Try::Held | Try::Lost)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the Lease could not be renewed"),
                Err(_) => {
                    self.reconnect();
                    pause = Duration::ZERO;
                    tracing::warn!("the Lease could not be renewed: the API server does not answer");
                }
            }
            if !mandate.is_valid() {
                return tracing::warn!("the Lease could not be renewed in time");
            }
        }
    }

    /// Releases the Lease if this process holds it, so that another one can take it now.
    pub async fn release(&self) {
        let release = async {
            let Some(mut lease) = self.api.get_opt(&self.name).await? else { return Ok(false) };
            let spec = &mut lease.spec;
            if spec.holder_identity.as_ref() != Some(&self.identity) {
                return Ok(false);
            }
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(Timestamp::now()));
            self.api.replace(&self.name, &PostParams::default(), &lease).await.map(|_| true)
        };
        match timeout(RELEASE, release).await {
            Ok(Ok(true)) => tracing::info!("released the Lease"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the Lease was not released"),
            Err(_) => tracing::warn!("the Lease was not released in time"),
        }
    }

    /// Returns how long another process still holds the Lease.
    fn left(&mut self, lease: &Held, now: Instant) -> Option<Duration> {
        let version = lease.meta().resource_version.clone().unwrap_or_default();
        let since = match &self.observed {
            Some((observed, since)) if *observed == version => *since,
            _ => now,
        };
        self.observed = Some((version, since));
        let spec = &lease.spec;
        spec.holder_identity.as_ref().filter(|holder| !holder.is_empty() && **holder != self.identity)?;
        let length = u64::try_from(spec.lease_duration_seconds.unwrap_or_default()).unwrap_or_default();
        let left = Duration::from_secs(length).saturating_sub(now.saturating_duration_since(since));
        Some(left).filter(|left| !left.is_zero())
    }

    async fn try_once(&mut self) -> Result<Try, kube::Error> {
        let Some(found) = self.api.get_opt(&self.name).await? else {
            let lease = Held::new(&self.name, self.claim(&LeaseSpec::default()));
            return swapped(self.api.create(&PostParams::default(), &lease).await);
        };
        // Use the time of arrival: the holder may have renewed between the request and its answer.
        if let Some(left) = self.left(&found, Instant::now()) {
            return Ok(Try::Taken(left));
        }
        let spec = self.claim(&found.spec);
        let lease = found.with(spec);
        swapped(self.api.replace(&self.name, &PostParams::default(), &lease).await)
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

/// The resource version in the object makes the write a compare-and-swap.
fn swapped(answer: Result<Held, kube::Error>) -> Result<Try, kube::Error> {
    match answer {
        Ok(_) => Ok(Try::Held),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Try::Lost),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lease(holder: &str, version: &str) -> Held {
        let spec = json!({ "holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 3 });
        Held::read(&json!({ "metadata": { "resourceVersion": version }, "spec": spec }).to_string())
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
        for (name, holder, version, second, left) in [
            ("first seen", "other", "1", 0, Some(15)),
            ("not renewed", "other", "1", 10, Some(5)),
            ("renewed", "other", "2", 14, Some(15)),
            ("by a third one", "third", "3", 20, Some(15)),
            ("a moment before its end", "third", "3", 34, Some(1)),
            ("ended", "third", "3", 35, None),
            ("released", "", "4", 36, None),
            ("ours", "me", "5", 37, None),
        ] {
            let found = elector.left(&lease(holder, version), start + Duration::from_secs(second));
            assert_eq!(found, left.map(Duration::from_secs), "{name}");
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
