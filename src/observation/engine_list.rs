//! One list of Heat's engines, as one engine answered it.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

/// Heat's own default, for records that do not say.
pub const DEFAULT_REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// What a shared text takes besides its bytes: two counters, and what the allocator rounds up.
const TEXT: usize = 24;

/// A record's own ID, by which the same record is found in the next list. Only a hash of the text is kept: it has the
/// same few bytes whatever Heat sends, and no verdict shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(Option<[u64; 2]>);

impl RecordId {
    /// Whether Heat sent none.
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

/// One row of Heat's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineRow {
    /// The row's own id.
    pub id: RecordId,
    /// The engine's id, which its log and its message queue are named after; empty where Heat sent none or says that
    /// the engine is up: only engines that are down are named.
    pub engine_id: Arc<str>,
    /// The host, as Heat was told to call it. Rows with the same text share it, like the next two.
    pub host: Arc<str>,
    /// `heat-engine`.
    pub binary: Arc<str>,
    /// `engine`.
    pub topic: Arc<str>,
    /// Heat's own verdict.
    pub says_down: bool,
    /// The last report, by the cloud's clock; `None` if unreadable.
    pub heartbeat: Option<Timestamp>,
    /// When the row came to be, by the cloud's clock.
    pub created: Option<Timestamp>,
    /// How often the engine reports.
    pub report_interval: Duration,
}

impl EngineRow {
    /// Down means that Heat says so **and** that the last report is older than two intervals: Heats before 13
    /// call an engine down after one. An unreadable report leaves it to Heat.
    #[must_use]
    pub fn is_down(&self, cloud_now: Timestamp) -> bool {
        self.says_down && self.heartbeat.is_none_or(|beat| age(beat, cloud_now) > self.two_intervals())
    }

    /// How long an engine may be silent before it counts as down.
    #[must_use]
    pub const fn two_intervals(&self) -> Duration {
        self.report_interval.saturating_mul(2)
    }
}

/// One list of engines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineList {
    /// The rows in any order.
    pub rows: Vec<EngineRow>,
    /// The cloud's clock when it answered; ours where the answer bore no `Date`.
    pub cloud_now: Timestamp,
}

impl EngineList {
    /// The longest report interval of all rows.
    #[must_use]
    pub fn report_interval(&self) -> Option<Duration> {
        self.rows.iter().map(|row| row.report_interval).max()
    }

    /// The newest report of all rows, and whose host's it is. One in the cloud's future counts as the cloud's now: that
    /// engine's clock is ahead.
    #[must_use]
    pub fn newest_report(&self) -> Option<(Timestamp, &str)> {
        let reports = self.rows.iter().filter_map(|row| Some((row.heartbeat?.min(self.cloud_now), &*row.host)));
        reports.max()
    }

    /// The newest report of each host that is listed, this list's or an earlier one's in `before`. One in the
    /// cloud's future is an earlier clock's.
    pub(super) fn beats(&self, before: &BTreeMap<Arc<str>, Timestamp>) -> BTreeMap<Arc<str>, Timestamp> {
        let mut beats = BTreeMap::new();
        for row in &self.rows {
            let earlier = before.get(&row.host).copied().filter(|beat| *beat <= self.cloud_now);
            if let Some(beat) = row.heartbeat.max(earlier) {
                let newest = beats.entry(row.host.clone()).or_insert(beat);
                *newest = beat.max(*newest);
            }
        }
        beats
    }

    /// How many bytes the list keeps, about. A text that rows share counts once.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        let mut texts: Vec<&Arc<str>> =
            self.rows.iter().flat_map(|row| [&row.engine_id, &row.host, &row.binary, &row.topic]).collect();
        texts.sort_unstable_by_key(|text| Arc::as_ptr(text).addr());
        texts.dedup_by(|one, other| Arc::ptr_eq(one, other));
        let texts: usize = texts.into_iter().map(|text| text.len() + TEXT).sum();
        size_of::<Self>() + self.rows.capacity() * size_of::<EngineRow>() + texts
    }

    /// Which rows are down: what makes one list differ from the next for those who read it.
    pub(super) fn downs(&self) -> Vec<(RecordId, bool)> {
        let mut downs: Vec<_> = self.rows.iter().map(|row| (row.id, row.is_down(self.cloud_now))).collect();
        downs.sort_unstable();
        downs
    }

    /// Whether each engine that is not down was created after this time. Without such an engine it is `false`.
    pub(super) fn all_created_after(&self, time: Timestamp, is_down: impl Fn(&EngineRow) -> bool) -> bool {
        let mut live = self.rows.iter().filter(|row| !is_down(row)).peekable();
        live.peek().is_some() && live.all(|row| row.created.is_some_and(|created| created > time))
    }
}

/// How long ago; nothing is older than no time at all.
#[must_use]
pub fn age(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or(Duration::ZERO)
}
