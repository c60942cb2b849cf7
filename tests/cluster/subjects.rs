//! What a CloudTenant's file may contain: the same tables hold the API server and `check --file`.

use serde_json::{Value, json};

/// A CloudTenant's file, and a part of the refusal; `None` where it is accepted.
pub type File = (&'static str, String, Option<&'static str>);

/// A spec with one field changed; `null` leaves the field out.
pub fn with(pointer: &str, value: Value) -> Value {
    let mut object = json!({
        "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant", "metadata": { "name": "subject" },
        "spec": {
            "projectID": "9c3f7a1be0d84c52a6e8f1d2b3c4a5d6", "cloudCredentialsRef": { "secretName": "cloud" },
            "interval": "10s", "timeout": "5s", "probes": { "engines": {}, "caches": {}, "usage": {} },
        },
    });
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = object["spec"].pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Value::Null => drop(parent.remove(field)),
        value => drop(parent.insert(field.to_owned(), value)),
    }
    object
}

/// One field's value, and a part of the refusal.
pub fn refused() -> Vec<(&'static str, Value, &'static str)> {
    let long = |length: usize| Value::from("x".repeat(length));
    vec![
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
    ]
}

/// One field's value that is accepted.
pub fn accepted() -> Vec<(&'static str, Value)> {
    let all = "creating deleting restarting extending upgrading paying migrating flushing closed starting closing \
               restoring freezing frozen";
    let mut fields: Vec<(&str, Value)> = vec![
        ("/probes/caches/unhealthyStates", json!([])),
        ("/probes/caches/unhealthyStates", json!(["frozen"])),
        ("/probes/caches/unhealthyStates", all.split_whitespace().collect()),
        ("/readyOn", json!(["Caches"])),
        ("/readyOn", json!(["Usage", "Engines"])),
        ("/readyOn", json!(["Usage", "Caches", "Engines"])),
        ("/probes/engines/failureThreshold", json!(100)),
        ("/probes/engines/failureThreshold", json!(1.0)),
    ];
    let texts = [
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
    ];
    fields.extend(texts.map(|(pointer, text)| (pointer, json!(text))));
    fields
}

const SPEC: &str = "spec: {projectID: \"1\", cloudCredentialsRef: {secretName: cloud}}";
const HEAD: &str = "apiVersion: cloudtenant.dev/v1alpha1\nkind: CloudTenant\nmetadata: {name: subject}\n";
const SECRET: &str =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: cloud}\nstringData: {note: \"kind: CloudTenant\"}\n";

/// Whole files: how they are written, and what only a file can have.
pub fn files() -> Vec<File> {
    let object = with("/projectID", json!("p1")).to_string();
    let wanted = format!("{HEAD}{SPEC}\n");
    let project =
        |text: &str| format!("{HEAD}spec: {{cloudCredentialsRef: {{secretName: cloud}}, projectID: {text}}}\n");
    let more =
        |text: &str| format!("{HEAD}spec:\n  projectID: p1\n  cloudCredentialsRef: {{secretName: cloud}}\n  {text}\n");
    let metadata = |text: &str| wanted.replace("{name: subject}", text);
    let integer = Some("spec.projectID: Invalid value: \"integer\"");
    let number = Some("spec.projectID: Invalid value: \"number\"");
    vec![
        ("YAML", wanted.clone(), None),
        ("JSON", object.clone(), None),
        ("JSON on several lines", serde_json::to_string_pretty(&with("/projectID", json!("p1"))).unwrap(), None),
        (
            "two JSON objects",
            format!(
                "{}\n{object}",
                json!({
                    "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "cloud" },
                })
            ),
            None,
        ),
        ("quoted kind", wanted.replace("kind: CloudTenant", "kind: \"CloudTenant\""), None),
        ("quoted key", wanted.replace("kind: CloudTenant", "'kind':   'CloudTenant' # a comment"), None),
        ("after a comment with the words", format!("# kind: CloudTenant\n{SECRET}---\n{wanted}"), None),
        ("after a text with the words", format!("{SECRET}---\n{wanted}"), None),
        ("after an empty document", format!("---\n---\n# nothing\n---\n{wanted}---\n"), None),
        ("with carriage returns", format!("{SECRET}---\n{wanted}").replace('\n', "\r\n"), None),
        ("in a List", format!("apiVersion: v1\nkind: List\nitems:\n- {}\n", wanted.trim().replace('\n', "\n  ")), None),
        (
            "in a List of JSON",
            json!({ "apiVersion": "v1", "kind": "List", "items": [with("/region", json!("r"))] }).to_string(),
            None,
        ),
        (
            "a refused one in a List",
            json!({
                "apiVersion": "v1", "kind": "List", "items": [with("/projectID", json!(5))],
            })
            .to_string(),
            integer,
        ),
        ("aliases", more("region: &r one\n  probes: {engines: {cloudName: *r}}"), None),
        ("yes for true", more("suspend: yes"), None),
        ("a quoted true", more("suspend: \"true\""), Some("spec.suspend: Invalid value: \"string\"")),
        ("a whole float for an integer", more("probes: {engines: {failureThreshold: 2.0}}"), None),
        ("a fraction for an integer", more("probes: {engines: {failureThreshold: 2.5}}"), Some("\"number\"")),
        ("null where there is a default", more("suspend: null"), None),
        ("nothing where there is a default", more("interval:"), None),
        ("null where it may be", more("region: ~"), None),
        ("null where there is no default", more("readyOn: null"), None),
        ("null for a project", project("null"), Some("spec.projectID: Required value")),
        ("a number for a project", project("123456"), integer),
        ("a quoted number for a project", project("\"123456\""), None),
        ("a tagged number for a project", project("!!str 123456"), None),
        ("an octal number for a project", project("0123"), integer),
        ("a hexadecimal number for a project", project("0xabc"), integer),
        ("a number with an exponent for a project", project("1e5"), integer),
        ("a fraction for a project", project("1.5"), number),
        ("32 digits for a project", project("12345678901234567890123456789012"), number),
        ("a boolean for a project", project("no"), Some("spec.projectID: Invalid value: \"boolean\"")),
        ("a date for a project", project("2026-01-01"), None),
        ("digits and letters for a project", project("0123456789abcdef0123456789abcdef"), None),
        ("a list for a project", project("[a]"), Some("spec.projectID: Invalid value: \"array\"")),
        ("a key that is given twice", more("region: one\n  region: two"), None),
        ("an unknown field", more("regionName: one"), Some("unknown field \"spec.regionName\"")),
        ("an unknown field beside the spec", wanted.clone() + "specs: {}\n", Some("unknown field \"specs\"")),
        (
            "an unknown field of the metadata",
            metadata("{name: subject, label: x}"),
            Some("unknown field \"metadata.label\""),
        ),
        (
            "an unknown field of the status",
            wanted.clone() + "status: {ready: true}\n",
            Some("unknown field \"status.ready\""),
        ),
        ("a status with a wrong value", wanted.clone() + "status: {observedGeneration: x}\n", None),
        ("labels and annotations", metadata("{name: subject, labels: {a: b}, annotations: {c: d}}"), None),
        ("a label that is a number", metadata("{name: subject, labels: {a: 1}}"), Some("metadata.labels")),
        ("no name", metadata("{namespace: default}"), Some("metadata.name: Required value")),
        ("a name that is a number", metadata("{name: 5}"), Some("metadata.name")),
        ("a name with capitals", metadata("{name: Subject}"), Some("metadata.name: Invalid value: \"Subject\"")),
        ("no spec", HEAD.to_owned(), Some("spec: Required value")),
        ("a list for the spec", format!("{HEAD}spec: []\n"), Some("spec: Invalid value: \"array\"")),
        ("another version", wanted.replace("v1alpha1", "v2"), Some("no matches for kind \"CloudTenant\" in version")),
    ]
}
