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
mod tests {
    use super::*;

    /// Each line: code, message, the cause's reason and field | outcome.
    #[test]
    fn refusals_are_told_apart() {
        for (code, message, reason, field, expected) in [
            (409, "Apply failed with 1 conflict", "FieldManagerConflict", ".spec.interval", Some(Outcome::Conflict)),
            (409, "Precondition failed: UID in precondition", "", "", Some(Outcome::Later)),
            (409, "the object has been modified", "", "", Some(Outcome::Later)),
            (
                422,
                "must be specified for an update",
                "FieldValueInvalid",
                "metadata.resourceVersion",
                Some(Outcome::Later),
            ),
            (
                422,
                "spec.interval: Invalid value",
                "FieldValueInvalid",
                "spec.interval",
                Some(Outcome::Refused(Refusal::Invalid)),
            ),
            (
                422,
                "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
                "",
                "",
                Some(Outcome::Refused(Refusal::Forbidden)),
            ),
            (400, "strict decoding error", "", "", Some(Outcome::Refused(Refusal::Invalid))),
            (403, "is forbidden: exceeded quota: q, requested: 1", "", "", Some(Outcome::Refused(Refusal::Quota))),
            (
                403,
                "is forbidden: User \"u\" cannot create resource",
                "",
                "",
                Some(Outcome::Refused(Refusal::Forbidden)),
            ),
            (403, "is forbidden: unable to create", "NamespaceTerminating", "", None),
            (404, "not found", "", "", Some(Outcome::Later)),
            (429, "too many requests", "", "", Some(Outcome::Later)),
            (500, "etcdserver: leader changed", "", "", Some(Outcome::Later)),
            (503, "starting", "", "", Some(Outcome::Later)),
        ] {
            let status = json!({
                "status": "Failure", "code": code, "message": message, "reason": "",
                "details": { "causes": [{ "reason": reason, "message": "", "field": field }] },
            });
            let error = kube::Error::Api(serde_json::from_value(status).unwrap());
            assert_eq!(judge(&WriteError::Kube(Box::new(error))), expected, "{code} {message}");
        }
        assert_eq!(judge(&WriteError::Timeout), Some(Outcome::Later));
        assert_eq!(judge(&WriteError::NotLeading), None);
    }
    /// What the API server answers for a CloudTenant, by the beginning of its name.
    async fn answer(method: axum::http::Method, uri: axum::http::Uri) -> (axum::http::StatusCode, String) {
        let name = uri.path().rsplit('/').next().unwrap_or_default();
        let cause = |reason: &str| json!({ "causes": [{ "reason": reason, "message": "", "field": "" }] });
        let (code, message, details) = match name.split('-').next().unwrap() {
            "ok" if method == axum::http::Method::DELETE => (200, "", json!({})),
            "ok" => {
                let object =
                    json!({ "metadata": { "name": name, "uid": format!("u-{name}"), "resourceVersion": "2" } });
                return (axum::http::StatusCode::OK, object.to_string());
            }
            "conflict" => (409, "conflict", cause("FieldManagerConflict")),
            "changed" => (409, "the object has been modified", json!({})),
            "forbidden" => (403, "User \"u\" cannot", json!({})),
            "policy" => (403, "policy p denied request: no", json!({})),
            "quota" => (403, "exceeded quota: q", json!({})),
            "invalid" => (422, "spec.interval: Invalid value", json!({})),
            _ => (500, "etcdserver: leader changed", json!({})),
        };
        let status = if code == 200 { "Success" } else { "Failure" };
        let body = json!({
            "kind": "Status", "apiVersion": "v1", "status": status, "code": code, "message": message, "reason": "",
            "details": details,
        });
        (axum::http::StatusCode::from_u16(code).unwrap(), body.to_string())
    }

    /// A set that writes CloudTenants whose names say what the API server answers.
    struct Pass {
        writer: StatusWriter,
        settings: SetSettings,
        clock: std::sync::Arc<std::sync::atomic::AtomicI64>,
        state: WriteState,
    }

    impl Pass {
        async fn of(writes_per_minute: u32) -> Self {
            let client = testkit::router::kube_client(axum::Router::new().fallback(answer)).await.unwrap();
            let metrics = std::sync::Arc::new(crate::metrics::Metrics::new());
            let writer = StatusWriter::new(client, "i", metrics, crate::cluster::leader::Mandate::unlimited());
            let clock = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(1000));
            let read = clock.clone();
            let now = move || Timestamp::from_second(read.load(std::sync::atomic::Ordering::SeqCst)).unwrap();
            let clock_of_sets = crate::cluster::context::Clock::new(now);
            let settings = SetSettings { writes_per_minute, sets: Default::default(), clock: clock_of_sets };
            Self { writer, settings, clock, state: WriteState::default() }
        }

        /// A pass with these changes, creations (with `+`) and deletions (with `-`). Returns what became of them.
        async fn run(&mut self, writes: &str) -> String {
            let names = |prefix: Option<char>| {
                let all = writes.split_whitespace();
                let own = all.filter(move |write| write.chars().next().filter(|c| "+-".contains(*c)) == prefix);
                own.map(|write| write.trim_start_matches(['+', '-']).to_owned()).collect::<Vec<_>>()
            };
            let apply = |is_new: bool| {
                move |name: String| Apply {
                    uid: (!is_new).then(|| format!("u-{name}")),
                    adopts: false,
                    project_id: name.clone(),
                    document: json!({ "metadata": { "name": name } }),
                    name,
                }
            };
            let applies =
                names(Some('+')).into_iter().map(apply(true)).chain(names(None).into_iter().map(apply(false)));
            let deletion = |name: String| Deletion {
                uid: format!("u-{name}"),
                resource_version: "1".to_owned(),
                project_id: name.clone(),
                name,
            };
            let deletions: Vec<_> = names(Some('-')).into_iter().map(deletion).collect();
            let now = self.settings.clock.now();
            let order = self.state.order(applies.collect(), &deletions, &self.settings, now);
            let counted = order.reserved.len();
            let mut pass = Writes {
                writer: &self.writer,
                namespace: "n",
                settings: &self.settings,
                is_current: &|| true,
                shutdown: &CancellationToken::new(),
                state: &mut self.state,
                written: Written::default(),
                wait: None,
            };
            pass.run(order).await;
            let Written { created, deleted, undeleted, conflicts, refused, is_unfinished, .. } = pass.written;
            assert!(deleted.len() + undeleted <= counted, "{writes}: a deletion was not counted before");
            let names = |written: &[(String, String)]| written.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
            let mut found: Vec<_> = names(&created).iter().map(|name| format!("+{name}")).collect();
            found.extend(names(&deleted).iter().map(|name| format!("-{name}")));
            found.extend(conflicts);
            found.extend(refused.map(|refusal| format!("{refusal:?}")));
            found.extend(is_unfinished.then(|| "unfinished".to_owned()));
            self.clock.fetch_add(60, std::sync::atomic::Ordering::SeqCst);
            found.join(" ")
        }
    }

    /// Each line: the writes of each pass, a minute apart | what became of them.
    #[tokio::test]
    async fn what_fails_again_and_again_delays_nothing_else() {
        const CONFLICTS: &str = "conflict-1 conflict-2 conflict-3 conflict-4";
        let all = |writes: &str| format!("{writes} {CONFLICTS}");
        for (name, passes) in [
            (
                "conflicts",
                vec![
                    (all(""), "conflict-1 conflict-2 conflict-3 unfinished"),
                    (all("-ok"), "-ok conflict-4 conflict-1 conflict-2 conflict-3"),
                    (all("+ok"), "+ok conflict-2 conflict-3 conflict-4 conflict-1"),
                    (all(""), "conflict-4 conflict-1 conflict-2 conflict-3"),
                ],
            ),
            (
                "failures of the API server",
                vec![
                    ("down-1 down-2 down-3 down-4".to_owned(), "unfinished"),
                    ("down-1 down-2 down-3 down-4 -ok".to_owned(), "-ok unfinished"),
                    ("down-1 down-2 down-3 down-4 +ok".to_owned(), "+ok unfinished"),
                ],
            ),
            (
                "refused deletions",
                vec![
                    ("-policy-1 -policy-2 -policy-3 -policy-4 -policy-5".to_owned(), "Forbidden unfinished"),
                    ("-policy-1 -policy-2 -policy-3 -policy-4 -policy-5 +ok".to_owned(), "+ok Forbidden"),
                    ("-policy-1 -policy-2 -policy-3 -policy-4 -policy-5 -ok".to_owned(), "-ok Forbidden"),
                ],
            ),
            (
                "a quota lets retries go on",
                vec![
                    ("conflict-1".to_owned(), "conflict-1"),
                    ("+quota-1 +quota-2 +quota-3 +quota-4 conflict-1".to_owned(), "conflict-1 Quota"),
                ],
            ),
            (
                "both kinds have their share",
                vec![
                    ("-ok-1 -ok-2 -ok-3 +ok-4 +ok-5".to_owned(), "+ok-4 -ok-1 -ok-2 unfinished"),
                    ("-ok-3 +ok-5".to_owned(), "+ok-5 -ok-3"),
                ],
            ),
            ("what is deleted is not changed before", vec![("ok -ok".to_owned(), "-ok")]),
            ("the worst refusal", vec![("-policy invalid +quota".to_owned(), "Forbidden")]),
            ("the worst refusal, later", vec![("-quota invalid".to_owned(), "Invalid")]),
        ] {
            let mut pass = Pass::of(3).await;
            for (at, (writes, found)) in passes.into_iter().enumerate() {
                assert_eq!(pass.run(&writes).await, found, "{name}: pass {at}");
            }
        }
    }

    /// Each line: the writes of each pass, a minute apart | what became of them.
    #[tokio::test]
    async fn a_403_is_doubted_until_it_has_lasted() {
        for (name, passes) in [
            ("for long", vec![("forbidden", "unfinished"), ("forbidden", "Forbidden")]),
            ("of deletions", vec![("-forbidden", "unfinished"), ("-forbidden", "Forbidden")]),
            ("a change in between", vec![("forbidden", "unfinished"), ("ok", ""), ("forbidden", "unfinished")]),
            ("a deletion in between", vec![("forbidden", "unfinished"), ("-ok", "-ok"), ("forbidden", "unfinished")]),
            (
                "another answer",
                vec![("forbidden", "unfinished"), ("changed", "unfinished"), ("forbidden", "unfinished")],
            ),
            ("nothing to write", vec![("forbidden", "unfinished"), ("", ""), ("forbidden", "unfinished")]),
        ] {
            let mut pass = Pass::of(100).await;
            for (at, (writes, found)) in passes.into_iter().enumerate() {
                assert_eq!(pass.run(writes).await, found, "{name}: pass {at}");
            }
        }
    }

    #[tokio::test]
    async fn only_wanted_writes_are_remembered_and_refusals_end_their_kind_alone() {
        let mut pass = Pass::of(1000).await;
        let refused: Vec<_> = (0..40).map(|at| format!("-policy-{at:02}")).collect();
        assert_eq!(pass.run(&format!("{} +ok", refused.join(" "))).await, "+ok Forbidden");
        let remembered = |pass: &Pass, name: &str| pass.state.attempts.last(name).is_some();
        assert!(remembered(&pass, "policy-19") && !remembered(&pass, "policy-20"), "{REFUSALS} are enough");
        pass.run("conflict").await;
        assert!(remembered(&pass, "conflict") && !remembered(&pass, "policy-19"));
        pass.run("").await;
        assert!(!remembered(&pass, "conflict"));
    }
}
