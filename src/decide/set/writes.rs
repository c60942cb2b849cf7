//! The order in which a pass writes CloudTenants, and what the operator remembers of writes that failed.
//!
//! A set writes only so often a minute, and a write that fails may fail at every pass. So writes that failed come last,
//! those of the longest ago first: they never keep a new CloudTenant or a deletion waiting.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Apply, Deletion,
    status::{Refusal, Written},
};

/// What became of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The API server has accepted it.
    Done,
    /// Another field manager owns a field.
    Conflict,
    /// The API server refuses it.
    Refused(Refusal),
    /// It may succeed later: the object has changed, or the API server does not answer.
    Later,
}

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Creates, changes or adopts a CloudTenant.
    Apply(Apply),
    /// Deletes a CloudTenant.
    Delete(Deletion),
}

impl Write {
    /// The CloudTenant's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Apply(Apply { name, .. }) | Self::Delete(Deletion { name, .. }) => name,
        }
    }

    /// Whether it makes a CloudTenant, so that a quota may refuse it.
    #[must_use]
    pub const fn is_creation(&self) -> bool {
        matches!(self, Self::Apply(Apply { uid: None, .. }))
    }
}

/// The writes of a pass in their order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Order {
    /// All of them. The pace may allow only the first ones.
    pub writes: Vec<Write>,
    /// The UIDs of those that are deleted in this pass: the status has to count them before. The others wait for a
    /// later pass.
    pub reserved: BTreeSet<String>,
}

/// The writes that failed last time, between two passes.
#[derive(Debug, Clone, Default)]
pub struct Attempts {
    /// By the CloudTenant's name.
    failed: BTreeMap<String, Attempt>,
    count: u64,
}

/// The last write of a CloudTenant, which failed.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    /// When, as a number that grows.
    at: u64,
    outcome: Outcome,
    /// The number of consecutive writes with this outcome.
    times: u32,
}

/// The number of passes after which a write that may succeed later counts as failing.
const FAILS_AGAIN: u32 = 3;

impl Attempts {
    /// Orders the writes of a pass, of which the pace allows `left` now. Forgets writes that nobody wants any more.
    ///
    /// Deletions come first, since they make room in a quota, but take at most half of the writes if there are others.
    pub fn order(&mut self, mut applies: Vec<Apply>, deletions: &[Deletion], left: usize) -> Order {
        let leaving: BTreeSet<&str> = deletions.iter().map(|deletion| deletion.name.as_str()).collect();
        applies.retain(|apply| !leaving.contains(apply.name.as_str()));
        let wanted: BTreeSet<&str> = applies.iter().map(|apply| apply.name.as_str()).chain(leaving).collect();
        self.failed.retain(|name, _| wanted.contains(name.as_str()));
        let has_failed = |write: &Write| self.failed.contains_key(write.name());
        let (failed, mut new): (Vec<_>, Vec<_>) = applies.into_iter().map(Write::Apply).partition(has_failed);
        // Changes come before creations, which a quota may refuse.
        new.sort_by_key(Write::is_creation);
        let deletions = deletions.iter().cloned().map(Write::Delete);
        let (failed_deletions, mut first): (Vec<_>, Vec<_>) = deletions.partition(has_failed);
        let number = first.len().min(left.div_ceil(2).max(left.saturating_sub(new.len())));
        let rest = first.split_off(number);
        let mut again: Vec<_> = failed.into_iter().chain(failed_deletions).collect();
        again.sort_by_key(|write| self.failed.get(write.name()).map(|attempt| attempt.at));
        let writes: Vec<_> = first.into_iter().chain(new).chain(rest).chain(again).collect();
        let reserved = writes.iter().take(left).filter_map(|write| match write {
            Write::Delete(deletion) => Some(deletion.uid.clone()),
            Write::Apply(_) => None,
        });
        Order { reserved: reserved.collect(), writes }
    }

    /// Notes what became of a write.
    pub fn note(&mut self, name: &str, outcome: Outcome) {
        if outcome == Outcome::Done {
            self.failed.remove(name);
        } else {
            self.count += 1;
            let before = self.failed.get(name).filter(|before| before.outcome == outcome);
            let times = before.map_or(1, |before| before.times.saturating_add(1));
            self.failed.insert(name.to_owned(), Attempt { at: self.count, outcome, times });
        }
    }

    /// What became of the last write of this CloudTenant, if it failed.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<Outcome> {
        self.failed.get(name).map(|attempt| attempt.outcome)
    }

    /// The first CloudTenant with several consecutive writes that failed without a refusal, and their number.
    #[must_use]
    pub fn failing(&self) -> Option<(String, u32)> {
        let fails = |attempt: &Attempt| attempt.outcome == Outcome::Later && attempt.times >= FAILS_AGAIN;
        self.failed.iter().find(|(_, attempt)| fails(attempt)).map(|(name, attempt)| (name.clone(), attempt.times))
    }
}

impl Written {
    /// Adds what became of a write, apart from a success.
    pub fn add(&mut self, name: &str, outcome: Outcome) {
        match outcome {
            Outcome::Done => {}
            Outcome::Conflict => self.conflicts.push(name.to_owned()),
            Outcome::Refused(refusal) => {
                self.refused = Some(self.refused.map_or(refusal, |before| before.min(refusal)));
            }
            Outcome::Later => self.is_unfinished = true,
        }
    }
}
