//! What the operator remembers of a tenant between two passes. All of it may be lost: the status is the memory.

use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    api::{CloudTenant, CloudTenantStatus, REQUESTED_AT, Reason},
    clouds::{
        Cloud, Wake,
        engines::{Subscription, Wish},
    },
    event::fnv1a,
    identity::TenantName,
    observation::{Caches, Failure, Outcome, Periods, ProbeKind},
    schedule::Turn,
    status::{Engines, Look, interval_of, observed_at},
    target::Target,
};

/// A probe that is the tenant's own.
#[derive(Debug)]
pub struct Probing<T> {
    /// When it is asked.
    pub turn: Turn,
    running: Option<AbortOnDropHandle<Outcome<T>>>,
    /// Somebody is told when `running` ends.
    watched: bool,
    answer: Option<Outcome<T>>,
    /// What was found and is not in the status yet.
    found: Look<T>,
    /// It is among the verdicts in a row.
    counted: bool,
}

impl<T: Clone + Send + 'static> Probing<T> {
    const fn new(turn: Turn) -> Self {
        Self { turn, running: None, watched: false, answer: None, found: Look::NotDue, counted: true }
    }

    /// Whether it is to be asked now.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.running.is_none() && self.turn.is_due(now)
    }

    /// Whether it is being asked.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Asks, in the background.
    pub fn start(&mut self, question: impl Future<Output = Outcome<T>> + Send + 'static) {
        let question = tracing::Instrument::in_current_span(question);
        self.running = Some(AbortOnDropHandle::new(tokio::spawn(question)));
        self.watched = false;
    }

    /// Waits for the answer; at once where nothing is asked. May be dropped half-way.
    pub async fn finish(&mut self) {
        if let Some(running) = &mut self.running {
            let outcome = running.await.unwrap_or_else(|error| {
                tracing::error!(%error, "a probe broke off");
                Outcome::Failed(Failure {
                    reason: Reason::UnexpectedAnswer,
                    message: "The operator broke off while it read the answer: look at its log.".to_owned(),
                    retry_after: None,
                    transient: false,
                })
            });
            self.answer = Some(outcome);
            self.running = None;
        }
    }

    /// Has the tenant looked at again when the answer comes.
    pub fn wake_later(&mut self, wake: &Wake, tenant: &TenantName) {
        if self.watched {
            return;
        }
        if let Some(running) = self.running.take() {
            let (wake, tenant) = (wake.clone(), tenant.clone());
            self.running = Some(AbortOnDropHandle::new(tokio::spawn(async move {
                let outcome = running.await;
                let _ = wake.send(tenant).await;
                outcome.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
            })));
            self.watched = true;
        }
    }

    /// Takes the answer into account, once, and says what is known.
    pub fn look(&mut self, target: &Target, kind: ProbeKind, share: f64, now: Timestamp) -> Look<T> {
        let interval = interval_of(target, kind);
        match self.answer.take() {
            Some(Outcome::Seen(seen)) => {
                self.counted = false;
                self.turn.seen(interval, share, now);
                self.found = Look::Seen(seen);
            }
            Some(Outcome::NotOffered) => {
                self.turn.seen(interval, share, now);
                self.found = Look::NotOffered;
            }
            Some(Outcome::Failed(failure)) => {
                self.turn.failed(&failure, interval, share, now);
                self.found = Look::Failed(failure, self.turn.failures);
            }
            None if self.running.is_some() => return Look::UnderWay,
            None => {}
        }
        self.found.clone()
    }

    fn reset(&mut self, now: Timestamp) {
        (self.running, self.answer, self.found) = (None, None, Look::NotDue);
        self.turn = Turn { next: now, failures: 0, not_before: None, ..self.turn.clone() };
    }
}

/// One tenant between two passes.
#[derive(Debug)]
pub struct Tenant {
    /// A stable share of one, which spreads tenants over their intervals.
    pub share: f64,
    /// When the process met it.
    pub met_at: Timestamp,
    /// DCS.
    pub caches: Probing<Caches>,
    /// Nova.
    pub usage: Probing<Periods>,
    /// The cloud.
    pub cloud: Option<Arc<Cloud>>,
    /// The wish to know its engines, or those that another credential sees.
    engines: Option<(Arc<Cloud>, Subscription)>,
    /// Bad verdicts in a row: engines, caches.
    bad_in_row: [u32; 2],
    /// The number of the engines' answer that was judged last, that was counted last, and of the last one that is
    /// too old.
    engines_seen: u64,
    engines_counted: u64,
    engines_too_old: u64,
    generation: Option<i64>,
    /// The value of requestedAt that is being dealt with.
    pub requested: Option<String>,
    /// Since when the way to the cloud has been missing, and how often in a row.
    pub missing: Option<(Timestamp, u32)>,
    /// The same for the entry of clouds.yaml that is for the engines alone.
    pub engines_missing: Option<(Timestamp, u32)>,
    /// Writes to the API server that failed in a row.
    pub failed_writes: u32,
    /// The status that was written last, with the resource version that it got.
    written: Option<(u64, CloudTenantStatus)>,
}

impl Tenant {
    /// A tenant that the process has not met before.
    #[must_use]
    pub fn new(uid: &str, target: &Target, old: &CloudTenantStatus, now: Timestamp) -> Self {
        let share = (fnv1a(uid.as_bytes()) % 1000) as f64 / 1000.0;
        let turn = |kind| Turn::first(observed_at(old, kind), interval_of(target, kind), share, now);
        Self {
            share,
            met_at: now,
            caches: Probing::new(turn(ProbeKind::Caches)),
            usage: Probing::new(turn(ProbeKind::Usage)),
            cloud: None,
            engines: None,
            bad_in_row: [0; 2],
            engines_seen: 0,
            engines_counted: 0,
            engines_too_old: 0,
            generation: old.observed_generation,
            requested: None,
            missing: None,
            engines_missing: None,
            failed_writes: 0,
            written: None,
        }
    }

    /// Asks for all probes now where the spec has changed or somebody has asked for it.
    pub fn heed(&mut self, tenant: &CloudTenant, old: &CloudTenantStatus, now: Timestamp) {
        let requested = tenant.metadata.annotations.as_ref().and_then(|notes| notes.get(REQUESTED_AT));
        let requested = requested.filter(|value| old.last_handled_reconcile_at.as_ref() != Some(value));
        if requested.is_some() && requested != self.requested.as_ref() || self.generation != tenant.metadata.generation
        {
            self.caches.turn.hurry(now);
            self.usage.turn.hurry(now);
            if let Some((_, engines)) = &self.engines {
                let number = engines.answers().number;
                self.engines_too_old = if engines.hurry(now) { number } else { self.engines_too_old };
            }
        }
        self.requested = requested.cloned();
        self.generation = tenant.metadata.generation;
    }

    /// Turns to this cloud. Another one than before is asked everything now.
    pub fn turn_to(&mut self, cloud: &Arc<Cloud>, now: Timestamp) {
        let before = self.cloud.replace(cloud.clone());
        if !before.as_ref().is_some_and(|before| Arc::ptr_eq(before, cloud)) {
            self.bad_in_row = [0; 2];
            // Nothing is under way for a tenant that had no cloud.
            if before.is_some() {
                self.leave_engines();
                self.caches.reset(now);
                self.usage.reset(now);
            }
        }
        self.missing = None;
    }

    /// Stops asking.
    pub fn pause(&mut self, now: Timestamp) {
        self.leave_engines();
        self.caches.reset(now);
        self.usage.reset(now);
        self.cloud = None;
    }

    /// Wishes to know the cloud's engines.
    pub fn wish_engines(&mut self, uid: &str, cloud: &Arc<Cloud>, wish: Wish) {
        if let Some((before, engines)) = &self.engines
            && Arc::ptr_eq(before, cloud)
        {
            engines.change(wish);
        } else {
            self.leave_engines();
            self.engines = Some((cloud.clone(), cloud.subscribe(uid, wish)));
        }
        self.engines_missing = None;
    }

    /// The way to the engines alone is missing: what there is to say of it. Where that may pass by itself, what is
    /// known stays in use.
    pub fn miss_engines(&mut self, failure: Failure, now: Timestamp) -> Option<Look<Engines>> {
        let (since, times) = self.engines_missing.unwrap_or((now, 0));
        self.engines_missing = Some((since, times.saturating_add(1)));
        if failure.transient && self.engines.is_some() {
            return None;
        }
        let missing = self.engines_missing;
        self.leave_engines();
        self.engines_missing = missing;
        Some(Look::Failed(failure, times.saturating_add(1)))
    }

    /// The way to the cloud is missing; for how many times in a row. What only passes by leaves all as it is.
    pub fn miss(&mut self, failure: &Failure, now: Timestamp) -> u32 {
        if !failure.transient {
            self.pause(now);
        }
        let (since, times) = self.missing.unwrap_or((now, 0));
        self.missing = Some((since, times.saturating_add(1)));
        times.saturating_add(1)
    }

    /// No longer wishes to know any engines.
    pub fn leave_engines(&mut self) {
        (self.engines, self.engines_missing) = (None, None);
        (self.engines_seen, self.engines_counted, self.engines_too_old) = (0, 0, 0);
    }

    /// Has the tokens renewed before the next call.
    pub fn doubt_tokens(&self) {
        let clouds = self.cloud.iter().chain(self.engines.as_ref().map(|(cloud, _)| cloud));
        clouds.for_each(|cloud| cloud.session.doubt_token());
    }

    /// Waits for what is under way; at once where nothing is.
    pub async fn finish(&mut self) {
        let engines = async {
            if let Some((_, engines)) = &self.engines {
                engines.answer_after(self.engines_too_old).await;
            }
        };
        tokio::join!(engines, self.caches.finish(), self.usage.finish());
    }

    /// What Heat has said.
    #[must_use]
    pub fn look_at_engines(&self, old: &CloudTenantStatus) -> Look<Engines> {
        let Some((_, engines)) = &self.engines else { return Look::NotDue };
        Look::at(engines.answers(), self.engines_seen, self.engines_too_old, old)
    }

    /// When each probe last had a verdict, or the process met the tenant.
    #[must_use]
    pub fn verdict_at(&self) -> [Timestamp; 3] {
        let answered = self.engines.as_ref().and_then(|(_, engines)| engines.answers().answered_at);
        [answered.unwrap_or(self.met_at).max(self.met_at), self.caches.turn.verdict_at, self.usage.turn.verdict_at]
    }

    /// Counts the bad verdicts in a row, each answer once: a pass whose write failed is repeated.
    pub fn count_bad(&mut self, engines: &Look<Engines>, verdicts: [Option<bool>; 2]) -> [u32; 2] {
        let number = if let Look::Seen(seen) = engines { seen.answers.number } else { 0 };
        let news = [number > self.engines_counted, !std::mem::replace(&mut self.caches.counted, true)];
        self.engines_counted = self.engines_counted.max(number);
        for ((count, bad), new) in self.bad_in_row.iter_mut().zip(verdicts).zip(news) {
            match bad {
                Some(true) if new => *count = count.saturating_add(1),
                Some(false) => *count = 0,
                Some(true) | None => {}
            }
        }
        self.bad_in_row
    }

    /// What this pass found is in the status.
    pub fn wrote(&mut self, engines: &Look<Engines>) {
        if let Look::Seen(seen) = engines {
            self.engines_seen = seen.answers.number;
        }
        self.caches.found = Look::NotDue;
        self.usage.found = Look::NotDue;
    }

    /// Remembers a write until the watch brings it.
    pub fn remember(&mut self, resource_version: Option<&str>, status: CloudTenantStatus) {
        self.written = resource_version.and_then(|version| version.parse().ok()).map(|version| (version, status));
    }

    /// The status as it is now, with its resource version: the watch may not have brought our own last write yet.
    #[must_use]
    pub fn current(&self, tenant: &CloudTenant) -> (CloudTenantStatus, Option<String>) {
        let brought = tenant.metadata.resource_version.clone();
        let number: Option<u64> = brought.as_ref().and_then(|version| version.parse().ok());
        match &self.written {
            Some((version, status)) if number.is_some_and(|brought| brought < *version) => {
                (status.clone(), Some(version.to_string()))
            }
            _ => (tenant.status.clone().unwrap_or_default(), brought),
        }
    }
}
