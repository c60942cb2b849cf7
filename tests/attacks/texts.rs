//! Names that are as long as a Secret, or that control a terminal.

use cloudtenant_operator::{
    api::REQUESTED_AT,
    words::{is_unsafe, word},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use serde_json::{Value, json};

use crate::{
    hostile::{Answers, Hostile, Reply},
    scene::{Scene, tenant},
};

/// 40 tenants with a long `region_name`.
pub async fn long_regions(scene: &Scene<'_>) -> Hostile {
    let cloud = Hostile::start(Answers::default());
    for number in 0..40 {
        let name = format!("region-{number}");
        // What the API server takes, what is read of a Secret, and the longest that is a region.
        let length = [700_000, 500_000, 255][number % 3];
        let yaml = cloud.clouds_yaml_of(&name, &format!(", region_name: {}", "r".repeat(length)));
        scene.add(&name, &[("clouds.yaml", yaml.as_bytes())], &json!({})).await;
    }
    cloud
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_name_of_700_kb_in_40_secrets() {
    let scene = Scene::begin("long region_name", &[]).await;
    let _cloud = long_regions(&scene).await;
    scene.last(15).await;
    let figures = scene.end().await;
    assert!((1000..1 << 20).contains(&figures.scrape), "a scrape of {} bytes", figures.scrape);
}

/// A terminal's escapes, a forged line, NUL, bidirectional and invisible characters.
const HOSTILE: &str = "a\u{1b}[2J\u{9b}31m\r\nforged: \u{0}\u{202e}b\u{2066}\u{200b}\u{2028}\u{feff}\u{e0041}\u{7f}c";

fn strings(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Value::Object(fields) => {
            found.extend(fields.keys().cloned());
            fields.values().for_each(|value| strings(value, found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Asserts that no text contains an unsafe character, or is longer than a message.
fn are_safe(of: &str, texts: &[String]) {
    for text in texts {
        assert!(!text.contains(is_unsafe), "{of}: {text:?}");
        assert!(text.len() <= 1000, "{of}: {text:?}");
    }
}

/// A server whose every text is hostile, and whose engine on `down` is down.
fn talker(down: bool) -> Answers {
    let engine = |host: &str, status: &str, at: &str| {
        json!({ "id": host, "host": host, "status": status, "binary": HOSTILE, "topic": HOSTILE, "engine_id": HOSTILE,
            "report_interval": 60, "created_at": at, "updated_at": at })
    };
    let now = Timestamp::now().to_string();
    let old = (Timestamp::now() - SignedDuration::from_hours(1)).to_string();
    let engines = |down: bool| {
        // Its report never changes, so that it does not go back in time.
        let other = if down { ("down", &old) } else { ("up", &old) };
        Reply::ok(&json!({ "services": [engine("h", "up", &now), engine(HOSTILE, other.0, other.1)] }))
    };
    let refusal = json!({ "error": { "message": HOSTILE.repeat(50), "code": HOSTILE }, "request_id": HOSTILE,
        "error_code": HOSTILE });
    let month = Timestamp::now().strftime("%Y-%m-01T00:00:00").to_string();
    let server = |flavor: &str| json!({ "flavor": flavor, "hours": 1.0, "vcpus": 1, "memory_mb": 1, "local_gb": 1 });
    Answers {
        keystone: None,
        heat: if down { Reply::Turns(vec![engines(false), engines(true)]) } else { engines(true) },
        dcs: Reply::Turns(vec![
            Reply::ok(
                &json!({ HOSTILE: { "error_count": 1 }, "redis": { "error_count": 1, format!("{HOSTILE}_count"): 1 } }),
            ),
            Reply::Status(500, refusal.to_string().into()),
        ]),
        nova: Reply::ok(&json!({ "tenant_usage": {
            "server_usages": [server(HOSTILE), server(&HOSTILE.repeat(30))], "start": month, "stop": month,
            "total_hours": 1.0, "total_vcpus_usage": 1.0, "total_memory_mb_usage": 1.0, "total_local_gb_usage": 1.0,
        }})),
        version: "/v1/p",
        names: HOSTILE,
    }
}

/// The text in YAML's double quotes. YAML does not accept raw control characters.
fn quoted(text: &str) -> String {
    let characters: String = text.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect();
    format!("\"{characters}\"")
}

/// Tenants with hostile names of a cloud and in Secrets. Returns the names of the tenants.
pub async fn control_names(scene: &Scene<'_>) -> (Hostile, Vec<&'static str>) {
    let cloud = Hostile::start(talker(true));
    let clouds = cloud.clouds_yaml("");
    let quoted = quoted(HOSTILE);
    // Names from the Secret, in errors and in the status.
    let datas = [
        ("entry", clouds.clone(), json!({})),
        (
            "cloud-name",
            clouds.replace("openstack:", &format!("{quoted}:")),
            json!({ "cloudCredentialsRef":
            { "secretName": "cloud-name", "cloudName": HOSTILE } }),
        ),
        ("other-entries", clouds.replace("openstack:", &format!("{quoted}:")), json!({})),
        (
            "no-such-entry",
            clouds.clone(),
            json!({ "cloudCredentialsRef":
            { "secretName": "no-such-entry", "cloudName": HOSTILE } }),
        ),
        ("region", cloud.clouds_yaml(&format!(", region_name: {quoted}")), json!({})),
        ("spec-region", clouds.clone(), json!({ "region": HOSTILE })),
        ("odd-key", cloud.clouds_yaml(&format!(", {quoted}: 1")), json!({})),
    ];
    for (name, yaml, spec) in &datas {
        scene.add(name, &[("clouds.yaml", yaml.as_bytes())], spec).await;
        let annotations = json!({ REQUESTED_AT: HOSTILE });
        scene.patch(name, &json!({ "metadata": { "annotations": annotations } })).await;
    }
    (cloud, datas.map(|(name, ..)| name).to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_control_a_terminal() {
    let scene = Scene::begin("names that control a terminal", &[]).await;
    let (_cloud, names) = control_names(&scene).await;
    scene.last(30).await;
    let mut seen = Vec::new();
    for name in names {
        let object: Value = serde_json::from_str(&scene.read(name).await).unwrap();
        let mut texts = Vec::new();
        strings(&object["status"], &mut texts);
        assert!(texts.len() > 10, "{name}: {object}");
        are_safe(name, &texts);
        seen.extend(texts);
    }
    let events: Api<Event> = Api::namespaced(scene.client.clone(), &scene.namespace);
    let events = events.list(&ListParams::default()).await.unwrap().items;
    let notes: Vec<_> = events.into_iter().filter_map(|event| event.note).collect();
    are_safe("an event", &notes);
    let log = scene.log();
    for line in log.lines() {
        assert!(!line.contains(is_unsafe) && !line.starts_with("forged"), "the log: {line:?}");
    }
    let (_, metrics) = scene.operator().get("/metrics").unwrap();
    for line in metrics.lines() {
        assert!(!line.contains(is_unsafe) && !line.starts_with("forged"), "/metrics: {line:?}");
    }
    // The texts did arrive, as escapes.
    let escaped = word(HOSTILE);
    for (of, found) in [
        ("a host in the status", seen.contains(&escaped)),
        ("an event", notes.iter().any(|note| note.contains(&escaped))),
        // JSON and Prometheus' format escape a backslash.
        ("the log", log.contains(&escaped.replace('\\', "\\\\"))),
        ("/metrics", metrics.contains(&escaped.replace('\\', "\\\\"))),
    ] {
        assert!(found, "{of} does not contain {escaped}");
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_of_a_cloud_whose_names_control_a_terminal() {
    let cloud = Hostile::start(talker(false));
    let quoted = quoted(HOSTILE);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let tenant = |more: Value| tenant("t", "cloud", &more).to_string();
    let plain = cloud.clouds_yaml("");
    let odd_label =
        tenant(json!({})).replace(r#""name":"t""#, &format!(r#""name":"t","labels":{{{}:1}}"#, json!(HOSTILE)));
    for (name, tenant, clouds) in [
        ("names of the cloud", tenant(json!({})), plain.clone()),
        ("names of the Secret", tenant(json!({})), cloud.clouds_yaml(&format!(", region_name: {quoted}, {quoted}: 1"))),
        ("no such entry", tenant(json!({})), plain.replace("openstack:", &format!("{quoted}:"))),
        ("a region", tenant(json!({ "region": HOSTILE })), plain.clone()),
        ("an unknown field", tenant(json!({ HOSTILE: HOSTILE })), plain.clone()),
        ("a bad value", tenant(json!({ "projectID": HOSTILE })), plain.clone()),
        ("an enumeration", tenant(json!({ "readyWhen": HOSTILE })), plain.clone()),
        ("a label", odd_label, plain.clone()),
        ("YAML", format!("a: *{HOSTILE}\n\u{202e}:"), plain.clone()),
    ] {
        std::fs::write(path("tenant"), &tenant).unwrap();
        std::fs::write(path("clouds"), &clouds).unwrap();
        for output in ["text", "json"] {
            let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_cloudtenant-operator"));
            command.args(["check", "-o", output, "-f", &path("tenant"), "--clouds", &path("clouds")]).env_clear();
            let printed = command.output().await.unwrap();
            for text in [printed.stdout, printed.stderr] {
                let text = String::from_utf8(text).unwrap();
                for line in text.lines() {
                    assert!(!line.contains(is_unsafe) && !line.starts_with("forged"), "{name}, {output}: {text:?}");
                }
            }
        }
    }
}
