//! What the operator remembers of a tenant between two passes. All of it may be lost: the status is the memory.

mod probing;
mod writes;

use std::sync::Arc;

use jiff::Timestamp;

pub use probing::Probing;
pub use writes::Writes;

use crate::{
    api::{CloudTenant, CloudTenantStatus, REQUESTED_AT, condition_type},
    clouds::{
        Cloud,
        engines::{Subscription, Wish},
    },
    condition,
    event::{fnv1a, limit::Limit},
    observation::{Caches, Periods, ProbeFailure, ProbeKind, engines::age},
    schedule::Turn,
    status::{Engines, Look, interval_of, is_enabled, observed_at},
    target::Target,
};

/// One tenant between two passes.
#[derive(Debug)]
pub struct Tenant {
    /// A stable share of one, which spreads tenants over their intervals.
    pub share: f64,
    /// When it was last looked at.
    looked_at: Timestamp,
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
    /// A newer one than this has been waited for.
    engines_awaited: Option<u64>,
    /// When the engines last had a verdict, or were first asked for.
    engines_verdict_at: Timestamp,
    generation: Option<i64>,
    /// The value of requestedAt that is being dealt with.
    pub requested: Option<String>,
    /// Since when the way to the cloud has been missing, and how often in a row.
    pub missing: Option<(Timestamp, u32)>,
    /// The same for the entry of clouds.yaml that is for the engines alone.
    pub engines_missing: Option<(Timestamp, u32)>,
    /// Writes to the API server that failed in a row.
    pub failed_writes: u32,
    /// How many events it may still have.
    pub events: Limit,
    /// How often its status may be written.
    pub writes: Writes,
    /// Writes in a row that met a newer object than the one that was looked at.
    pub conflicts: u32,
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
            looked_at: now,
            caches: Probing::new(turn(ProbeKind::Caches)),
            usage: Probing::new(turn(ProbeKind::Usage)),
            cloud: None,
            engines: None,
            bad_in_row: [0; 2],
            engines_seen: 0,
            engines_counted: 0,
            engines_too_old: 0,
            engines_awaited: None,
            engines_verdict_at: now,
            generation: old.observed_generation,
            requested: None,
            missing: None,
            engines_missing: None,
            failed_writes: 0,
            events: Limit::default(),
            writes: Writes::default(),
            conflicts: 0,
            written: None,
        }
    }

    /// A pass begins. What is not asked is not stale either, and a clock that was put back delays nothing.
    pub fn keep_time(&mut self, target: &Target, now: Timestamp) {
        if now < self.looked_at {
            let by = now.duration_since(self.looked_at);
            self.caches.turn.shift(by);
            self.usage.turn.shift(by);
            let missing = [&mut self.missing, &mut self.engines_missing].into_iter().flatten().map(|(since, _)| since);
            let times = missing.chain([&mut self.engines_verdict_at]);
            times.for_each(|at| *at = at.saturating_add(by).unwrap_or(*at));
        }
        self.looked_at = now;
        for kind in ProbeKind::ALL.into_iter().filter(|kind| !is_enabled(target, *kind)) {
            *self.verdict_time(kind) = now;
        }
    }

    const fn verdict_time(&mut self, kind: ProbeKind) -> &mut Timestamp {
        match kind {
            ProbeKind::Engines => &mut self.engines_verdict_at,
            ProbeKind::Caches => &mut self.caches.turn.verdict_at,
            ProbeKind::Usage => &mut self.usage.turn.verdict_at,
        }
    }

    /// Notes what a person wants of the status, and says whether the first pass after that has not ended in `old`.
    pub fn note_wish(&mut self, tenant: &CloudTenant, old: &CloudTenantStatus) -> bool {
        let requested = tenant.metadata.annotations.as_ref().and_then(|notes| notes.get(REQUESTED_AT));
        let generation = tenant.metadata.generation;
        self.writes.note_wish(generation.unwrap_or_default(), requested.map_or(0, |at| fnv1a(at.as_bytes())));
        old.observed_generation != generation
            || condition::find(&old.conditions, condition_type::RECONCILING).is_some()
            || requested.is_some() && old.last_handled_reconcile_at.as_ref() != requested
    }

    /// Asks for all probes now where the spec has changed or somebody has asked for it.
    pub fn heed(&mut self, tenant: &CloudTenant, old: &CloudTenantStatus, now: Timestamp) {
        let requested = tenant.metadata.annotations.as_ref().and_then(|notes| notes.get(REQUESTED_AT));
        let requested = requested.filter(|value| old.last_handled_reconcile_at.as_ref() != Some(value));
        if requested.is_some() && requested != self.requested.as_ref() || self.generation != tenant.metadata.generation
        {
            self.caches.ask_anew(now);
            self.usage.ask_anew(now);
            self.hurry_engines(now);
        }
        self.requested = requested.cloned();
        self.generation = tenant.metadata.generation;
    }

    /// Heat's answers up to now do not count any more, if it can be asked for another one now.
    fn hurry_engines(&mut self, now: Timestamp) {
        if let Some((_, engines)) = &self.engines {
            let number = engines.answers().number;
            self.engines_too_old = if engines.hurry(now) { number } else { self.engines_too_old };
        }
    }

    /// Turns to this cloud. Another one than before is asked everything now.
    pub fn turn_to(&mut self, cloud: &Arc<Cloud>, now: Timestamp) {
        let before = self.cloud.replace(cloud.clone());
        if !before.as_ref().is_some_and(|before| Arc::ptr_eq(before, cloud)) {
            self.bad_in_row = [0; 2];
            // Nothing is under way for a tenant that had no cloud, and nothing was looked at.
            if before.is_some() {
                self.leave_engines();
                self.caches.reset(now);
                self.usage.reset(now);
            } else {
                ProbeKind::ALL.into_iter().for_each(|kind| *self.verdict_time(kind) = now);
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

    /// Wishes to know the cloud's engines. What others were told longer ago than this tenant's interval is not news.
    pub fn wish_engines(&mut self, uid: &str, cloud: &Arc<Cloud>, wish: Wish, now: Timestamp) {
        if let Some((before, engines)) = &self.engines
            && Arc::ptr_eq(before, cloud)
        {
            // Later than any answer may be: our clock was put forward, and Heat's turn has come.
            let late = wish.interval + wish.deadline;
            let told_at = engines.answers().at;
            engines.change(wish);
            if age(told_at, now) > late {
                self.hurry_engines(now);
            }
        } else {
            self.leave_engines();
            let interval = wish.interval;
            let engines = cloud.subscribe(uid, wish, now);
            let told_at = engines.answers().at;
            self.engines = Some((cloud.clone(), engines));
            if age(told_at, now) > interval {
                self.hurry_engines(now);
            }
        }
        self.engines_missing = None;
    }

    /// The way to the engines alone is missing: what there is to say of it. Where that may pass by itself, what is
    /// known stays in use.
    pub fn miss_engines(&mut self, failure: ProbeFailure, now: Timestamp) -> Option<Look<Engines>> {
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
    pub fn miss(&mut self, failure: &ProbeFailure, now: Timestamp) -> u32 {
        if !failure.transient {
            self.pause(now);
        }
        let (since, times) = self.missing.unwrap_or((now, 0));
        self.missing = Some((since, times.saturating_add(1)));
        times.saturating_add(1)
    }

    /// No longer wishes to know any engines.
    pub fn leave_engines(&mut self) {
        (self.engines, self.engines_missing, self.engines_awaited) = (None, None, None);
        (self.engines_seen, self.engines_counted, self.engines_too_old) = (0, 0, 0);
    }

    /// The cloud that the engines are asked of.
    #[must_use]
    pub fn engines_cloud(&self) -> Option<Arc<Cloud>> {
        self.engines.as_ref().map(|(cloud, _)| cloud.clone())
    }

    /// Has the tokens renewed before the next call.
    pub fn doubt_tokens(&self) {
        let clouds = self.cloud.iter().chain(self.engines.as_ref().map(|(cloud, _)| cloud));
        clouds.for_each(|cloud| cloud.session.doubt_token());
    }

    /// Waits for what is under way, once; at once where nothing is.
    pub async fn finish(&mut self) {
        let awaited = self.engines_awaited.replace(self.engines_too_old) == Some(self.engines_too_old);
        let engines = async {
            if let Some((_, engines)) = self.engines.as_ref().filter(|_| !awaited) {
                engines.answer_after(self.engines_too_old).await;
            }
        };
        tokio::join!(engines, self.caches.finish(), self.usage.finish());
    }

    /// What Heat has said.
    #[must_use]
    pub fn look_at_engines(&mut self, old: &CloudTenantStatus) -> Look<Engines> {
        let Some((_, engines)) = &self.engines else { return Look::NotDue };
        let answers = engines.answers();
        if answers.number > self.engines_too_old {
            let told_at = if answers.not_offered { Some(answers.at) } else { answers.answered_at };
            // A clock that was put back may not be known to the answers yet.
            let told_at = told_at.map(|at| at.min(self.looked_at));
            self.engines_verdict_at = self.engines_verdict_at.max(told_at.unwrap_or(self.engines_verdict_at));
        }
        Look::at(answers, self.engines_seen, self.engines_too_old, old)
    }

    /// When each probe last had a verdict, or looking began.
    #[must_use]
    pub const fn verdict_at(&self) -> [Timestamp; 3] {
        [self.engines_verdict_at, self.caches.turn.verdict_at, self.usage.turn.verdict_at]
    }

    /// Counts the bad verdicts in a row, each answer once: a pass whose write failed is repeated.
    pub fn count_bad(&mut self, engines: &Look<Engines>, verdicts: [Option<bool>; 2]) -> [u32; 2] {
        let number = if let Look::Seen(seen) = engines { seen.answers.number } else { 0 };
        let news = [number > self.engines_counted, self.caches.is_new()];
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
        self.caches.wrote();
        self.usage.wrote();
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
