//! What the API server refuses, and that it says what is wrong.

use serde_json::{Value, json};

use crate::lab::{shared, tenant};

async fn dry_run(object: &str) -> Result<(), String> {
    let control_plane = shared().await;
    let apply = ["apply", "--dry-run=server", "--namespace=default", "--filename=-"];
    let output = control_plane.kubectl_stdin(&apply, object).await.unwrap();
    if output.status.success() { Ok(()) } else { Err(output.stderr) }
}

/// A spec with one field changed; `null` leaves the field out.
fn with(pointer: &str, value: Value) -> Value {
    let mut object = tenant("subject", &json!({ "probes": { "engines": {}, "caches": {}, "usage": {} } }));
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = object["spec"].pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Value::Null => drop(parent.remove(field)),
        value => drop(parent.insert(field.to_owned(), value)),
    }
    object
}

#[tokio::test]
async fn a_wrong_field_is_refused_with_its_name_and_what_is_wrong() {
    let long = |length: usize| Value::from("x".repeat(length));
    let cases = [
        ("/projectID", Value::Null, "spec.projectID: Required value"),
        ("/projectID", json!(""), "spec.projectID: Invalid value: \"\": spec.projectID in body should match"),
        ("/projectID", json!("../../v3/users"), "spec.projectID in body should match"),
        ("/projectID", json!("-a"), "spec.projectID in body should match"),
        ("/projectID", json!("a b"), "spec.projectID in body should match"),
        ("/projectID", json!("projekt-ä"), "spec.projectID in body should match"),
        ("/projectID", long(65), "spec.projectID: Too long: may not be more than 64 bytes"),
        ("/projectID", json!(5), "spec.projectID: Invalid value: \"integer\""),
        ("/cloudCredentialsRef", Value::Null, "spec.cloudCredentialsRef: Required value"),
        ("/cloudCredentialsRef/secretName", Value::Null, "spec.cloudCredentialsRef.secretName: Required value"),
        ("/cloudCredentialsRef/secretName", json!(""), "spec.cloudCredentialsRef.secretName"),
        ("/cloudCredentialsRef/secretName", json!("Not_A_Name"), "spec.cloudCredentialsRef.secretName in body should"),
        ("/cloudCredentialsRef/secretName", long(254), "spec.cloudCredentialsRef.secretName: Too long"),
        (
            "/cloudCredentialsRef/cloudName",
            json!(""),
            "spec.cloudCredentialsRef.cloudName in body should be at least 1",
        ),
        ("/cloudCredentialsRef/cloudName", long(254), "spec.cloudCredentialsRef.cloudName: Too long"),
        ("/region", json!(""), "spec.region in body should be at least 1 chars long"),
        ("/region", long(256), "spec.region: Too long"),
        ("/interval", json!("9s"), "spec.interval: Invalid value: \"9s\": interval must be between 10s and 24h"),
        ("/interval", json!("24h1s"), "interval must be between 10s and 24h"),
        ("/interval", json!("5"), "spec.interval in body should match"),
        ("/interval", json!("-5m"), "spec.interval in body should match"),
        ("/interval", json!("1d"), "spec.interval in body should match"),
        ("/interval", json!(""), "spec.interval in body should match"),
        ("/interval", json!("1h".repeat(17)), "spec.interval: Too long"),
        ("/interval", json!(300), "spec.interval: Invalid value: \"integer\""),
        ("/readyWhen", json!("Sometimes"), "spec.readyWhen: Unsupported value: \"Sometimes\""),
        ("/readyOn", json!([]), "spec.readyOn: Invalid value: 0: spec.readyOn in body should have at least 1 items"),
        ("/readyOn", json!(["Engines", "Engines"]), "readyOn must not name a probe twice"),
        ("/readyOn", json!(["Usage", "Caches", "Usage"]), "readyOn must not name a probe twice"),
        ("/readyOn", json!(["Engines", "Caches", "Usage", "Usage"]), "spec.readyOn: Too many: 4: must have at most 3"),
        ("/readyOn", json!(["Heat"]), "spec.readyOn[0]: Unsupported value: \"Heat\""),
        ("/readyOn", json!(["engines"]), "spec.readyOn[0]: Unsupported value: \"engines\""),
        ("/readyOn", json!(["Caches", ""]), "spec.readyOn[1]: Unsupported value: \"\""),
        ("/readyOn", json!(["Caches", null]), "spec.readyOn[1]"),
        ("/readyOn", json!("Caches"), "spec.readyOn: Invalid value: \"string\""),
        ("/probes/engines/failureThreshold", json!(0), "spec.probes.engines.failureThreshold"),
        ("/probes/engines/failureThreshold", json!(101), "spec.probes.engines.failureThreshold"),
        ("/probes/caches/failureThreshold", json!(0), "spec.probes.caches.failureThreshold"),
        ("/probes/engines/ignoreHosts", json!(["a", "a"]), "spec.probes.engines.ignoreHosts[1]: Duplicate value"),
        ("/probes/engines/ignoreHosts", json!([""]), "spec.probes.engines.ignoreHosts[0] in body should be at least 1"),
        (
            "/probes/engines/ignoreHosts",
            (0..51).map(|host| format!("host-{host}")).collect(),
            "spec.probes.engines.ignoreHosts: Too many: 51: must have at most 50 items",
        ),
        ("/probes/engines/cloudName", json!(""), "spec.probes.engines.cloudName in body should be at least 1"),
        ("/probes/usage/period", json!("Week"), "spec.probes.usage.period: Unsupported value: \"Week\""),
        ("/timeout", json!("999ms"), "spec.timeout: Invalid value: \"999ms\": timeout must be between 1s and 10m"),
        ("/timeout", json!("10m1s"), "timeout must be between 1s and 10m"),
        ("/timeout", json!("soon"), "spec.timeout in body should match"),
        ("/suspend", json!("yes"), "spec.suspend: Invalid value: \"string\""),
        ("/probes/engines/policy", json!("Enabled"), "spec.probes.engines.policy: Unsupported value: \"Enabled\""),
        ("/probes/engines/forgetAfter", json!("59s"), "forgetAfter must be between 1m and 8760h"),
        ("/probes/engines/forgetAfter", json!("8761h"), "forgetAfter must be between 1m and 8760h"),
        ("/probes/engines/forgetAfter", json!("never"), "spec.probes.engines.forgetAfter in body should match"),
        ("/probes/caches/policy", json!("auto"), "spec.probes.caches.policy: Unsupported value: \"auto\""),
        ("/probes/caches/includeFailure", json!("no"), "spec.probes.caches.includeFailure: Invalid value: \"string\""),
        ("/probes/caches/unhealthyStates", json!(["running"]), "Unsupported value: \"running\""),
        ("/probes/caches/unhealthyStates", json!(["error"]), "Unsupported value: \"error\""),
        ("/probes/caches/unhealthyStates", json!(["createFailed"]), "Unsupported value: \"createFailed\""),
        ("/probes/caches/unhealthyStates", json!(["Frozen"]), "Unsupported value: \"Frozen\""),
        ("/probes/caches/unhealthyStates", json!(["frozen", "closed", "frozen"]), "must name each state once"),
        ("/probes/caches/unhealthyStates", vec![json!("frozen"); 15].into(), "must have at most 14 items"),
        ("/probes/usage/policy", json!("Never"), "spec.probes.usage.policy: Unsupported value: \"Never\""),
        ("/probes/usage/interval", json!("59s"), "usage.interval must be between 1m and 24h"),
        ("/probes/usage/interval", json!("25h"), "usage.interval must be between 1m and 24h"),
        ("/probes/usage/interval", json!("1 h"), "spec.probes.usage.interval in body should match"),
        // kubectl's own strict check: a field that nobody knows is not dropped in silence.
        ("/intervall", json!("5m"), "unknown field \"spec.intervall\""),
        ("/probes/engines/forgetafter", json!("5m"), "unknown field \"spec.probes.engines.forgetafter\""),
    ];
    let mut wrong = Vec::new();
    for (pointer, value, says) in cases {
        match dry_run(&with(pointer, value.clone()).to_string()).await {
            Err(said) if said.contains(says) => {}
            Err(said) => wrong.push(format!("{pointer} = {value}: expected {says:?}, got {said}")),
            Ok(()) => wrong.push(format!("{pointer} = {value}: accepted")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_ends_of_each_range_are_accepted() {
    for (pointer, value) in [
        ("/projectID", "0".to_owned()),
        ("/projectID", "a".repeat(64)),
        ("/projectID", "My_project-1".to_owned()),
        ("/interval", "10s".to_owned()),
        ("/interval", "24h".to_owned()),
        ("/interval", "1h30m".to_owned()),
        ("/interval", "1.5h".to_owned()),
        ("/timeout", "1s".to_owned()),
        ("/timeout", "1000ms".to_owned()),
        ("/timeout", "10m".to_owned()),
        ("/region", "r".repeat(255)),
        ("/cloudCredentialsRef/secretName", "a.b-c".to_owned()),
        ("/probes/engines/policy", "Disabled".to_owned()),
        ("/probes/engines/forgetAfter", "1m".to_owned()),
        ("/probes/engines/forgetAfter", "8760h".to_owned()),
        ("/probes/usage/interval", "1m".to_owned()),
        ("/probes/usage/interval", "24h".to_owned()),
    ] {
        let accepted = dry_run(&with(pointer, json!(value)).to_string()).await;
        assert_eq!(accepted, Ok(()), "{pointer} = {value}");
    }
    let all = "creating deleting restarting extending upgrading paying migrating flushing closed starting closing \
               restoring freezing frozen";
    for states in [json!([]), json!(["frozen"]), all.split_whitespace().collect()] {
        let accepted = dry_run(&with("/probes/caches/unhealthyStates", states.clone()).to_string()).await;
        assert_eq!(accepted, Ok(()), "{states}");
    }
}

#[tokio::test]
async fn each_choice_of_ready_on_is_accepted() {
    for names in [json!(["Caches"]), json!(["Usage", "Engines"]), json!(["Usage", "Caches", "Engines"])] {
        assert_eq!(dry_run(&with("/readyOn", names.clone()).to_string()).await, Ok(()), "{names}");
    }
}

/// Whoever applies the list owns the whole of it, and nothing is stored where nobody does.
#[tokio::test]
async fn ready_on_is_narrowed_widened_and_left_out_by_server_side_apply() {
    let control_plane = shared().await;
    let namespace = control_plane.namespace("ready-on").await.unwrap();
    for names in [json!(null), json!(["Engines", "Caches", "Usage"]), json!(["Caches"]), json!(["Usage"]), json!(null)]
    {
        let mut object = tenant("gate", &json!({}));
        if !names.is_null() {
            object["spec"]["readyOn"] = names.clone();
        }
        let args = ["apply", "--server-side", "--namespace", &namespace, "--filename=-", "--output=json"];
        let output = control_plane.kubectl_stdin(&args, &object.to_string()).await.unwrap();
        assert!(output.status.success(), "{names}: {}", output.stderr);
        let stored: Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(stored["spec"]["readyOn"], names);
    }
}

#[tokio::test]
async fn the_project_cannot_be_changed_and_the_rest_can() {
    let control_plane = shared().await;
    let namespace = control_plane.namespace("immutable").await.unwrap();
    let apply = async |spec: Value| {
        let args = ["apply", "--namespace", &namespace, "--filename=-"];
        control_plane.kubectl_stdin(&args, &tenant("fixed", &spec).to_string()).await.unwrap()
    };
    assert!(apply(json!({ "projectID": "one" })).await.status.success());
    let refused = apply(json!({ "projectID": "two" })).await;
    assert!(!refused.status.success());
    let says = "projectID is immutable: create another CloudTenant for another project";
    assert!(refused.stderr.contains(says), "{}", refused.stderr);
    assert!(apply(json!({ "projectID": "one", "interval": "1h", "region": "two" })).await.status.success());
}

#[tokio::test]
async fn every_example_is_accepted() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let mut tried = 0;
    for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "yaml") {
            let text = std::fs::read_to_string(&file).unwrap();
            assert_eq!(dry_run(&text).await, Ok(()), "{}", file.display());
            tried += 1;
        }
    }
    assert!(tried >= 4, "only {tried} examples");
}
