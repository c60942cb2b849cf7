//! What the controller keeps of a set between two passes.

use std::sync::Arc;

use jiff::Timestamp;

use super::write::WriteState;
use crate::{
    api::set::{CloudTenantSet, CloudTenantSetStatus},
    clouds::Cloud,
    cluster::doubt::Doubt,
    decide::{
        SECRET_GRACE,
        event::Notice,
        set::{SetMemory, Unread},
    },
    observation::{
        ProbeFailure,
        engine_answers::{age, shift},
    },
    openstack::ClockReading,
};

/// The state of a set between two passes. Losing it is safe: the status holds what must last.
#[derive(Default)]
pub(super) struct State {
    pub(super) memory: SetMemory,
    /// Before this time, Keystone wants no list.
    pub(super) not_before: Option<Timestamp>,
    /// The session in use, so that the next list needs no login.
    pub(super) cloud: Option<Arc<Cloud>>,
    /// Number of consecutive lists that failed.
    pub(super) failures: u32,
    /// Since when the Secret, its key or its entry has been missing.
    pub(super) missing_since: Option<Timestamp>,
    /// Number of passes since the last one that created or adopted CloudTenants.
    pub(super) recounts: u32,
    /// Number of consecutive lists of the namespace's CloudTenants that failed.
    pub(super) unread: u32,
    /// When the clock was last read.
    clock: ClockReading,
    /// An API server that starts forbids these lists too.
    doubt: Doubt<Timestamp>,
    pub(super) writes: WriteState,
    /// Counted deletions that did not happen, until the status no longer has them.
    pub(super) undeleted: usize,
    /// The events of earlier passes that could not be created yet.
    pub(super) untold: Vec<Notice>,
    pub(super) stored: Stored,
}

/// The status that was written last.
#[derive(Default)]
pub(super) struct Stored {
    /// With the resource version that it got. The watch may not have brought it yet.
    last: Option<(u64, CloudTenantSetStatus)>,
    /// Number of consecutive passes whose status was not written.
    pub(super) failed_writes: u32,
}

/// Events of one set that are kept until they can be created.
const UNTOLD: usize = 20;

impl State {
    /// Moves what is remembered with the operator's clock, if that was set.
    pub(super) fn keep_time(&mut self) {
        let by = self.clock.renew();
        if !by.is_zero() {
            self.memory.clock_was_set(by);
            let times = [&mut self.not_before, &mut self.missing_since].into_iter().flatten();
            times.for_each(|at| shift(at, by));
        }
    }

    /// Notes whether the namespace's CloudTenants could be read. Returns why not, and how often.
    pub(super) fn note_unread(&mut self, failed: Option<Unread>, now: Timestamp) -> Option<(Unread, u32)> {
        let why = match failed {
            Some(Unread::Forbidden) if !self.doubt.refused(now) => Some(Unread::Unavailable),
            Some(Unread::Forbidden) => failed,
            _ => {
                self.doubt.ended();
                failed
            }
        };
        self.unread = why.map_or(0, |_| self.unread.saturating_add(1));
        why.map(|why| (why, self.unread))
    }

    /// Forgets what only a set that lists projects needs. The pace, and the events that are still to be emitted, stay.
    pub(super) fn rest(&mut self) {
        (self.memory, self.cloud) = (SetMemory::default(), None);
        (self.failures, self.missing_since) = (0, None);
        self.writes.forget();
    }

    /// Keeps the newest of these events for the next pass.
    pub(super) fn keep(&mut self, mut untold: Vec<Notice>) {
        let lost = untold.len().saturating_sub(UNTOLD);
        for notice in untold.drain(..lost) {
            tracing::warn!(reason = %notice.reason, note = notice.note, "an event was not created");
        }
        self.untold = untold;
    }

    /// Counts consecutive failures. Returns whether a missing Secret has exceeded its grace period, and their number.
    pub(super) fn note_failure(&mut self, failure: Option<&ProbeFailure>, now: Timestamp) -> (bool, u32) {
        let Some(failure) = failure else {
            (self.failures, self.missing_since) = (0, None);
            return (false, 0);
        };
        self.failures = self.failures.saturating_add(1);
        if !failure.reason.may_still_arrive() {
            self.missing_since = None;
            return (false, self.failures);
        }
        // If the clock stepped back, the grace period starts again.
        let since = *self.missing_since.get_or_insert(now);
        let since = if since > now { *self.missing_since.insert(now) } else { since };
        (age(since, now) >= SECRET_GRACE, self.failures)
    }
}

impl Stored {
    /// The status as it is now, with its resource version.
    pub(super) fn current(&self, object: &CloudTenantSet) -> (CloudTenantSetStatus, Option<String>) {
        let brought = object.metadata.resource_version.clone();
        let number: Option<u64> = brought.as_ref().and_then(|version| version.parse().ok());
        match &self.last {
            Some((version, status)) if number.is_some_and(|brought| brought < *version) => {
                (status.clone(), Some(version.to_string()))
            }
            _ => (object.status.clone().unwrap_or_default(), brought),
        }
    }

    /// Notes the result of a write of the status.
    pub(super) fn wrote(&mut self, status: CloudTenantSetStatus, version: Option<&str>) {
        self.failed_writes = 0;
        let version = version.and_then(|version| version.parse().ok());
        self.last = version.map(|version| (version, status));
    }
}
