//! The CRD: the committed file is what the code says, and the schema has what users and tools rely on.

// clippy.toml lets tests unwrap, but not the helpers of an integration test.
#![allow(clippy::unwrap_used)]

use std::fs;

use cloudtenant_operator::api;
use serde_json::{Value, json};

const FILE: &str = "crds/cloudtenants.cloudtenant.dev.yaml";

fn crd() -> Value {
    serde_json::to_value(api::crd()).unwrap()
}

/// The only version.
fn version() -> Value {
    let versions = &crd()["spec"]["versions"];
    assert_eq!(versions.as_array().unwrap().len(), 1);
    versions[0].clone()
}

/// Every field's path and schema, outermost first; `[]` stands for a list's items.
fn fields() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut todo = vec![(String::new(), version()["schema"]["openAPIV3Schema"].clone())];
    while let Some((path, schema)) = todo.pop() {
        let properties = schema["properties"].as_object().into_iter().flatten();
        todo.extend(properties.map(|(name, field)| (format!("{path}.{name}"), field.clone())));
        if schema.get("items").is_some() {
            todo.push((format!("{path}[]"), schema["items"].clone()));
        }
        found.push((path, schema));
    }
    found
}

#[test]
fn the_committed_file_is_not_stale() {
    let path = format!("{}/{FILE}", env!("CARGO_MANIFEST_DIR"));
    let committed = fs::read_to_string(path).unwrap_or_default();
    let generated = api::crd_yaml().unwrap();
    let differing = committed.lines().zip(generated.lines()).position(|(old, new)| old != new);
    let line = differing.unwrap_or_else(|| committed.lines().count().min(generated.lines().count())) + 1;
    assert!(committed == generated, "{FILE} is stale from line {line} on: run `cargo run -- crd > {FILE}`");
}

#[test]
fn every_field_has_a_description() {
    let silent: Vec<_> = fields()
        .into_iter()
        .filter(|(path, schema)| !path.ends_with("[]") || schema["type"] == "object")
        .filter(|(_, schema)| schema["description"].as_str().is_none_or(|text| text.trim().is_empty()))
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "without a doc comment in src/api: {silent:?}");
}

/// Server-side apply owns an atomic list as a whole, and so would take what others have put there: such a list is
/// atomic on purpose.
#[test]
fn every_list_has_a_type_for_server_side_apply() {
    let lists = fields().into_iter().filter(|(_, schema)| schema["type"] == "array");
    let mut keys: Vec<_> = lists
        .map(|(path, schema)| {
            match schema["x-kubernetes-list-type"].as_str() {
                Some("set") => return format!("{path} as a set"),
                Some("atomic") => return format!("{path} as a whole"),
                type_ => assert_eq!(type_, Some("map"), "{path}"),
            }
            format!("{path} by {}", schema["x-kubernetes-list-map-keys"][0].as_str().unwrap())
        })
        .collect();
    keys.sort();
    assert_eq!(
        keys,
        [
            ".spec.probes.caches.unhealthyStates as a whole",
            ".spec.probes.engines.ignoreHosts as a set",
            ".spec.readyOn as a whole",
            ".status.caches.all.other by name",
            ".status.caches.byKind by kind",
            ".status.caches.byKind[].other by name",
            ".status.conditions by type",
            ".status.engines.downEngines as a whole",
            ".status.engines.hosts by host",
            ".status.usage.byFlavor by flavor",
            ".status.usage.previous.byFlavor by flavor",
        ]
    );
}

/// Each owned field costs the API server time at every write. Other controllers write conditions of their own, so the
/// list of conditions is not owned as a whole, and neither is the spec.
#[test]
fn server_side_apply_owns_each_object_of_the_status_as_a_whole() {
    let atomic = fields().into_iter().filter(|(_, schema)| schema["x-kubernetes-map-type"] == "atomic");
    let mut paths: Vec<_> = atomic.map(|(path, _)| path).collect();
    paths.sort();
    assert_eq!(paths, [".status.caches", ".status.conditions[]", ".status.engines", ".status.source", ".status.usage"]);
}

/// Kubernetes' API conventions: floats round-trip differently in every language, and a map without a schema
/// can neither be documented nor checked.
#[test]
fn no_field_is_a_float_or_a_free_map() {
    for (path, schema) in fields() {
        assert_ne!(schema["type"], "number", "{path}");
        assert!(schema.get("additionalProperties").is_none(), "{path}");
        assert!(schema.get("x-kubernetes-preserve-unknown-fields").is_none(), "{path}");
    }
}

/// The API server warns of formats that it does not know, such as Rust's unsigned ones.
#[test]
fn integers_have_formats_that_kubernetes_knows() {
    for (path, schema) in fields().into_iter().filter(|(_, schema)| schema["type"] == "integer") {
        let format = schema.get("format").and_then(Value::as_str);
        assert!(matches!(format, None | Some("int32" | "int64")), "{path}: {format:?}");
    }
}

/// A default would be stored in every object, as the API server's own: server-side apply could not narrow the list then.
#[test]
fn ready_on_has_no_default() {
    let fields = fields();
    let (_, ready_on) = fields.iter().find(|(path, _)| path == ".spec.readyOn").unwrap();
    assert_eq!((ready_on.get("default"), ready_on.get("nullable")), (None, None));
    assert_eq!(ready_on["items"]["enum"], json!(["Engines", "Caches", "Usage"]));
}

/// kstatus takes a resource without an observed generation for a finished one.
#[test]
fn a_resource_that_nobody_has_visited_is_in_progress() {
    let status = &version()["schema"]["openAPIV3Schema"]["properties"]["status"];
    assert_eq!(status["default"], json!({ "observedGeneration": -1 }));
    assert_eq!(version()["subresources"], json!({ "status": {} }));
}

#[test]
fn names_and_columns() {
    let spec = &crd()["spec"];
    assert_eq!(spec["group"], "cloudtenant.dev");
    assert_eq!(spec["scope"], "Namespaced");
    let names = &spec["names"];
    assert_eq!((&names["kind"], &names["plural"]), (&json!("CloudTenant"), &json!("cloudtenants")));
    assert_eq!((&names["shortNames"], &names["categories"]), (&json!(["ct"]), &json!(["cloud"])));

    let version = version();
    assert_eq!(
        (&version["name"], &version["served"], &version["storage"]),
        (&json!("v1alpha1"), &json!(true), &json!(true))
    );
    assert_eq!(version["selectableFields"], json!([{ "jsonPath": ".spec.projectID" }]));
    let columns = |wide: bool| -> Vec<String> {
        let all = version["additionalPrinterColumns"].as_array().unwrap().iter();
        let some = all.filter(|column| (column["priority"].as_i64().unwrap_or(0) > 0) == wide);
        some.map(|column| column["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(columns(false), ["Ready", "Reason", "Engines", "Caches", "vCPU-hours", "Since", "Age"]);
    assert_eq!(columns(true), ["Suspended", "Observed", "Project", "Message"]);
}

/// A column whose path leads nowhere is empty for ever, and nobody is told.
#[test]
fn every_column_shows_a_field_that_exists() {
    let paths: Vec<_> = fields().into_iter().map(|(path, _)| path).collect();
    for column in version()["additionalPrinterColumns"].as_array().unwrap() {
        let path = column["jsonPath"].as_str().unwrap();
        let (list, field) = path.split_once("[?").unwrap_or((path, ""));
        let field = field.split_once(")]").map_or("", |(_, field)| field);
        let path = if field.is_empty() { list.to_owned() } else { format!("{list}[]{field}") };
        assert!(path.starts_with(".metadata.") || paths.contains(&path), "{path}");
    }
}
