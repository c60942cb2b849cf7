//! No right without a reason, and none beyond what is needed.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use crate::helm::{cases, objects, read, render, render_case, root};

/// Rules without a comment right above them.
fn unexplained(yaml: &str) -> Vec<String> {
    let mut before = "";
    let mut in_rules = false;
    let mut found = Vec::new();
    for line in yaml.lines() {
        if !line.is_empty() && !line.starts_with([' ', '#']) {
            in_rules = line.trim_end() == "rules:";
        }
        if in_rules && line.starts_with("  - ") && !before.trim_start().starts_with('#') {
            found.push(line.to_owned());
        }
        before = line;
    }
    found
}

#[test]
fn every_rule_says_why() {
    let mut seen = 0;
    let mut check = |name: &str, yaml: &str| {
        seen += yaml.matches("- apiGroups:").count();
        assert_eq!(unexplained(yaml), [""; 0], "{name}");
    };
    for (name, path) in cases() {
        check(&name, &render_case(&path));
    }
    for entry in fs::read_dir(root().join("deploy")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            check(path.to_str().unwrap(), &fs::read_to_string(&path).unwrap());
        }
    }
    assert!(seen > 10, "{seen}");
    // What the component adds is a list of patches: each has the reason of the chart's rule above it.
    let rendered = render("tenantSets: { enabled: true }").unwrap();
    for (name, count) in [("rights", 4), ("view", 1), ("edit", 1)] {
        let patches = read(&format!("deploy/tenant-sets/{name}.yaml"));
        let mut lines = patches.lines().zip(patches.lines().skip(1)).filter(|(_, line)| line.starts_with("- op: add"));
        assert_eq!(lines.clone().count(), count, "{name}");
        assert!(lines.all(|(above, _)| above.starts_with("# ")), "{name}");
        for rule in objects(&patches)[0].as_array().unwrap() {
            let rules = objects(&rendered).into_iter().flat_map(|object| object["rules"].as_array().cloned());
            assert!(rules.flatten().any(|other| other == rule["value"]), "{name}: {rule}");
        }
    }
}

#[test]
fn a_rule_that_does_not_say_why_is_found() {
    let explained = read("deploy/rbac.yaml");
    let comment = explained.lines().find(|line| line.starts_with("  # It reports")).unwrap();
    let silent = explained.replace(comment, "");
    assert_eq!(unexplained(&silent), ["  - apiGroups: [cloudtenant.dev]"]);
    assert_eq!(unexplained("rules:\n  - verbs: [get]\n"), ["  - verbs: [get]"]);
}

/// What the operator's own roles grant, a word for each right.
fn granted(yaml: &str) -> BTreeSet<String> {
    let mut granted = BTreeSet::new();
    for object in objects(yaml) {
        let kind = object["kind"].as_str().unwrap();
        let name = object["metadata"]["name"].as_str().unwrap();
        // These are for people; nothing binds them to the operator.
        let for_people = name.ends_with("-view") || name.ends_with("-edit");
        if !["Role", "ClusterRole"].contains(&kind) || for_people {
            continue;
        }
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or("everywhere");
        let words = |value: &Value| -> Vec<String> {
            let items = value.as_array().into_iter().flatten();
            items.map(|item| item.as_str().unwrap().to_owned()).collect()
        };
        for rule in object["rules"].as_array().unwrap() {
            let named = words(&rule["resourceNames"]).iter().map(|name| format!(" {name}")).collect::<String>();
            for resource in words(&rule["resources"]) {
                for verb in words(&rule["verbs"]) {
                    granted.insert(format!("{namespace}: {verb} {resource}{named}"));
                }
            }
        }
    }
    granted
}

fn expected(namespaces: &[&str], watch: bool) -> BTreeSet<String> {
    let mut rights = vec![
        "get cloudtenants",
        "list cloudtenants",
        "watch cloudtenants",
        "patch cloudtenants/status",
        "get secrets",
        "create events",
    ];
    if watch {
        rights.extend(["list secrets", "watch secrets"]);
    }
    let lease = ["create leases", "get leases cloudtenant-operator", "update leases cloudtenant-operator"];
    let lease = lease.into_iter().chain(["watch leases cloudtenant-operator"]);
    let everywhere = namespaces.iter().flat_map(|place| rights.iter().map(move |right| format!("{place}: {right}")));
    everywhere.chain(lease.map(|right| format!("cloudtenant-system: {right}"))).collect()
}

#[test]
fn no_more_is_granted_than_is_needed() {
    assert_eq!(granted(&render("").unwrap()), expected(&["everywhere"], false));
    assert_eq!(granted(&read("deploy/rbac.yaml")), expected(&["everywhere"], false));
    assert_eq!(granted(&render("secrets: { watch: true }").unwrap()), expected(&["everywhere"], true));
    let namespaces = |watch: bool| {
        let rendered = render(&format!(
            "{{ rbac: {{ scope: namespaces, namespaces: [web, archive] }}, secrets: {{ watch: {watch} }} }}"
        ));
        granted(&rendered.unwrap())
    };
    assert_eq!(namespaces(false), expected(&["web", "archive"], false));
    assert_eq!(namespaces(true), expected(&["web", "archive"], true));
    assert_eq!(granted(&render("rbac: { create: false }").unwrap()), BTreeSet::new());
    // With the opt-in, in the same places.
    let with_sets = |places: &[&str]| {
        let more = [
            "create cloudtenants",
            "patch cloudtenants",
            "delete cloudtenants",
            "get cloudtenantsets",
            "list cloudtenantsets",
            "watch cloudtenantsets",
            "patch cloudtenantsets/status",
            "update cloudtenantsets/finalizers",
        ];
        let more = places.iter().flat_map(|place| more.map(|right| format!("{place}: {right}")));
        expected(places, false).into_iter().chain(more).collect::<BTreeSet<_>>()
    };
    assert_eq!(granted(&render("tenantSets: { enabled: true }").unwrap()), with_sets(&["everywhere"]));
    let named = "{ tenantSets: { enabled: true }, rbac: { scope: namespaces, namespaces: [web, archive] } }";
    assert_eq!(granted(&render(named).unwrap()), with_sets(&["web", "archive"]));
    // The Leases of all shards are one rule.
    let names = "cloudtenant-operator cloudtenant-operator-shard-0-of-2 cloudtenant-operator-shard-1-of-2";
    let of_shards = expected(&["everywhere"], false)
        .into_iter()
        .map(|right| right.replace("leases cloudtenant-operator", &format!("leases {names}")));
    assert_eq!(granted(&render("shards: 2").unwrap()), of_shards.collect());
}

#[test]
fn nothing_is_bound_in_the_whole_cluster_where_namespaces_are_named() {
    let rendered = objects(&render_case(&cases()["namespaces"]));
    for object in &rendered {
        assert_ne!(object["kind"], "ClusterRoleBinding");
        if let Some(role) = object.get("roleRef") {
            assert_eq!(role["kind"], "Role", "{object}");
        }
        // A ClusterRole that is not bound only adds to what people may do who have `view` or `edit` somewhere.
        if object["kind"] == "ClusterRole" {
            let labels = &object["metadata"]["labels"];
            assert_eq!(labels["rbac.authorization.k8s.io/aggregate-to-edit"], "true", "{object}");
        }
    }
    assert!(objects(&render("").unwrap()).iter().any(|object| object["kind"] == "ClusterRoleBinding"));
}

/// Each binding is of the ServiceAccount that the Pods run as.
#[test]
fn bindings_are_the_pods_accounts() {
    for (name, path) in cases() {
        let rendered = objects(&render_case(&path));
        let deployment = rendered.iter().find(|object| object["kind"] == "Deployment").unwrap();
        let account = &deployment["spec"]["template"]["spec"]["serviceAccountName"];
        for object in rendered.iter().filter(|object| object.get("roleRef").is_some()) {
            assert_eq!(&object["subjects"][0]["name"], account, "{name}");
            assert_eq!(object["subjects"][0]["namespace"], "cloudtenant-system", "{name}");
        }
        let test = rendered.iter().find(|object| object["kind"] == "Pod").unwrap();
        assert_eq!(&test["spec"]["serviceAccountName"], account, "{name}");
        let environment = |pod: &Value| pod["containers"][0]["env"].clone();
        assert_eq!(environment(&test["spec"]), environment(&deployment["spec"]["template"]["spec"]), "{name}");
    }
}
