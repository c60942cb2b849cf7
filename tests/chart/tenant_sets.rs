//! The policy for authors of CloudTenantSets, on a real API server: who may write sets, but not CloudTenants, gains
//! nothing by writing sets.

use std::time::Duration;

use anyhow::ensure;
use cloudtenant_operator::api::crd_yaml;
use serde_json::{Value, json};
use testkit::{control_plane::ControlPlane, eventually::eventually};

use crate::{
    helm::{NAMESPACE, objects, read, render},
    server::{SETS_CRD, prepared},
};

/// The API server takes some seconds to apply a new policy or role.
const SOON: Duration = Duration::from_secs(60);

/// Each user's verbs on CloudTenants. All of them may do everything with CloudTenantSets.
const USERS: [(&str, &[&str]); 6] = [
    ("author", &["create", "patch", "delete"]),
    ("sets-only", &[]),
    ("reader", &["get", "list", "watch", "update"]),
    ("no-create", &["patch", "delete"]),
    ("no-patch", &["create", "delete"]),
    ("no-delete", &["create", "patch"]),
];

/// Runs kubectl as this user. Returns the API server's refusal, or nothing.
async fn refusal(control_plane: &ControlPlane, user: &str, namespace: &str, args: &[&str], stdin: &Value) -> String {
    let all = [&["--as", user, "--namespace", namespace], args].concat();
    let output = control_plane.kubectl_stdin(&all, &stdin.to_string()).await.unwrap();
    if output.status.success() { String::new() } else { output.stderr }
}

async fn grant(control_plane: &ControlPlane, namespace: &str, user: &str, verbs: &[&str]) {
    let mut rules = vec![json!({ "apiGroups": ["cloudtenant.dev"], "resources": ["cloudtenantsets"], "verbs": ["*"] })];
    if !verbs.is_empty() {
        rules.push(json!({ "apiGroups": ["cloudtenant.dev"], "resources": ["cloudtenants"], "verbs": verbs }));
    }
    let metadata = json!({ "name": user, "namespace": namespace });
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules,
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
    });
    for object in [role, binding] {
        control_plane.apply_yaml(Some(namespace), &object.to_string()).await.unwrap();
    }
}

fn set(name: &str, prune: &str) -> Value {
    let mut set = objects(&read("examples/tenant-set.yaml")).remove(0);
    set["metadata"]["name"] = name.into();
    set["spec"]["prune"] = prune.into();
    set
}

/// The policy for a namespace, with the rights of the operator and of the users there. Returns that namespace, and one
/// that the policy does not cover.
async fn policed(control_plane: &ControlPlane, release: &str) -> [String; 2] {
    let namespaces = [control_plane.namespace("sets").await.unwrap(), control_plane.namespace("free").await.unwrap()];
    let values = format!(
        "{{ crds: {{ enabled: false }}, fullnameOverride: {release}, tenantSets: {{ enabled: true }}, \
         rbac: {{ scope: namespaces, namespaces: ['{}'], aggregatedRoles: false }} }}",
        namespaces[0]
    );
    control_plane.apply_yaml(None, &render(&values).unwrap()).await.unwrap();
    for namespace in &namespaces {
        for (user, verbs) in USERS {
            grant(control_plane, namespace, user, verbs).await;
        }
        for (name, prune) in [("pruning", "Delete"), ("keeping", "Keep")] {
            control_plane.apply_yaml(Some(namespace), &set(name, prune).to_string()).await.unwrap();
        }
    }
    let in_force = eventually("policy and roles are in force", SOON, async || {
        let create = ["create", "--dry-run=server", "--filename=-"];
        let namespace = &namespaces[0];
        let refused = refusal(control_plane, "sets-only", namespace, &create, &set("new", "Keep")).await;
        ensure!(refused.contains(release), "{refused}");
        for (user, _) in USERS {
            let listed = refusal(control_plane, user, namespace, &["get", "cloudtenantsets"], &Value::Null).await;
            ensure!(listed.is_empty(), "{listed}");
        }
        let allowed = refusal(control_plane, "author", namespace, &create, &set("new", "Keep")).await;
        ensure!(allowed.is_empty(), "{allowed}");
        Ok::<_, anyhow::Error>(())
    });
    in_force.await.unwrap();
    namespaces
}

#[tokio::test]
async fn who_writes_a_set_must_have_the_rights_that_it_uses() {
    let control_plane = prepared().await;
    let [namespace, free] = policed(control_plane, "policed").await;
    let patch = |name: &'static str, patch: &'static str| {
        vec!["patch", "cloudtenantsets", name, "--dry-run=server", "--type=merge", "--patch", patch]
    };
    let delete = |name: &'static str| vec!["delete", "cloudtenantsets", name, "--dry-run=server"];
    let all = &["create", "patch", "delete"][..];
    for (what, args, needs) in [
        ("create", vec!["create", "--dry-run=server", "--filename=-"], all),
        ("apply", vec!["apply", "--server-side", "--dry-run=server", "--filename=-"], all),
        ("spec", patch("keeping", r#"{ "spec": { "interval": "11m" } }"#), all),
        ("prune", patch("keeping", r#"{ "spec": { "prune": "Delete" } }"#), all),
        (
            "confirm a prune",
            patch("pruning", r#"{ "metadata": { "annotations": { "cloudtenant.dev/confirm-prune": "1" } } }"#),
            all,
        ),
        ("label", patch("keeping", r#"{ "metadata": { "labels": { "team": "cloud" } } }"#), all),
        ("delete, and the CloudTenants with it", delete("pruning"), &["delete"][..]),
        ("delete, and keep the CloudTenants", delete("keeping"), &[]),
        // As Kubernetes' garbage collector does, which may not create CloudTenants.
        ("finalizers", patch("keeping", r#"{ "metadata": { "finalizers": ["example.com/a"] } }"#), &[]),
        ("nothing", patch("keeping", r#"{ "spec": { "prune": "Keep" } }"#), &[]),
    ] {
        for (user, verbs) in USERS {
            let lacks = needs.iter().find(|verb| !verbs.contains(verb));
            let refused = refusal(control_plane, user, &namespace, &args, &set("new", "Keep")).await;
            match lacks {
                None => assert_eq!(refused, "", "{user}: {what}"),
                Some(verb) => {
                    let words = format!("ask for the right to {verb} cloudtenants in this namespace");
                    assert!(refused.contains(&words), "{user}: {what}: {refused:?}");
                    assert!(refused.contains("(Forbidden)") || refused.contains("is forbidden"), "{refused}");
                }
            }
        }
        let refused = refusal(control_plane, "sets-only", &free, &args, &set("new", "Keep")).await;
        assert_eq!(refused, "", "{what}, in a namespace without the policy");
    }
}

#[tokio::test]
async fn the_policy_does_not_stop_the_operator() {
    // Where a reference to an owner needs a right on that owner's finalizers.
    let flags = ["--enable-admission-plugins=OwnerReferencesPermissionEnforcement"];
    let control_plane = &ControlPlane::start_with(&flags).await.unwrap();
    control_plane.apply_crds(&crd_yaml().unwrap()).await.unwrap();
    control_plane.apply_crds(&read(SETS_CRD)).await.unwrap();
    control_plane.apply_yaml(None, &read("deploy/namespace.yaml")).await.unwrap();
    let [namespace, _] = policed(control_plane, "served").await;
    let operator = format!("system:serviceaccount:{NAMESPACE}:served");
    let status = json!({
        "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenantSet", "metadata": { "name": "pruning" },
        "status": { "observedGeneration": 1 },
    });
    let get = ["get", "cloudtenantset/pruning", "--namespace", &namespace, "--output=jsonpath={.metadata.uid}"];
    let uid = control_plane.kubectl(&get).await.unwrap().stdout;
    let tenant = json!({
        "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant",
        "metadata": { "name": "pruning-p1", "ownerReferences": [{
            "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenantSet", "name": "pruning", "uid": uid,
            "controller": true, "blockOwnerDeletion": true,
        }] },
        "spec": { "projectID": "p1", "cloudCredentialsRef": { "secretName": "openstack-credentials" } },
    });
    let apply = ["apply", "--server-side", "--field-manager=cloudtenant-operator-sets", "--filename=-"];
    let steps = async || {
        for (args, object) in [
            ([&apply[..], &["--subresource=status"]].concat(), &status),
            (apply.to_vec(), &tenant),
            (vec!["delete", "cloudtenants", "pruning-p1", "--wait=false"], &Value::Null),
        ] {
            let refused = refusal(control_plane, &operator, &namespace, &args, object).await;
            ensure!(refused.is_empty(), "{args:?}: {refused}");
        }
        Ok::<_, anyhow::Error>(())
    };
    // Its role may be a moment behind.
    eventually("the operator does its work", SOON, steps).await.unwrap();
    // Who lacks that right may do the same without the reference.
    let refused = refusal(control_plane, "author", &namespace, &apply, &tenant).await;
    assert!(refused.contains("cannot set blockOwnerDeletion"), "{refused}");
    // It never writes sets, and may not.
    let patch =
        ["patch", "cloudtenantsets", "keeping", "--type=merge", "--patch", r#"{ "spec": { "interval": "11m" } }"#];
    let refused = refusal(control_plane, &operator, &namespace, &patch, &Value::Null).await;
    assert!(refused.contains("cannot patch resource"), "{refused}");
}
