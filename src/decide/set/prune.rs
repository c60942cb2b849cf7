//! Which CloudTenants the operator deletes because their projects are gone. A list of projects may be wrong, so there are
//! many reasons not to.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    Input, Plan, Selection, SetTarget,
    plan::{is_own, selected},
};
use crate::{
    api::{
        self,
        set::{CloudTenantSetStatus, ConfirmedPrune, ProjectSource, Prune, PrunedHour, Pruning},
    },
    observation::{
        engine_answers::shift,
        projects::{ProjectList, ProjectState},
    },
};

/// The time between the first and the last of the lists that a project is missing from.
const APART: SignedDuration = SignedDuration::from_mins(10);

/// The window in which deletions are counted.
const DAY: SignedDuration = SignedDuration::from_hours(24);

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// The number of projects whose state the operator asks for in one pass.
const MOST_ASKED: usize = 100;

/// The first wait for CloudTenants that are being deleted.
const SOON: Duration = Duration::from_secs(5);

/// What two lists must have in common, so that what both lack is gone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Basis {
    /// Identifies the user, its secret and what it logs in for. Another credential is another text.
    pub credential: Box<str>,
    /// Where the projects come from.
    pub source: ProjectSource,
    /// The generation of the set's spec.
    pub generation: i64,
}

/// What the operator remembers of a set between two passes. Each start of the operator begins without it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetMemory {
    basis: Option<Basis>,
    /// When the project of each CloudTenant was first found missing, by the CloudTenant's UID.
    missing: BTreeMap<String, Timestamp>,
    /// What Keystone last said about projects that are missing, by their IDs, and when: a number that grows.
    answers: BTreeMap<String, (u64, ProjectState)>,
    asked: u64,
    /// Since when CloudTenants are not made because others are being deleted.
    leaving_since: Option<Timestamp>,
}

impl SetMemory {
    /// Notes which CloudTenants' projects are missing from the list. A list that is empty or not whole says only which
    /// projects are there.
    pub fn note(&mut self, basis: Basis, input: &Input<'_>, now: Timestamp) {
        if self.basis.as_ref() != Some(&basis) {
            (self.missing, self.answers) = (BTreeMap::new(), BTreeMap::new());
            self.basis = Some(basis);
        }
        let Some(listing) = input.listing else { return };
        let (gone, ids): (BTreeSet<_>, BTreeSet<_>) =
            gone(input, listing).into_iter().map(|gone| (gone.uid, gone.project_id)).unzip();
        self.missing.retain(|uid, _| gone.contains(uid));
        self.answers.retain(|id, _| ids.contains(id));
        if !is_usable(listing.list()) {
            return;
        }
        for uid in gone {
            let first = self.missing.entry(uid).or_insert(now);
            // A clock that was put back must not let the time pass at once later on.
            *first = (*first).min(now);
        }
    }

    /// The operator's clock was set by so much since the last call: what is remembered moves with it, so that no time
    /// passes at once.
    pub fn clock_was_set(&mut self, by: SignedDuration) {
        let times = self.missing.values_mut().chain(&mut self.leaving_since);
        times.for_each(|at| shift(at, by));
    }

    /// Notes Keystone's answers to [`asks`]. A project without an answer is unknown.
    pub fn answered(&mut self, asked: &[String], states: &BTreeMap<String, ProjectState>) {
        for id in asked {
            self.asked += 1;
            let state = states.get(id).copied().unwrap_or(ProjectState::Unknown);
            self.answers.insert(id.clone(), (self.asked, state));
        }
    }

    /// The longest wait until the next pass, if the set waits for CloudTenants that are being deleted. It grows, since a
    /// deletion may never end.
    pub fn waits_for_deletions(&mut self, plan: &Plan, now: Timestamp) -> Option<Duration> {
        if !plan.waits_for_deletions {
            self.leaving_since = None;
            return None;
        }
        let since = self.leaving_since.get_or_insert(now);
        *since = (*since).min(now);
        Some(Duration::try_from(now.duration_since(*since)).unwrap_or_default().max(SOON))
    }

    /// Whether two lists that are far enough apart lacked the project.
    fn is_confirmed(&self, uid: &str, now: Timestamp) -> bool {
        self.missing.get(uid).is_some_and(|first| now.duration_since(*first) >= APART)
    }
}

/// Whether the list can tell that a project is gone.
fn is_usable(listing: &ProjectList) -> bool {
    listing.whole && !listing.projects.is_empty()
}

/// A CloudTenant of the set whose project is not selected any more.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Gone {
    uid: String,
    name: String,
    resource_version: String,
    project_id: String,
    /// What the list itself says about the project.
    listed: Option<ProjectState>,
}

fn gone(input: &Input<'_>, listing: &Selection) -> Vec<Gone> {
    let selected = selected(listing);
    let listed: BTreeMap<_, _> =
        listing.list().projects.iter().map(|project| (&*project.id, project.enabled)).collect();
    let gone = input.children.iter().filter(|child| is_own(child, input.target));
    let gone = gone.filter(|child| !selected.contains_key(&*child.project_id)).map(|child| Gone {
        uid: child.uid.clone(),
        name: child.name.clone(),
        resource_version: child.resource_version.clone(),
        project_id: child.project_id.clone(),
        listed: listed
            .get(&*child.project_id)
            .map(|enabled| if *enabled { ProjectState::Enabled } else { ProjectState::Disabled }),
    });
    let mut gone: Vec<_> = gone.collect();
    gone.sort_by(|a, b| a.name.cmp(&b.name));
    gone
}

/// A CloudTenant that the operator deletes, if it still is this version of this object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// The name.
    pub name: String,
    /// The UID, for the precondition.
    pub uid: String,
    /// The resource version, for the precondition.
    pub resource_version: String,
    /// The project that is gone.
    pub project_id: String,
}

/// Why the operator does not delete CloudTenants whose projects seem to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// The list is empty.
    Empty,
    /// The list is not whole.
    Incomplete,
    /// More are gone than may be deleted within 24 hours.
    TooMany,
    /// Keystone did not answer the question whether they are gone.
    NotAnswered,
    /// They exist and are only not listed or not selected.
    StillThere,
}

/// What becomes of the CloudTenants whose projects seem to be gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The operator deletes them, once the status has counted them.
    pub deletions: Vec<Deletion>,
    /// The number of those that it does not delete. Those that are missing for less than ten minutes are not among them.
    pub held: usize,
    /// Why it does not.
    pub why: Option<Held>,
    /// The number of those whose project the operator has not asked Keystone about yet. A later pass does.
    pub pending: usize,
}

/// The projects whose state decides. The caller asks Keystone for each of them before it calls [`prune`].
#[must_use]
pub fn asks(input: &Input<'_>, memory: &SetMemory, stored: &CloudTenantSetStatus, now: Timestamp) -> Vec<String> {
    let Some(Due { due, .. }) = due(input, memory, stored, now).ok().flatten() else { return Vec::new() };
    let mut ids: Vec<_> = due.into_iter().filter(|gone| gone.listed.is_none()).map(|gone| gone.project_id).collect();
    // Each has its turn: those that it has not asked for yet come first, and then those of the longest ago.
    ids.sort_by_key(|id| memory.answers.get(id).map(|(at, _)| *at));
    ids.truncate(MOST_ASKED);
    ids
}

/// Computes what becomes of the CloudTenants whose projects are gone. `states` are Keystone's answers to [`asks`].
#[must_use]
pub fn prune(
    input: &Input<'_>,
    memory: &SetMemory,
    states: &BTreeMap<String, ProjectState>,
    stored: &CloudTenantSetStatus,
    now: Timestamp,
) -> Pruned {
    let Due { due, is_confirmed } = match due(input, memory, stored, now) {
        Ok(Some(due)) => due,
        Ok(None) => return Pruned::default(),
        Err((why, held)) => return Pruned { held, why: Some(why), ..Pruned::default() },
    };
    let mut pruned = Pruned::default();
    for gone in due {
        let state = gone.listed.or_else(|| states.get(&gone.project_id).copied());
        // An answer of an earlier pass deletes nothing.
        let before = memory.answers.get(&gone.project_id).map(|(_, state)| *state);
        let why = match (state, before) {
            (Some(ProjectState::Absent | ProjectState::Disabled | ProjectState::Forbidden), _) => None,
            (Some(ProjectState::Enabled), _) if is_confirmed => None,
            (Some(ProjectState::Enabled), _) => Some(Held::StillThere),
            (Some(ProjectState::Unknown), _) | (None, Some(ProjectState::Unknown)) => Some(Held::NotAnswered),
            (None, Some(ProjectState::Enabled)) if !is_confirmed => Some(Held::StillThere),
            (None, None) => {
                pruned.pending += 1;
                continue;
            }
            (None, Some(_)) => continue,
        };
        match why {
            None => pruned.deletions.push(Deletion {
                name: gone.name,
                uid: gone.uid,
                resource_version: gone.resource_version,
                project_id: gone.project_id,
            }),
            Some(why) => {
                pruned.held += 1;
                pruned.why = Some(pruned.why.map_or(why, |before| before.min(why)));
            }
        }
    }
    pruned
}

/// Those that may be deleted if Keystone confirms it.
struct Due {
    due: Vec<Gone>,
    is_confirmed: bool,
}

/// `None` if nothing is missing, or nothing may be deleted at all.
fn due(
    input: &Input<'_>,
    memory: &SetMemory,
    stored: &CloudTenantSetStatus,
    now: Timestamp,
) -> Result<Option<Due>, (Held, usize)> {
    let (target, Some(listing)) = (input.target, input.listing) else { return Ok(None) };
    let mut due = gone(input, listing);
    if target.suspend || target.prune == Prune::Keep || due.is_empty() {
        return Ok(None);
    }
    if listing.list().projects.is_empty() {
        return Err((Held::Empty, due.len()));
    }
    if !listing.list().whole {
        return Err((Held::Incomplete, due.len()));
    }
    let is_confirmed = confirmation(target, stored, now).is_some_and(|confirmation| confirmation.counts);
    let used = deleted_within_a_day(stored, now);
    let own = input.children.iter().filter(|child| is_own(child, target)).count();
    if !is_confirmed && due.len() + used > most_deleted(target, own + used) {
        return Err((Held::TooMany, due.len()));
    }
    due.retain(|gone| memory.is_confirmed(&gone.uid, now));
    Ok(Some(Due { due, is_confirmed }))
}

/// The number of CloudTenants that may be deleted within 24 hours. `tenants` is their number before that.
fn most_deleted(target: &SetTarget, tenants: usize) -> usize {
    let percent = usize::try_from(target.max_loss_percent).unwrap_or(100);
    (tenants.saturating_mul(percent) / 100).max(1)
}

fn deleted_within_a_day(stored: &CloudTenantSetStatus, now: Timestamp) -> usize {
    let hours = stored.pruning.iter().flat_map(|pruning| &pruning.deleted);
    let counted = hours.filter(|hour| is_within_a_day(hour, now)).map(|hour| hour.tenants);
    counted.fold(0, |sum: usize, tenants| sum.saturating_add(usize::try_from(tenants).unwrap_or(usize::MAX)))
}

/// Whether a deletion of this hour may be less than 24 hours old. Hours in the future count too.
fn is_within_a_day(hour: &PrunedHour, now: Timestamp) -> bool {
    now.duration_since(hour.hour.0) < DAY + HOUR
}

/// The confirmation in the set's annotation, and whether it still counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Confirmation {
    generation: i64,
    at: Timestamp,
    counts: bool,
}

fn confirmation(target: &SetTarget, stored: &CloudTenantSetStatus, now: Timestamp) -> Option<Confirmation> {
    let generation = target.confirms.filter(|confirmed| *confirmed == target.generation)?;
    let before = stored.pruning.as_ref().and_then(|pruning| pruning.confirmed.as_ref());
    let before = before.filter(|before| before.generation == generation).map(|before| before.at.0.min(now));
    let at = before.unwrap_or(now);
    // Two more lists must fit in.
    let interval = SignedDuration::try_from(target.interval).unwrap_or(DAY);
    let valid = DAY.max(interval.checked_mul(3).unwrap_or(DAY));
    Some(Confirmation { generation, at, counts: now.duration_since(at) < valid })
}

/// Gives back deletions that were counted before, and that the API server has refused.
#[must_use]
pub fn given_back(pruning: Option<Pruning>, undeleted: usize) -> Option<Pruning> {
    let mut left = u32::try_from(undeleted).unwrap_or(u32::MAX);
    let mut pruning = pruning?;
    for hour in pruning.deleted.iter_mut().rev() {
        let back = hour.tenants.min(left);
        hour.tenants -= back;
        left -= back;
    }
    pruning.deleted.retain(|hour| hour.tenants > 0);
    (pruning != Pruning::default()).then_some(pruning)
}

/// What the status says about deletions after this many more. The operator writes it before it deletes, so that a crash
/// in between counts too many and never too few.
#[must_use]
pub fn counted(target: &SetTarget, stored: &CloudTenantSetStatus, deletions: usize, now: Timestamp) -> Option<Pruning> {
    let before = stored.pruning.clone().unwrap_or_default();
    let hour_of = |at: Timestamp| {
        let second = at.as_second();
        Timestamp::from_second(second - second.rem_euclid(3600)).unwrap_or(at)
    };
    let mut hours: BTreeMap<Timestamp, u32> = BTreeMap::new();
    for hour in before.deleted.iter().filter(|hour| is_within_a_day(hour, now)) {
        // An hour in the future comes from a clock that was put back since. It counts for a day from now on.
        let tenants = hours.entry(hour_of(hour.hour.0.min(now))).or_default();
        *tenants = tenants.saturating_add(hour.tenants);
    }
    if deletions > 0 {
        let tenants = hours.entry(hour_of(now)).or_default();
        *tenants = tenants.saturating_add(u32::try_from(deletions).unwrap_or(u32::MAX));
    }
    let deleted = hours.into_iter().map(|(hour, tenants)| PrunedHour { hour: api::time(hour), tenants }).collect();
    let confirmed = confirmation(target, stored, now)
        .map(|confirmation| ConfirmedPrune { generation: confirmation.generation, at: api::time(confirmation.at) })
        .or(before.confirmed);
    let pruning = Pruning { deleted, confirmed };
    (pruning != Pruning::default()).then_some(pruning)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line: counted deletions by hour | those that the API server has refused | what is left.
    #[test]
    fn refused_deletions_do_not_count() {
        let hours = |counts: &[u32]| {
            let hour = |(index, tenants): (usize, &u32)| {
                let at = Timestamp::from_second(3600 * index as i64).unwrap();
                PrunedHour { hour: api::time(at), tenants: *tenants }
            };
            counts.iter().enumerate().map(hour).filter(|hour| hour.tenants > 0).collect::<Vec<_>>()
        };
        for (counted, undeleted, left) in [
            (&[2, 3][..], 0, &[2, 3][..]),
            (&[2, 3], 1, &[2, 2]),
            (&[2, 3], 3, &[2]),
            (&[2, 3], 4, &[1]),
            (&[2, 3], 9, &[]),
            (&[], 1, &[]),
        ] {
            let pruning = Pruning { deleted: hours(counted), confirmed: None };
            let rest = given_back(Some(pruning), undeleted).map(|rest| rest.deleted).unwrap_or_default();
            assert_eq!(rest, hours(left), "{counted:?} without {undeleted}");
        }
        assert_eq!(given_back(None, 1), None);
    }
}
