//! `deploy/` is what the chart makes by default.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::Path};

use serde_json::Value;
use tempfile::TempDir;
use testkit::assets::Assets;

use crate::helm::{by_identity, objects, read, render, root, run};

/// What kubectl makes of a kustomization.
pub fn kustomization(directory: &Path) -> String {
    let kubectl = Assets::find_or_build().unwrap().kubectl;
    run(&kubectl, &["kustomize", directory.to_str().unwrap()], "").unwrap()
}

fn kustomized(directory: &Path) -> BTreeMap<String, Value> {
    by_identity(objects(&kustomization(directory)).into_iter().map(without_fractions).collect())
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
    let mut ours = kustomized(&root().join("deploy"));
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

/// A directory `overlay` with this kustomization, beside `deploy` and `crds`.
fn overlay(kustomization: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in ["deploy", "crds"] {
        symlink(root().join(name), directory.path().join(name)).unwrap();
    }
    let beside = directory.path().join("overlay");
    fs::create_dir(&beside).unwrap();
    fs::write(beside.join("kustomization.yaml"), kustomization).unwrap();
    directory
}

/// The one kustomization that a page has.
fn kustomization_on(page: &str) -> String {
    let text = read(page);
    let blocks = text.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap());
    let [overlay] = blocks.filter(|block| block.contains("kind: Kustomization")).collect::<Vec<_>>()[..] else {
        panic!("{page} has one kustomization")
    };
    overlay.to_owned()
}

#[test]
fn the_component_and_the_chart_make_the_same_of_sets() {
    let directory = overlay(&kustomization_on("docs/tenant-sets.md"));
    let mut ours = kustomized(&directory.path().join("overlay"));
    ours.remove("Namespace /cloudtenant-system").unwrap();
    let helms = rendered(&format!("{{ image: {{ repository: {REPOSITORY} }}, tenantSets: {{ enabled: true }} }}"));
    assert_eq!(ours.keys().collect::<Vec<_>>(), helms.keys().collect::<Vec<_>>());
    for (identity, object) in &helms {
        assert_eq!(&ours[identity], object, "{identity}: the component on the left, the chart on the right");
    }
}

/// Whoever uses the component may have more in the same kustomization.
#[test]
fn the_component_leaves_other_objects_alone() {
    let other = "{ apiVersion: v1, kind: ConfigMap, metadata: { name: other } }";
    let kustomization = "{ resources: [../deploy, other.yaml], components: [../deploy/tenant-sets] }";
    let directory = overlay(kustomization);
    let beside = directory.path().join("overlay");
    fs::write(beside.join("other.yaml"), other).unwrap();
    assert_eq!(kustomized(&beside)["ConfigMap /other"], objects(other)[0]);
}

/// There is no published image yet: what the pages say has to name another.
const REPOSITORY: &str = "registry.example.com/cloudtenant-operator";

#[test]
fn the_kustomization_on_the_page_changes_the_image_alone() {
    const PAGE: &str = "docs/installation.md";
    assert!(read(PAGE).contains("kubectl apply --server-side --kustomize overlay"));
    let directory = overlay(&kustomization_on(PAGE));
    let mut ours = kustomized(&directory.path().join("overlay"));
    ours.remove("Namespace /cloudtenant-system").unwrap();
    assert_eq!(ours, rendered(&format!("image: {{ repository: {REPOSITORY} }}")));
}

#[test]
fn every_command_that_installs_names_an_image_that_was_pushed() {
    const PUSH: &str = "skopeo copy oci-archive:target/image.tar docker://registry.example.com/cloudtenant-operator:";
    for page in ["README.md", "docs/installation.md", "charts/cloudtenant-operator/README.md"] {
        let text = read(page).replace("\\\n", "");
        let mut installs = text.lines().filter(|line| line.starts_with("helm install ")).peekable();
        assert!(installs.peek().is_some(), "{page}");
        for command in installs {
            assert!(command.contains(&format!("--set image.repository={REPOSITORY} ")), "{page}: {command}");
        }
        let pushed = format!("{PUSH}{}", env!("CARGO_PKG_VERSION"));
        assert!(text.lines().any(|line| line == pushed), "{page}: {pushed}");
    }
}
