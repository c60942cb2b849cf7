//! A list of Heat's engines, as one engine returned it.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

/// Heat's own default, for records without an interval.
pub const DEFAULT_REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// Overhead of a shared text in bytes: two counters and the allocator's rounding.
const TEXT: usize = 24;

/// A record's own ID, which identifies it in the next list. Only a hash is kept. It has a fixed size whatever Heat
/// sends, and no verdict shows the ID.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(Option<[u64; 2]>);

impl RecordId {
    /// Whether Heat sent no ID.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_none()
    }
}

impl From<&str> for RecordId {
    fn from(text: &str) -> Self {
        let half = |part: u8| {
            let mut hasher = DefaultHasher::new();
            (part, text).hash(&mut hasher);
            hasher.finish()
        };
        Self((!text.is_empty()).then(|| [half(0), half(1)]))
    }
}

/// A record of Heat's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineRow {
    /// The record's own ID.
    pub id: RecordId,
    /// The engine's ID, which is part of the names of its log and its message queue. It is empty if Heat sent none or
    /// reports the engine as up: messages name only down engines.
    pub engine_id: Arc<str>,
    /// The host as configured in Heat. Records with the same text share it, as for the next two fields.
    pub host: Arc<str>,
    /// `heat-engine`.
    pub binary: Arc<str>,
    /// `engine`.
    pub topic: Arc<str>,
    /// Whether Heat reports the engine as down.
    pub says_down: bool,
    /// The last report, by the cloud's clock. `None` if it is unreadable.
    pub heartbeat: Option<Timestamp>,
    /// The record's creation time, by the cloud's clock.
    pub created: Option<Timestamp>,
    /// The engine's report interval.
    pub report_interval: Duration,
}

impl EngineRow {
    /// Whether the engine is down. Heat must say so **and** the last report must be older than two intervals, because
    /// Heat before 13 reports an engine as down after one. Without a readable report, Heat's word decides.
    #[must_use]
    pub fn is_down(&self, cloud_now: Timestamp) -> bool {
        self.says_down && self.heartbeat.is_none_or(|beat| age(beat, cloud_now) > self.two_intervals())
    }

    /// Longest silence of an engine that is up.
    #[must_use]
    pub const fn two_intervals(&self) -> Duration {
        self.report_interval.saturating_mul(2)
    }
}

/// A list of engines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineList {
    /// The records in any order. Equal lists of several credentials share them. Boxed, so that a weak reference keeps
    /// none of them.
    pub rows: Arc<Box<[EngineRow]>>,
    /// The cloud's clock at the answer. It is the operator's clock if the answer has no `Date`.
    pub cloud_now: Timestamp,
}

impl EngineList {
    /// The longest report interval of all records.
    #[must_use]
    pub fn report_interval(&self) -> Option<Duration> {
        self.rows.iter().map(|row| row.report_interval).max()
    }

    /// Returns the newest report of all records and its host. A report in the cloud's future counts as now, because
    /// that engine's clock is ahead.
    #[must_use]
    pub fn newest_report(&self) -> Option<(Timestamp, &str)> {
        let reports = self.rows.iter().filter_map(|row| Some((row.heartbeat?.min(self.cloud_now), &*row.host)));
        reports.max()
    }

    /// Returns the newest report of each listed host, from this list or from `before`. An earlier report in the cloud's
    /// future is dropped, because the clock stepped back.
    pub(super) fn beats(&self, before: &[(Arc<str>, Timestamp)]) -> Box<[(Arc<str>, Timestamp)]> {
        let mut beats = BTreeMap::new();
        for row in self.rows.iter() {
            let known = before.binary_search_by(|(host, _)| host.cmp(&row.host)).ok().map(|at| before[at].1);
            let earlier = known.filter(|beat| *beat <= self.cloud_now);
            if let Some(beat) = row.heartbeat.max(earlier) {
                let newest = beats.entry(row.host.clone()).or_insert(beat);
                *newest = beat.max(*newest);
            }
        }
        beats.into_iter().collect()
    }

    /// Estimates the memory that the list keeps, in bytes. A text that records share counts once.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        let mut texts: Vec<&Arc<str>> =
            self.rows.iter().flat_map(|row| [&row.engine_id, &row.host, &row.binary, &row.topic]).collect();
        texts.sort_unstable_by_key(|text| Arc::as_ptr(text).addr());
        texts.dedup_by(|one, other| Arc::ptr_eq(one, other));
        let texts: usize = texts.into_iter().map(|text| text.len() + TEXT).sum();
        size_of::<Self>() + self.rows.len() * size_of::<EngineRow>() + texts
    }

    /// Returns which records are down. This is the difference between lists that matters to tenants.
    pub(super) fn downs(&self) -> Vec<(RecordId, bool)> {
        let mut downs: Vec<_> = self.rows.iter().map(|row| (row.id, row.is_down(self.cloud_now))).collect();
        downs.sort_unstable();
        downs
    }

    /// Whether each engine that is not down was created after this time. `false` without such an engine.
    pub(super) fn all_created_after(&self, time: Timestamp, is_down: impl Fn(&EngineRow) -> bool) -> bool {
        let mut live = self.rows.iter().filter(|row| !is_down(row)).peekable();
        live.peek().is_some() && live.all(|row| row.created.is_some_and(|created| created > time))
    }
}

/// Returns the time since `then`. Zero if `then` is in the future.
#[must_use]
pub fn age(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or(Duration::ZERO)
}

/// Moves a time after the local clock was set by this duration.
pub fn shift(at: &mut Timestamp, by: SignedDuration) {
    *at = at.saturating_add(by).unwrap_or(*at);
}
