//! Computes the status of a set, as pure functions.

mod next;
mod unobserved;
mod write;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
pub use next::{Waits, next, scheduled};
pub use unobserved::{Full, broke_off, invalid, not_served, refused};
pub use write::{differs, is_heartbeat_due};

use super::{Held, Plan, Pruned, SetTarget, prune};
use crate::{
    api::{
        self, Reason,
        reason::Class,
        set::{
            CloudTenantSetStatus, SKIPPED, SetReason, SkipReason, SkippedCount, SkippedProject, condition_type as ty,
        },
    },
    decide::condition,
    observation::ProbeFailure,
};

const SUSPENDED: &str = "Suspended: ";
const NOT_YET: &str = "Not listed yet.";

/// Whether the operator could list the projects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// It could. The list is whole or not.
    Yes {
        /// Whether it has all projects.
        whole: bool,
    },
    /// It could not, with the number of consecutive failures.
    Failed(ProbeFailure, u32),
}

/// Why the Kubernetes API refused a CloudTenant of the set. The worst comes first: the set tells that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// 403 for another reason than a quota: rights or an admission policy.
    Forbidden,
    /// 400 or 422: the schema, or a webhook.
    Invalid,
    /// 403 with a quota.
    Quota,
}

/// What became of the writes of a pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// The names and UIDs of the CloudTenants that the pass has made.
    pub created: Vec<(String, String)>,
    /// The number of CloudTenants that the pass has adopted.
    pub adopted: usize,
    /// The names and UIDs of the CloudTenants that the pass has deleted.
    pub deleted: Vec<(String, String)>,
    /// The number of CloudTenants that were counted as deleted and still exist: the API server refused the deletion, or
    /// the pass ended before it.
    pub undeleted: usize,
    /// The names of the CloudTenants whose fields somebody else owns.
    pub conflicts: Vec<String>,
    /// The worst refusal.
    pub refused: Option<Refusal>,
    /// Writes are left for the next pass: because of the pace, or after a failure that may pass.
    pub is_unfinished: bool,
    /// The first CloudTenant whose writes fail at every pass for a cause that may pass, and how often they have.
    pub failing: Option<(String, u32)>,
}

/// All input of a status.
#[derive(Debug, Clone, Copy)]
pub struct SetPass<'a> {
    /// The validated set.
    pub target: &'a SetTarget,
    /// Whether the operator could list the projects. Unused for a suspended set.
    pub listed: &'a Listed,
    /// What the pass had to write. A pass without a list has a plan too.
    pub plan: &'a Plan,
    /// What became of CloudTenants whose projects are gone.
    pub pruned: &'a Pruned,
    /// What became of the writes.
    pub written: &'a Written,
    /// The grace period of a missing Secret has ended, so that a user has to act.
    pub waited: bool,
    /// The value of requestedAt that this pass has handled.
    pub handled: Option<&'a str>,
    /// The number of passes since the last one that created or adopted CloudTenants.
    pub recounts: u32,
    /// The operator's clock.
    pub now: Timestamp,
}

/// The reason and the message of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    reason: SetReason,
    message: String,
}

impl Verdict {
    fn new(reason: SetReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// The status to write before the deletions of a pass: it counts them already. If it cannot be written, the operator
/// deletes nothing.
#[must_use]
pub fn reserved(
    target: &SetTarget,
    stored: &CloudTenantSetStatus,
    deletions: usize,
    now: Timestamp,
) -> CloudTenantSetStatus {
    CloudTenantSetStatus { pruning: prune::counted(target, stored, deletions, now), ..stored.clone() }
}

/// Computes the new status. `stored` has counted the pass's deletions, if there are any.
#[must_use]
pub fn compute(pass: &SetPass<'_>, stored: &CloudTenantSetStatus) -> CloudTenantSetStatus {
    let SetPass { target, plan, pruned, now, .. } = *pass;
    if target.suspend {
        return suspended(pass, stored);
    }
    let count = |number: usize| Some(u32::try_from(number).unwrap_or(u32::MAX));
    let mut new = CloudTenantSetStatus {
        observed_generation: Some(target.generation),
        last_handled_reconcile_at: pass.handled.map(str::to_owned).or_else(|| stored.last_handled_reconcile_at.clone()),
        pruning: prune::counted(target, stored, 0, now),
        conditions: conditions(pass, stored),
        ..stored.clone()
    };
    let is_read = plan.unread.is_none();
    if is_read {
        new.tenants = count(tenants(pass));
        // Some of those that the pass has deleted were Ready.
        new.ready = count(plan.ready.min(tenants(pass)));
    }
    if matches!(pass.listed, Listed::Yes { .. }) {
        new.observed_at = Some(api::time(now));
        new.projects = count(plan.selected.len());
        if is_read {
            new.held = count(pruned.held);
            show_skipped(&plan.skipped, &mut new);
        }
    }
    new
}

/// The number of the set's CloudTenants after the pass.
const fn tenants(pass: &SetPass<'_>) -> usize {
    let SetPass { plan, written, .. } = *pass;
    (plan.tenants + written.created.len() + written.adopted).saturating_sub(written.deleted.len())
}

fn show_skipped(skipped: &[SkippedProject], status: &mut CloudTenantSetStatus) {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    status.skipped = skipped.iter().take(SKIPPED).cloned().collect();
    status.skipped_omitted = Some(count(skipped.len().saturating_sub(SKIPPED))).filter(|omitted| *omitted > 0);
    status.skipped_total = Some(count(skipped.len()));
    let counts = SkipReason::ALL.map(|reason| SkippedCount {
        reason,
        projects: count(skipped.iter().filter(|one| one.reason == reason).count()),
    });
    status.skipped_by_reason = counts.into_iter().filter(|one| one.projects > 0).collect();
}

fn conditions(pass: &SetPass<'_>, stored: &CloudTenantSetStatus) -> Vec<Condition> {
    let SetPass { target, written, now, .. } = *pass;
    let before = &stored.conditions;
    let next = |type_: &str, status: &str, verdict: &Verdict| {
        let Verdict { reason, message } = verdict;
        condition::named(before, type_, status, reason.as_str(), message, target.generation, now)
    };
    let listed = listed(pass, stored);
    let in_sync = in_sync(pass, stored);
    let own = |type_: &str, verdict: &Verdict| next(type_, verdict.reason.condition_status(), verdict);
    let ready = worst(&listed, &in_sync);
    let mut conditions = vec![own(ty::READY, &ready), own(ty::PROJECTS_LISTED, &listed), own(ty::IN_SYNC, &in_sync)];
    let is_fresh =
        stored.observed_generation != Some(target.generation) || condition::find(before, ty::RECONCILING).is_some();
    let needs_user = |verdict: &Verdict| {
        let may_still_arrive = verdict.reason.may_still_arrive();
        verdict.reason.is_stalled() && (!may_still_arrive || pass.waited || was_waiting(stored))
    };
    let refused = unread(pass).or_else(|| refusal(written.refused));
    if let Some(stalled) = [Some(&listed), refused.as_ref()].into_iter().flatten().find(|verdict| needs_user(verdict)) {
        conditions.push(next(ty::STALLED, "True", stalled));
    } else if is_unfinished(pass) || is_fresh && (is_undecided(pass) || is_briefly_unread(pass)) {
        let verdict = Verdict::new(
            SetReason::Shared(Reason::Progressing),
            "The operator has not yet applied all CloudTenants of this set.",
        );
        conditions.push(next(ty::RECONCILING, "True", &verdict));
    }
    conditions
}

/// A restart must not clear a Stalled condition.
fn was_waiting(stored: &CloudTenantSetStatus) -> bool {
    reason(stored, ty::STALLED).is_some_and(SetReason::may_still_arrive)
}

fn reason(status: &CloudTenantSetStatus, type_: &str) -> Option<SetReason> {
    condition::find(&status.conditions, type_).and_then(|condition| SetReason::parse(&condition.reason))
}

const fn is_unfinished(pass: &SetPass<'_>) -> bool {
    let SetPass { plan, written, pruned, .. } = *pass;
    matches!(pass.listed, Listed::Yes { .. })
        && (written.is_unfinished || plan.waits_for_sets || plan.waits_for_deletions || pruned.pending > 0)
}

/// Whether the list failed and may succeed at once when it is tried again. That is no verdict.
const fn is_undecided(pass: &SetPass<'_>) -> bool {
    matches!(pass.listed, Listed::Failed(failure, times) if failure.transient && *times < 2)
}

/// The same of the list of the namespace's CloudTenants.
const fn is_briefly_unread(pass: &SetPass<'_>) -> bool {
    matches!(pass.plan.unread, Some((why, times)) if why.is_transient() && times < 2)
}

/// Why the namespace's CloudTenants cannot be read.
fn unread(pass: &SetPass<'_>) -> Option<Verdict> {
    let (why, _) = pass.plan.unread?;
    let (reason, message) = why.says();
    Some(Verdict::new(reason, message))
}

/// False ranks before Unknown before True.
fn worst(listed: &Verdict, in_sync: &Verdict) -> Verdict {
    let rank = |verdict: &Verdict| match verdict.reason.condition_status() {
        "False" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    if rank(listed) == 2 && rank(in_sync) == 2 || rank(in_sync) < rank(listed) {
        in_sync.clone()
    } else {
        listed.clone()
    }
}

/// The verdict that a stored condition has, unless it is about the object itself.
fn kept(stored: &CloudTenantSetStatus, type_: &str) -> Option<Verdict> {
    let before = condition::find(&stored.conditions, type_)?;
    let reason = SetReason::parse(&before.reason)?;
    (!reason.is_about_object()).then(|| Verdict::new(reason, before.message.clone()))
}

fn listed(pass: &SetPass<'_>, stored: &CloudTenantSetStatus) -> Verdict {
    match pass.listed {
        Listed::Yes { whole: true } => Verdict::new(SetReason::Listed, "The operator has listed the projects."),
        Listed::Yes { whole: false } => Verdict::new(
            SetReason::Listed,
            "Keystone's list of projects is not complete: name spec.filter.domainIDs or parentID, or raise Keystone's \
             list_limit.",
        ),
        Listed::Failed(failure, _) => {
            let before = kept(stored, ty::PROJECTS_LISTED);
            // Once a user had to act and apparently has, a temporary failure is news.
            let is_news = before.as_ref().is_some_and(|before| before.reason.is_stalled());
            if is_undecided(pass) && !is_news {
                return before.unwrap_or_else(|| Verdict::new(SetReason::Shared(Reason::Progressing), NOT_YET));
            }
            Verdict::new(SetReason::Shared(failure.reason), failure.message.clone())
        }
    }
}

fn in_sync(pass: &SetPass<'_>, stored: &CloudTenantSetStatus) -> Verdict {
    let SetPass { target, plan, pruned, written, .. } = *pass;
    if let Some(verdict) = refusal(written.refused).filter(|verdict| verdict.reason == SetReason::CreateForbidden)
        && pruned.why.is_none()
    {
        return verdict;
    }
    let progressing = SetReason::Shared(Reason::Progressing);
    if let Some(verdict) = unread(pass).filter(|_| !is_briefly_unread(pass)) {
        return verdict;
    }
    if matches!(pass.listed, Listed::Failed(..)) || plan.unread.is_some() {
        return kept(stored, ty::IN_SYNC).unwrap_or_else(|| Verdict::new(progressing, NOT_YET));
    }
    if let Some(why) = pruned.why {
        return Verdict::new(SetReason::PruneHeld, held(why, target.generation));
    }
    if let Some(verdict) = refusal(written.refused) {
        return verdict;
    }
    if plan.is_limited {
        return Verdict::new(
            SetReason::LimitReached,
            "The set has as many CloudTenants as spec.maxTenants allows, and the filter selects more projects: raise \
             spec.maxTenants, or narrow spec.filter.",
        );
    }
    if let Some(first) = written.conflicts.iter().min() {
        return Verdict::new(
            SetReason::FieldConflict,
            format!(
                "Somebody else has changed fields that spec.template states, first in the CloudTenant {first}: give \
                 these fields up there, or remove them from the template."
            ),
        );
    }
    if let Some(name) = &plan.unreadable {
        return Verdict::new(
            SetReason::Shared(Reason::UnexpectedAnswer),
            format!("The operator cannot read all CloudTenants of the namespace, first {name}: correct or delete it."),
        );
    }
    if plan.waits_for_sets {
        return Verdict::new(
            progressing,
            "Waiting for the first list of an older CloudTenantSet in this namespace: the older one has the projects \
             that both select.",
        );
    }
    if plan.waits_for_deletions {
        return Verdict::new(
            progressing,
            "Waiting until CloudTenants that are being deleted are gone: the operator then creates those that the filter \
             selects.",
        );
    }
    if let Some((name, _)) = &written.failing {
        return Verdict::new(
            SetReason::Shared(Reason::ServiceUnavailable),
            format!(
                "The Kubernetes API has not accepted the change of the CloudTenant {name} at several passes: look at the \
                 operator's log for the cause, such as a webhook that does not answer. The operator retries."
            ),
        );
    }
    if written.is_unfinished || pruned.pending > 0 {
        return Verdict::new(progressing, "The operator has not yet applied all CloudTenants of this set.");
    }
    Verdict::new(SetReason::Synced, "The CloudTenants are those that the projects and the template require.")
}

fn refusal(refused: Option<Refusal>) -> Option<Verdict> {
    Some(match refused? {
        Refusal::Forbidden => Verdict::new(
            SetReason::CreateForbidden,
            "The Kubernetes API does not allow the operator to write CloudTenants of this set: check its rights and the \
             admission policies of the namespace.",
        ),
        Refusal::Invalid => Verdict::new(
            SetReason::CreateForbidden,
            "The Kubernetes API refuses CloudTenants of this set as invalid: correct spec.template, and ask the \
             administrator of the cluster to install the CRD of the operator's version.",
        ),
        Refusal::Quota => Verdict::new(
            SetReason::QuotaExceeded,
            "A quota of the namespace refuses further CloudTenants: raise the quota, or narrow spec.filter.",
        ),
    })
}

fn held(why: Held, generation: i64) -> String {
    let confirm = format!("the annotation cloudtenant.dev/confirm-prune: \"{generation}\"");
    match why {
        Held::Empty => {
            "Keystone lists no project at all, so the operator deletes no CloudTenant: check the roles of the \
                        user."
                .to_owned()
        }
        Held::Incomplete => "Projects are missing from a list that is not complete, so the operator deletes no \
                             CloudTenant: raise Keystone's list_limit."
            .to_owned(),
        Held::TooMany => format!(
            "More projects are gone than spec.maxLossPercent allows within 24 hours, so the operator deletes no \
             CloudTenant: check the roles of the user, or delete the CloudTenants with {confirm}."
        ),
        Held::NotAnswered => "Keystone did not say whether projects are gone, so the operator does not delete their \
                              CloudTenants: it asks again after the next list."
            .to_owned(),
        Held::StillThere => format!(
            "Projects exist that are no longer listed or selected, so the operator does not delete their CloudTenants: \
             delete these with {confirm}."
        ),
    }
}

/// Keeps conditions and data. `Ready` says that the set is suspended.
fn suspended(pass: &SetPass<'_>, stored: &CloudTenantSetStatus) -> CloudTenantSetStatus {
    let generation = pass.target.generation;
    let mut conditions = Vec::new();
    for type_ in [ty::READY, ty::PROJECTS_LISTED, ty::IN_SYNC, ty::STALLED] {
        let before = condition::find(&stored.conditions, type_);
        let is_about_object =
            |before: &&Condition| SetReason::parse(&before.reason).is_some_and(SetReason::is_about_object);
        let mut condition = match before.filter(|before| !is_about_object(before)) {
            Some(before) => before.clone(),
            None if type_ == ty::STALLED => continue,
            None => condition::next(&[], type_, "Unknown", Reason::Progressing, NOT_YET, generation, pass.now),
        };
        if type_ == ty::READY && !condition.message.starts_with(SUSPENDED) {
            condition.message.insert_str(0, SUSPENDED);
        }
        condition.observed_generation = Some(generation);
        conditions.push(condition);
    }
    CloudTenantSetStatus { observed_generation: Some(generation), conditions, ..stored.clone() }
}

/// Whether the operator failed to list the projects, and says so.
pub(super) fn is_failing(status: &CloudTenantSetStatus) -> bool {
    let Some(SetReason::Shared(listed)) = reason(status, ty::PROJECTS_LISTED) else { return false };
    match listed.class() {
        Class::Passing => true,
        Class::Stalled if listed.may_still_arrive() => condition::find(&status.conditions, ty::STALLED).is_some(),
        Class::Stalled => !listed.is_about_object(),
        Class::Well | Class::Bad | Class::NotAsked => false,
    }
}

/// Whether the operator can list the projects.
pub(super) fn is_listed(status: &CloudTenantSetStatus) -> bool {
    reason(status, ty::PROJECTS_LISTED) == Some(SetReason::Listed)
}
