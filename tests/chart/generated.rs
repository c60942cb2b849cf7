//! What is made from something else: the chart's copies of the CRDs, and its README.
//!
//! `UPDATE=1 cargo test --test chart generated` makes them anew.

mod without_sets;

use std::{collections::BTreeMap, env, fmt::Write as _, fs};

use serde_json::Value;

use crate::helm::{cases, chart, objects, read, render, root};

/// Each generated definition, the chart's copy, and the values with which the chart has it.
const CRDS: [[&str; 3]; 2] = [
    [
        "crds/cloudtenants.cloudtenant.dev.yaml",
        "charts/cloudtenant-operator/files/cloudtenants.cloudtenant.dev.yaml",
        "tenantSets: { enabled: false }",
    ],
    [
        "crds/sets/cloudtenantsets.cloudtenant.dev.yaml",
        "charts/cloudtenant-operator/files/cloudtenantsets.cloudtenant.dev.yaml",
        "tenantSets: { enabled: true }",
    ],
];
const VALUES: &str = "charts/cloudtenant-operator/values.yaml";
const README: &str = "charts/cloudtenant-operator/README.md";

/// Writes the file where that is asked for. Else says where it differs.
fn hold(path: &str, wanted: &str) {
    if env::var_os("UPDATE").is_some() {
        fs::write(root().join(path), wanted).unwrap();
    }
    let found = fs::read_to_string(root().join(path)).unwrap_or_default();
    if let Some(line) = first_difference(&found, wanted) {
        panic!("{path} is stale from line {line} on: run `UPDATE=1 cargo test --test chart generated`");
    }
}

fn first_difference(found: &str, wanted: &str) -> Option<usize> {
    if found == wanted {
        return None;
    }
    let same = found.lines().zip(wanted.lines()).take_while(|(old, new)| old == new).count();
    Some(same + 1)
}

#[test]
fn a_difference_is_found() {
    assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
    assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
    assert_eq!(first_difference("a\n", "a\nb\n"), Some(2));
    assert_eq!(first_difference("", "a\n"), Some(1));
}

#[test]
fn the_charts_crds_are_the_generated_ones() {
    for (number, [source, copy, values]) in (1..).zip(CRDS) {
        hold(copy, &read(source));
        let generated = objects(&read(source)).remove(0);
        for (keep, annotation) in [(true, Value::from("keep")), (false, Value::Null)] {
            let mut rendered = objects(&render(&format!("{{ crds: {{ keep: {keep} }}, {values} }}")).unwrap());
            rendered.retain(|object| object["kind"] == "CustomResourceDefinition");
            assert_eq!(rendered.len(), number, "{values}");
            let name = &generated["metadata"]["name"];
            let crd = rendered.iter().find(|object| &object["metadata"]["name"] == name).unwrap();
            assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"], annotation, "{name}");
            for part in ["apiVersion", "kind", "spec"] {
                assert_eq!(crd[part], generated[part], "{name}: {part}");
            }
        }
        let others = render(&format!("{{ crds: {{ enabled: false }}, {values} }}")).unwrap();
        assert!(!others.contains("CustomResourceDefinition"), "{values}");
    }
}

#[test]
fn the_readme_says_what_values_yaml_says() {
    hold(README, &readme());
}

fn readme() -> String {
    let mut page = "\
# cloudtenant-operator

Reports the health and the usage of OpenStack tenants as Kubernetes resources.

There is no published image yet. Build the image and copy it to your registry:

```console
cargo run -p image -- build --out target/image.tar
skopeo copy oci-archive:target/image.tar docker://registry.example.com/cloudtenant-operator:0.1.0
helm install cloudtenant-operator charts/cloudtenant-operator --namespace cloudtenant-system --create-namespace \\
  --set image.repository=registry.example.com/cloudtenant-operator --wait
helm test cloudtenant-operator --namespace cloudtenant-system
```

[docs/installation.md](../../docs/installation.md) describes the installation, upgrades, the important values and the \
uninstallation. Helm refuses values that are invalid or contradict each other, and installs nothing.

The chart needs Kubernetes 1.31 or newer. It is tested with Helm 4.3. For Helm 3, only the rendering of the templates is \
tested.

## Values

This page is generated from values.yaml.

| Value | Default | Meaning |
| --- | --- | --- |
"
    .to_owned();
    for (path, default, meaning) in values() {
        let default = default.to_string().replace('|', "\\|");
        let meaning = meaning.replace('|', "\\|");
        writeln!(page, "| `{path}` | `{default}` | {meaning} |").unwrap();
    }
    page
}

/// Each value's path, default and meaning, in the order of values.yaml.
fn values() -> Vec<(String, Value, String)> {
    let text = read(VALUES);
    let defaults: Value = serde_saphyr::from_str(&text).unwrap();
    let schema: Value = serde_json::from_str(&read("charts/cloudtenant-operator/values.schema.json")).unwrap();
    let mut leaves = BTreeMap::new();
    find_leaves(&schema, &schema, &defaults, "", &mut leaves);
    let mut found = Vec::new();
    for (path, comment) in comments(&text) {
        if let Some(default) = leaves.remove(&path) {
            assert!(!comment.is_empty(), "values.yaml does not say what {path} means");
            found.push((path, default, comment));
        }
    }
    assert!(leaves.is_empty(), "{leaves:?}");
    found
}

/// What is not a group of other values. What has free content, such as `resources`, is one value.
fn find_leaves(root: &Value, schema: &Value, value: &Value, path: &str, into: &mut BTreeMap<String, Value>) {
    const WHOLE: [&str; 3] = ["resources", "affinity", "updateStrategy.rollingUpdate"];
    let schema = resolved(root, schema);
    match (value.as_object(), schema["properties"].as_object()) {
        (Some(fields), Some(known)) if !WHOLE.contains(&path) => {
            for (name, field) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let schema = known.get(name).unwrap_or_else(|| panic!("values.schema.json has no {path}"));
                find_leaves(root, schema, field, &path, into);
            }
            for name in known.keys().filter(|name| !path.is_empty() || !["global", "enabled"].contains(&name.as_str()))
            {
                assert!(fields.contains_key(name), "values.yaml has no {path}.{name}");
            }
        }
        _ => drop(into.insert(path.to_owned(), value.clone())),
    }
}

fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => root.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
        None => schema,
    }
}

/// The path of each key, with the comment above it.
fn comments(text: &str) -> Vec<(String, String)> {
    let mut above: Vec<(usize, &str)> = Vec::new();
    let mut comment = Vec::new();
    let mut found = Vec::new();
    for line in text.lines() {
        let content = line.trim_start();
        if let Some(words) = content.strip_prefix('#') {
            comment.push(words.trim());
            continue;
        }
        if let Some((key, _)) = content.split_once(':').filter(|_| !content.starts_with('-')) {
            let indent = line.len() - content.len();
            above.retain(|(other, _)| *other < indent);
            above.push((indent, key));
            let path: Vec<_> = above.iter().map(|(_, key)| *key).collect();
            found.push((path.join("."), comment.join(" ")));
        }
        comment.clear();
    }
    found
}

#[test]
fn every_strict_group_refuses_what_it_does_not_know() {
    let schema: Value = serde_json::from_str(&read("charts/cloudtenant-operator/values.schema.json")).unwrap();
    let mut todo = vec![("".to_owned(), &schema)];
    let mut seen = 0;
    while let Some((path, part)) = todo.pop() {
        if part["properties"].is_object() && part["type"] == "object" {
            assert_eq!(part["additionalProperties"], false, "{path}");
            seen += 1;
        }
        match part {
            Value::Object(fields) => todo.extend(fields.iter().map(|(name, field)| (format!("{path}/{name}"), field))),
            Value::Array(items) => todo.extend(items.iter().map(|item| (path.clone(), item))),
            _ => {}
        }
    }
    assert!(seen > 20, "{seen}");
}

/// What is in ci/ is what `helm lint` and the API server are given: it must touch all values.
#[test]
fn the_cases_set_every_value() {
    let set: Vec<Value> =
        cases().values().map(|path| serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()).collect();
    let missing: Vec<_> = values()
        .into_iter()
        .map(|(path, ..)| path)
        .filter(|path| !set.iter().any(|values| values.pointer(&format!("/{}", path.replace('.', "/"))).is_some()))
        .collect();
    assert!(missing.is_empty(), "no file in {}/ci sets {missing:?}", chart().display());
}
