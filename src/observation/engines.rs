//! What Heat has answered to the question for its engines, over time.
//!
//! Heat's list is the same for every tenant of a cloud, so these answers are shared by all that use one
//! credential. What a tenant makes of them is decided in [`crate::status`].

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{Elsewhere, Failure, Outcome};
use crate::api::Reason;

/// Heat's own default, for rows that do not say.
pub const DEFAULT_REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// One row of Heat's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineRow {
    /// The row's own id.
    pub id: String,
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
        self.says_down
            && self.heartbeat.is_none_or(|beat| age(beat, cloud_now) > self.report_interval.saturating_mul(2))
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

    /// The newest report of each host that is listed, this list's or an earlier one's in `before`. One in the
    /// cloud's future is an earlier clock's.
    fn beats(&self, before: &BTreeMap<String, Timestamp>) -> BTreeMap<String, Timestamp> {
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
    fn downs(&self) -> Vec<(&str, bool)> {
        let mut downs: Vec<_> = self.rows.iter().map(|row| (row.id.as_str(), row.is_down(self.cloud_now))).collect();
        downs.sort_unstable();
        downs
    }
}

/// What Heat says when it is asked for its engines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineAnswer {
    /// 200: an engine answered with the list.
    Listed(Arc<EngineList>),
    /// Heat's own 503: an engine took the request and did not answer, or there is none.
    Unanswered,
}

/// A row of 503s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// How many, without a 200 between.
    pub count: u32,
    /// When the first of them came.
    pub since: Timestamp,
    /// When the last of them came.
    pub last: Timestamp,
    /// The number of the answer that was the last of them.
    pub number: u64,
}

/// Heat's answers up to now, as far as verdicts need them. Numbers start with the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineAnswers {
    /// Counts everything that came of asking, failures too; 0 before the first.
    pub number: u64,
    /// When the last answer or failure came.
    pub at: Timestamp,
    /// When Heat last answered, either way.
    pub answered_at: Option<Timestamp>,
    /// When Heat first answered.
    pub first_at: Option<Timestamp>,
    /// The latest list.
    pub list: Option<Arc<EngineList>>,
    /// The newest report of each of its hosts in any list: the status has them only as of its last write.
    pub beats: BTreeMap<String, Timestamp>,
    /// 200s since the last 503.
    pub listed_in_row: u32,
    /// The latest row of 503s; it goes on while `listed_in_row` is 0.
    pub silence: Option<Silence>,
    /// What kept us from an answer the last times, and how many times.
    pub failed: Option<(Failure, u32)>,
    /// Heat has failed by itself since the last list, as it does without its database.
    pub erred: bool,
    /// When the first list came after that, until one has been settled.
    pub seen_again_at: Option<Timestamp>,
    /// The catalogue has no orchestration.
    pub not_offered: bool,
    /// It has in other regions.
    pub elsewhere: Option<Elsewhere>,
}

impl EngineAnswers {
    /// These answers and one more. Failures neither lengthen nor end a row of answers.
    #[must_use]
    pub fn and(mut self, outcome: Outcome<EngineAnswer>, now: Timestamp) -> Self {
        if now < self.at {
            self.shift(now.duration_since(self.at));
        }
        self.number += 1;
        self.at = now;
        self.not_offered = matches!(outcome, Outcome::NotOffered(_));
        self.elsewhere = None;
        let before = self.failed.take();
        match outcome {
            Outcome::NotOffered(elsewhere) => self.elsewhere = elsewhere,
            Outcome::Failed(failure) => {
                self.erred |= failure.reason == Reason::ServerError;
                self.failed = Some((failure, before.map_or(0, |(_, times)| times).saturating_add(1)));
            }
            Outcome::Seen(answer) => {
                // A shorter one kept no engine from a report, and a single failure may be one engine's alone.
                let outage = before.is_some_and(|(_, times)| times > 1)
                    && self.answered_at.is_none_or(|at| age(at, now) > self.report_interval());
                self.answered_at = Some(now);
                self.first_at.get_or_insert(now);
                match answer {
                    EngineAnswer::Listed(list) => {
                        if std::mem::take(&mut self.erred) && (outage || self.seen_again_at.is_none()) {
                            self.seen_again_at = Some(now);
                        }
                        self.beats = list.beats(&self.beats);
                        self.list = Some(list);
                        self.listed_in_row = self.listed_in_row.saturating_add(1);
                        self.seen_again_at = self.seen_again_at.filter(|_| !self.is_settled(false));
                    }
                    EngineAnswer::Unanswered => {
                        let silence = self.silence.filter(|_| self.listed_in_row == 0);
                        self.silence = Some(Silence {
                            count: silence.map_or(0, |silence| silence.count).saturating_add(1),
                            since: silence.map_or(now, |silence| silence.since),
                            last: now,
                            number: self.number,
                        });
                        self.listed_in_row = 0;
                    }
                }
            }
        }
        self
    }

    /// Our clock was put back by so much: what was some time ago still is.
    fn shift(&mut self, by: SignedDuration) {
        let silence = self.silence.iter_mut().flat_map(|silence| [&mut silence.since, &mut silence.last]);
        let others = [&mut self.answered_at, &mut self.first_at, &mut self.seen_again_at].into_iter().flatten();
        silence.chain(others).for_each(|at| *at = at.saturating_add(by).unwrap_or(*at));
    }

    /// What is still worth knowing when nobody has asked for a while: which engines have reported, and why Heat could
    /// not be asked. Lists and rows of answers from before say nothing about now.
    #[must_use]
    pub fn resumed(self) -> Self {
        let Self { number, at, beats, failed, .. } = self;
        Self { number, at, beats, failed, ..Self::default() }
    }

    /// The row of 503s that is going on.
    #[must_use]
    pub fn unanswered(&self) -> Option<Silence> {
        self.silence.filter(|_| self.listed_in_row == 0)
    }

    /// How often engines report, as far as was ever seen.
    #[must_use]
    pub fn report_interval(&self) -> Duration {
        self.list.as_deref().and_then(EngineList::report_interval).unwrap_or(DEFAULT_REPORT_INTERVAL)
    }

    /// Whether the latest list can be judged. Without its database Heat fails, and when that is back, no engine has
    /// reported yet and all of them read as down (seen with Heat 19): what is down gets two intervals to report.
    ///
    /// `told` is whether the status says that Heat fails: then that may have been before this process began.
    #[must_use]
    pub fn is_settled(&self, told: bool) -> bool {
        let since = self.seen_again_at.or(self.first_at.filter(|_| told));
        let young = since.is_some_and(|since| age(since, self.at) < self.report_interval().saturating_mul(2));
        let down = |list: &EngineList| list.rows.iter().any(|row| row.is_down(list.cloud_now));
        !(young && self.list.as_deref().is_some_and(down))
    }

    /// How long Heat has been answering without a 503.
    #[must_use]
    pub fn quiet_for(&self, now: Timestamp) -> Duration {
        let since = self.silence.map(|silence| silence.last).or(self.first_at);
        since.map_or(Duration::ZERO, |since| age(since, now))
    }

    /// Whether so many engines may be said to answer every request again. Requests are handed round to them, so a hung
    /// one shows only in its turn: each must have had one, and then some time must have passed.
    #[must_use]
    pub fn has_recovered(&self, engines: u32) -> bool {
        let needed = engines.saturating_add(1).clamp(3, 64);
        self.listed_in_row >= needed && self.quiet_for(self.at) >= self.report_interval().saturating_mul(3)
    }

    /// Whether Heat is to be asked more often than its tenants wish: it answers, and what it says is not decided yet.
    /// `doubted` is whether one of their statuses says that an engine does not answer, perhaps from before this
    /// process.
    #[must_use]
    pub fn is_undecided(&self, doubted: bool) -> bool {
        let rows = self.list.as_ref().map_or(0, |list| u32::try_from(list.rows.len()).unwrap_or(u32::MAX));
        let doubted = doubted || self.silence.is_some();
        let answers = self.failed.is_none() && !self.not_offered;
        answers && (!self.is_settled(false) || doubted && !self.has_recovered(rows))
    }

    /// Whether those who read `before` have to look again at once: anything but one more list like the last one,
    /// in quiet times.
    #[must_use]
    pub fn is_news_after(&self, before: &Self) -> bool {
        let same_rows = self.list.as_deref().map(EngineList::downs) == before.list.as_deref().map(EngineList::downs);
        let restless =
            |answers: &Self| answers.silence.is_some() && answers.listed_in_row <= 65 && !answers.not_offered;
        !same_rows
            || restless(self)
            || self.failed != before.failed
            || self.not_offered != before.not_offered
            || self.elsewhere != before.elsewhere
            || self.is_settled(false) != before.is_settled(false)
            || before.number == 0
    }
}

/// How long ago; nothing is older than no time at all.
#[must_use]
pub fn age(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or(Duration::ZERO)
}
