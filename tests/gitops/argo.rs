//! Argo CD: upstream's tests of a resource customization, and the ConfigMap that has the same scripts.

use std::{fs, path::Path, process::Command};

use cloudtenant_operator::api::{CloudTenant, set::CloudTenantSet};
use testkit::{control_plane::ControlPlane, tools::gitops};

use crate::{
    sets::ARGO as ARGO_OF_SETS,
    verdict::{ARGO, path, read},
};

const CONFIG_MAP: &str = "integrations/argocd/argocd-cm.yaml";
const CONFIG_MAP_OF_SETS: &str = "integrations/argocd/argocd-cm-tenant-sets.yaml";

/// What the program prints, or why it fails.
fn run(args: &[&Path]) -> Result<String, String> {
    let output = Command::new(gitops().unwrap()).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn health_and_actions() {
    for scripts in [ARGO, ARGO_OF_SETS] {
        assert_eq!(run(&[Path::new("argo"), &path(scripts)]), Ok("18".to_owned()), "{scripts}");
    }
}

#[test]
fn the_config_map_has_the_same_scripts() {
    for (file, scripts) in [(CONFIG_MAP, ARGO), (CONFIG_MAP_OF_SETS, ARGO_OF_SETS)] {
        assert_eq!(run(&[Path::new("configmap"), &path(file), &path(scripts)]), Ok(String::new()), "{file}");
    }
}

/// One change at a time, and what then fails.
#[test]
fn wrong_scripts_fail() {
    for (file, from, to, fails) in [
        ("health.lua", "spec.suspend == true", "spec.suspend == 1", "testdata/suspended.yaml"),
        ("health.lua", "status.observedGeneration ~= generation", "false", "testdata/generation-ahead.yaml"),
        ("health.lua", "\"Stalled\"", "\"Installed\"", "testdata/stalled.yaml"),
        ("health.lua", "at > limit", "at < limit", "testdata/stale.yaml"),
        ("health.lua", "condition.status ~= \"Unknown\"", "true", "testdata/unknown.yaml"),
        ("actions/discovery.lua", "not suspended", "suspended", "discovery/testdata/initial.yaml"),
        ("actions/discovery.lua", "resume", "wake", "discovery/testdata/resumed.yaml"),
        ("actions/reconcile/action.lua", "!%Y", "at %Y", "reconcile/testdata/initial.yaml"),
        ("actions/reconcile/action.lua", "local os = require(\"os\")", "os.exit(0)", "reconcile/testdata/initial.yaml"),
        ("actions/suspend/action.lua", "true", "\"true\"", "suspend/testdata/initial.yaml"),
        ("actions/resume/action.lua", "return obj", "", "resume/testdata/suspended.yaml"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let copied = directory.path().join("cloudtenant.dev/CloudTenant");
        copy(&path(ARGO), &copied);
        let script = fs::read_to_string(copied.join(file)).unwrap();
        assert!(script.contains(from), "{file}: {from}");
        fs::write(copied.join(file), script.replace(from, to)).unwrap();
        let error = run(&[Path::new("argo"), &copied]).unwrap_err();
        assert!(error.contains(fails), "{file}, {to}: {error}");
        let error = run(&[Path::new("configmap"), &path(CONFIG_MAP), &copied]).unwrap_err();
        assert!(error.contains(file), "{error}");
    }
}

/// A field that does not exist in an example would say nothing.
#[test]
fn the_test_data_are_objects_of_their_kind() {
    for folder in ["testdata", "actions/testdata"] {
        for entry in fs::read_dir(path(ARGO).join(folder)).unwrap() {
            let file = entry.unwrap().path();
            let tenant: CloudTenant = serde_saphyr::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
            assert!(tenant.status.is_some(), "{}", file.display());
        }
        for entry in fs::read_dir(path(ARGO_OF_SETS).join(folder)).unwrap() {
            let file = entry.unwrap().path();
            let set: CloudTenantSet = serde_saphyr::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
            assert!(set.status.is_some(), "{}", file.display());
        }
    }
}

#[tokio::test]
async fn the_config_map_is_accepted() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let namespace = control_plane.namespace("argocd").await.unwrap();
    for file in [CONFIG_MAP, CONFIG_MAP_OF_SETS] {
        control_plane.apply_yaml(Some(&namespace), &read(file)).await.unwrap();
    }
}
