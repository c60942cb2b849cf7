//! The control plane is real, and it leaves nothing behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PodTemplate, Secret, ServiceAccount};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams},
};
use testkit::{
    assets::Assets,
    control_plane::{Component, ControlPlane, wait},
};
use tokio::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(10);

const READER: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules:
  - {apiGroups: [''], resources: [configmaps], verbs: [list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects:
  - {kind: User, apiGroup: rbac.authorization.k8s.io, name: 'system:serviceaccount:NAMESPACE:reader'}
";

fn config_map(name: &str, value: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..Default::default() },
        data: Some(BTreeMap::from([("key".to_owned(), value.to_owned())])),
        ..Default::default()
    }
}

fn value(config_map: &ConfigMap) -> Option<&str> {
    config_map.data.as_ref()?.get("key").map(String::as_str)
}

fn code(error: kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("not an answer of the API server: {other}"),
    }
}

#[tokio::test]
async fn every_test_has_a_namespace_of_its_own() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let first = control_plane.namespace("same").await.unwrap();
    let second = control_plane.namespace("same").await.unwrap();
    assert_ne!(first, second);
    let namespaces = Api::<Namespace>::all(control_plane.client().await.unwrap());
    namespaces.get(&first).await.unwrap();
    namespaces.get(&second).await.unwrap();
}

#[tokio::test]
async fn a_service_account_has_only_the_rights_it_was_given() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let namespace = control_plane.namespace("rbac").await.unwrap();
    let reader = READER.replace("NAMESPACE", &namespace);
    control_plane.apply_yaml(Some(&namespace), &reader).await.unwrap();

    let client = control_plane.client_for_service_account(&namespace, "reader").await.unwrap();
    let config_maps = Api::<ConfigMap>::namespaced(client.clone(), &namespace);
    eventually_allowed(&config_maps).await;
    let secrets = Api::<Secret>::namespaced(client.clone(), &namespace);
    let denied = secrets.list(&ListParams::default()).await.unwrap_err();
    assert_eq!(code(denied), 403);
    let elsewhere = Api::<ConfigMap>::namespaced(client, "default");
    let denied = elsewhere.list(&ListParams::default()).await.unwrap_err();
    assert_eq!(code(denied), 403);
}

/// The API server's authorizer learns of a new Role by a watch of its own.
async fn eventually_allowed(config_maps: &Api<ConfigMap>) {
    let list = async {
        while let Err(error) = config_maps.list(&ListParams::default()).await {
            assert_eq!(code(error), 403);
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, list).await.unwrap();
}

#[tokio::test]
async fn a_kubeconfig_for_a_service_account_names_its_namespace() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let namespace = control_plane.namespace("kubeconfig").await.unwrap();
    let client = control_plane.client().await.unwrap();
    let account = ServiceAccount {
        metadata: ObjectMeta { name: Some("operator".to_owned()), ..Default::default() },
        ..Default::default()
    };
    Api::namespaced(client, &namespace).create(&PostParams::default(), &account).await.unwrap();
    let config = control_plane.service_account_config(&namespace, "operator").await.unwrap();
    assert_eq!(config.default_namespace, namespace);

    let missing = control_plane.kubeconfig_for_service_account(&namespace, "missing").await.unwrap_err();
    assert!(format!("{missing:#}").contains("missing"), "{missing:#}");
}

#[tokio::test]
async fn metrics_count_requests() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let namespace = control_plane.namespace("metrics").await.unwrap();
    let client = control_plane.client().await.unwrap();
    // A resource that no other test touches: the counts are those of the whole API server.
    let template = "
apiVersion: v1
kind: PodTemplate
metadata: {name: counted}
template: {spec: {containers: [{name: main, image: none}]}}
";
    let writes = async |verb| {
        let metrics = control_plane.metrics().await.unwrap();
        metrics.requests("podtemplates", "", verb)
    };
    let before = (writes("APPLY").await, writes("DELETE").await);
    for _ in 0..2 {
        control_plane.apply_yaml(Some(&namespace), template).await.unwrap();
    }
    Api::<PodTemplate>::namespaced(client, &namespace).delete("counted", &DeleteParams::default()).await.unwrap();
    assert_eq!(writes("APPLY").await, before.0 + 2);
    assert_eq!(writes("DELETE").await, before.1 + 1);
}

#[tokio::test]
async fn apply_fails_with_the_api_servers_message() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let yaml = "
apiVersion: v1
kind: ConfigMap
metadata: {name: Not_A_Name}
";
    let error = control_plane.apply_yaml(Some("default"), yaml).await.unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("RFC 1123"), "{error}");
}

#[tokio::test]
async fn waits_for_an_object_to_come_to_change_and_to_go() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let namespace = control_plane.namespace("wait").await.unwrap();
    let client = control_plane.client().await.unwrap();
    let config_maps = Api::<ConfigMap>::namespaced(client, &namespace);

    let changes = async {
        let create = PostParams::default();
        let created = config_maps.create(&create, &config_map("it", "old")).await;
        let mut changed = created.unwrap();
        changed.data = config_map("it", "new").data;
        config_maps.replace("it", &create, &changed).await.unwrap();
    };
    let is_new = wait::until(config_maps.clone(), "it", "is new", SOON, |it| value(it) == Some("new"));
    let (seen, ()) = tokio::join!(is_new, changes);
    assert_eq!(seen.unwrap().name_any(), "it");

    let error =
        wait::until(config_maps.clone(), "it", "is newer", Duration::from_millis(300), |it| value(it) == Some("newer"));
    let error = error.await.unwrap_err().to_string();
    assert!(error.contains("is newer"), "{error}");
    assert!(error.contains(r#""key": "new""#), "{error}");

    let delete = DeleteParams::default();
    let gone = wait::until_gone(config_maps.clone(), "it", SOON);
    let (gone, deleted) = tokio::join!(gone, config_maps.delete("it", &delete));
    deleted.unwrap();
    gone.unwrap();
}

#[tokio::test]
async fn a_stopped_control_plane_leaves_nothing_behind() {
    let control_plane = ControlPlane::start().await.unwrap();
    let pids = pids(&control_plane);
    let directory = control_plane.directory().to_owned();
    assert!(pids.iter().all(is_running));
    control_plane.stop();
    assert!(!pids.iter().any(is_running));
    assert!(!directory.exists());
}

/// Set for the process that `a_killed_process_leaves_nothing_behind` kills.
const VICTIM: &str = "TESTKIT_TEST_VICTIM";
const READY: &str = "ready:";

#[tokio::test]
async fn a_killed_process_leaves_nothing_behind() {
    if env::var_os(VICTIM).is_some() {
        let control_plane = ControlPlane::shared().await.unwrap();
        let [etcd, api_server] = pids(control_plane);
        let directory = control_plane.directory().display();
        println!("\n{READY}{etcd} {api_server} {directory}");
        std::future::pending::<()>().await;
    }
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_killed_process_leaves_nothing_behind", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let ready = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .find_map(|line| line.unwrap().strip_prefix(READY).map(str::to_owned))
        .expect("the victim starts a control plane");
    let [etcd, api_server, directory] = ready.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{ready}");
    };
    assert!(is_running(etcd) && is_running(api_server));

    victim.kill().unwrap();
    victim.wait().unwrap();
    let killed = Instant::now();
    while is_running(etcd) || is_running(api_server) || Path::new(directory).exists() {
        assert!(killed.elapsed() < SOON, "left behind: {ready}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn names_the_binaries_that_are_missing() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("etcd"), "").unwrap();
    let error = Assets::in_directory(directory.path()).unwrap_err();
    let error = error.to_string();
    assert!(error.ends_with("lacks kube-apiserver, kubectl"), "{error}");
}

fn pids(control_plane: &ControlPlane) -> [String; 2] {
    [Component::Etcd, Component::ApiServer].map(|component| control_plane.pid(component).unwrap().to_string())
}

fn is_running(pid: impl AsRef<str>) -> bool {
    Command::new("kill").args(["-0", pid.as_ref()]).stderr(Stdio::null()).status().unwrap().success()
}
