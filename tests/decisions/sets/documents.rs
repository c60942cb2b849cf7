//! What a set applies to a CloudTenant, and when it applies it again.

use cloudtenant_operator::{
    api::Reason,
    decide::set::{Child, child},
    observation::projects::Project,
};
use serde_json::{Value, json};

use super::world::{World, failure, list, managed, project};

#[test]
fn what_a_set_wants_of_a_cloud_tenant() {
    let document = |spec: Value, id: &str, project: &Project, domain: Option<&str>| {
        child::document(&World::new(spec).target(), id, Some((project, domain)), None)
    };
    let plain = document(json!({}), "p1", &project("p1"), Some("Domain One"));
    let expected = json!({
        "apiVersion": "cloudtenant.dev/v1alpha1",
        "kind": "CloudTenant",
        "metadata": {
            "name": "web-p1",
            "labels": { "cloudtenant.dev/set": "web" },
            "annotations": {
                "cloudtenant.dev/set-uid": "u-web",
                "cloudtenant.dev/project-name": "name-p1",
                "cloudtenant.dev/domain-name": "Domain One",
            },
        },
        "spec": {
            "projectID": "p1",
            "cloudCredentialsRef": { "secretName": "cloud", "cloudName": "openstack", "scope": "ObservedProject" },
        },
    });
    assert_eq!(plain, expected);

    let full = document(
        json!({
            "prune": "Delete",
            "cloudCredentialsRef": { "secretName": "s", "cloudName": "c" },
            "template": {
                "metadata": {
                    "labels": { "team": "web", "cloudtenant.dev/set": "other", "app.kubernetes.io/name": "x", "notkubernetes.io/a": "kept" },
                    "annotations": { "note": "n", "cloudtenant.dev/set-uid": "forged", "x.cloudtenant.dev/y": "z" },
                },
                "spec": {
                    "projectID": "other", "region": null, "readyOn": ["Caches"], "probes": { "engines": { "cloudName": null, "policy": "Disabled" } },
                    "cloudCredentialsRef": { "secretName": "other", "cloudName": "other", "scope": "Entry" },
                },
            },
        }),
        "P_1",
        &Project { name: "ü".repeat(300).into(), ..project("P_1") },
        None,
    );
    let metadata = &full["metadata"];
    assert_eq!(
        metadata["labels"],
        json!({ "cloudtenant.dev/set": "web", "notkubernetes.io/a": "kept", "team": "web" })
    );
    assert_eq!(
        metadata["annotations"],
        json!({ "cloudtenant.dev/set-uid": "u-web", "cloudtenant.dev/project-name": "ü".repeat(255), "note": "n" })
    );
    let owner = json!({
        "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenantSet", "name": "web", "uid": "u-web",
        "controller": true, "blockOwnerDeletion": true,
    });
    assert_eq!(metadata["ownerReferences"], json!([owner]));
    let spec = json!({
        "projectID": "P_1",
        "readyOn": ["Caches"],
        "probes": { "engines": { "policy": "Disabled" } },
        "cloudCredentialsRef": { "secretName": "s", "cloudName": "c", "scope": "Entry" },
    });
    assert_eq!(full["spec"], spec);
}

#[test]
fn what_is_applied_again() {
    let spec = json!({
        "prune": "Delete",
        "template": { "metadata": { "labels": { "team": "web" } },
                      "spec": { "readyOn": ["Caches"], "probes": { "engines": { "ignoreHosts": ["h1"], "policy": "Auto" } } } },
    });
    for (name, at, value, matches) in [
        ("nothing has changed", "/metadata/labels/team", json!("web"), true),
        ("another label is somebody else's", "/metadata/labels/other", json!("x"), true),
        ("another annotation is somebody else's", "/metadata/annotations/other", json!("x"), true),
        ("a field that the template does not state", "/spec/interval", json!("1m"), true),
        ("a field of an object that it states", "/spec/probes/engines/failureThreshold", json!(3), true),
        ("somebody ignores another host", "/spec/probes/engines/ignoreHosts", json!(["h0", "h1"]), true),
        ("another owner", "/metadata/ownerReferences/1", json!({ "uid": "x", "kind": "X" }), true),
        ("a label has changed", "/metadata/labels/team", json!("db"), false),
        ("the project's name has changed", "/metadata/annotations/cloudtenant.dev~1project-name", json!("old"), false),
        ("a field has changed", "/spec/probes/engines/policy", json!("Disabled"), false),
        ("a host is gone", "/spec/probes/engines/ignoreHosts", json!([]), false),
        ("a list that one manager owns", "/spec/readyOn", json!(["Caches", "Usage"]), false),
        ("the owner is gone", "/metadata/ownerReferences", json!([]), false),
        (
            "a label that the template stated once",
            "/metadata/managedFields/0/fieldsV1/f:metadata/f:labels/f:old",
            json!({}),
            false,
        ),
        (
            "a field that the template stated once",
            "/metadata/managedFields/0/fieldsV1/f:spec/f:interval",
            json!({}),
            false,
        ),
        (
            "a host that the template named once",
            "/metadata/managedFields/0/fieldsV1/f:spec/f:probes/f:engines/f:ignoreHosts/v:\"h0\"",
            json!({}),
            false,
        ),
        (
            "an owner of the time before",
            "/metadata/managedFields/0/fieldsV1/f:metadata/f:ownerReferences/k:{\"uid\":\"old\"}",
            json!({}),
            false,
        ),
        ("another manager has applied it", "/metadata/managedFields/0/manager", json!("kubectl"), false),
        ("the manager has only updated it", "/metadata/managedFields/0/operation", json!("Update"), false),
    ] {
        let mut world = World::new(spec.clone());
        world.pass(Ok(list(&["p1"])));
        assert_eq!(world.pass(Ok(list(&["p1"]))).changed(), [""; 0], "{name}: before");
        let object = world.cluster.get_mut("web-p1").unwrap();
        let (parent, field) = at.rsplit_once('/').unwrap();
        let field = field.replace("~1", "/");
        match object.pointer_mut(parent).unwrap() {
            Value::Array(items) => items.push(value),
            parent => parent[field] = value,
        }
        assert_eq!(world.pass(Ok(list(&["p1"]))).changed().is_empty(), matches, "{name}");
    }
}

/// The world's own writer of `fieldsV1` against what an API server stores.
#[test]
fn the_notation_of_owned_fields() {
    let document = json!({
        "metadata": { "name": "x", "labels": { "a/b": "c" }, "ownerReferences": [{ "uid": "u", "name": "n" }] },
        "spec": { "readyOn": ["Caches"], "probes": { "engines": { "ignoreHosts": ["h"] } } },
    });
    let expected = json!({
        "f:metadata": { "f:labels": { "f:a/b": {} }, "f:ownerReferences": { "k:{\"uid\":\"u\"}": {} } },
        "f:spec": { "f:readyOn": {}, "f:probes": { "f:engines": { "f:ignoreHosts": { "v:\"h\"": {} } } } },
    });
    assert_eq!(managed(&document), expected);
}

#[test]
fn a_changed_template_and_prune_rule_are_applied_and_unapplied() {
    let mut world = World::new(json!({ "template": { "spec": { "region": "r1" } } }));
    world.pass(Ok(list(&["p1"])));
    let owner = |world: &World| world.cluster["web-p1"]["metadata"]["ownerReferences"][0]["uid"].clone();
    assert_eq!((&world.cluster["web-p1"]["spec"]["region"], owner(&world)), (&json!("r1"), Value::Null));
    world.change("template", json!({ "spec": { "timeout": "1m" } }));
    world.change("prune", json!("Delete"));
    assert_eq!(world.pass(Ok(list(&["p1"]))).changed(), ["web-p1"]);
    let spec = &world.cluster["web-p1"]["spec"];
    assert_eq!((spec.get("region"), &spec["timeout"]), (None, &json!("1m")));
    assert_eq!(owner(&world), "u-web");
    assert_eq!(world.pass(Ok(list(&["p1"]))).changed(), [""; 0]);
    // Whoever sets Keep and then deletes the set must not lose what it has, whatever the cloud does.
    world.change("prune", json!("Keep"));
    assert_eq!(world.pass(Err(failure(Reason::Timeout, false))).changed(), ["web-p1"]);
    assert_eq!(owner(&world), Value::Null);
    let annotation = &world.cluster["web-p1"]["metadata"]["annotations"]["cloudtenant.dev/project-name"];
    assert_eq!(annotation, "name-p1", "a name that is not known now stays");
}

/// What hostile or odd objects hold.
#[test]
fn objects_that_no_schema_has_checked() {
    for object in [
        json!(null),
        json!([]),
        json!({ "metadata": 1 }),
        json!({ "metadata": { "name": "a" } }),
        json!({ "metadata": { "name": "a", "uid": 7 } }),
    ] {
        assert_eq!(Child::read(&object), None, "{object}");
    }
    let odd = json!({
        "metadata": {
            "name": "web-", "uid": "u", "labels": { "cloudtenant.dev/set": "web" }, "annotations": [], "ownerReferences": {},
            "managedFields": [{ "manager": "cloudtenant-operator-sets", "operation": "Apply", "fieldsV1": { "f:spec": [1], "k:{": {}, "v:": {} } }],
        },
        "spec": [], "status": { "conditions": {} },
    });
    let child = Child::read(&odd).unwrap();
    assert_eq!((child.project_id.as_str(), child.ready), ("", false));
    assert!(!child.matches(&json!({})));
}
