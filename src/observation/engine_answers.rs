//! Heat's answers about its engines over time.
//!
//! Heat's list is the same for every tenant of a cloud, so all tenants of one credential share these answers.
//! [`crate::decide::status`] derives each tenant's verdict.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{Elsewhere, Outcome, ProbeFailure};
pub use super::{
    engine_list::{DEFAULT_REPORT_INTERVAL, EngineList, EngineRow, RecordId, age, shift},
    setback::Setbacks,
};
use crate::api::Reason;

/// Number of consecutive timeouts after which a first 503 may only show that the message broker has just restarted.
const TIMEOUTS: u32 = 2;

/// Heat's answer to a query of its engines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineAnswer {
    /// 200: an engine returned the list.
    Listed(Arc<EngineList>),
    /// Heat's own 503: an engine took the request and did not answer, or there is none.
    Unanswered {
        /// Time of the request, by the cloud's clock.
        sent: Timestamp,
    },
}

/// A streak of 503s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// Number of 503s without a 200 in between.
    pub count: u32,
    /// Time of the first one.
    pub since: Timestamp,
    /// Time of the last one.
    pub last: Timestamp,
    /// Number of the answer that was the last one.
    pub number: u64,
    /// Time of the last one's request, by the cloud's clock.
    pub sent: Timestamp,
    /// Timeouts preceded the first one. After a restart of the message broker, one request fails with a 503.
    pub after_timeouts: bool,
}

impl Silence {
    /// Whether this is a single 503 that a second one must confirm. The parameter is whether the tenant's condition
    /// reports a timeout of Heat.
    #[must_use]
    pub const fn needs_confirmation(&self, condition_is_timeout: bool) -> bool {
        self.count == 1 && (self.after_timeouts || condition_is_timeout)
    }
}

/// Heat's answers so far, reduced to what verdicts need. Numbers start with the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineAnswers {
    /// Number of results so far, including failures. 0 before the first.
    pub number: u64,
    /// Time of the last answer or failure.
    pub at: Timestamp,
    /// Time of Heat's last answer, a list or a 503.
    pub answered_at: Option<Timestamp>,
    /// Time of Heat's first answer.
    pub first_at: Option<Timestamp>,
    /// The latest list.
    pub list: Option<Arc<EngineList>>,
    /// The newest report of each of its hosts in any list, sorted by host. The status contains only those of its last
    /// write.
    pub beats: Box<[(Arc<str>, Timestamp)]>,
    /// The newest report in any list, by the cloud's clock, and its host. It is needed because a restarted engine may
    /// answer before it is in the list.
    pub newest_report: Option<(Timestamp, Arc<str>)>,
    /// Records of the latest list whose reports went back in time.
    pub setbacks: Setbacks,
    /// Number of 200s since the last 503.
    pub listed_in_row: u32,
    /// The latest streak of 503s. It continues while `listed_in_row` is 0.
    pub silence: Option<Silence>,
    /// The last failure and the number of consecutive failures. `None` after an answer.
    pub failed: Option<(ProbeFailure, u32)>,
    /// Number of consecutive timeouts of Heat. From [`TIMEOUTS`] on, it stays until Heat answers.
    timeouts: u32,
    /// Heat itself has failed since the last list, as it does without its database.
    pub erred: bool,
    /// Time of the first list after that, until a list is settled.
    pub seen_again_at: Option<Timestamp>,
    /// The catalogue does not offer orchestration.
    pub not_offered: bool,
    /// The regions that do offer it.
    pub elsewhere: Option<Elsewhere>,
}

impl EngineAnswers {
    /// Adds an answer. Failures neither lengthen nor end a streak of answers.
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
                // A transient timeout belongs to another service, for example at login.
                self.timeouts = match self.timeouts {
                    before if failure.reason == Reason::Timeout && !failure.transient => before.saturating_add(1),
                    before if before < TIMEOUTS => 0,
                    enough => enough,
                };
                self.failed = Some((failure, before.map_or(0, |(_, times)| times).saturating_add(1)));
            }
            Outcome::Seen(answer) => {
                // A shorter outage prevented no report, and a single failure may belong to one engine.
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

    /// The same after the operator's clock was set by so much.
    #[must_use]
    pub fn after_clock_was_set(mut self, by: SignedDuration) -> Self {
        if !by.is_zero() {
            self.shift(by);
            shift(&mut self.at, by);
        }
        self
    }

    /// Moves all times by this duration after the local clock was set.
    fn shift(&mut self, by: SignedDuration) {
        let silence = self.silence.iter_mut().flat_map(|silence| [&mut silence.since, &mut silence.last]);
        let others = [&mut self.answered_at, &mut self.first_at, &mut self.seen_again_at].into_iter().flatten();
        silence.chain(others).for_each(|at| shift(at, by));
        self.setbacks.shift(by);
    }

    /// Returns what is still valid after a pause without queries: the engines' reports, and the last failure. Earlier
    /// lists and streaks are outdated.
    #[must_use]
    pub fn resumed(self) -> Self {
        let Self { number, at, beats, newest_report, failed, .. } = self;
        Self { number, at, beats, newest_report, failed, ..Self::default() }
    }

    /// Returns the answers for a tenant whose namespace may not keep them: only the failure and the number.
    #[must_use]
    pub fn withheld(&self, why: ProbeFailure) -> Self {
        Self { failed: Some((why, 1)), ..self.emptied() }
    }

    /// Returns the answers without everything that may be large.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self { number: self.number, at: self.at, failed: self.failed.clone(), ..Self::default() }
    }

    /// Whether there were answers, of which nothing is left.
    #[must_use]
    pub const fn was_emptied(&self) -> bool {
        self.number > 0 && self.answered_at.is_none() && !self.not_offered && self.failed.is_none()
    }

    /// Estimates the memory that the answers keep, in bytes: the list, and the data on its hosts and records.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        let list = self.list.as_deref().map_or(0, EngineList::kept_bytes);
        // Hosts from an earlier list share no text with this one.
        let beat = |(host, _): &(Arc<str>, Timestamp)| {
            size_of::<(Arc<str>, Timestamp)>() + 2 * size_of::<usize>() + host.len()
        };
        size_of::<Self>() + list + self.beats.iter().map(beat).sum::<usize>() + self.setbacks.kept_bytes()
    }

    /// The current streak of 503s.
    #[must_use]
    pub fn unanswered(&self) -> Option<Silence> {
        self.silence.filter(|_| self.listed_in_row == 0)
    }

    /// The engines' report interval, or the default if no list is known.
    #[must_use]
    pub fn report_interval(&self) -> Duration {
        self.list.as_deref().and_then(EngineList::report_interval).unwrap_or(DEFAULT_REPORT_INTERVAL)
    }

    /// Whether the latest list can be judged. Without its database, Heat fails. When the database is back, all engines
    /// read as down until they report (observed with Heat 19). Down engines therefore get two intervals to report.
    ///
    /// `is_reported` is whether the status reports a failure of Heat, which may precede this process.
    #[must_use]
    pub fn is_settled(&self, is_reported: bool) -> bool {
        let since = self.seen_again_at.or(self.first_at.filter(|_| is_reported));
        let young = since.is_some_and(|since| age(since, self.at) < self.report_interval().saturating_mul(2));
        let down = |list: &EngineList| list.rows.iter().any(|row| row.is_down(list.cloud_now));
        !(young && self.list.as_deref().is_some_and(down))
    }

    /// Returns how long Heat has answered without a 503.
    #[must_use]
    pub fn quiet_for(&self, now: Timestamp) -> Duration {
        let since = self.silence.map(|silence| silence.last).or(self.first_at);
        since.map_or(Duration::ZERO, |since| age(since, now))
    }

    /// Whether this number of engines has recovered. Heat distributes requests among the engines, so a hung one fails
    /// only some. Therefore each engine must have had a request, and some time must have passed.
    #[must_use]
    pub fn has_recovered(&self, engines: u32) -> bool {
        let needed = engines.saturating_add(1).clamp(3, 64);
        let quiet = || self.quiet_for(self.at) >= self.report_interval().saturating_mul(3);
        self.listed_in_row >= needed && (self.has_new_engines() || quiet())
    }

    /// Whether every live engine was started after the last unanswered request. Then none of them can be the one that
    /// did not answer. `false` while the operator waits for a record's next report.
    #[must_use]
    pub fn has_new_engines(&self) -> bool {
        let Some((silence, list)) = self.silence.zip(self.list.as_ref()) else { return false };
        let known = self.is_settled(false) && self.setbacks.waiting(self.at) == 0;
        known && list.all_created_after(silence.sent, |row| self.setbacks.is_down(row, list.cloud_now, self.at))
    }

    /// Whether Heat must be queried more often than its tenants' interval, because it answers but the verdict is still
    /// open. `doubted` is whether a tenant's status reports an unanswered request, perhaps from before this process.
    #[must_use]
    pub fn is_undecided(&self, doubted: bool) -> bool {
        let rows = self.list.as_ref().map_or(0, |list| u32::try_from(list.rows.len()).unwrap_or(u32::MAX));
        let doubted = doubted || self.silence.is_some();
        let answers = self.failed.is_none() && !self.not_offered;
        let waiting = self.setbacks.waiting(self.at) > 0;
        answers && (waiting || !self.is_settled(false) || doubted && !self.has_recovered(rows))
    }

    /// Whether the tenants that read `before` need a pass now. They do not if this is another list like the last one,
    /// without recent 503s.
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
