//! The CRDs: the committed files are what the code says, and the schemas have what users and tools rely on.

// clippy.toml lets tests unwrap, but not the helpers of an integration test.
#![allow(clippy::panic, clippy::unwrap_used)]

use std::fs;

use cloudtenant_operator::api;
use serde_json::{Value, json};

/// A CRD of the operator.
struct Crd {
    file: &'static str,
    command: &'static str,
    generated: fn() -> String,
    object: Value,
}

fn tenants() -> Crd {
    Crd {
        file: "crds/cloudtenants.cloudtenant.dev.yaml",
        command: "crd",
        generated: || api::crd_yaml().unwrap(),
        object: serde_json::to_value(api::crd()).unwrap(),
    }
}

fn sets() -> Crd {
    Crd {
        file: "crds/sets/cloudtenantsets.cloudtenant.dev.yaml",
        command: "crd --sets",
        generated: || api::set::crd_yaml().unwrap(),
        object: serde_json::to_value(api::set::crd()).unwrap(),
    }
}

impl Crd {
    /// The only version.
    fn version(&self) -> &Value {
        let versions = &self.object["spec"]["versions"];
        assert_eq!(versions.as_array().unwrap().len(), 1);
        &versions[0]
    }

    /// Every field's path and schema, outermost first; `[]` stands for a list's items.
    fn fields(&self) -> Vec<(String, Value)> {
        let mut found = Vec::new();
        let mut todo = vec![(String::new(), self.version()["schema"]["openAPIV3Schema"].clone())];
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

    fn field(&self, path: &str) -> Option<Value> {
        self.fields().into_iter().find_map(|(found, schema)| (found == path).then_some(schema))
    }
}

#[test]
fn the_committed_files_are_not_stale() {
    for Crd { file, command, generated, .. } in [tenants(), sets()] {
        let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
        let committed = fs::read_to_string(path).unwrap_or_default();
        let generated = generated();
        let differing = committed.lines().zip(generated.lines()).position(|(old, new)| old != new);
        let line = differing.unwrap_or_else(|| committed.lines().count().min(generated.lines().count())) + 1;
        assert!(committed == generated, "{file} is stale from line {line} on: run `cargo run -- {command} > {file}`");
    }
}

#[test]
fn every_field_has_a_description() {
    let fields = [tenants(), sets()].into_iter().flat_map(|crd| crd.fields());
    let silent: Vec<_> = fields
        .filter(|(path, schema)| !path.ends_with("[]") || schema["type"] == "object")
        .filter(|(_, schema)| schema["description"].as_str().is_none_or(|text| text.trim().is_empty()))
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "without a doc comment in src/api: {silent:?}");
}

/// The lists of a CRD with their types.
fn lists(crd: &Crd) -> Vec<String> {
    let lists = crd.fields().into_iter().filter(|(_, schema)| schema["type"] == "array");
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
    keys
}

/// Server-side apply owns an atomic list as a whole, and so would take what others have put there: such a list is
/// atomic on purpose.
#[test]
fn every_list_has_a_type_for_server_side_apply() {
    assert_eq!(
        lists(&tenants()),
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
    assert_eq!(
        lists(&sets()),
        [
            ".spec.filter.domainIDs as a set",
            ".spec.filter.excludeIDs as a set",
            ".spec.filter.tags as a set",
            ".spec.template.spec.probes.caches.unhealthyStates as a whole",
            ".spec.template.spec.probes.engines.ignoreHosts as a set",
            ".spec.template.spec.readyOn as a whole",
            ".status.conditions by type",
            ".status.pruning.deleted by hour",
            ".status.skipped by projectID",
            ".status.skippedByReason by reason",
        ]
    );
}

/// Each owned field costs the API server time at every write. Other controllers write conditions of their own, so the
/// list of conditions is not owned as a whole, and neither is the spec.
#[test]
fn server_side_apply_owns_each_object_of_the_status_as_a_whole() {
    let atomic = |crd: Crd| {
        let atomic = crd.fields().into_iter().filter(|(_, schema)| schema["x-kubernetes-map-type"] == "atomic");
        let mut paths: Vec<_> = atomic.map(|(path, _)| path).collect();
        paths.sort();
        paths
    };
    assert_eq!(
        atomic(tenants()),
        [".status.caches", ".status.conditions[]", ".status.engines", ".status.source", ".status.usage"]
    );
    assert_eq!(
        atomic(sets()),
        [".status.conditions[]", ".status.pruning", ".status.skippedByReason[]", ".status.skipped[]"]
    );
}

/// Kubernetes' API conventions: floats round-trip differently in every language, and a map without a schema
/// can neither be documented nor checked.
#[test]
fn no_field_is_a_float_or_a_free_map() {
    let texts = [".spec.template.metadata.labels", ".spec.template.metadata.annotations"];
    for (path, schema) in [tenants(), sets()].iter().flat_map(Crd::fields) {
        assert_ne!(schema["type"], "number", "{path}");
        // Kubernetes' own maps of texts.
        let is_text = schema["additionalProperties"]["type"] == "string" && schema["maxProperties"].is_number();
        assert!(schema.get("additionalProperties").is_none() || is_text && texts.contains(&&*path), "{path}");
        assert!(schema.get("x-kubernetes-preserve-unknown-fields").is_none(), "{path}");
    }
}

/// The API server warns of formats that it does not know, such as Rust's unsigned ones.
#[test]
fn integers_have_formats_that_kubernetes_knows() {
    for (path, schema) in [tenants(), sets()].iter().flat_map(Crd::fields) {
        let format = schema.get("format").and_then(Value::as_str).filter(|_| schema["type"] == "integer");
        assert!(matches!(format, None | Some("int32" | "int64")), "{path}: {format:?}");
    }
}

/// A default would be stored in every object, as the API server's own: server-side apply could not narrow the list then.
#[test]
fn ready_on_has_no_default() {
    let ready_on = tenants().field(".spec.readyOn").unwrap();
    assert_eq!((ready_on.get("default"), ready_on.get("nullable")), (None, None));
    assert_eq!(ready_on["items"]["enum"], json!(["Engines", "Caches", "Usage"]));
}

/// kstatus takes a resource without an observed generation for a finished one.
#[test]
fn a_resource_that_nobody_has_visited_is_in_progress() {
    for crd in [tenants(), sets()] {
        assert_eq!(crd.field(".status").unwrap()["default"], json!({ "observedGeneration": -1 }));
        assert_eq!(crd.version()["subresources"], json!({ "status": {} }));
    }
}

/// The names of the columns, those of the wide output last.
fn columns(crd: &Crd) -> [Vec<String>; 2] {
    [false, true].map(|wide| {
        let all = crd.version()["additionalPrinterColumns"].as_array().unwrap().iter();
        let some = all.filter(|column| (column["priority"].as_i64().unwrap_or(0) > 0) == wide);
        some.map(|column| column["name"].as_str().unwrap().to_owned()).collect()
    })
}

#[test]
fn names_and_columns() {
    for (crd, kind, plural, short) in
        [(tenants(), "CloudTenant", "cloudtenants", "ct"), (sets(), "CloudTenantSet", "cloudtenantsets", "cts")]
    {
        let spec = &crd.object["spec"];
        assert_eq!((&spec["group"], &spec["scope"]), (&json!("cloudtenant.dev"), &json!("Namespaced")));
        let names = &spec["names"];
        assert_eq!((&names["kind"], &names["plural"]), (&json!(kind), &json!(plural)));
        assert_eq!((&names["shortNames"], &names["categories"]), (&json!([short]), &json!(["cloud"])));
        let version = crd.version();
        assert_eq!(
            (&version["name"], &version["served"], &version["storage"]),
            (&json!("v1alpha1"), &json!(true), &json!(true))
        );
    }
    assert_eq!(tenants().version()["selectableFields"], json!([{ "jsonPath": ".spec.projectID" }]));
    let [narrow, wide] = columns(&tenants());
    assert_eq!(narrow, ["Ready", "Reason", "Engines", "Caches", "vCPU-hours", "Since", "Age"]);
    assert_eq!(wide, ["Suspended", "Observed", "Project", "Message"]);
    let [narrow, wide] = columns(&sets());
    assert_eq!(narrow, ["Ready", "Reason", "Projects", "Tenants", "Healthy", "Age"]);
    assert_eq!(wide, ["Prune", "Skipped", "Message"]);
}

/// A column whose path leads nowhere is empty for ever, and nobody is told.
#[test]
fn every_column_shows_a_field_that_exists() {
    for crd in [tenants(), sets()] {
        let paths: Vec<_> = crd.fields().into_iter().map(|(path, _)| path).collect();
        for column in crd.version()["additionalPrinterColumns"].as_array().unwrap() {
            let path = column["jsonPath"].as_str().unwrap();
            let (list, field) = path.split_once("[?").unwrap_or((path, ""));
            let field = field.split_once(")]").map_or("", |(_, field)| field);
            let path = if field.is_empty() { list.to_owned() } else { format!("{list}[]{field}") };
            assert!(path.starts_with(".metadata.") || paths.contains(&path), "{path}");
        }
    }
}

/// A stored default would be applied to each CloudTenant as if the user had stated it.
#[test]
fn a_sets_template_has_the_fields_of_a_cloud_tenant_without_their_defaults() {
    const TEMPLATE: &str = ".spec.template.spec";
    let (tenants, sets) = (tenants(), sets());
    let mut found = 0;
    for (path, schema) in tenants.fields() {
        let Some(inner) = path.strip_prefix(".spec.") else { continue };
        let template = sets.field(&format!("{TEMPLATE}.{inner}"));
        if ["projectID", "cloudCredentialsRef.secretName", "cloudCredentialsRef.cloudName"].contains(&inner) {
            assert_eq!(template, None, "{inner}");
            continue;
        }
        let template = template.unwrap_or_else(|| panic!("the template has no {inner}"));
        if inner.starts_with("cloudCredentialsRef") {
            continue;
        }
        assert_eq!(template.get("default"), None, "{inner}");
        for key in ["type", "enum", "minimum", "maximum", "maxItems", "pattern", "x-kubernetes-validations"] {
            assert_eq!(template.get(key), schema.get(key), "{inner}: {key}");
        }
        found += 1;
    }
    assert!(found > 10, "{found}");
    let scope = sets.field(&format!("{TEMPLATE}.cloudCredentialsRef.scope")).unwrap();
    assert_eq!(scope["default"], "ObservedProject");
    assert_eq!(sets.field(".spec.cloudCredentialsRef.scope"), None);
}
