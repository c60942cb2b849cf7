//! Flux: the examples are what its CRD takes. Their expressions are judged with every status, by Flux' own library.

use std::{collections::BTreeMap, fs, path::Path};

use cloudtenant_operator::api::{CloudTenant, REQUESTED_AT, crd_yaml};
use serde_json::Value;
use testkit::control_plane::{ControlPlane, Output};
use tokio::sync::OnceCell;

use crate::verdict::{EXPRESSIONS, path, read};

/// The API server with Flux' CRDs of Kustomizations and of what they are read from, and with ours.
async fn control_plane() -> &'static ControlPlane {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let control_plane = ControlPlane::shared().await.unwrap();
    let install = async || {
        for crd in ["kustomizations", "gitrepositories"] {
            control_plane.apply_crds(&read(&format!("testkit/fixtures/flux/{crd}.yaml"))).await.unwrap();
        }
        control_plane.apply_crds(&crd_yaml().unwrap()).await.unwrap();
        for name in ["flux-system", "shop"] {
            let namespace = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}");
            control_plane.apply_yaml(None, &namespace).await.unwrap();
        }
    };
    INSTALLED.get_or_init(install).await;
    control_plane
}

async fn dry_run(yaml: &str) -> Output {
    let args = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-"];
    control_plane().await.kubectl_stdin(&args, yaml).await.unwrap()
}

#[tokio::test]
async fn the_examples_are_accepted() {
    let mut seen = Vec::new();
    for entry in fs::read_dir(path("integrations/flux")).unwrap() {
        let file = entry.unwrap().path();
        let output = dry_run(&fs::read_to_string(&file).unwrap()).await;
        assert!(output.status.success(), "{}: {}", file.display(), output.stderr);
        seen.push(file);
    }
    let page = read("docs/gitops.md");
    for file in &seen {
        let name = file.file_name().unwrap().to_string_lossy();
        assert!(page.contains(&format!("(../integrations/flux/{name})")), "docs/gitops.md does not name {name}");
    }
    assert!(seen.iter().any(|file| file == &path(EXPRESSIONS)) && Path::new(&seen[0]).exists());
}

/// The Kustomizations of the examples, by file.
fn kustomizations() -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(path("integrations/flux")).unwrap() {
        let file = entry.unwrap().path();
        let objects: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(&file).unwrap()).unwrap();
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        found.extend(objects.into_iter().find(|object| object["kind"] == "Kustomization").map(|one| (name, one)));
    }
    found
}

#[test]
fn the_examples_depend_on_each_other_and_on_nothing_else() {
    let all = kustomizations();
    let names: Vec<_> = all.values().map(|one| &one["metadata"]["name"]).collect();
    for (file, one) in &all {
        for needed in one["spec"]["dependsOn"].as_array().into_iter().flatten() {
            assert!(names.contains(&&needed["name"]), "{file}: no file makes {needed}");
        }
    }
}

/// One of them is chosen, in the others' place.
#[test]
fn who_owns_the_same_folder_differs_only_in_what_it_waits_for() {
    let all = kustomizations();
    let owners: Vec<_> = all.iter().filter(|(_, one)| one["spec"]["path"] == "./tenants").collect();
    assert_eq!(
        owners.iter().map(|(file, _)| file.as_str()).collect::<Vec<_>>(),
        ["health-check-expressions", "health-checks", "wait"]
    );
    let rest = |one: &Value| {
        let mut one = one.clone();
        for key in ["wait", "healthChecks", "healthCheckExprs"] {
            one["spec"].as_object_mut().unwrap().remove(key);
        }
        one
    };
    for (file, one) in &owners {
        assert_eq!(rest(one), rest(owners[0].1), "{file}");
        let text = read(&format!("integrations/flux/{file}.yaml"));
        assert!(text.contains("# Choose one of wait.yaml,"), "{file} does not say that one is chosen");
    }
}

/// tests/cluster/lifecycle.rs has the operator act on it.
#[test]
fn the_annotation_is_on_the_cloud_tenant_that_is_waited_for() {
    let tenant: CloudTenant = serde_saphyr::from_str(&read("integrations/flux/reconcile.yaml")).unwrap();
    assert!(tenant.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(REQUESTED_AT)));
    let waited = &kustomizations()["health-checks"]["spec"]["healthChecks"][0];
    for (part, of_ours) in [("name", &tenant.metadata.name), ("namespace", &tenant.metadata.namespace)] {
        assert_eq!(waited[part].as_str(), of_ours.as_deref(), "{part}");
    }
}
