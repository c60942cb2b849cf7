//! Secrets that cannot be read, while everything is logged.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use cloudtenant_operator::api::CloudTenant;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use crate::{
    hostile::{Answers, Hostile},
    scene::{PASSWORD, Scene, secret, tenant},
};

/// The marked bytes as they may stand in base64, whatever is before them.
fn encoded() -> [String; 3] {
    [0, 1, 2].map(|before| {
        let text = BASE64_STANDARD.encode(format!("{}{PASSWORD}", &"---"[..before]));
        // The first and the last characters are made of other bytes too.
        text[4..text.len() - 4].to_owned()
    })
}

/// Secrets that cannot be read, each with a CloudTenant.
pub async fn unreadable(scene: &Scene<'_>) -> Hostile {
    let cloud = Hostile::start(Answers::default());
    let yaml = cloud.clouds_yaml("");
    let binary = [b"\xff\xfe\x00", yaml.as_bytes()].concat();
    let broken = format!("clouds: {{openstack: [{PASSWORD}");
    let odd_key = format!("clouds: {{openstack: {{{PASSWORD}: 1}}}}");
    let datas: [(&str, &[u8], &str); 5] = [
        ("fine", yaml.as_bytes(), ""),
        ("binary", &binary, ""),
        ("broken", broken.as_bytes(), ""),
        ("odd-key", odd_key.as_bytes(), ""),
        ("cacert", yaml.as_bytes(), PASSWORD),
    ];
    for (name, yaml, cacert) in datas {
        let data: &[(&str, &[u8])] = match cacert {
            "" => &[("clouds.yaml", yaml)],
            _ => &[("clouds.yaml", yaml), ("cacert", cacert.as_bytes())],
        };
        for (kind, time, depth) in [("deep", "2026-01-01T00:00:00Z", 150), ("late", "9999-12-31T23:59:59Z", 1)] {
            let name = format!("{name}-{kind}");
            let mut object: Value = secret(&name, data);
            // As `kubectl apply` keeps it.
            let applied = json!({ "kubectl.kubernetes.io/last-applied-configuration": object.to_string() });
            object["metadata"]["annotations"] = applied;
            object["metadata"]["managedFields"] = json!(["here"]);
            let fields = format!("{}{{}}{}", r#"{"f:odd":"#.repeat(depth), "}".repeat(depth));
            let by = r#""manager":"odd","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1""#;
            let entry = format!(r#"{{{by},"time":"{time}","fieldsV1":{fields}}}"#);
            scene.create_text::<Secret>(object.to_string().replace("\"here\"", &entry)).await;
            scene.create::<CloudTenant>(&tenant(&name, &name, &json!({}))).await;
        }
    }
    cloud
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_cannot_be_read_at_level_trace() {
    let scene =
        Scene::begin("poisoned Secrets", &[("LOG_LEVEL", "trace,kube_client=trace,kube=trace,hyper=trace")]).await;
    let cloud = unreadable(&scene).await;
    scene.last(15).await;
    let log = scene.log();
    let lines = log.lines().filter(|line| encoded().iter().any(|marked| line.contains(marked.as_str())));
    let lines = lines.count();
    println!("{lines} lines with a Secret's bytes in base64");
    assert!(log.contains("TRACE"), "not at level trace");
    scene.end().await;
    assert_eq!(lines, 0);
    assert!(cloud.calls()[0] > 0, "no Secret was read");
}
