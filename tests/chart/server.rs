//! A real API server takes what the chart makes, and lets the operator do what it needs and no more.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use cloudtenant_operator::api::crd_yaml;
use serde_json::Value;
use testkit::control_plane::{ControlPlane, Output};
use tokio::{sync::OnceCell, time};

use crate::{
    can_i,
    helm::{NAMESPACE, cases, objects, read, render, render_case, root},
};

/// The definition of CloudTenantSets.
pub const SETS_CRD: &str = "crds/sets/cloudtenantsets.cloudtenant.dev.yaml";

/// The namespaces that the cases name, and the definitions of what others define.
pub async fn prepared() -> &'static ControlPlane {
    static PREPARED: OnceCell<()> = OnceCell::const_new();
    let control_plane = ControlPlane::shared().await.unwrap();
    PREPARED
        .get_or_init(async || {
            control_plane.apply_crds(&crd_yaml().unwrap()).await.unwrap();
            control_plane.apply_crds(&read(SETS_CRD)).await.unwrap();
            control_plane.apply_crds(&read("tests/chart/monitoring-crds.yaml")).await.unwrap();
            // It asks for the pod security that the operator keeps.
            control_plane.apply_yaml(None, &read("deploy/namespace.yaml")).await.unwrap();
            for name in ["web", "archive", "elsewhere"] {
                control_plane.kubectl(&["create", "namespace", name]).await.unwrap();
            }
        })
        .await;
    control_plane
}

/// What `kubectl apply` would do, judged by the server: schemas, admission, pod security.
async fn dry_run(control_plane: &ControlPlane, yaml: &str) -> Output {
    let args = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--output=name", "--filename=-"];
    control_plane.kubectl_stdin(&args, yaml).await.unwrap()
}

#[tokio::test]
async fn the_api_server_takes_all_that_is_rendered() {
    let control_plane = prepared().await;
    for (name, path) in cases() {
        let rendered = render_case(&path);
        let output = dry_run(control_plane, &rendered).await;
        assert!(output.status.success(), "{name}: {}", output.stderr);
        // A Deployment that pod security would stop is taken with a warning.
        assert!(!output.stderr.contains("Warning"), "{name}: {}", output.stderr);
        assert_eq!(output.stdout.lines().count(), objects(&rendered).len(), "{name}: {}", output.stdout);
    }
}

#[tokio::test]
async fn the_api_server_refuses_what_is_wrong() {
    let control_plane = prepared().await;
    let everything = render_case(&cases()["everything"]);
    for (right, wrong, message) in [
        ("containerPort: 8080", "containerPort: 808000", "must be between 1 and 65535"),
        ("readOnlyRootFilesystem: true", "readOnlyRoot: true", "field not declared in schema"),
        ("honorLabels: true", "honourLabels: true", "field not declared in schema"),
        ("unhealthyPodEvictionPolicy: AlwaysAllow", "unhealthyPodEvictionPolicy: Sometimes", "AlwaysAllow"),
        ("cidr: \"198.51.100.0/24\"", "cidr: \"198.51.100.0/99\"", "cidr"),
        ("alert: CloudTenant", "alarm: CloudTenant", "field not declared in schema"),
    ] {
        assert!(everything.contains(right), "{right}");
        let output = dry_run(control_plane, &everything.replace(right, wrong)).await;
        assert!(!output.status.success(), "{wrong} is taken");
        assert!(output.stderr.contains(message), "{wrong}: {}", output.stderr);
    }
    let unsafe_pod = everything.replace("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true");
    let output = dry_run(control_plane, &unsafe_pod).await;
    assert!(output.stderr.contains("violate PodSecurity"), "{}", output.stderr);
}

#[tokio::test]
async fn the_api_server_takes_what_kustomize_makes() {
    let control_plane = prepared().await;
    for directory in ["deploy", "deploy/tenant-sets/objects"] {
        let directory = root().join(directory);
        let args = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--output=name", "--kustomize"];
        let output = control_plane.kubectl(&[&args[..], &[directory.to_str().unwrap()]].concat()).await.unwrap();
        assert!(output.status.success(), "{}", output.stderr);
        assert!(!output.stderr.contains("Warning"), "{}", output.stderr);
        assert!(output.stdout.contains("/cloudtenant-operator"), "{}", output.stdout);
    }
}

#[tokio::test]
async fn the_examples_on_artifact_hub_are_taken() {
    let control_plane = prepared().await;
    let chart: Value = serde_saphyr::from_str(&read("charts/cloudtenant-operator/Chart.yaml")).unwrap();
    let annotation = |name: &str| -> Value {
        serde_saphyr::from_str(chart["annotations"][format!("artifacthub.io/{name}")].as_str().unwrap()).unwrap()
    };
    for name in ["links", "images", "crds", "changes"] {
        assert!(annotation(name).as_array().is_some_and(|list| !list.is_empty()), "{name}");
    }
    let examples = annotation("crdsExamples");
    for example in examples.as_array().unwrap() {
        let output = dry_run(control_plane, &example.to_string()).await;
        assert!(output.status.success(), "{}", output.stderr);
    }
    assert_eq!(examples[0], objects(&read("examples/cloudtenant.yaml"))[0]);
}

/// Wherever the one stands who reads it.
#[tokio::test]
async fn the_api_servers_addresses_are_found_by_the_command_that_is_named() {
    let control_plane = prepared().await;
    let refused = render("networkPolicy: { enabled: true }").unwrap_err();
    let command = refused.split('`').nth(1).unwrap();
    for page in ["docs/installation.md", "charts/cloudtenant-operator/README.md"] {
        assert!(read(page).contains(command), "{page}: {command}");
    }
    // Every API server makes it, but the tests' own, which has only a loopback address.
    let slice =
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: kubernetes, namespace: default},
        addressType: IPv4, endpoints: [{addresses: [192.0.2.7]}]}";
    control_plane.apply_yaml(None, slice).await.unwrap();
    let words = command.split(' ').skip(1);
    let output =
        control_plane.kubectl(&["--namespace=web"].into_iter().chain(words).collect::<Vec<_>>()).await.unwrap();
    assert!(output.status.success() && output.stdout.contains("192.0.2.7"), "{}{}", output.stdout, output.stderr);
}

/// Whether a release's account may do something: `VERB RESOURCE[/NAME] in NAMESPACE`.
async fn may(control_plane: &ControlPlane, release: &str, what: &str) -> bool {
    let (right, namespace) = what.split_once(" in ").unwrap();
    let (verb, resource) = right.split_once(' ').unwrap();
    let account = format!("--as=system:serviceaccount:{NAMESPACE}:{release}");
    let mut args = vec!["auth", "can-i", verb, resource, &account, "--namespace", namespace];
    let status = "--subresource=status";
    if verb == "patch" {
        args.push(status);
    }
    let output = control_plane.kubectl(&args).await.unwrap();
    match output.stdout.trim() {
        "yes" => true,
        "no" => false,
        _ => panic!("{what}: {}", output.stderr),
    }
}

/// The API server learns of a new role after a moment.
async fn until_may(control_plane: &ControlPlane, release: &str, what: &str) {
    let started = Instant::now();
    while !may(control_plane, release, what).await {
        assert!(started.elapsed() < Duration::from_secs(30), "{release} may not {what}");
        time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn rbac_lets_the_operator_do_what_it_needs_and_no_more() {
    let everywhere = [
        "list cloudtenants.cloudtenant.dev in elsewhere",
        "get secrets in elsewhere",
        "patch cloudtenants.cloudtenant.dev in web",
        "create events.events.k8s.io in web",
    ];
    let lease = [
        "create leases.coordination.k8s.io in cloudtenant-system",
        "update leases.coordination.k8s.io/RELEASE in cloudtenant-system",
        "watch leases.coordination.k8s.io/RELEASE in cloudtenant-system",
    ];
    let in_web =
        ["get secrets in web", "watch cloudtenants.cloudtenant.dev in web", "create events.events.k8s.io in web"];
    let watching = ["list secrets in web", "watch secrets in archive"];
    let never = [
        "list secrets in elsewhere",
        "update cloudtenants.cloudtenant.dev in web",
        "delete cloudtenants.cloudtenant.dev in web",
        "update secrets in web",
        "list leases.coordination.k8s.io in cloudtenant-system",
        "update leases.coordination.k8s.io/other in cloudtenant-system",
        "get leases.coordination.k8s.io/RELEASE in web",
        "get pods in cloudtenant-system",
    ];
    let namespaces =
        "{ crds: { enabled: false }, rbac: { scope: namespaces, namespaces: [web, archive] }, secrets: { watch: true }";
    let control_plane = prepared().await;
    for (release, values, may_do, may_not) in [
        (
            "wide",
            "{ crds: { enabled: false }, fullnameOverride: wide }".to_owned(),
            [&everywhere[..], &lease, &in_web].concat(),
            [&never[..], &watching].concat(),
        ),
        (
            "narrow",
            format!("{namespaces}, fullnameOverride: narrow }}"),
            [&lease[..], &in_web, &watching].concat(),
            [&never[..], &everywhere[..2]].concat(),
        ),
    ] {
        control_plane.apply_yaml(None, &render(&values).unwrap()).await.unwrap();
        for what in may_do {
            until_may(control_plane, release, &what.replace("RELEASE", release)).await;
        }
        for what in may_not {
            assert!(!may(control_plane, release, &what.replace("RELEASE", release)).await, "{release} may {what}");
        }
    }
}

/// All that the account of a release may do in a namespace.
async fn listed(control_plane: &ControlPlane, release: &str, namespace: &str) -> String {
    let account = format!("--as=system:serviceaccount:{NAMESPACE}:{release}");
    let args = ["auth", "can-i", "--list", &account, "--namespace", namespace];
    let output = control_plane.kubectl(&args).await.unwrap();
    assert!(output.status.success(), "{}", output.stderr);
    output.stdout
}

/// What the operator needs where it looks at CloudTenants and CloudTenantSets. kubectl lists all verbs of a resource together.
fn tenants_and_sets() -> BTreeSet<String> {
    let mut rights = can_i::tenants(false);
    assert!(rights.remove("cloudtenants.cloudtenant.dev [] [get list watch]"));
    let more = [
        "cloudtenants.cloudtenant.dev [] [get list watch create patch delete]",
        "cloudtenantsets.cloudtenant.dev [] [get list watch]",
        "cloudtenantsets.cloudtenant.dev/status [] [patch]",
        "cloudtenantsets.cloudtenant.dev/finalizers [] [update]",
    ];
    rights.extend(more.map(str::to_owned));
    rights
}

#[tokio::test]
async fn kubectl_lists_what_the_operator_needs_and_nothing_else() {
    let control_plane = prepared().await;
    let named = "scope: namespaces, namespaces: [web, archive]";
    for (release, scope, watch, sets) in [
        ("listed", "scope: cluster", false, false),
        ("listed-watch", "scope: cluster", true, false),
        ("listed-named", named, false, false),
        ("listed-named-watch", named, true, false),
        ("listed-sets", "scope: cluster", false, true),
        ("listed-named-sets", named, false, true),
    ] {
        let values = format!(
            "{{ crds: {{ enabled: false }}, fullnameOverride: {release}, rbac: {{ {scope} }}, \
             secrets: {{ watch: {watch} }}, tenantSets: {{ enabled: {sets}, admissionPolicy: false }} }}"
        );
        control_plane.apply_yaml(None, &render(&values).unwrap()).await.unwrap();
        let everywhere = !scope.contains("namespaces");
        for (namespace, looks, leads) in [
            ("web", true, false),
            ("archive", true, false),
            ("elsewhere", everywhere, false),
            (NAMESPACE, everywhere, true),
        ] {
            let mut needed = BTreeSet::new();
            let rights = if sets { tenants_and_sets() } else { can_i::tenants(watch) };
            needed.extend(looks.then_some(rights).into_iter().flatten());
            needed.extend(leads.then(|| can_i::lease(release)).into_iter().flatten());
            let started = Instant::now();
            // The API server learns of a new role after a moment.
            while let Err(error) = can_i::judge(&listed(control_plane, release, namespace).await, &needed) {
                assert!(started.elapsed() < Duration::from_secs(30), "{release} in {namespace}: {error}");
                time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    // One right more, and one less.
    let table = listed(control_plane, "listed-named-watch", "web").await;
    assert!(
        can_i::judge(&table, &can_i::tenants(false))
            .unwrap_err()
            .contains("too many {\"secrets [] [get list watch]\"}")
    );
    let table = listed(control_plane, "listed-named", "elsewhere").await;
    assert!(can_i::judge(&table, &can_i::lease("listed")).unwrap_err().contains("too few {\"leases"));
}
