//! What `kubectl auth can-i --list` says of the operator's account, held against what it needs. The node's tests ask a
//! whole cluster the same.

use std::collections::BTreeSet;

/// What everybody may who is authenticated: ask who and what they are. Which of these there are depends on the version
/// of Kubernetes.
const EVERYBODY: [&str; 4] = [
    "selfsubjectreviews.authentication.k8s.io [] [create]",
    "selfsubjectaccessreviews.authorization.k8s.io [] [create]",
    "selfsubjectrulesreviews.authorization.k8s.io [] [create]",
    "clustertrustbundles.certificates.k8s.io [] [get list watch]",
];

/// What it needs where it looks at CloudTenants.
pub fn tenants(watches_secrets: bool) -> BTreeSet<String> {
    let secrets = if watches_secrets { "secrets [] [get list watch]" } else { "secrets [] [get]" };
    let rights = [
        "cloudtenants.cloudtenant.dev [] [get list watch]",
        "cloudtenants.cloudtenant.dev/status [] [patch]",
        "events.events.k8s.io [] [create]",
        secrets,
    ];
    rights.map(str::to_owned).into()
}

/// What it needs in its own namespace, for the Lease of this name.
pub fn lease(name: &str) -> BTreeSet<String> {
    let one = format!("leases.coordination.k8s.io [{name}] [get update watch]");
    ["leases.coordination.k8s.io [] [create]".to_owned(), one].into()
}

/// Whether the table lists these rights and no others.
///
/// # Errors
/// Those that are too many, and those that are too few.
pub fn judge(listed: &str, needed: &BTreeSet<String>) -> Result<(), String> {
    let found: BTreeSet<_> = listed.lines().skip(1).filter_map(right).collect();
    let others = EVERYBODY.map(str::to_owned).into();
    let (too_many, too_few) = (&(&found - needed) - &others, needed - &found);
    if too_many.is_empty() && too_few.is_empty() {
        return Ok(());
    }
    Err(format!("too many {too_many:?}, too few {too_few:?}"))
}

/// A line of the table, `RESOURCE [] [NAMES] [VERBS]`; those about addresses begin with a bracket.
fn right(line: &str) -> Option<String> {
    let resource = line.split_whitespace().next().filter(|word| !word.starts_with('['))?;
    let mut lists = line.split('[').skip(2).map(|list| list.trim().trim_end_matches(']'));
    Some(format!("{resource} [{}] [{}]", lists.next()?, lists.next()?))
}
