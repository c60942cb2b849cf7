//! `deploy/` is what the chart makes by default.

use std::collections::BTreeMap;

use serde_json::Value;
use testkit::assets::Assets;

use crate::helm::{by_identity, objects, render, root, run};

fn kustomized() -> BTreeMap<String, Value> {
    let kubectl = Assets::find_or_build().unwrap().kubectl;
    let yaml = run(&kubectl, &["kustomize", root().join("deploy").to_str().unwrap()], "").unwrap();
    by_identity(objects(&yaml).into_iter().map(without_fractions).collect())
}

/// kustomize writes 1.0 as 1, and Helm leaves it.
fn without_fractions(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(items) => items.into_iter().map(without_fractions).collect(),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, field)| (name, without_fractions(field))).collect())
        }
        other => other,
    }
}

/// Without what only Helm makes of it: its hooks, and the labels and annotations that say so.
fn rendered(values: &str) -> BTreeMap<String, Value> {
    let rendered = objects(&render(values).unwrap());
    let mut objects = by_identity(rendered.into_iter().map(without_fractions).collect());
    objects.retain(|_, object| object["metadata"]["annotations"].get("helm.sh/hook").is_none());
    for object in objects.values_mut() {
        let metadata = object["metadata"].as_object_mut().unwrap();
        for group in ["labels", "annotations"] {
            let Some(entries) = metadata.get_mut(group).and_then(Value::as_object_mut) else { continue };
            entries.retain(|name, _| !name.starts_with("helm.sh/") && name != "app.kubernetes.io/managed-by");
            if entries.is_empty() {
                metadata.remove(group);
            }
        }
    }
    objects
}

#[test]
fn kustomize_and_the_chart_make_the_same() {
    let mut ours = kustomized();
    let namespace = ours.remove("Namespace /cloudtenant-system").unwrap();
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    let helms = rendered("");
    assert_eq!(ours.keys().collect::<Vec<_>>(), helms.keys().collect::<Vec<_>>());
    for (identity, object) in &helms {
        assert_eq!(&ours[identity], object, "{identity}: deploy/ on the left, the chart on the right");
    }
    // The comparison sees a difference.
    assert_ne!(ours, rendered("{ log: { level: debug } }"));
    assert_ne!(ours, rendered("{ secrets: { watch: true } }"));
}
