//! Metadata that a tenant may write and that kube's own types do not take.

use std::time::Instant;

use cloudtenant_operator::api::CloudTenant;
use k8s_openapi::api::core::v1::Secret;
use kube::{Client, Resource as _, api::PostParams, core::Request};
use serde_json::{Value, json};
use testkit::{cloud::SimulatedCloud, control_plane::ControlPlane};
use tokio::time::{Duration, sleep};

use crate::lab::{LATER, PROJECT, SECRET, run, shared, tenant};

/// Deeper than serde_json reads.
const DEPTH: usize = 150;

async fn create(client: &Client, path: String, object: String) {
    let request = Request::new(path).create(&PostParams::default(), object.into_bytes()).unwrap();
    client.request_text(request).await.unwrap();
}

/// Neither the test's client nor its witnesses can read these objects.
async fn text(client: &Client, path: &str) -> String {
    client.request_text(http::Request::get(path).body(Vec::new()).unwrap()).await.unwrap()
}

/// The CloudTenant with one entry of managedFields, for a field that it has not: else the entry ends with the write.
fn odd(name: &str, time: &str, depth: usize) -> String {
    let fields = format!("{}{{}}{}", r#"{"f:odd":"#.repeat(depth), "}".repeat(depth));
    let by = r#""manager":"odd","operation":"Update","apiVersion":"cloudtenant.dev/v1alpha1""#;
    let entry = format!(r#"{{{by},"time":"{time}","fieldsType":"FieldsV1","fieldsV1":{fields}}}"#);
    let mut object = tenant(name, &json!({}));
    object["metadata"]["managedFields"] = json!(["here"]);
    object.to_string().replace("\"here\"", &entry)
}

#[tokio::test]
async fn a_tenant_with_odd_metadata_stops_nobody_else() {
    stops_nobody_else(shared().await).await;
}

/// In a control plane with the operator's definitions and rights.
pub async fn stops_nobody_else(control_plane: &ControlPlane) {
    let namespace = control_plane.namespace("odd-metadata").await.unwrap();
    let client = control_plane.client().await.unwrap();
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.set_rpc_timeout(Duration::from_millis(200));
    cloud.add_tenant(PROJECT);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": SECRET },
        "stringData": { "clouds.yaml": cloud.clouds_yaml("openstack") },
    });
    create(&client, Secret::url_path(&(), Some(&namespace)), secret.to_string()).await;
    let path = CloudTenant::url_path(&(), Some(&namespace));
    create(&client, path.clone(), odd("deep", "2026-01-01T00:00:00Z", DEPTH)).await;
    create(&client, path.clone(), odd("year-9999", "9999-12-31T23:59:59Z", 1)).await;
    create(&client, path.clone(), tenant("well", &json!({})).to_string()).await;
    let deep = text(&client, &format!("{path}/deep")).await;
    assert!(deep.contains(&r#"{"f:odd":"#.repeat(DEPTH)), "{deep}");
    assert!(serde_json::from_str::<CloudTenant>(&deep).is_err(), "kube can read it");
    let late = text(&client, &format!("{path}/year-9999")).await;
    assert!(late.contains("9999-12-31T23:59:59Z"), "{late}");
    assert!(serde_json::from_str::<CloudTenant>(&late).is_err(), "kube can read it");
    for start in ["the first", "after a restart"] {
        let operator = run(control_plane, &namespace).await;
        operator.until_ready().await.unwrap();
        let began = Instant::now();
        for name in ["well", "deep", "year-9999"] {
            // What was written after this start: a requested pass is handled by it.
            let wanted = format!("{start} {name}");
            let note = json!({ "metadata": { "annotations": { "reconcile.fluxcd.io/requestedAt": wanted } } });
            let request = http::Request::patch(format!("{path}/{name}"))
                .header("content-type", "application/merge-patch+json")
                .body(note.to_string().into_bytes());
            client.request_text(request.unwrap()).await.unwrap();
            loop {
                let object = text(&client, &format!("{path}/{name}")).await;
                let status = object.split_once(r#""status":"#).map_or("", |(_, status)| status);
                let status = serde_json::Deserializer::from_str(status).into_iter::<Value>().next();
                let status = status.and_then(Result::ok).unwrap_or_default();
                let ready = status["conditions"].as_array().into_iter().flatten();
                let is_well = ready.clone().any(|it| it["type"] == "Ready" && it["reason"] == "Healthy");
                if is_well && status["lastHandledReconcileAt"] == wanted {
                    break;
                }
                assert!(began.elapsed() < LATER, "{start}: {name}: {status}\n{}", operator.log());
                sleep(Duration::from_millis(100)).await;
            }
        }
        let (status, _) = operator.terminate().await.unwrap();
        assert!(status.success(), "{start}: {status}");
    }
}
