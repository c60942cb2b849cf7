//! Objects that kube's own types cannot read, and long ones.

use cloudtenant_operator::api::{CloudTenant, REQUESTED_AT};
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use crate::{
    hostile::{Answers, Hostile},
    scene::{Scene, secret, tenant},
};

/// Deeper than serde_json reads.
const DEPTH: usize = 150;
/// The API server takes annotations of 256 KiB.
const LONG: usize = 250_000;
/// So many CloudTenants.
const MANY: usize = 30;

/// A CloudTenant with one entry of managedFields, for a field that it has not: else the entry ends with the write.
fn odd(name: &str, time: &str, depth: usize) -> String {
    let fields = format!("{}{{}}{}", r#"{"f:odd":"#.repeat(depth), "}".repeat(depth));
    let by = r#""manager":"odd","operation":"Update","apiVersion":"cloudtenant.dev/v1alpha1""#;
    let entry = format!(r#"{{{by},"time":"{time}","fieldsType":"FieldsV1","fieldsV1":{fields}}}"#);
    let mut object = tenant(name, "odd", &json!({}));
    object["metadata"]["managedFields"] = json!(["here"]);
    object.to_string().replace("\"here\"", &entry)
}

/// A CloudTenant with a long annotation, and with so many labels.
fn long(number: usize, labels: usize) -> Value {
    let mut object = tenant(&format!("long-{number}"), "odd", &json!({}));
    let label = |number| (format!("a-label-of-an-attacker-{number:040}"), json!("v".repeat(63)));
    object["metadata"]["labels"] = (0..labels).map(label).collect::<serde_json::Map<_, _>>().into();
    object["metadata"]["annotations"] = json!({ "note": "n".repeat(LONG) });
    object
}

/// CloudTenants whose metadata cannot be parsed, and such with long metadata.
pub async fn odd_objects(scene: &Scene<'_>) -> Hostile {
    let cloud = Hostile::start(Answers::default());
    scene.create::<Secret>(&secret("odd", &[("clouds.yaml", cloud.clouds_yaml("").as_bytes())])).await;
    scene.create_text::<CloudTenant>(odd("deep", "2026-01-01T00:00:00Z", DEPTH)).await;
    scene.create_text::<CloudTenant>(odd("year-9999", "9999-12-31T23:59:59Z", 1)).await;
    for number in 0..MANY {
        scene.create::<CloudTenant>(&long(number, if number < 5 { 1500 } else { 0 })).await;
    }
    cloud
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_cannot_be_parsed_and_metadata_of_250_kb() {
    let mut scene = Scene::begin_in_all_namespaces("odd and long metadata").await;
    let cloud = odd_objects(&scene).await;
    scene.last(5).await;
    scene.restart().await;
    scene.last(15).await;
    scene.end().await;
    assert!(cloud.calls()[1] > 0, "the attacker's cloud was not asked");
}

/// CloudTenants that [`request`] changes.
pub async fn requesters(scene: &Scene<'_>) -> Hostile {
    let cloud = Hostile::start(Answers::default());
    scene.create::<Secret>(&secret("asks", &[("clouds.yaml", cloud.clouds_yaml("").as_bytes())])).await;
    for number in 0..MANY {
        scene.create::<CloudTenant>(&tenant(&format!("asks-{number}"), "asks", &json!({}))).await;
    }
    cloud
}

/// Gives each a `requestedAt` of this character.
pub async fn request(scene: &Scene<'_>, round: &str) {
    for number in 0..MANY {
        let annotations = json!({ REQUESTED_AT: round.repeat(LONG) });
        scene.patch(&format!("asks-{number}"), &json!({ "metadata": { "annotations": annotations } })).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requested_at_of_250_kb() {
    let scene = Scene::begin("long requestedAt", &[]).await;
    let _cloud = requesters(&scene).await;
    for round in ["a", "b", "c"] {
        request(&scene, round).await;
        scene.last(5).await;
    }
    let object: Value = serde_json::from_str(&scene.read("asks-0").await).unwrap();
    let handled = object["status"]["lastHandledReconcileAt"].as_str().map_or(0, str::len);
    println!("lastHandledReconcileAt has {handled} bytes");
    let figures = scene.end().await;
    assert!((1..=256).contains(&handled), "{handled} bytes of requestedAt are written");
    assert!(figures.scrape < 1 << 20, "a scrape of {} bytes", figures.scrape);
}
