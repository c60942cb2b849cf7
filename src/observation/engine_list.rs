//! One list of Heat's engines, as one engine answered it.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

/// Heat's own default, for records that do not say.
pub const DEFAULT_REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// One row of Heat's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineRow {
    /// The row's own id; empty where Heat sent none.
    pub id: String,
    /// The engine's id, which its log and its message queue are named after; empty where Heat sent none.
    pub engine_id: String,
    /// The host, as Heat was told to call it.
    pub host: String,
    /// `heat-engine`.
    pub binary: String,
    /// `engine`.
    pub topic: String,
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

    /// What the row names, each a text of the cloud's.
    #[must_use]
    pub const fn names(&self) -> [&String; 5] {
        [&self.id, &self.engine_id, &self.host, &self.binary, &self.topic]
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
        let reports = self.rows.iter().filter_map(|row| Some((row.heartbeat?.min(self.cloud_now), row.host.as_str())));
        reports.max()
    }

    /// The newest report of each host that is listed, this list's or an earlier one's in `before`. One in the
    /// cloud's future is an earlier clock's.
    pub(super) fn beats(&self, before: &BTreeMap<String, Timestamp>) -> BTreeMap<String, Timestamp> {
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

    /// Which rows are down: what makes one list differ from the next for those who read it.
    pub(super) fn downs(&self) -> Vec<(&str, bool)> {
        let mut downs: Vec<_> = self.rows.iter().map(|row| (row.id.as_str(), row.is_down(self.cloud_now))).collect();
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
