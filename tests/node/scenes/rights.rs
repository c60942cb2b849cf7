use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use crate::world::{RELEASE, SHOP, SYSTEM, World};

/// What everybody may who is authenticated: ask who and what they are.
const EVERYBODY: [&str; 4] = [
    "selfsubjectreviews.authentication.k8s.io [] [create]",
    "selfsubjectaccessreviews.authorization.k8s.io [] [create]",
    "selfsubjectrulesreviews.authorization.k8s.io [] [create]",
    "clustertrustbundles.certificates.k8s.io [] [get list watch]",
];
/// Where the operator looks at CloudTenants.
const TENANTS: [&str; 4] = [
    "cloudtenants.cloudtenant.dev [] [get list watch]",
    "cloudtenants.cloudtenant.dev/status [] [patch]",
    "secrets [] [get]",
    "events.events.k8s.io [] [create]",
];
/// And in its own namespace.
const LEASES: [&str; 2] =
    ["leases.coordination.k8s.io [] [create]", "leases.coordination.k8s.io [cloudtenant-operator] [get update watch]"];

pub async fn play(world: &mut World) -> Result<()> {
    let account = format!("system:serviceaccount:{SYSTEM}:{RELEASE}");
    for (namespace, more) in [(SHOP, &[][..]), (SYSTEM, &LEASES[..])] {
        let listed = world.kubectl(&["auth", "can-i", "--list", "--as", &account, "--namespace", namespace])?;
        let found: BTreeSet<_> = listed.lines().skip(1).filter_map(right).collect();
        let needed: BTreeSet<_> = TENANTS.iter().chain(more).map(|right| (*right).to_owned()).collect();
        // Which of these there are depends on the version of Kubernetes.
        let others: BTreeSet<_> = EVERYBODY.iter().map(|right| (*right).to_owned()).collect();
        let (too_many, too_few) = (&(&found - &needed) - &others, &needed - &found);
        ensure!(too_many.is_empty() && too_few.is_empty(), "{namespace}: too many {too_many:?}, too few {too_few:?}");
        println!("  {namespace}: {}", needed.into_iter().collect::<Vec<_>>().join(", "));
    }
    for words in [&["get", "secrets", "--all-namespaces"][..], &["get", "secrets", "--namespace", SHOP]] {
        let said = world.ask_kubectl(&[words, &["--as", &account]].concat())?;
        ensure!(!said.well && said.text.contains("Forbidden"), "kubectl {}: {}", words.join(" "), said.text);
    }
    println!("  it cannot list Secrets");
    Ok(())
}

/// A line of the table, `RESOURCE [] [NAMES] [VERBS]`; those about addresses begin with a bracket.
fn right(line: &str) -> Option<String> {
    let resource = line.split_whitespace().next().filter(|word| !word.starts_with('['))?;
    let mut lists = line.split('[').skip(2).map(|list| list.trim().trim_end_matches(']'));
    Some(format!("{resource} [{}] [{}]", lists.next()?, lists.next()?))
}
