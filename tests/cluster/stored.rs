//! Statuses that stand in the way of the operator's own, and statuses that the API server refuses.

use std::time::{Duration, Instant};

use cloudtenant_operator::api::{CloudTenant, crd, crd_yaml};
use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testkit::{
    cloud::SimulatedCloud,
    control_plane::{ControlPlane, wait},
};

use crate::lab::{ACCOUNT, LAST_RIGHT, LATER, Lab, PROJECT, RBAC, SECRET, install, reason, run, status, tenant};

/// The definition with a changed schema of the status.
fn with_status(change: impl Fn(&mut JSONSchemaProps)) -> String {
    let mut crd = crd();
    for version in &mut crd.spec.versions {
        let root = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()).unwrap();
        change(root.properties.as_mut().unwrap().get_mut("status").unwrap());
    }
    serde_json::to_string(&crd).unwrap()
}

fn condition(type_: &str, since: &str) -> Value {
    json!({ "type": type_, "status": "True", "reason": "Restored", "message": "old", "lastTransitionTime": since })
}

/// A name, and a status of another version, of a backup, or of a person.
fn odd() -> Vec<(&'static str, Value)> {
    let condition = |type_| condition(type_, "2026-01-01T00:00:00Z");
    vec![
        ("string", json!("x")),
        ("number", json!(5)),
        ("array", json!([1])),
        ("conditions-string", json!({ "conditions": "x" })),
        ("conditions-map", json!({ "conditions": { "Ready": "True" } })),
        ("condition-number", json!({ "conditions": [5] })),
        ("condition-null", json!({ "conditions": [null] })),
        ("condition-without-type", json!({ "conditions": [{ "status": "True" }] })),
        ("condition-incomplete", json!({ "conditions": [{ "type": "Ready", "status": "True" }] })),
        ("condition-time", json!({ "conditions": [self::condition("Ready", "yesterday")] })),
        ("condition-year", json!({ "conditions": [self::condition("Stalled", "9999-12-31T23:59:59Z")] })),
        ("condition-twice", json!({ "conditions": [condition("Ready"), condition("Ready")] })),
        ("condition-foreign", json!({ "conditions": [condition("Backup"), condition("Backup"), { "type": "Odd" }] })),
        (
            "restored",
            json!({
                "observedGeneration": 1, "lastHandledReconcileAt": "x",
                "conditions": [condition("Ready"), condition("Stalled"), condition("Reconciling"), condition("Backup")],
                "usage": { "servers": 3, "serverHours": "5" },
            }),
        ),
        ("generation", json!({ "observedGeneration": "1" })),
        ("time", json!({ "observedAt": 5 })),
        ("total", json!({ "engines": { "total": "2", "summary": "2/2" } })),
        ("engines-list", json!({ "engines": [1] })),
        ("hosts-map", json!({ "engines": { "hosts": { "a": 1 } } })),
        (
            "hosts-twice",
            json!({ "engines": { "hosts": [
            { "host": "a", "up": 1, "down": 0 }, { "host": "a", "up": 1, "down": 0 },
        ] } }),
        ),
        ("hosts-without-host", json!({ "engines": { "hosts": [{ "up": 1 }] } })),
        ("huge", json!({ "engines": { "total": 1e25, "up": -1, "down": 0.5 } })),
        ("later", json!({ "observedGeneration": 1, "volumes": { "total": 3 }, "engines": { "racks": [1] } })),
    ]
}

#[tokio::test]
async fn whatever_stands_in_the_status_is_overwritten() {
    let control_plane = ControlPlane::start().await.unwrap();
    install(&control_plane).await;
    let namespace = control_plane.namespace("stored").await.unwrap();
    let anything = with_status(|status| {
        *status = JSONSchemaProps { x_kubernetes_preserve_unknown_fields: Some(true), ..JSONSchemaProps::default() };
    });
    control_plane.apply_crds(&anything).await.unwrap();
    let client = control_plane.client().await.unwrap();
    let objects: Api<DynamicObject> = Api::namespaced_with(client, &namespace, &ApiResource::erase::<CloudTenant>(&()));
    let spec = json!({ "probes": { "usage": { "policy": "Disabled" } } });
    for (name, odd) in odd() {
        let object: DynamicObject = serde_json::from_value(tenant(name, &spec)).unwrap();
        objects.create(&PostParams::default(), &object).await.unwrap();
        let patch = json!([{ "op": "add", "path": "/status", "value": odd }]).to_string();
        let args = ["patch", "cloudtenants", name, "--namespace", &namespace, "--subresource=status", "--type=json"];
        let args = [&args[..], &["--field-manager=velero", "--output=json", "--patch", &patch]].concat();
        // Until the API server uses the changed definition, it refuses some of them, and drops parts of others.
        wait_until(|| async {
            let stored = control_plane.kubectl(&args).await.unwrap();
            let stored: Value = serde_json::from_str(&stored.stdout).unwrap_or_default();
            stored["status"] == odd
        })
        .await;
    }
    control_plane.apply_crds(&crd_yaml().unwrap()).await.unwrap();
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.add_tenant(PROJECT);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": SECRET },
        "stringData": { "clouds.yaml": cloud.clouds_yaml("openstack") },
    });
    control_plane.apply_yaml(Some(&namespace), &secret.to_string()).await.unwrap();
    let operator = run(&control_plane, &namespace).await;
    for (name, odd) in odd() {
        let description = "has the operator's own status";
        let object = wait::until(objects.clone(), name, description, LATER, |object| {
            let conditions = object.data["status"]["conditions"].as_array();
            conditions.is_some_and(|all| {
                all.iter().any(|ready| ready["type"] == "Ready" && ready["reason"] == "Healthy")
                    && all.iter().all(|condition| condition["type"] != "Stalled")
            })
        })
        .await
        .unwrap_or_else(|error| panic!("{odd}: {error:#}\n{}", operator.log()));
        let status = &object.data["status"];
        let has = |type_: &str| status["conditions"].as_array().unwrap().iter().any(|have| have["type"] == type_);
        assert!(!has("Stalled") && !has("Reconciling"), "{name}: {status}");
        assert_eq!(has("Backup"), odd.to_string().contains("Backup"), "{name}: {status}");
        assert_eq!(status["engines"]["summary"], "2/2", "{name}: {status}");
        assert!(status.get("usage").is_none(), "{name}: {status}");
    }
    // Nothing is left that the operator would write at each pass. On a busy machine, first passes are still under way.
    let written = || operator.metric("cloudtenant_status_writes_total", &["outcome=\"ok\""]).unwrap();
    let began = Instant::now();
    loop {
        let before = written();
        tokio::time::sleep(Duration::from_secs(15)).await;
        if written() - before < 2.0 {
            break;
        }
        assert!(began.elapsed() < LATER, "{} writes", written() - before);
    }
}

async fn wait_until<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < LATER);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_status_that_the_api_server_refuses_is_replaced_by_a_minimal_one() {
    let control_plane = ControlPlane::start().await.unwrap();
    install(&control_plane).await;
    let lab = Lab::within(&control_plane, "refused").await;
    lab.apply_secret(&lab.cloud.clouds_yaml("openstack")).await;
    lab.apply("shop", &json!({})).await;
    lab.until_ready("shop").await;
    // Another version of the operator may have such a definition. The API server still accepts values that stay the same.
    let texts = with_status(|status| {
        let engines = status.properties.as_mut().unwrap().get_mut("engines").unwrap();
        let down = engines.properties.as_mut().unwrap().get_mut("down").unwrap();
        *down = JSONSchemaProps { type_: Some("string".to_owned()), ..JSONSchemaProps::default() };
    });
    control_plane.apply_crds(&texts).await.unwrap();
    lab.cloud.kill_engine("engine-1.lab");
    lab.cloud.advance(Duration::from_secs(150));
    let shop = lab.until_reason("shop", "Stalled", "StatusRefused").await;
    assert_eq!((status(&shop, "Ready"), reason(&shop, "Ready")), (Some("Unknown"), Some("StatusRefused")));
    let message = crate::lab::message(&shop, "Ready").unwrap();
    assert!(message.contains("install the CRD of the operator's version"), "{message}");
    let minimal = shop.status.unwrap();
    assert_eq!((minimal.observed_generation, minimal.engines), (shop.metadata.generation, None));
    assert_eq!(lab.told("shop").await, ["EngineDown"]);
    let refused = || lab.operator.metric("cloudtenant_status_writes_total", &["outcome=\"error\""]).unwrap();
    let before = refused();
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert!(refused() - before < 2.0, "{} refused writes", refused() - before);

    let record = lab.record("shop");
    control_plane.apply_crds(&crd_yaml().unwrap()).await.unwrap();
    // The API server may still use the other definition for a moment.
    let began = Instant::now();
    wait_until(|| async {
        let patch = json!({ "spec": { "interval": format!("{}s", 11 + began.elapsed().as_secs()) } });
        lab.merge("shop", &patch).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        reason(&lab.get("shop").await, "EnginesHealthy") == Some("EnginesDown")
    })
    .await;
    let shop = lab.get("shop").await;
    assert_eq!(reason(&shop, "Stalled"), None);
    for state in record.until(&shop).await {
        let refused = ["Stalled", "Ready"].map(|type_| reason(&state, type_) == Some("StatusRefused"));
        assert_eq!(refused[0], refused[1], "the status was written in two steps: {:?}", state.status);
    }
    assert_eq!(lab.told("shop").await, ["EngineDown"], "no event is emitted twice");
}

/// A policy that denies each status: not even the minimal one is accepted.
#[tokio::test]
async fn a_policy_that_denies_each_status_causes_few_attempts() {
    let control_plane = ControlPlane::start().await.unwrap();
    install(&control_plane).await;
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": "no-status" },
        "spec": {
            "failurePolicy": "Fail", "validations": [{ "expression": "false", "message": "no status" }],
            "matchConstraints": { "resourceRules": [{
                "apiGroups": ["cloudtenant.dev"], "apiVersions": ["*"], "operations": ["UPDATE"],
                "resources": ["cloudtenants/status"],
            }] },
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": "no-status" },
        "spec": { "policyName": "no-status", "validationActions": ["Deny"] },
    });
    for object in [&policy, &binding] {
        control_plane.apply_yaml(None, &object.to_string()).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let lab = Lab::within(&control_plane, "denied").await;
    lab.apply_secret(&lab.cloud.clouds_yaml("openstack")).await;
    lab.apply("shop", &json!({})).await;
    let refused = || lab.operator.metric("cloudtenant_status_writes_total", &["outcome=\"error\""]).unwrap_or_default();
    wait_until(|| async { refused() > 0.0 }).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(refused() <= 12.0, "{} attempts", refused());
    assert!(lab.operator.log().contains("the status was not written"), "{}", lab.operator.log());
    let shop = lab.tenants().get("shop").await.unwrap();
    assert_eq!(shop.status.unwrap().observed_generation, Some(-1));
}

/// Up to now each field of the status had its own entry in managedFields, and now each object has one.
#[tokio::test]
async fn an_upgrade_takes_over_what_was_owned_field_by_field() {
    fn forget_map_types(schema: &mut JSONSchemaProps) {
        schema.x_kubernetes_map_type = None;
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
            forget_map_types(items);
        }
        schema.properties.iter_mut().flatten().for_each(|(_, field)| forget_map_types(field));
    }
    let control_plane = ControlPlane::start().await.unwrap();
    control_plane.install(&with_status(forget_map_types), RBAC, ACCOUNT, LAST_RIGHT).await.unwrap();
    let lab = Lab::within(&control_plane, "upgraded").await;
    lab.apply_secret(&lab.cloud.clouds_yaml("openstack")).await;
    lab.apply("shop", &json!({})).await;
    let shop = lab.until_ready("shop").await;
    let owned = |shop: &CloudTenant| {
        let entries = shop.metadata.managed_fields.clone().unwrap_or_default();
        let own = entries.into_iter().find(|entry| entry.manager.as_deref() == Some("cloudtenant-operator"));
        own.and_then(|entry| entry.fields_v1).unwrap().0["f:status"].clone()
    };
    assert_eq!(owned(&shop)["f:engines"]["f:summary"], json!({}));
    assert_eq!(owned(&shop)["f:usage"]["f:servers"], json!({}));
    let backup = json!({
        "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant", "metadata": { "name": "shop" },
        "status": { "conditions": [condition("Backup", "2026-01-01T00:00:00Z")] },
    });
    let as_backup = PatchParams::apply("backup");
    lab.tenants().patch_status("shop", &as_backup, &Patch::Apply(&backup)).await.unwrap();

    control_plane.apply_crds(&crd_yaml().unwrap()).await.unwrap();
    lab.cloud.kill_engine("engine-1.lab");
    lab.cloud.advance(Duration::from_secs(150));
    lab.merge("shop", &json!({ "spec": { "probes": { "usage": { "policy": "Disabled" } } } })).await;
    wait_until(|| async {
        // The API server may still use the other definition for a moment. A pass waits up to 5 s for Heat, and a change
        // of the object during a pass makes its write a conflict.
        let interval = format!("{}s", 11 + Timestamp::now().as_second() % 60);
        lab.merge("shop", &json!({ "spec": { "interval": interval } })).await;
        tokio::time::sleep(Duration::from_secs(9)).await;
        let shop = lab.get("shop").await;
        reason(&shop, "EnginesHealthy") == Some("EnginesDown") && owned(&shop)["f:engines"] == json!({})
    })
    .await;
    let shop = lab.get("shop").await;
    assert_eq!((reason(&shop, "Ready"), reason(&shop, "Backup")), (Some("EnginesDown"), Some("Restored")));
    assert_eq!(owned(&shop).get("f:usage"), None);
    let status = shop.status.unwrap();
    assert!(status.usage.is_none(), "what is no longer applied is removed: {:?}", status.usage);
    assert!(!status.engines.unwrap().down_engines.is_empty());

    // Another manager still owns its own conditions alone.
    let nothing =
        json!({ "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant", "metadata": { "name": "shop" } });
    let shop = lab.tenants().patch_status("shop", &as_backup, &Patch::Apply(&nothing)).await.unwrap();
    assert_eq!((reason(&shop, "Ready"), reason(&shop, "Backup")), (Some("EnginesDown"), None));
}
