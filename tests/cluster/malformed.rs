//! Objects that are older than the schema.

use cloudtenant_operator::api::{CloudTenant, crd, crd_yaml};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, PostParams},
};
use serde_json::{Value, json};
use testkit::control_plane::{ControlPlane, wait};

use crate::lab::{LATER, Lab, install, tenant};

/// The definition without a schema for the spec.
fn permissive() -> String {
    let mut crd = crd();
    for version in &mut crd.spec.versions {
        let root = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()).unwrap();
        let anything = JSONSchemaProps {
            type_: Some("object".to_owned()),
            x_kubernetes_preserve_unknown_fields: Some(true),
            ..JSONSchemaProps::default()
        };
        root.properties.as_mut().unwrap().insert("spec".to_owned(), anything);
        version.selectable_fields = None;
    }
    serde_json::to_string(&crd).unwrap()
}

#[tokio::test]
async fn one_that_cannot_be_read_is_told_so_and_stops_nobody_else() {
    let control_plane = ControlPlane::start().await.unwrap();
    install(&control_plane).await;
    let lab = Lab::within(&control_plane, "malformed").await;
    lab.operator.until_ready().await.unwrap();
    control_plane.apply_crds(&permissive()).await.unwrap();
    lab.apply_secret(&lab.cloud.clouds_yaml("openstack")).await;
    let objects: Api<DynamicObject> =
        Api::namespaced_with(lab.client.clone(), &lab.namespace, &ApiResource::erase::<CloudTenant>(&()));
    let create = async |name: &str, spec: Value| {
        let object = json!({
            "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant",
            "metadata": { "name": name }, "spec": spec,
        });
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        objects.create(&PostParams::default(), &object).await.unwrap();
    };
    let mut fast = tenant("", &json!({}))["spec"].clone();
    fast["interval"] = json!("1s");
    create("a-number-for-a-name", json!({ "projectID": 5, "cloudCredentialsRef": "secret" })).await;
    create("empty", json!({})).await;
    create("too-fast", fast).await;
    create("well", tenant("", &json!({}))["spec"].clone()).await;
    let condition = |object: &DynamicObject, type_: &str| -> Option<Value> {
        let conditions = object.data["status"]["conditions"].as_array()?;
        conditions.iter().find(|condition| condition["type"] == type_).cloned()
    };
    for (name, says) in [
        ("a-number-for-a-name", "The spec cannot be read: "),
        ("empty", "The spec cannot be read: "),
        ("too-fast", "spec.interval is out of its range: correct the field."),
    ] {
        let told = wait::until(objects.clone(), name, "is told", LATER, |object| {
            condition(object, "Stalled").is_some_and(|stalled| stalled["reason"] == "InvalidSpec")
        });
        let told = told.await.unwrap();
        let ready = condition(&told, "Ready").unwrap();
        assert_eq!(ready["status"], "Unknown", "{name}");
        assert!(ready["message"].as_str().unwrap().starts_with(says), "{name}: {ready}");
        assert_eq!(told.data["status"]["observedGeneration"], json!(told.metadata.generation), "{name}");
    }
    // Today's schema takes no status where a field of the spec is of another type: it was written before.
    control_plane.apply_crds(&crd_yaml().unwrap()).await.unwrap();
    lab.until_ready("well").await;

    // Corrected, it is looked at like any other.
    let corrected = json!({ "spec": { "interval": "10s" } });
    lab.merge("too-fast", &corrected).await;
    lab.until_ready("too-fast").await;
}
