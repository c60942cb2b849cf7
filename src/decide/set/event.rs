//! Computes the events of a set, as pure functions: one of each kind for a pass.

use super::status::{Written, is_failing, is_listed};
use crate::{
    api::set::{CloudTenantSetStatus, condition_type as ty},
    decide::{
        condition,
        event::{EventReason, Notice, fnv1a},
    },
};

/// The number of CloudTenants that an event names.
const NAMED: usize = 5;

/// Returns the events for what a pass has written, at most one of each kind. Their names depend on the UIDs of the
/// CloudTenants, so none is created twice, however often the operator tries.
#[must_use]
pub fn of_writes(written: &Written) -> Vec<Notice> {
    let mut notices = Vec::new();
    for (reason, objects, verb) in [
        (EventReason::TenantsCreated, &written.created, "Created"),
        (EventReason::TenantsPruned, &written.deleted, "Deleted"),
    ] {
        if !objects.is_empty() {
            let uids: Vec<_> = objects.iter().map(|(_, uid)| uid.as_str()).collect();
            let about = format!("{:016x}", fnv1a(uids.join("\n").as_bytes()));
            notices.push(Notice { reason, about, note: sentence(verb, objects), left: String::new() });
        }
    }
    notices
}

/// Returns the events for this change. Their names depend on `stored`, so that a restart repeats none.
#[must_use]
pub fn transitions(stored: &CloudTenantSetStatus, new: &CloudTenantSetStatus) -> Vec<Notice> {
    let mut notices = Vec::new();
    let mut changed = |reason, type_, note: &str| {
        notices.push(Notice { reason, about: String::new(), note: note.to_owned(), left: left(stored, type_) });
    };
    if new.held.unwrap_or(0) > 0 && stored.held.unwrap_or(0) == 0 {
        let in_sync = condition::find(&new.conditions, ty::IN_SYNC);
        let note = in_sync.map_or("The operator deletes no CloudTenant.", |condition| &*condition.message);
        changed(EventReason::PruneHeld, ty::IN_SYNC, note);
    }
    if is_failing(new) && !is_failing(stored) {
        let listed = condition::find(&new.conditions, ty::PROJECTS_LISTED);
        let note = listed.map_or_else(String::new, |condition| format!("{}: {}", condition.reason, condition.message));
        changed(EventReason::ListingFailed, ty::PROJECTS_LISTED, &note);
    } else if is_failing(stored) && is_listed(new) {
        changed(EventReason::ListingRecovered, ty::PROJECTS_LISTED, "The operator can list the projects again.");
    }
    notices
}

/// The state that is being left, by the times that are stored with it.
fn left(stored: &CloudTenantSetStatus, type_: &str) -> String {
    let since = condition::find(&stored.conditions, type_).map(|condition| condition.last_transition_time.0);
    let observed = stored.observed_at.as_ref().map(|at| at.0);
    let text = |at: Option<jiff::Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    format!("{type_}/{}/{}", text(since), text(observed))
}

fn sentence(verb: &str, objects: &[(String, String)]) -> String {
    let mut names: Vec<_> = objects.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let named = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let plural = if names.len() == 1 { "" } else { "s" };
    let more = match names.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{verb} {} CloudTenant{plural}: {named}{more}.", names.len())
}
