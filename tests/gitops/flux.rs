//! Flux: the examples are what its CRD takes. Their expressions are judged with every status, by Flux' own library.

use std::{fs, path::Path};

use testkit::control_plane::{ControlPlane, Output};
use tokio::sync::OnceCell;

use crate::verdict::{EXPRESSIONS, path, read};

/// The API server with Flux' CRD of Kustomizations.
async fn control_plane() -> &'static ControlPlane {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let control_plane = ControlPlane::shared().await.unwrap();
    let install = async || {
        control_plane.apply_crds(&read("testkit/fixtures/flux/kustomizations.yaml")).await.unwrap();
        let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: flux-system}}";
        control_plane.apply_yaml(None, namespace).await.unwrap();
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

#[tokio::test]
async fn what_flux_does_not_know_is_refused() {
    let right = read(EXPRESSIONS);
    for (from, to, message) in [
        ("  wait: true", "  await: true", "await"),
        ("    failed: >-", "    broken: >-", "broken"),
        ("    current: >-", "    inPast: >-", "inPast"),
        ("interval: 10m", "interval: often", "interval"),
        ("    kind: GitRepository", "    kind: Folder", "sourceRef.kind"),
    ] {
        assert!(right.contains(from), "{from}");
        let output = dry_run(&right.replacen(from, to, 1)).await;
        assert!(!output.status.success() && output.stderr.contains(message), "{to}: {}", output.stderr);
    }
}
