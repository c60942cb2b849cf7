//! What a list of projects requires: CloudTenants to make and to change, and projects that the set leaves out.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::{Child, Claims, OtherSet, Ownership, Selection, SetTarget, Unread, child, name};
use crate::{
    api::set::{SkipReason, SkippedProject},
    observation::projects::Project,
};

/// What a pass has to look at.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The set.
    pub target: &'a SetTarget,
    /// The list of projects. Without one, the operator only keeps the set's CloudTenants as the template wants them.
    pub listing: Option<&'a Selection>,
    /// The names of domains by their IDs, as far as they are known.
    pub domains: &'a BTreeMap<Box<str>, Box<str>>,
    /// All CloudTenants of the set's namespace.
    pub children: &'a [Child],
    /// The other sets of the namespace.
    pub others: &'a [OtherSet],
}

/// A CloudTenant that the operator has to apply.
#[derive(Debug, Clone, PartialEq)]
pub struct Apply {
    /// The CloudTenant's name.
    pub name: String,
    /// The project's ID.
    pub project_id: String,
    /// The UID of the CloudTenant, which the document has too. Without one, it must not exist yet.
    pub uid: Option<String>,
    /// Whether the CloudTenant does not belong to the set yet.
    pub adopts: bool,
    /// What server-side apply sends.
    pub document: Value,
}

/// What a pass has to write, besides deletions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// The projects that the filter selects, by ID. Younger sets leave them alone.
    pub selected: BTreeSet<Box<str>>,
    /// New CloudTenants, by the projects' IDs.
    pub creations: Vec<Apply>,
    /// CloudTenants of the set that differ from the template, and those that the set adopts, by their names.
    pub changes: Vec<Apply>,
    /// Selected projects without a CloudTenant of this set, by ID.
    pub skipped: Vec<SkippedProject>,
    /// Selected projects get no CloudTenant because the set has as many as it may have.
    pub is_limited: bool,
    /// CloudTenants are not made because an older set has not listed its projects yet.
    pub waits_for_sets: bool,
    /// CloudTenants are not made because others of these projects, or of these names, are still being deleted.
    pub waits_for_deletions: bool,
    /// The namespace's CloudTenants cannot be read, so nothing is planned. With the number of consecutive failures.
    pub unread: Option<(Unread, u32)>,
    /// The name of the first CloudTenant that cannot be read. The others are.
    pub unreadable: Option<String>,
    /// The CloudTenants of the set.
    pub tenants: usize,
    /// Those that are Ready.
    pub ready: usize,
}

/// Computes what a pass has to write, besides deletions.
#[must_use]
pub fn plan(input: &Input<'_>) -> Plan {
    let Input { target, listing, children, .. } = *input;
    let selected = listing.map(selected).unwrap_or_default();
    let own: Vec<_> = children.iter().filter(|child| is_own(child, target)).collect();
    let mut plan = Plan {
        tenants: own.len(),
        ready: own.iter().filter(|child| child.ready).count(),
        selected: selected.keys().map(|id| Box::from(*id)).collect(),
        ..Plan::default()
    };
    if target.suspend {
        return plan;
    }
    for child in own {
        let project = selected.get(&*child.project_id).copied();
        change(input, child, project, &mut plan);
    }
    add(input, &selected, &mut plan);
    plan.changes.sort_by(|a, b| a.name.cmp(&b.name));
    plan
}

/// The plan of a pass that cannot read the namespace's CloudTenants. `times` is the number of consecutive failures.
#[must_use]
pub fn unread(listing: Option<&Selection>, why: Unread, times: u32) -> Plan {
    let selected = listing.map(selected).unwrap_or_default();
    let selected = selected.keys().map(|id| Box::from(*id)).collect();
    Plan { selected, unread: Some((why, times)), ..Plan::default() }
}

/// The selected projects by their IDs.
pub(super) fn selected(listing: &Selection) -> BTreeMap<&str, &Project> {
    listing.selected().map(|project| (&*project.id, project)).collect()
}

/// Whether the CloudTenant belongs to the set and goes on existing.
pub(super) fn is_own(child: &Child, target: &SetTarget) -> bool {
    !child.is_deleting && child.ownership(target) == Ownership::Own
}

fn document(input: &Input<'_>, id: &str, project: Option<&Project>, existing: Option<&Child>) -> Value {
    let domain = |project: &Project| input.domains.get(&project.domain_id).map(|name| &**name);
    child::document(input.target, id, project.map(|project| (project, domain(project))), existing)
}

fn change(input: &Input<'_>, child: &Child, project: Option<&Project>, plan: &mut Plan) {
    let document = document(input, &child.project_id, project, Some(child));
    if !child.matches(&document) {
        plan.changes.push(Apply {
            name: child.name.clone(),
            project_id: child.project_id.clone(),
            uid: Some(child.uid.clone()),
            adopts: child.ownership(input.target) != Ownership::Own,
            document,
        });
    }
}

/// Adds what is missing: CloudTenants to adopt or to make, and the reasons why others are not made.
fn add(input: &Input<'_>, selected: &BTreeMap<&str, &Project>, plan: &mut Plan) {
    let Input { target, children, others, .. } = *input;
    let by_name: HashMap<_, _> = children.iter().map(|child| (&*child.name, child)).collect();
    let mut by_project: HashMap<_, Vec<_>> = HashMap::new();
    for child in children {
        by_project.entry(&*child.project_id).or_default().push(child);
    }
    let mut older: Vec<_> = others.iter().filter(|other| other.is_older(target)).collect();
    older.sort_by_key(|other| (other.created_at, &*other.uid));
    let is_too_early = older.iter().any(|other| other.claims == Claims::Waiting);
    // Adoptions come first, since the limit counts them.
    let (existing, missing): (Vec<_>, Vec<_>) = selected.iter().partition(|(id, _)| by_project.contains_key(**id));
    let mut adoptions = 0;
    for (id, project) in existing.into_iter().chain(missing) {
        let existing = by_project.get(id).map(Vec::as_slice).unwrap_or_default();
        let (leaving, existing): (Vec<&Child>, Vec<&Child>) =
            existing.iter().copied().partition(|child| child.is_leaving(target, others));
        if existing.iter().any(|child| child.ownership(target) == Ownership::Own) {
            continue;
        }
        let name = name::of(&target.name, id);
        let foreign = existing.iter().find(|child| child.ownership(target) == Ownership::Foreign);
        let skip = if let Some(child) = foreign {
            Some(covered(child, others))
        } else if let Some(other) = older.iter().find(|other| other.claims(id)) {
            Some((SkipReason::OtherSet, Some(other.name.clone())))
        } else if !leaving.is_empty() || by_name.get(&*name).is_some_and(|child| child.is_leaving(target, others)) {
            plan.waits_for_deletions = true;
            continue;
        } else if existing.is_empty() {
            obstacle(&name, id, &by_name)
        } else {
            None
        };
        if let Some((reason, by)) = skip {
            plan.skipped.push(SkippedProject { project_id: shown(id), reason, by });
        } else if let Some(child) = existing.first() {
            change(input, child, Some(project), plan);
            adoptions += 1;
        } else if plan.tenants + adoptions + plan.creations.len() >= target.max_tenants {
            plan.is_limited = true;
        } else if is_too_early {
            plan.waits_for_sets = true;
        } else {
            plan.creations.push(Apply {
                name,
                project_id: (*id).to_owned(),
                uid: None,
                adopts: false,
                document: document(input, id, Some(project), None),
            });
        }
    }
    plan.skipped.sort_by(|a, b| a.project_id.cmp(&b.project_id));
    plan.skipped.dedup_by(|a, b| a.project_id == b.project_id);
}

/// The CloudTenant of somebody else that has the project.
fn covered(child: &Child, others: &[OtherSet]) -> (SkipReason, Option<String>) {
    match others.iter().find(|other| child.set.as_deref() == Some(&*other.name)) {
        Some(other) => (SkipReason::OtherSet, Some(other.name.clone())),
        None => (SkipReason::Covered, Some(child.name.clone())),
    }
}

/// Why no CloudTenant of this name can be made for the project.
fn obstacle(name: &str, id: &str, by_name: &HashMap<&str, &Child>) -> Option<(SkipReason, Option<String>)> {
    let ok = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if id.len() > 64 || !id.starts_with(|c: char| c.is_ascii_alphanumeric()) || !id.chars().all(ok) {
        return Some((SkipReason::InvalidProjectId, None));
    }
    by_name.get(name).map(|child| (SkipReason::NameTaken, Some(child.name.clone())))
}

/// An ID as the status shows it, which may not be one.
fn shown(id: &str) -> String {
    id.chars().take(64).collect()
}

impl OtherSet {
    fn claims(&self, project_id: &str) -> bool {
        matches!(&self.claims, Claims::Known(claims) if claims.contains(project_id))
    }
}
