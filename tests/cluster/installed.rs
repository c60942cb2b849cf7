//! How it is installed: an older CRD, the right to watch Secrets, what `verify` says, and what is measured.

use std::{path::Path, process::Command};

use cloudtenant_operator::api::crd_yaml;
use serde_json::{Value, json};
use testkit::{
    control_plane::ControlPlane,
    eventually::{eventually, until},
    operator::{Operator, Right},
};

use crate::lab::{ACCOUNT, LATER, Lab, PROGRAM, SOON, reason, shared};

#[tokio::test]
async fn it_does_not_work_with_a_crd_that_lacks_a_field() {
    let control_plane = ControlPlane::start().await.unwrap();
    let mut older: Value = serde_saphyr::from_str(&crd_yaml().unwrap()).unwrap();
    let schema = &mut older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    schema["status"]["properties"].as_object_mut().unwrap().remove("usage").unwrap();
    schema["spec"]["properties"].as_object_mut().unwrap().remove("suspend").unwrap();
    let printed = &mut older["spec"]["versions"][0]["additionalPrinterColumns"];
    *printed = json!([]);
    let rbac = crate::lab::RBAC;
    control_plane.install(&older.to_string(), rbac, ACCOUNT, crate::lab::LAST_RIGHT).await.unwrap();
    let operator = Operator::start(&control_plane, Path::new(PROGRAM), ACCOUNT, &[]).await.unwrap();
    let lacks = until_page(&operator, 503, "lacks spec.suspend, status.usage").await;
    assert!(lacks.contains("--force-conflicts -f crds/cloudtenants.cloudtenant.dev.yaml"), "{lacks}");
    assert_eq!(operator.get("/healthz").unwrap().0, 200, "a restart would not help");
    assert_eq!(operator.metric("cloudtenant_leader", &[]).unwrap(), 0.0);
    control_plane.apply_crds(&crd_yaml().unwrap()).await.unwrap();
    until_page(&operator, 200, "ok").await;
}

#[tokio::test]
async fn it_waits_for_the_crd() {
    let control_plane = ControlPlane::start().await.unwrap();
    let namespace = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {}}}}}", ACCOUNT.namespace);
    control_plane.apply_yaml(None, &namespace).await.unwrap();
    control_plane.apply_yaml(None, crate::lab::RBAC).await.unwrap();
    let operator = Operator::start(&control_plane, Path::new(PROGRAM), ACCOUNT, &[]).await.unwrap();
    until_page(&operator, 503, "does not serve CloudTenants: install the CRD").await;
    control_plane.apply_crds(&crd_yaml().unwrap()).await.unwrap();
    until_page(&operator, 200, "ok").await;
}

/// Waits for this answer of `/readyz`, and returns its text.
async fn until_page(operator: &Operator, status: u16, part: &str) -> String {
    let ask = async || {
        let (found, text) = operator.get("/readyz").unwrap();
        if found == status && text.contains(part) { Ok(text) } else { Err(format!("{found} {text}")) }
    };
    eventually(&format!("/readyz: {status} {part}"), LATER, ask).await.unwrap()
}

/// What `secrets.watch` of the chart grants on top.
fn watching(namespace: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "List", "items": [
            {
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                "metadata": { "name": "secrets", "namespace": namespace },
                "rules": [{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["list", "watch"] }],
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": { "name": "secrets", "namespace": namespace },
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "secrets" },
                "subjects": [{ "kind": "ServiceAccount", "name": ACCOUNT.name, "namespace": ACCOUNT.namespace }],
            },
        ],
    })
    .to_string()
}

#[tokio::test]
async fn a_secret_that_is_watched_acts_at_once() {
    let mut lab = Lab::start("watched").await;
    lab.control_plane.apply_yaml(Some(&lab.namespace), &watching(&lab.namespace)).await.unwrap();
    let environment = [("WATCH_NAMESPACE", &*lab.namespace), ("WATCH_SECRETS", "true"), ("LOG_LEVEL", "debug")];
    let watching = Operator::start(lab.control_plane, Path::new(PROGRAM), ACCOUNT, &environment).await.unwrap();
    let before = std::mem::replace(&mut lab.operator, watching);
    before.terminate().await.unwrap();
    // Nobody would look again within a day.
    let rarely = json!({ "interval": "24h", "probes": { "usage": { "interval": "24h" } } });
    lab.apply("shop", &rarely).await;
    lab.until_ready("shop").await;
    let good = lab.cloud.clouds_yaml("openstack");
    lab.apply_secret(&good.replace("password: ", "password: not-")).await;
    lab.until_reason("shop", "Ready", "AuthenticationFailed").await;
    lab.apply_secret(&good).await;
    lab.until("shop", "is well again", SOON, |tenant| reason(tenant, "Ready") == Some("Healthy")).await;
}

#[tokio::test]
async fn series_come_and_go_with_their_object() {
    let lab = Lab::start("series").await;
    for name in ["shop", "other"] {
        lab.apply(name, &json!({})).await;
        lab.until_ready(name).await;
    }
    // The watch may be behind ours.
    until_metric(
        &lab,
        "cloudtenant_status_condition",
        &["name=\"shop\"", "status=\"True\"", "reason=\"Healthy\""],
        1.0,
    )
    .await;
    for (name, labels, value) in [
        ("cloudtenant_leader", &[][..], 1.0),
        ("cloudtenant_info", &["cloud=\"127.0.0.1"], 2.0),
        ("cloudtenant_suspended", &[], 0.0),
        (
            "cloudtenant_status_condition",
            &["type=\"EnginesHealthy\"", "status=\"True\"", "reason=\"AllEnginesUp\""],
            2.0,
        ),
        ("cloudtenant_engines", &["state=\"up\"", "name=\"shop\""], 2.0),
        ("cloudtenant_engines", &["state=\"down\""], 0.0),
    ] {
        assert_eq!(lab.operator.metric(name, labels).unwrap(), value, "{name}{labels:?}");
    }
    let transition = "cloudtenant_status_condition_last_transition_timestamp_seconds";
    assert!(lab.operator.metric(transition, &["name=\"shop\"", "type=\"Ready\""]).unwrap() > 1.7e9);
    assert!(lab.operator.metric("cloudtenant_observed_timestamp_seconds", &["probe=\"usage\""]).unwrap() > 1.7e9);
    assert!(lab.operator.metric("process_resident_memory_bytes", &[]).unwrap() > 1e6);
    assert!(lab.operator.metric("process_start_time_seconds", &[]).unwrap() > 1.7e9);

    lab.tenants().delete("shop", &Default::default()).await.unwrap();
    until_metric(&lab, "cloudtenant_info", &[], 1.0).await;
    let (_, text) = lab.operator.get("/metrics").unwrap();
    assert!(!text.contains("name=\"shop\""), "{text}");
}

async fn until_metric(lab: &Lab<'_>, name: &str, labels: &[&str], value: f64) {
    let holds = || lab.operator.metric(name, labels).unwrap() == value;
    let shown = || lab.operator.get("/metrics").unwrap().1;
    until(&format!("{name}{labels:?} is {value}"), SOON, holds, shown).await.unwrap();
}

#[test]
fn who_would_share_a_lease_has_to_have_a_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kubeconfig");
    let nowhere = "{current-context: c, clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}], \
                   contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: {}}]}";
    std::fs::write(&file, nowhere).unwrap();
    for environment in [
        &[("LEADER_ELECTION", "true")][..],
        &[("LEADER_ELECTION", "1")],
        &[("LEADER_ELECTION", "yes"), ("POD_NAME", "")],
    ] {
        let mut command = Command::new(PROGRAM);
        let output = command.arg("run").env_clear().env("KUBECONFIG", &file).envs(environment.iter().copied()).output();
        let output = output.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(1) && said.contains("needs --instance (POD_NAME)"),
            "{environment:?}: {said}"
        );
    }
}

/// Each line: variables | exit status | what the program says.
#[test]
fn a_shard_that_does_not_exist_or_has_no_lease_is_refused_before_any_call() {
    for (environment, code, says) in [
        (&[("SHARD", "1/2")][..], 1, "--shard 1/2 (SHARD) needs --leader-election (LEADER_ELECTION)"),
        (&[("SHARD", "2/2"), ("LEADER_ELECTION", "true")], 64, "invalid value '2/2' for '--shard <SHARD>': the index"),
        (
            &[("SHARD", "0/65"), ("LEADER_ELECTION", "true")],
            64,
            "'--shard <SHARD>': the number of shards must be from 1 to 64",
        ),
        (&[("SHARD", "two"), ("LEADER_ELECTION", "true")], 64, "'--shard <SHARD>': a shard is written INDEX/NUMBER"),
    ] {
        for command in [&["run"][..], &["verify", "--url=http://127.0.0.1:9"]] {
            let output = Command::new(PROGRAM).args(command).env_clear().envs(environment.iter().copied()).output();
            let output = output.unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.code() == Some(code) && said.contains(says), "{command:?} {environment:?}: {said}");
        }
    }
}

#[tokio::test]
async fn verify_tells_a_right_that_is_missing_and_one_too_many() {
    let control_plane = shared().await;
    let lab = Lab::start("verify").await;
    lab.operator.until_ready().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kubeconfig");
    let kubeconfig = control_plane.kubeconfig_for_service_account(ACCOUNT.namespace, ACCOUNT.name).await.unwrap();
    std::fs::write(&file, serde_json::to_string(&kubeconfig).unwrap()).unwrap();
    let verify = |url: &str, environment: &[(&str, &str)]| {
        let mut command = Command::new(PROGRAM);
        command.args(["verify", "--url", url]).env_clear().env("KUBECONFIG", &file);
        let output = command.envs(environment.iter().copied()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let url = format!("http://{}", lab.operator.address());
    let (code, told) = verify(&url, &[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("may not list secrets in all namespaces, as it should be"), "{told}");
    let (code, told) = verify(&url, &[("WATCH_SECRETS", "true")]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("MAY NOT watch secrets in all namespaces, and has to"), "{told}");
    lab.control_plane.apply_yaml(Some(&lab.namespace), &watching(&lab.namespace)).await.unwrap();
    let right = Right { verb: "watch", group: "", resource: "secrets" };
    assert!(!control_plane.may(ACCOUNT, right).await.unwrap(), "only in that namespace");
    let (code, told) = verify(&url, &[("WATCH_NAMESPACE", &lab.namespace)]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains(&format!("MAY watch secrets in namespace {}, and should not", lab.namespace)), "{told}");
    let (code, told) = verify("http://127.0.0.1:9", &[]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("NOT READY: http://127.0.0.1:9/readyz"), "{told}");
}
