//! What Heat has answered to the question for its engines, over time.
//!
//! Heat's list is the same for every tenant of a cloud, so these answers are shared by all that use one
//! credential. What a tenant makes of them is decided in [`crate::decide::status`].

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

pub use super::engine_list::{DEFAULT_REPORT_INTERVAL, EngineList, EngineRow, RecordId, age};
pub use super::setback::Setbacks;
use super::{Elsewhere, Outcome, ProbeFailure};
use crate::api::Reason;

/// After so many consecutive time-outs, a first 503 may be what a message broker gives that has just come back.
const TIMEOUTS: u32 = 2;

/// What Heat says when it is asked for its engines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineAnswer {
    /// 200: an engine answered with the list.
    Listed(Arc<EngineList>),
    /// Heat's own 503: an engine took the request and did not answer, or there is none.
    Unanswered {
        /// When the request was sent, by the cloud's clock.
        sent: Timestamp,
    },
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
    /// When the request for the last of them was sent, by the cloud's clock.
    pub sent: Timestamp,
    /// Time-outs came before the first of them: a message broker that is back answers one request with a 503.
    pub after_timeouts: bool,
}

impl Silence {
    /// Whether this is a single 503 that a second one has to confirm, for a tenant whose condition says that Heat
    /// timed out, or not.
    #[must_use]
    pub const fn needs_confirmation(&self, condition_is_timeout: bool) -> bool {
        self.count == 1 && (self.after_timeouts || condition_is_timeout)
    }
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
    pub beats: BTreeMap<Arc<str>, Timestamp>,
    /// The newest report in any list, by the cloud's clock, and its host. A restarted engine answers before it is listed
    /// itself.
    pub newest_report: Option<(Timestamp, Arc<str>)>,
    /// Rows of the latest list whose reports went back in time.
    pub setbacks: Setbacks,
    /// 200s since the last 503.
    pub listed_in_row: u32,
    /// The latest row of 503s; it goes on while `listed_in_row` is 0.
    pub silence: Option<Silence>,
    /// What kept us from an answer the last times, and how many times.
    pub failed: Option<(ProbeFailure, u32)>,
    /// Consecutive time-outs of Heat; once they are [`TIMEOUTS`], they count until Heat answers.
    timeouts: u32,
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
                // A time-out that is transient is another service's, such as a login's.
                self.timeouts = match self.timeouts {
                    before if failure.reason == Reason::Timeout && !failure.transient => before.saturating_add(1),
                    before if before < TIMEOUTS => 0,
                    enough => enough,
                };
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
                        self.setbacks = self.setbacks.after(self.list.as_deref(), &list, now);
                        let known = self.newest_report.take().filter(|(report, _)| *report <= list.cloud_now);
                        self.newest_report = known.max(list.newest_report().map(|(at, host)| (at, host.into())));
                        self.list = Some(list);
                        self.listed_in_row = self.listed_in_row.saturating_add(1);
                        self.seen_again_at = self.seen_again_at.filter(|_| !self.is_settled(false));
                    }
                    EngineAnswer::Unanswered { sent } => {
                        let silence = self.silence.filter(|_| self.listed_in_row == 0);
                        self.silence = Some(Silence {
                            count: silence.map_or(0, |silence| silence.count).saturating_add(1),
                            since: silence.map_or(now, |silence| silence.since),
                            last: now,
                            number: self.number,
                            sent,
                            after_timeouts: silence.map_or(self.timeouts >= TIMEOUTS, |silence| silence.after_timeouts),
                        });
                        self.listed_in_row = 0;
                    }
                }
                self.timeouts = 0;
            }
        }
        self
    }

    /// Our clock was put back by so much: what was some time ago still is.
    fn shift(&mut self, by: SignedDuration) {
        let silence = self.silence.iter_mut().flat_map(|silence| [&mut silence.since, &mut silence.last]);
        let others = [&mut self.answered_at, &mut self.first_at, &mut self.seen_again_at].into_iter().flatten();
        silence.chain(others).for_each(|at| *at = at.saturating_add(by).unwrap_or(*at));
        self.setbacks.shift(by);
    }

    /// What is still worth knowing when nobody has asked for a while: which engines have reported, and why Heat could
    /// not be asked. Lists and rows of answers from before say nothing about now.
    #[must_use]
    pub fn resumed(self) -> Self {
        let Self { number, at, beats, newest_report, failed, .. } = self;
        Self { number, at, beats, newest_report, failed, ..Self::default() }
    }

    /// What a reader gets who may not keep the answers: nothing but why, under their number.
    #[must_use]
    pub fn withheld(&self, why: ProbeFailure) -> Self {
        Self { failed: Some((why, 1)), ..self.emptied() }
    }

    /// The answers without all that may be large.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self { number: self.number, at: self.at, failed: self.failed.clone(), ..Self::default() }
    }

    /// How many bytes they keep, about: the list, and what is remembered of its hosts and rows.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        let list = self.list.as_deref().map_or(0, EngineList::kept_bytes);
        // A tree's nodes are half empty at worst. Hosts that were in an earlier list share no text with this one.
        let beat = |host: &Arc<str>| 2 * size_of::<(Arc<str>, Timestamp)>() + host.len();
        size_of::<Self>() + list + self.beats.keys().map(beat).sum::<usize>() + self.setbacks.kept_bytes()
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
        let quiet = || self.quiet_for(self.at) >= self.report_interval().saturating_mul(3);
        self.listed_in_row >= needed && (self.has_new_engines() || quiet())
    }

    /// Whether every engine that reports in time was started after the last unanswered request was sent, so that none
    /// of them can be the one that did not answer. Nobody knows while records have to be waited for.
    #[must_use]
    pub fn has_new_engines(&self) -> bool {
        let Some((silence, list)) = self.silence.zip(self.list.as_ref()) else { return false };
        let known = self.is_settled(false) && self.setbacks.waiting(self.at) == 0;
        known && list.all_created_after(silence.sent, |row| self.setbacks.is_down(row, list.cloud_now, self.at))
    }

    /// Whether Heat is to be asked more often than its tenants wish: it answers, and what it says is not decided yet.
    /// `doubted` is whether one of their statuses says that an engine does not answer, perhaps from before this
    /// process.
    #[must_use]
    pub fn is_undecided(&self, doubted: bool) -> bool {
        let rows = self.list.as_ref().map_or(0, |list| u32::try_from(list.rows.len()).unwrap_or(u32::MAX));
        let doubted = doubted || self.silence.is_some();
        let answers = self.failed.is_none() && !self.not_offered;
        let waiting = self.setbacks.waiting(self.at) > 0;
        answers && (waiting || !self.is_settled(false) || doubted && !self.has_recovered(rows))
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
            || self.setbacks.waiting(self.at) != before.setbacks.waiting(before.at)
            || before.number == 0
    }
}
