//! Limits the number of events per tenant. Engines that fail and recover repeatedly would otherwise fill etcd with
//! events.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::{EventReason, Notice, window};

/// Number of events that a tenant may have without a pause.
const BURST: u32 = 25;

/// After the burst, a tenant may have one event in this time, in seconds, and one that counts the suppressed events.
const REFILL: i64 = 300;

/// Number of decisions kept for passes that are repeated.
const REMEMBERED: usize = 100;

/// The recent events of a tenant. This is kept in memory only, so a new leader begins with a full burst.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limit {
    /// Number of tokens in use. Zero at first; the refill reduces it.
    spent: u32,
    /// Time of the latest refill.
    refilled_at: Option<Timestamp>,
    /// The latest decisions: the hash of an event and whether it was admitted.
    decided: VecDeque<(u64, bool)>,
    /// Number of suppressed events that no recorded summary has counted.
    suppressed: u32,
    /// The window of the latest recorded summary.
    summed_in: String,
    /// Window and count of this pass's summary, until it is recorded.
    summing: Option<(String, u32)>,
}

impl Limit {
    /// Returns the notices that become events. A pass that is repeated after a failed write has the same result and
    /// uses no further token.
    #[must_use]
    pub fn admit(&mut self, notices: Vec<Notice>, now: Timestamp) -> Vec<Notice> {
        self.refill(now);
        let mut admitted = Vec::with_capacity(notices.len());
        for notice in notices {
            if self.is_admitted(&notice) {
                admitted.push(notice);
            }
        }
        let about = window(now, REFILL);
        self.summing = None;
        if self.suppressed > 0 && about != self.summed_in {
            self.summing = Some((about.clone(), self.suppressed));
            let events = if self.suppressed == 1 { "event was" } else { "events were" };
            let note = format!(
                "{} {events} not created, since this CloudTenant has had more than {BURST} within a short time: its \
                 conditions show the current state.",
                self.suppressed
            );
            admitted.push(Notice { reason: EventReason::EventsSuppressed, about, note, left: String::new() });
        }
        admitted
    }

    /// Call this once the events and the status are written.
    pub fn wrote(&mut self) {
        if let Some((window, count)) = self.summing.take() {
            self.suppressed = self.suppressed.saturating_sub(count);
            self.summed_in = window;
        }
    }

    fn is_admitted(&mut self, notice: &Notice) -> bool {
        let hash = notice.hash("");
        if let Some((_, admitted)) = self.decided.iter().find(|(decided, _)| *decided == hash) {
            return *admitted;
        }
        let admitted = self.spent < BURST;
        if admitted {
            self.spent += 1;
        } else {
            self.suppressed = self.suppressed.saturating_add(1);
        }
        if self.decided.len() == REMEMBERED {
            self.decided.pop_front();
        }
        self.decided.push_back((hash, admitted));
        admitted
    }

    /// If the clock steps back, the number of tokens does not change.
    fn refill(&mut self, now: Timestamp) {
        let since = self.refilled_at.map_or(0, |at| now.duration_since(at).as_secs().max(0));
        let refilled = u32::try_from(since / REFILL).unwrap_or(u32::MAX);
        let is_full = refilled >= self.spent;
        self.spent = self.spent.saturating_sub(refilled);
        self.refilled_at = match self.refilled_at {
            Some(at) if at <= now && !is_full => {
                Some(at + jiff::SignedDuration::from_secs(i64::from(refilled) * REFILL))
            }
            _ => Some(now),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(number: u32) -> Notice {
        let about = number.to_string();
        Notice { reason: EventReason::EngineDown, about, note: String::new(), left: String::new() }
    }

    /// Each line: the second, the new events, the number admitted, the count in the summary. `3` means three new
    /// events, `same` the events of the line before, `failed` a failed write.
    fn story(name: &str, lines: &[(i64, &str, u32, &str)]) {
        let mut limit = Limit::default();
        let mut notices = Vec::new();
        let mut number = 0;
        for (second, what, admitted, summed) in lines {
            let now = Timestamp::from_second(1_795_320_000 + second).unwrap();
            let mut words = what.split(' ');
            let first = words.next().unwrap();
            if first != "same" {
                let fresh = number..number + first.parse::<u32>().unwrap();
                number = fresh.end;
                notices = fresh.map(notice).collect();
            }
            let created = limit.admit(notices.clone(), now);
            let (sums, events): (Vec<_>, Vec<_>) =
                created.iter().partition(|notice| notice.reason == EventReason::EventsSuppressed);
            let sum = sums.iter().map(|sum| sum.note.split(" event").next().unwrap()).collect::<Vec<_>>().join(" ");
            assert_eq!((events.len(), sum.as_str()), (*admitted as usize, *summed), "{name}: {second} {what}");
            if words.next() != Some("failed") {
                limit.wrote();
            }
        }
    }

    /// Each line: second | events | events created | count in the summary.
    #[test]
    fn a_burst_and_then_one_in_five_minutes() {
        story("25 at once", &[(0, "25", 25, ""), (1, "1", 0, "1")]);
        story("one too many, in one pass", &[(0, "26", 25, "1"), (10, "0", 0, "")]);
        story(
            "many, and one sum for each window",
            &[
                (0, "60", 25, "35"),
                (10, "5", 0, ""),
                (20, "5", 0, ""),
                (299, "1", 0, ""),
                // One token has been refilled.
                (300, "3", 1, "13"),
                (310, "0", 0, ""),
                (600, "0", 0, ""),
                (900, "5", 2, "3"),
            ],
        );
        story("the sum comes with a later write, too", &[(290, "26", 25, "1"), (299, "1", 0, ""), (301, "0", 0, "1")]);
        story("full again after two hours", &[(0, "25", 25, ""), (7500, "25", 25, ""), (7501, "1", 0, "1")]);
        story("no more than full", &[(0, "0", 0, ""), (90_000, "26", 25, "1")]);
        story("seldom enough", &[(0, "25", 25, ""), (300, "1", 1, ""), (600, "1", 1, ""), (900, "1", 1, "")]);
        story("not quite", &[(0, "25", 25, ""), (300, "1", 1, ""), (599, "1", 0, "1"), (600, "1", 1, "")]);
    }

    #[test]
    fn a_repeated_pass_uses_no_token() {
        story(
            "its events are let through again",
            &[
                (0, "20 failed", 20, ""),
                (15, "same failed", 20, ""),
                (45, "same", 20, ""),
                (50, "5", 5, ""),
                (51, "1", 0, "1"),
            ],
        );
        story(
            "and what was left out stays so, and is counted once",
            &[
                (0, "30 failed", 25, "5"),
                (15, "same failed", 25, "5"),
                // A token has been refilled, but the decision stands.
                (310, "same", 25, "5"),
                (311, "0", 0, ""),
                (320, "1", 1, ""),
            ],
        );
    }

    #[test]
    fn a_clock_that_steps_back() {
        story("refills nothing", &[(7200, "25", 25, ""), (0, "1", 0, "1"), (299, "1", 0, ""), (300, "1", 1, "1")]);
    }

    #[test]
    fn remembered_decisions_are_bounded() {
        let mut limit = Limit::default();
        for number in 0..1000 {
            let now = Timestamp::from_second(i64::from(number) * 60).unwrap();
            drop(limit.admit(vec![notice(number)], now));
            limit.wrote();
        }
        assert!(limit.decided.len() <= REMEMBERED && limit.spent <= BURST);
    }
}
