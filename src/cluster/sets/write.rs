//! Writes the CloudTenants of a set: creates, changes and deletes them, at the set's pace.

use std::time::Duration;

use jiff::Timestamp;
use kube::Resource as _;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use crate::{
    api::{CloudTenant, set::SETS_FIELD_MANAGER},
    cluster::{
        context::SetSettings,
        doubt::Doubt,
        writer::{StatusWriter, WriteError},
    },
    decide::set::{
        Apply, Deletion,
        status::{Refusal, Written},
        writes::{Attempts, Order, Outcome, Write},
    },
    identity::TenantName,
    watched::object::Watched,
};

/// After this many consecutive refusals of applies, or of deletions, the rest of them waits for the next pass.
const REFUSALS: usize = 20;

/// What is kept of the writes between two passes.
#[derive(Default)]
pub(super) struct WriteState {
    pace: Pace,
    attempts: Attempts,
    /// An API server that starts forbids everything.
    doubt: Doubt<Timestamp>,
}

impl WriteState {
    /// Orders the writes of a pass.
    pub(super) fn order(
        &mut self,
        applies: Vec<Apply>,
        deletions: &[Deletion],
        settings: &SetSettings,
        now: Timestamp,
    ) -> Order {
        let left = self.pace.left(settings.writes_per_minute, now);
        let order = self.attempts.order(applies, deletions, left);
        if order.writes.is_empty() {
            self.doubt.ended();
        }
        order
    }

    /// Forgets the writes that failed, and keeps the pace.
    pub(super) fn forget(&mut self) {
        (self.attempts, self.doubt) = (Attempts::default(), Doubt::default());
    }
}

/// The writes of one pass.
pub(super) struct Writes<'a> {
    pub(super) writer: &'a StatusWriter,
    pub(super) namespace: &'a str,
    pub(super) settings: &'a SetSettings,
    /// Whether the set is still the one that the pass has begun with.
    pub(super) is_current: &'a (dyn Fn() -> bool + Send + Sync),
    /// The end of the term.
    pub(super) shutdown: &'a CancellationToken,
    pub(super) state: &'a mut WriteState,
    /// What became of the writes.
    pub(super) written: Written,
    /// The wait until the pace allows the next write.
    pub(super) wait: Option<Duration>,
}

/// Why the writes of a kind end before the pass does.
#[derive(Default)]
struct Ends {
    refused_applies: usize,
    refused_deletions: usize,
    /// A quota refuses all other creations too.
    is_full: bool,
}

impl Ends {
    fn note(&mut self, write: &Write, outcome: Outcome) {
        let refused = match write {
            Write::Apply(_) => &mut self.refused_applies,
            Write::Delete(_) => &mut self.refused_deletions,
        };
        match outcome {
            Outcome::Refused(_) => *refused += 1,
            // It concerns one CloudTenant, and says nothing about the others.
            Outcome::Conflict => {}
            Outcome::Done | Outcome::Later => *refused = 0,
        }
        self.is_full |= outcome == Outcome::Refused(Refusal::Quota);
    }

    fn of(&self, write: &Write) -> bool {
        match write {
            Write::Apply(_) => self.refused_applies >= REFUSALS,
            Write::Delete(_) => self.refused_deletions >= REFUSALS,
        }
    }
}

impl Writes<'_> {
    /// Makes, changes and deletes CloudTenants in this order.
    pub(super) async fn run(&mut self, order: Order) {
        self.write_all(order).await;
        self.written.failing = self.state.attempts.failing();
        if self.written.is_unfinished && self.wait.is_none() {
            // Deletions that wait for the next writes of the pace.
            self.wait = self.state.pace.wait(self.settings.writes_per_minute, self.settings.clock.now());
        }
    }

    async fn write_all(&mut self, order: Order) {
        let Order { writes, reserved } = order;
        let mut ends = Ends::default();
        let mut left = writes.into_iter();
        while let Some(write) = left.next() {
            let is_reserved = |write: &Write| matches!(write, Write::Delete(of) if reserved.contains(&of.uid));
            if ends.is_full && write.is_creation() {
                continue;
            }
            if ends.of(&write) {
                // The refusals say enough of those that the operator has not tried yet.
                self.leave(&write, false, is_reserved(&write));
                continue;
            }
            if matches!(write, Write::Delete(_)) && !is_reserved(&write) {
                self.leave(&write, true, false);
                continue;
            }
            if !self.may_go_on() {
                std::iter::once(write).chain(left).for_each(|write| self.leave(&write, true, is_reserved(&write)));
                return;
            }
            let done = match &write {
                Write::Apply(apply) => self.apply(apply).await,
                Write::Delete(deletion) => self.delete(deletion).await,
            };
            let Some(outcome) = done else {
                self.written.undeleted += left.filter(is_reserved).count();
                return;
            };
            ends.note(&write, outcome);
            self.state.attempts.note(write.name(), outcome);
            self.written.add(write.name(), outcome);
        }
    }

    /// Leaves a write for a later pass. What was wrong with it last time still is. `is_news` means that a new one is a
    /// reason for a pass soon.
    fn leave(&mut self, write: &Write, is_news: bool, is_counted: bool) {
        self.written.undeleted += usize::from(is_counted);
        match self.state.attempts.last(write.name()) {
            Some(Outcome::Later) if !is_news => {}
            Some(outcome) => self.written.add(write.name(), outcome),
            None => self.written.is_unfinished |= is_news,
        }
    }

    /// Takes a write of the pace.
    fn may_go_on(&mut self) -> bool {
        if self.shutdown.is_cancelled() || !(self.is_current)() {
            return false;
        }
        let taken = self.state.pace.take(self.settings.writes_per_minute, self.settings.clock.now());
        self.wait = taken.err();
        self.wait.is_none()
    }

    /// Maps the API server's refusal. `None` if nothing can be written any more.
    fn outcome(&mut self, name: &str, error: &WriteError) -> Option<Outcome> {
        let outcome = judge(error);
        if outcome.is_some() {
            tracing::warn!(%error, tenant = name, "the CloudTenant was not written");
        }
        if outcome != Some(Outcome::Refused(Refusal::Forbidden)) || error.is_denied() {
            self.state.doubt.ended();
            return outcome;
        }
        let is_verdict = self.state.doubt.refused(self.settings.clock.now());
        if is_verdict { outcome } else { Some(Outcome::Later) }
    }

    fn named(&self, name: &str) -> TenantName {
        TenantName { namespace: self.namespace.to_owned(), name: name.to_owned() }
    }

    /// Creates, changes or adopts a CloudTenant.
    async fn apply(&mut self, apply: &Apply) -> Option<Outcome> {
        let mut document = apply.document.clone();
        if apply.uid.is_none() {
            // The API server refuses this version of an object that exists. Somebody may have made one of this name since
            // the operator listed, and an apply would change it.
            document["metadata"]["resourceVersion"] = json!("0");
        }
        let named = self.named(&apply.name);
        match self.writer.apply::<CloudTenant>(&named, SETS_FIELD_MANAGER, &document).await {
            Ok(object) => {
                self.state.doubt.ended();
                if apply.uid.is_none() {
                    let uid = Watched::read(&object).meta().uid.clone().unwrap_or_default();
                    self.written.created.push((apply.name.clone(), uid));
                }
                self.written.adopted += usize::from(apply.adopts);
                Some(Outcome::Done)
            }
            Err(error) => self.outcome(&apply.name, &error),
        }
    }

    /// Deletes a CloudTenant if it is still the version that was read.
    async fn delete(&mut self, deletion: &Deletion) -> Option<Outcome> {
        let Deletion { name, uid, resource_version, .. } = deletion;
        match self.writer.delete::<CloudTenant>(&self.named(name), uid, resource_version).await {
            Ok(()) => {
                self.state.doubt.ended();
                tracing::info!(tenant = name, "deleted: its project is gone");
                self.written.deleted.push((name.clone(), uid.clone()));
                Some(Outcome::Done)
            }
            Err(error) => {
                // Without an answer, it may have been deleted.
                if error.answer().is_some_and(|answer| answer.code < 500) {
                    self.written.undeleted += 1;
                }
                self.outcome(name, &error)
            }
        }
    }
}

/// Maps the API server's refusal. `None` if this process no longer leads, or the namespace is being deleted.
fn judge(error: &WriteError) -> Option<Outcome> {
    if matches!(error, WriteError::NotLeading) || error.is_terminating() {
        return None;
    }
    let Some(answer) = error.answer() else { return Some(Outcome::Later) };
    let has_cause = |is_it: &dyn Fn(&kube::core::response::StatusCause) -> bool| {
        answer.details.iter().flat_map(|details| &details.causes).any(is_it)
    };
    Some(match answer.code {
        409 if has_cause(&|cause| cause.reason == "FieldManagerConflict") => Outcome::Conflict,
        // The object exists since the list: the next pass sees it.
        422 if has_cause(&|cause| cause.field == "metadata.resourceVersion") => Outcome::Later,
        403 if error.exceeds_quota() => Outcome::Refused(Refusal::Quota),
        403 => Outcome::Refused(Refusal::Forbidden),
        400 | 422 if error.is_by_policy() => Outcome::Refused(Refusal::Forbidden),
        400 | 413 | 422 => Outcome::Refused(Refusal::Invalid),
        _ => Outcome::Later,
    })
}

#[cfg(test)]
mod tests;
