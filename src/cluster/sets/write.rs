//! Writes the CloudTenants of a set: creates, changes and deletes them, at the set's pace.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use kube::Resource as _;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use crate::{
    api::{CloudTenant, set::SETS_FIELD_MANAGER},
    cluster::{
        context::SetSettings,
        writer::{StatusWriter, WriteError},
    },
    decide::set::{
        Apply, Deletion,
        status::{Refusal, Written},
    },
    identity::TenantName,
    observation::engine_answers::age,
    watched::object::Watched,
};

/// An API server that starts forbids writes for a shorter time.
const IN_DOUBT: Duration = Duration::from_secs(10);

/// After this many consecutive refusals, the rest waits for the next pass.
const REFUSALS: usize = 20;

/// What is kept of the writes between two passes.
#[derive(Default)]
pub(super) struct WriteState {
    pace: Pace,
    /// The CloudTenants that the API server refused last. They come after the others.
    refused: BTreeSet<String>,
    /// Since when the API server has forbidden writes, without a success between.
    forbidden_since: Option<Timestamp>,
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

/// What became of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    /// Another field manager owns a field.
    Conflict,
    Refused(Refusal),
    /// It may succeed later: the object has changed, or the API server does not answer.
    Later,
    /// The namespace is being deleted, or this process no longer leads.
    Over,
}

impl Writes<'_> {
    /// Makes and changes CloudTenants.
    pub(super) async fn apply(&mut self, mut applies: Vec<Apply>) {
        // Changes come before creations, which a quota may refuse.
        applies.sort_by_key(|apply| (self.state.refused.contains(&apply.name), apply.uid.is_none()));
        let (mut refusals, mut is_full) = (0, false);
        let mut left = applies.into_iter();
        while let Some(apply) = left.next() {
            if is_full && apply.uid.is_none() {
                continue;
            }
            if refusals >= REFUSALS {
                return;
            }
            if !self.may_go_on() {
                // What the API server refused last time is no reason to hurry.
                let is_new = |apply: &Apply| !self.state.refused.contains(&apply.name);
                self.written.is_unfinished |= is_new(&apply) || left.any(|apply| is_new(&apply));
                return;
            }
            let outcome = self.apply_one(&apply).await;
            self.state.refused.remove(&apply.name);
            refusals = if matches!(outcome, Outcome::Refused(_)) { refusals + 1 } else { 0 };
            match outcome {
                Outcome::Done => {}
                Outcome::Conflict => {
                    self.state.refused.insert(apply.name.clone());
                    self.written.conflicts.push(apply.name);
                }
                Outcome::Refused(refusal) => {
                    self.state.refused.insert(apply.name);
                    let worst = self.written.refused.map_or(refusal, |before| before.min(refusal));
                    self.written.refused = Some(worst);
                    // A quota refuses all other creations too.
                    is_full |= refusal == Refusal::Quota;
                }
                Outcome::Later => self.written.is_unfinished = true,
                Outcome::Over => return,
            }
        }
    }

    /// Returns those of the deletions that the pace allows now.
    pub(super) fn affordable(&mut self, deletions: &[Deletion], now: Timestamp) -> Vec<Deletion> {
        let (pace, most) = (&mut self.state.pace, self.settings.writes_per_minute);
        let left = pace.left(most, now);
        if deletions.len() > left {
            self.written.is_unfinished = true;
            self.wait = pace.wait(most, now);
        }
        deletions.iter().take(left).cloned().collect()
    }

    /// Deletes CloudTenants, each only if it is still the version that was read.
    pub(super) async fn delete(&mut self, deletions: Vec<Deletion>) {
        for Deletion { name, uid, resource_version, .. } in deletions {
            if !self.may_go_on() {
                self.written.is_unfinished = true;
                return;
            }
            let named = self.named(&name);
            match self.writer.delete::<CloudTenant>(&named, &uid, &resource_version).await {
                Ok(()) => {
                    tracing::info!(tenant = name, "deleted: its project is gone");
                    self.written.deleted.push((name, uid));
                }
                Err(error) => {
                    // Without an answer, it may have been deleted.
                    if error.answer().is_some_and(|answer| answer.code < 500) {
                        self.written.undeleted += 1;
                    }
                    match self.outcome(&name, &error) {
                        Outcome::Refused(refusal) => self.written.refused = Some(refusal),
                        Outcome::Over => return,
                        Outcome::Done | Outcome::Conflict | Outcome::Later => self.written.is_unfinished = true,
                    }
                }
            }
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

    /// Maps the API server's refusal.
    fn outcome(&mut self, name: &str, error: &WriteError) -> Outcome {
        let outcome = judge(error);
        if outcome != Outcome::Over {
            tracing::warn!(%error, tenant = name, "the CloudTenant was not written");
        }
        if outcome != Outcome::Refused(Refusal::Forbidden) || error.is_denied() {
            return outcome;
        }
        // An API server that starts forbids everything until it knows the rights.
        let now = self.settings.clock.now();
        let since = *self.state.forbidden_since.get_or_insert(now);
        if since > now || age(since, now) >= IN_DOUBT { outcome } else { Outcome::Later }
    }

    fn named(&self, name: &str) -> TenantName {
        TenantName { namespace: self.namespace.to_owned(), name: name.to_owned() }
    }

    async fn apply_one(&mut self, apply: &Apply) -> Outcome {
        let mut document = apply.document.clone();
        if apply.uid.is_none() {
            // The API server refuses this version of an object that exists. Somebody may have made one of this name since
            // the operator listed, and an apply would change it.
            document["metadata"]["resourceVersion"] = json!("0");
        }
        let named = self.named(&apply.name);
        match self.writer.apply::<CloudTenant>(&named, SETS_FIELD_MANAGER, &document).await {
            Ok(object) => {
                self.state.forbidden_since = None;
                if apply.uid.is_none() {
                    let uid = Watched::read(&object).meta().uid.clone().unwrap_or_default();
                    self.written.created.push((apply.name.clone(), uid));
                }
                self.written.adopted += usize::from(apply.adopts);
                Outcome::Done
            }
            Err(error) => self.outcome(&apply.name, &error),
        }
    }
}

fn judge(error: &WriteError) -> Outcome {
    if matches!(error, WriteError::NotLeading) || error.is_terminating() {
        return Outcome::Over;
    }
    let Some(answer) = error.answer() else { return Outcome::Later };
    let has_cause = |is_it: &dyn Fn(&kube::core::response::StatusCause) -> bool| {
        answer.details.iter().flat_map(|details| &details.causes).any(is_it)
    };
    match answer.code {
        409 if has_cause(&|cause| cause.reason == "FieldManagerConflict") => Outcome::Conflict,
        // The object exists since the list: the next pass sees it.
        422 if has_cause(&|cause| cause.field == "metadata.resourceVersion") => Outcome::Later,
        403 if error.exceeds_quota() => Outcome::Refused(Refusal::Quota),
        403 => Outcome::Refused(Refusal::Forbidden),
        400 | 422 if error.is_by_policy() => Outcome::Refused(Refusal::Forbidden),
        400 | 413 | 422 => Outcome::Refused(Refusal::Invalid),
        _ => Outcome::Later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line: code, message, the cause's reason and field | outcome.
    #[test]
    fn refusals_are_told_apart() {
        for (code, message, reason, field, expected) in [
            (409, "Apply failed with 1 conflict", "FieldManagerConflict", ".spec.interval", Outcome::Conflict),
            (409, "Precondition failed: UID in precondition", "", "", Outcome::Later),
            (409, "the object has been modified", "", "", Outcome::Later),
            (422, "must be specified for an update", "FieldValueInvalid", "metadata.resourceVersion", Outcome::Later),
            (
                422,
                "spec.interval: Invalid value",
                "FieldValueInvalid",
                "spec.interval",
                Outcome::Refused(Refusal::Invalid),
            ),
            (
                422,
                "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
                "",
                "",
                Outcome::Refused(Refusal::Forbidden),
            ),
            (400, "strict decoding error", "", "", Outcome::Refused(Refusal::Invalid)),
            (403, "is forbidden: exceeded quota: q, requested: 1", "", "", Outcome::Refused(Refusal::Quota)),
            (403, "is forbidden: User \"u\" cannot create resource", "", "", Outcome::Refused(Refusal::Forbidden)),
            (403, "is forbidden: unable to create", "NamespaceTerminating", "", Outcome::Over),
            (404, "not found", "", "", Outcome::Later),
            (429, "too many requests", "", "", Outcome::Later),
            (500, "etcdserver: leader changed", "", "", Outcome::Later),
            (503, "starting", "", "", Outcome::Later),
        ] {
            let status = json!({
                "status": "Failure", "code": code, "message": message, "reason": "",
                "details": { "causes": [{ "reason": reason, "message": "", "field": field }] },
            });
            let error = kube::Error::Api(serde_json::from_value(status).unwrap());
            assert_eq!(judge(&WriteError::Kube(Box::new(error))), expected, "{code} {message}");
        }
        assert_eq!(judge(&WriteError::Timeout), Outcome::Later);
        assert_eq!(judge(&WriteError::NotLeading), Outcome::Over);
    }
}
