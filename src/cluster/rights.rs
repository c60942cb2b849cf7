//! The rights that the operator's account must and must not have.

use k8s_openapi::api::authorization::v1::ResourceAttributes;

/// The settings that determine the rights of a process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Duties {
    /// The namespaces in which it works. An empty list means all namespaces.
    pub namespaces: Vec<String>,
    /// It watches Secrets instead of only reading those that are named.
    pub watches_secrets: bool,
    /// The namespace and the names of the Leases for leader election.
    pub leases: Option<(String, Vec<String>)>,
    /// It serves CloudTenantSets.
    pub serves_sets: bool,
}

/// The rights for CloudTenantSets in a namespace: verb, resource and subresource. Server-side apply creates an object only
/// with both `create` and `patch`. An owner reference that blocks the owner's deletion needs `update` of its finalizers
/// where the API server enforces that.
const OF_SETS: [(&str, &str, &str); 8] = [
    ("get", "cloudtenantsets", ""),
    ("list", "cloudtenantsets", ""),
    ("watch", "cloudtenantsets", ""),
    ("patch", "cloudtenantsets", "status"),
    ("update", "cloudtenantsets", "finalizers"),
    ("create", "cloudtenants", ""),
    ("patch", "cloudtenants", ""),
    ("delete", "cloudtenants", ""),
];

/// Returns every right and whether the account must have it.
#[must_use]
pub fn rights(duties: &Duties) -> Vec<(ResourceAttributes, bool)> {
    let everywhere = [String::new()];
    let namespaces = if duties.namespaces.is_empty() { &everywhere[..] } else { &duties.namespaces[..] };
    let mut rights = Vec::new();
    for namespace in namespaces {
        for (verb, group, resource, subresource, needed) in [
            ("get", "cloudtenant.dev", "cloudtenants", "", true),
            ("list", "cloudtenant.dev", "cloudtenants", "", true),
            ("watch", "cloudtenant.dev", "cloudtenants", "", true),
            ("patch", "cloudtenant.dev", "cloudtenants", "status", true),
            ("create", "events.k8s.io", "events", "", true),
            ("get", "", "secrets", "", true),
            ("list", "", "secrets", "", duties.watches_secrets),
            ("watch", "", "secrets", "", duties.watches_secrets),
        ] {
            rights.push((attributes(namespace, verb, group, resource, subresource, None), needed));
        }
        for (verb, resource, subresource) in OF_SETS.into_iter().filter(|_| duties.serves_sets) {
            rights.push((attributes(namespace, verb, "cloudtenant.dev", resource, subresource, None), true));
        }
    }
    if let Some((namespace, names)) = &duties.leases {
        let lease = |verb, name| attributes(namespace, verb, "coordination.k8s.io", "leases", "", name);
        rights.push((lease("create", None), true));
        let each = |name| ["get", "update", "watch"].map(|verb| (lease(verb, Some(name)), true));
        rights.extend(names.iter().flat_map(each));
    }
    rights
}

fn attributes(
    namespace: &str,
    verb: &str,
    group: &str,
    resource: &str,
    subresource: &str,
    name: Option<&String>,
) -> ResourceAttributes {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    ResourceAttributes {
        namespace: text(namespace),
        verb: text(verb),
        group: text(group),
        resource: text(resource),
        subresource: text(subresource),
        name: name.cloned(),
        ..ResourceAttributes::default()
    }
}

/// Formats a right, such as `get secrets in team-a`.
#[must_use]
pub fn told(right: &ResourceAttributes) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    let mut told = format!("{} {}", part(&right.verb), part(&right.resource));
    for (before, part) in [("/", &right.subresource), (".", &right.group), (" ", &right.name)] {
        if let Some(part) = part {
            told.push_str(before);
            told.push_str(part);
        }
    }
    match &right.namespace {
        Some(namespace) => format!("{told} in namespace {namespace}"),
        None => format!("{told} in all namespaces"),
    }
}
