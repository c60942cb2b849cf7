//! Helm installs, upgrades and uninstalls the chart, as docs/installation.md says.

use cloudtenant_operator::api::crd_yaml;
use testkit::control_plane::ControlPlane;
use tokio::task;

use crate::{
    helm::{chart, helm, objects, read},
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
    let deployments = ["deployment/watcher-cloudtenant-operator", "deployment/watcher-cloudtenant-operator-1"];
    run(control_plane, "upgrade", &[chart, "--set", "shards=2"]).await.unwrap();
    assert_eq!(
        [exists(control_plane, deployments[0]).await, exists(control_plane, deployments[1]).await],
        [false, true]
    );
    run(control_plane, "upgrade", &[chart, "--set", "rbac.scope=namespaces,rbac.namespaces={web}"]).await.unwrap();
    assert_eq!(
        [exists(control_plane, deployments[0]).await, exists(control_plane, deployments[1]).await],
        [true, false]
    );
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

/// What an operator says that finds an older definition. Tests run where Cargo.toml is, as people do in a clone.
const UPGRADE: &str = "kubectl apply --server-side --force-conflicts -f crds/cloudtenants.cloudtenant.dev.yaml";

#[tokio::test]
async fn an_older_definition_is_upgraded_by_the_command_that_the_pages_name() {
    assert!(read("docs/installation.md").contains(&format!("`{UPGRADE}`")));
    assert!(cloudtenant_operator::cluster::schema::SchemaError::Lacks(String::new()).to_string().contains(UPGRADE));
    let control_plane = ControlPlane::start().await.unwrap();
    let mut older = objects(&crd_yaml().unwrap()).remove(0);
    let version = &mut older["spec"]["versions"][0];
    let spec = &mut version["schema"]["openAPIV3Schema"]["properties"]["spec"];
    spec["properties"].as_object_mut().unwrap().remove("suspend").unwrap();
    spec["description"] = "As it was.".into();
    // Helm made it, and still has its fields.
    let args = ["apply", "--server-side", "--field-manager=helm", "--filename=-"];
    let output = control_plane.kubectl_stdin(&args, &older.to_string()).await.unwrap();
    assert!(output.status.success(), "{}", output.stderr);

    let words: Vec<_> = UPGRADE.split(' ').skip(1).collect();
    let without: Vec<_> = words.iter().copied().filter(|word| *word != "--force-conflicts").collect();
    let output = control_plane.kubectl(&without).await.unwrap();
    assert!(!output.status.success() && output.stderr.contains("conflict"), "{}", output.stderr);
    let output = control_plane.kubectl(&words).await.unwrap();
    assert!(output.status.success(), "{}", output.stderr);
    let args = ["get", "customresourcedefinition", "cloudtenants.cloudtenant.dev", "--output=json"];
    let served = objects(&control_plane.kubectl(&args).await.unwrap().stdout).remove(0);
    let wanted = objects(&crd_yaml().unwrap()).remove(0);
    for part in ["description", "properties/suspend"] {
        let part = format!("/spec/versions/0/schema/openAPIV3Schema/properties/spec/{part}");
        let field = served.pointer(&part);
        assert!(field.is_some() && field == wanted.pointer(&part), "{part}: {field:?}");
    }
}
