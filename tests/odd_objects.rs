//! Objects whose author has put odd values into them, from an API server that gives out anything, and what of a Secret
//! gets into the log.

// clippy.toml lets tests unwrap, but not the helpers of an integration test.
#![allow(clippy::unwrap_used)]

use std::{
    collections::HashMap,
    convert::Infallible,
    path::Path as FilePath,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Path, RawQuery, State},
    http::StatusCode,
    response::IntoResponse as _,
    routing::{get, patch, post},
};
use cloudtenant_operator::api::crd;
use futures::{StreamExt as _, stream};
use k8s_openapi::ByteString;
use kube::config::Kubeconfig;
use serde_json::{Value, json};
use testkit::{cloud::SimulatedCloud, operator::Operator};
use tokio::time::{Instant, sleep};

const PROJECT: &str = "9c3f7a1be0d84c52a6e8f1d2b3c4a5d6";

/// Stands in Secrets where it cannot be read.
const POISON: &str = "PQIZON-OF-A-SECRET";

/// What the API server has been told: the last status of each CloudTenant.
type Statuses = Arc<Mutex<HashMap<String, Value>>>;

#[derive(Clone)]
struct Server {
    /// The first list of CloudTenants, as lines of a watch.
    list: Arc<Vec<String>>,
    /// A Secret with a clouds.yaml, as text.
    secret: Arc<String>,
    statuses: Statuses,
}

/// JSON of this depth.
fn deep(depth: usize) -> String {
    format!("{}{{}}{}", "{\"f:a\":".repeat(depth), "}".repeat(depth))
}

/// Metadata that kube's own type does not take.
fn odd_metadata(name: &str, fields: &str) -> String {
    let version = 1000;
    format!(
        r#"{{"name":"{name}","namespace":"n","uid":"{name}","resourceVersion":"{version}","generation":1,{fields}}}"#
    )
}

fn deep_metadata(name: &str) -> String {
    odd_metadata(name, &format!(r#""managedFields":[{{"manager":"m","fieldsV1":{}}}]"#, deep(150)))
}

fn spec(secret: &str) -> Value {
    json!({ "projectID": PROJECT, "cloudCredentialsRef": { "secretName": secret }, "interval": "10s" })
}

fn tenant(metadata: &str, spec: &str, status: &str) -> String {
    let kind = r#""apiVersion":"cloudtenant.dev/v1alpha1","kind":"CloudTenant""#;
    let object = format!(r#"{{{kind},"metadata":{metadata},"spec":{spec},"status":{status}}}"#);
    format!(r#"{{"type":"ADDED","object":{object}}}"#)
}

fn end_of_list(kind: &str) -> String {
    let metadata = json!({ "resourceVersion": "1000", "annotations": { "k8s.io/initial-events-end": "true" } });
    json!({ "type": "BOOKMARK", "object": { "apiVersion": "v1", "kind": kind, "metadata": metadata } }).to_string()
}

fn list() -> Vec<String> {
    let good = spec("good").to_string();
    let times = r#""creationTimestamp":"+12026-01-01T00:00:00Z","managedFields":[{"time":"9999-12-31T23:59:59Z"}]"#;
    let time = "9999-12-31T23:59:59Z";
    let condition =
        json!({ "type": "Foreign", "status": "True", "reason": "R", "message": "", "lastTransitionTime": time });
    let condition = json!({ "conditions": [condition], "observedAt": 5 }).to_string();
    let odd_spec = |name: &str, value: &str| good.replacen('{', &format!("{{\"{name}\":{value},"), 1);
    vec![
        tenant(&deep_metadata("deep"), &good, "{}"),
        tenant(&odd_metadata("times", times), &good, "{}"),
        tenant(&odd_metadata("odd-kinds", r#""labels":5,"ownerReferences":{},"finalizers":[{}]"#), &good, "{}"),
        tenant(&odd_metadata("odd-status", r#""labels":{}"#), &good, &condition),
        tenant(&odd_metadata("deep-status", r#""labels":{}"#), &good, &format!(r#"{{"source":{}}}"#, deep(150))),
        tenant(&odd_metadata("deep-unknown", r#""labels":{}"#), &odd_spec("unknown", &deep(5000)), "{}"),
        tenant(&odd_metadata("deep-spec", r#""labels":{}"#), &odd_spec("region", &deep(150)), "{}"),
        tenant(&odd_metadata("huge", r#""labels":{}"#), &odd_spec("suspend", "1e999999"), "{}"),
        tenant(
            &odd_metadata("odd-generation", r#""labels":{}"#).replace("\"generation\":1", "\"generation\":{}"),
            &good,
            "{}",
        ),
        "this is no event".to_owned(),
        r#"{"type":"ODD","object":{}}"#.to_owned(),
        r#"{"type":"BOOKMARK","object":{"metadata":{}}}"#.to_owned(),
        tenant(&odd_metadata("no-json", r#""labels":{}"#), &spec("no-json").to_string(), "{}"),
        tenant(&odd_metadata("no-status", r#""labels":{}"#), &spec("no-status").to_string(), "{}"),
        tenant(&odd_metadata("no-base64", r#""labels":{}"#), &spec("no-base64").to_string(), "{}"),
        tenant(&odd_metadata("well", r#""labels":{}"#), &good, "{}"),
        end_of_list("CloudTenant"),
    ]
}

/// The lines now, if the first list is asked for; and then nothing more.
fn watched(query: Option<&str>, lines: &[String]) -> Body {
    let first = query.is_some_and(|query| query.contains("sendInitialEvents=true"));
    let lines: Vec<_> = lines.iter().filter(|_| first).map(|line| Ok::<_, Infallible>(format!("{line}\n"))).collect();
    Body::from_stream(stream::iter(lines).chain(stream::pending()))
}

impl Server {
    async fn start(cloud: &SimulatedCloud) -> (Kubeconfig, Statuses, String) {
        let encoded = serde_json::to_value(ByteString(cloud.clouds_yaml("openstack").into_bytes())).unwrap();
        let metadata = deep_metadata("good").replace("\"generation\":1", r#""creationTimestamp":"odd""#);
        let data = format!(r#"{{"clouds.yaml":{encoded},"other":"{POISON}!","number":5}}"#);
        let secret = format!(r#"{{"apiVersion":"v1","kind":"Secret","metadata":{metadata},"data":{data}}}"#);
        let statuses = Statuses::default();
        let server = Self { list: Arc::new(list()), secret: Arc::new(secret), statuses: statuses.clone() };
        let tenants = "/apis/cloudtenant.dev/v1alpha1";
        let router = Router::new()
            .route("/openapi/v3/apis/cloudtenant.dev/v1alpha1", get(async || schema()))
            .route(&format!("{tenants}/cloudtenants"), get(Self::tenants))
            .route(&format!("{tenants}/namespaces/n/cloudtenants/{{name}}"), get(Self::tenant))
            .route(&format!("{tenants}/namespaces/n/cloudtenants/{{name}}/status"), patch(Self::write))
            .route("/api/v1/secrets", get(Self::secrets))
            .route("/api/v1/namespaces/n/secrets/{name}", get(Self::secret))
            .route("/apis/events.k8s.io/v1/namespaces/n/events", post(async || (StatusCode::CREATED, "no JSON")))
            .with_state(server);
        let url = testkit::router::serve(router).await.unwrap();
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": { "server": url } }],
            "users": [{ "name": "c", "user": {} }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "c" } }],
        });
        (serde_json::from_value(kubeconfig).unwrap(), statuses, encoded.as_str().unwrap().to_owned())
    }

    async fn tenants(State(server): State<Self>, RawQuery(query): RawQuery) -> Body {
        watched(query.as_deref(), &server.list)
    }

    async fn tenant(State(server): State<Self>, Path(name): Path<String>) -> String {
        let named = format!(r#""metadata":{{"name":"{name}","#);
        let event = server.list.iter().find(|line| line.contains(&named)).unwrap();
        event.trim_start_matches(r#"{"type":"ADDED","object":"#).strip_suffix('}').unwrap().to_owned()
    }

    async fn write(State(server): State<Self>, Path(name): Path<String>, text: String) -> String {
        let written: Value = serde_json::from_str(&text).unwrap();
        // A JSON patch, or a status that is applied.
        let patched = written.as_array().and_then(|patch| patch.iter().find(|part| part["path"] == "/status"));
        let status = patched.map_or(&written["status"], |part| &part["value"]);
        server.statuses.lock().unwrap().insert(name.clone(), status.clone());
        let (metadata, status) = (deep_metadata(&name).replace("1000", "1001"), status.to_string());
        let answer = tenant(&metadata, &spec("good").to_string(), &status);
        answer.trim_start_matches(r#"{"type":"ADDED","object":"#).strip_suffix('}').unwrap().to_owned()
    }

    async fn secrets(State(server): State<Self>, RawQuery(query): RawQuery) -> Body {
        let added = format!(r#"{{"type":"ADDED","object":{}}}"#, server.secret);
        watched(query.as_deref(), &[added, format!("{POISON} is no event"), end_of_list("Secret")])
    }

    async fn secret(State(server): State<Self>, Path(name): Path<String>) -> axum::response::Response {
        match &*name {
            "no-json" => format!("{{\"data\":{{\"clouds.yaml\":\"{POISON}").into_response(),
            "no-status" => (StatusCode::INTERNAL_SERVER_ERROR, format!("odd: {}", server.secret)).into_response(),
            "no-base64" => format!(r#"{{"metadata":{{}},"data":{{"clouds.yaml":"{POISON}!"}}}}"#).into_response(),
            _ => (*server.secret).clone().into_response(),
        }
    }
}

/// The operator's own schema, as the API server would serve it.
fn schema() -> String {
    let mut schema = serde_json::to_value(crd().spec.versions[0].schema.as_ref().unwrap()).unwrap();
    schema["openAPIV3Schema"]["x-kubernetes-group-version-kind"] = json!([{ "kind": "CloudTenant" }]);
    json!({ "components": { "schemas": { "ours": schema["openAPIV3Schema"] } } }).to_string()
}

fn ready(statuses: &Statuses, name: &str) -> Option<Value> {
    let statuses = statuses.lock().unwrap();
    let conditions = statuses.get(name)?["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == "Ready").cloned()
}

#[tokio::test]
async fn odd_objects_stop_nobody_and_no_filter_has_a_secret_logged() {
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.set_rpc_timeout(Duration::from_millis(200));
    cloud.add_tenant(PROJECT);
    let (kubeconfig, statuses, encoded) = Server::start(&cloud).await;
    let program = FilePath::new(env!("CARGO_BIN_EXE_cloudtenant-operator"));
    let filter = "trace,kube_client=trace,kube_client::client=trace";
    let environment = [("LOG_LEVEL", filter), ("WATCH_SECRETS", "true")];
    let operator = Operator::start_with(&kubeconfig, program, &environment).await.unwrap();
    let began = Instant::now();
    for (name, reason, says) in [
        ("deep", "Healthy", ""),
        ("times", "Healthy", ""),
        ("odd-kinds", "Healthy", ""),
        ("odd-status", "Healthy", ""),
        ("deep-status", "Healthy", ""),
        ("deep-unknown", "Healthy", ""),
        ("deep-spec", "InvalidSpec", "The spec cannot be read: spec.region: invalid type: map, expected a string."),
        ("huge", "InvalidSpec", "The spec cannot be read: spec.suspend: "),
        ("odd-generation", "InvalidSpec", "The object cannot be read: metadata.generation has an odd value."),
        ("no-json", "ConnectionFailed", ""),
        ("no-status", "ConnectionFailed", ""),
        ("no-base64", "SecretKeyMissing", ""),
        ("well", "Healthy", ""),
    ] {
        while ready(&statuses, name).is_none_or(|ready| ready["reason"] != reason) {
            assert!(began.elapsed() < Duration::from_secs(60), "{name}: {:?}", ready(&statuses, name));
            sleep(Duration::from_millis(50)).await;
        }
        let message = ready(&statuses, name).unwrap()["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with(says), "{name}: {message}");
    }
    let log = operator.log();
    assert!(log.contains(r#""level":"TRACE""#), "the filter lets everything through");
    for line in log.lines() {
        assert!(!line.contains(POISON) && !line.contains(&encoded[..40]), "{line}");
    }
    let named = |field: &str, name: &str| log.lines().any(|line| line.contains(field) && line.contains(name));
    assert!(named("spec.region", "deep-spec") && named("metadata.generation", "odd-generation"));
    assert!(named("a part of the status", "odd-status"));
}
