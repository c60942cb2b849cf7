//! Helm installs, upgrades and uninstalls the chart, as docs/installation.md says.

use testkit::control_plane::ControlPlane;
use tokio::task;

use crate::{
    helm::{chart, helm, read},
    server::prepared,
};

const RELEASE: &str = "watcher";
const NAMESPACE: &str = "lifecycle";

/// `helm COMMAND RELEASE …` as the administrator, in the release's namespace.
async fn run(control_plane: &ControlPlane, command: &str, args: &[&str]) -> Result<String, String> {
    let kubeconfig = control_plane.kubeconfig_path();
    let mut all: Vec<_> = [command, RELEASE].iter().chain(args).map(|arg| (*arg).to_owned()).collect();
    all.extend(["--namespace".to_owned(), NAMESPACE.to_owned()]);
    all.extend(["--kubeconfig".to_owned(), kubeconfig.to_str().unwrap().to_owned()]);
    task::spawn_blocking(move || helm(&all.iter().map(String::as_str).collect::<Vec<_>>(), "")).await.unwrap()
}

async fn exists(control_plane: &ControlPlane, what: &str) -> bool {
    let output = control_plane.kubectl(&["get", what, "--namespace", NAMESPACE, "--output=name"]).await.unwrap();
    assert!(output.status.success() || output.stderr.contains("NotFound"), "{}", output.stderr);
    output.status.success()
}

#[tokio::test]
async fn the_definition_and_its_objects_outlive_the_release() {
    const CRD: &str = "customresourcedefinition/cloudtenants.cloudtenant.dev";
    let control_plane = prepared().await;
    let chart = chart();
    let chart = chart.to_str().unwrap();

    // The definition is there, and another's.
    let refused = run(control_plane, "install", &[chart, "--create-namespace"]).await.unwrap_err();
    assert!(refused.contains("cloudtenants.cloudtenant.dev") && refused.contains("ownership"), "{refused}");
    let notes = run(control_plane, "install", &[chart, "--create-namespace", "--take-ownership"]).await.unwrap();
    for part in [
        "rollout status deployment/watcher-cloudtenant-operator",
        "helm --namespace lifecycle test watcher",
        "create secret generic openstack-credentials --from-file=clouds.yaml",
        "kind: CloudTenant",
        "get cloudtenants",
    ] {
        assert!(notes.contains(part), "{part:?} is not in\n{notes}");
    }

    control_plane.apply_yaml(Some(NAMESPACE), &read("examples/cloudtenant.yaml")).await.unwrap();
    run(control_plane, "upgrade", &[chart, "--set", "replicas=2,secrets.watch=true"]).await.unwrap();
    assert!(exists(control_plane, "poddisruptionbudget/watcher-cloudtenant-operator").await);
    run(control_plane, "upgrade", &[chart, "--set", "rbac.scope=namespaces,rbac.namespaces={web}"]).await.unwrap();
    assert!(!exists(control_plane, "poddisruptionbudget/watcher-cloudtenant-operator").await);
    assert!(!exists(control_plane, "clusterrolebinding/watcher-cloudtenant-operator").await);

    run(control_plane, "uninstall", &[]).await.unwrap();
    for gone in ["deployment", "service", "serviceaccount"] {
        assert!(!exists(control_plane, &format!("{gone}/watcher-cloudtenant-operator")).await, "{gone}");
    }
    assert!(!exists(control_plane, "role/watcher-cloudtenant-operator-leader-election").await);
    assert!(exists(control_plane, CRD).await);
    assert!(exists(control_plane, "cloudtenant/web-shop").await);
    // The same release takes it up again.
    run(control_plane, "install", &[chart]).await.unwrap();
}
