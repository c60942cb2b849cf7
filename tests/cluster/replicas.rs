//! Several replicas: one leads, and another one as soon as that one does not.
//!
//! They run with rights in one namespace alone, as with `rbac.scope: namespaces`.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, config::Kubeconfig};
use serde_json::json;
use testkit::{
    control_plane::{ControlPlane, wait},
    operator::{Account, Operator},
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

use crate::lab::{LATER, Lab, PROGRAM, SOON, reason, shared};

/// The operator's account and its rights in one namespace.
const ROLE: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: operator}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: operator}
rules:
  - {apiGroups: [cloudtenant.dev], resources: [cloudtenants], verbs: [get, list, watch]}
  - {apiGroups: [cloudtenant.dev], resources: [cloudtenants/status], verbs: [patch]}
  - {apiGroups: [''], resources: [secrets], verbs: [get]}
  - {apiGroups: [events.k8s.io], resources: [events], verbs: [create]}
  - {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create]}
  - {apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [cloudtenant-operator], verbs: [get, update, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: operator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: operator}
subjects: [{kind: ServiceAccount, name: operator}]
";

struct Replicas {
    lab: Lab<'static>,
    leases: Api<Lease>,
}

impl Replicas {
    /// A namespace and its account, and the first replica, which leads.
    async fn start(name: &str) -> Self {
        let control_plane = shared().await;
        let namespace = control_plane.namespace(name).await.unwrap();
        grant(control_plane, &namespace).await;
        let kubeconfig = control_plane.kubeconfig_for_service_account(&namespace, "operator").await.unwrap();
        let operator = replica(&kubeconfig, &namespace, "first").await;
        let lab = Lab::around(control_plane, namespace, operator).await;
        let leases = Api::namespaced(lab.client.clone(), &lab.namespace);
        lab.apply_secret(&lab.cloud.clouds_yaml("openstack")).await;
        let replicas = Self { lab, leases };
        replicas.until_leader("first", SOON).await;
        replicas
    }

    async fn kubeconfig(&self) -> Kubeconfig {
        let Lab { control_plane, namespace, .. } = &self.lab;
        control_plane.kubeconfig_for_service_account(namespace, "operator").await.unwrap()
    }

    async fn replica(&self, name: &str) -> Operator {
        let replica = replica(&self.kubeconfig().await, &self.lab.namespace, name).await;
        replica.until_ready().await.unwrap();
        replica
    }

    /// Waits until the Lease names this replica.
    async fn until_leader(&self, name: &str, within: Duration) {
        let description = format!("is held by {name}");
        let held = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()) == Some(name);
        wait::until(self.leases.clone(), "cloudtenant-operator", &description, within, held).await.unwrap();
    }
}

async fn grant(control_plane: &ControlPlane, namespace: &str) {
    let role = ROLE.replace("{name: operator}", &format!("{{name: operator, namespace: {namespace}}}"));
    let role = role.replace("name: operator}]", &format!("name: operator, namespace: {namespace}}}]"));
    control_plane.apply_yaml(Some(namespace), &role).await.unwrap();
}

async fn replica(kubeconfig: &Kubeconfig, namespaces: &str, name: &str) -> Operator {
    let own = namespaces.split(',').next().unwrap();
    let environment = [
        ("WATCH_NAMESPACE", namespaces),
        ("POD_NAMESPACE", own),
        ("POD_NAME", name),
        ("LEADER_ELECTION", "true"),
        ("LOG_LEVEL", "info,cloudtenant_operator=debug"),
        // It is for clouds. Nobody listens there.
        ("HTTPS_PROXY", "http://127.0.0.1:9"),
    ];
    Operator::start_with(kubeconfig, Path::new(PROGRAM), &environment).await.unwrap()
}

fn leads(operator: &Operator) -> bool {
    operator.metric("cloudtenant_leader", &[]).unwrap() == 1.0
}

fn series(operator: &Operator) -> f64 {
    operator.metric("cloudtenant_info", &[]).unwrap()
}

#[tokio::test]
async fn a_leader_that_ends_hands_over_at_once_and_nothing_is_told_twice() {
    let mut replicas = Replicas::start("replicas").await;
    let lab = &replicas.lab;
    lab.apply("shop", &json!({})).await;
    lab.until_ready("shop").await;
    let second = replicas.replica("second").await;
    assert!(leads(&lab.operator) && !leads(&second));
    assert_eq!((series(&lab.operator), series(&second)), (1.0, 0.0), "series are the leader's alone");

    lab.cloud.kill_engine("engine-1.lab");
    lab.cloud.advance(Duration::from_secs(150));
    lab.poke_until("shop", "Ready", "EnginesDown", 3).await;
    let first = std::mem::replace(&mut replicas.lab.operator, second);
    let (status, _) = first.terminate().await.unwrap();
    assert!(status.success(), "{status}");
    // Well below the Lease's 15 s: it was released, and the other one watches it.
    replicas.until_leader("second", Duration::from_secs(5)).await;

    let lab = &replicas.lab;
    lab.cloud.restart_engine("engine-1.lab");
    lab.poke_until("shop", "Ready", "Healthy", 3).await;
    assert_eq!(series(&lab.operator), 1.0);
    assert_eq!(lab.told("shop").await, ["EngineDown", "EngineRecovered"]);
}

#[tokio::test]
async fn a_leader_that_is_killed_is_replaced_when_its_lease_ends() {
    let mut replicas = Replicas::start("killed").await;
    let second = replicas.replica("second").await;
    replicas.lab.apply("shop", &json!({})).await;
    replicas.lab.until_ready("shop").await;
    let first = std::mem::replace(&mut replicas.lab.operator, second);
    let killed = Command::new("kill").args(["-KILL", &first.pid().to_string()]).status().unwrap();
    assert!(killed.success());
    let began = Instant::now();
    replicas.until_leader("second", SOON).await;
    let took = began.elapsed();
    println!("another one led {:.1} s after the leader was killed", took.as_secs_f64());
    assert!(took < Duration::from_secs(17), "the Lease and two seconds: {took:?}");
    replicas.lab.poke("shop").await;
    assert_eq!(replicas.lab.told("shop").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_leader_that_was_frozen_writes_nothing_when_it_goes_on() {
    let mut replicas = Replicas::start("frozen").await;
    let second = replicas.replica("second").await;
    let lab = &replicas.lab;
    lab.apply("shop", &json!({})).await;
    lab.until_ready("shop").await;
    let signal = |name: &str, operator: &Operator| {
        let sent = Command::new("kill").args([name, &operator.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    };
    let written =
        |operator: &Operator| operator.metric("cloudtenant_status_writes_total", &["outcome=\"ok\""]).unwrap();
    // A write is counted a moment after we have seen it.
    let mut before = -1.0;
    while written(&lab.operator) != before || before < 1.0 {
        before = written(&lab.operator);
        sleep(Duration::from_secs(1)).await;
    }
    signal("-STOP", &lab.operator);
    lab.cloud.kill_engine("engine-1.lab");
    lab.cloud.advance(Duration::from_secs(150));
    replicas.until_leader("second", SOON).await;
    let lab = &replicas.lab;
    lab.until("shop", "shows the engine", LATER, |tenant| reason(tenant, "Ready") == Some("EnginesDown")).await;
    // Everything that it has to do is due now.
    lab.cloud.restart_engine("engine-1.lab");
    signal("-CONT", &lab.operator);
    let began = Instant::now();
    while leads(&lab.operator) {
        assert!(began.elapsed() < SOON, "it still leads");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(written(&lab.operator), before);
    replicas.lab.operator = second;
    replicas.lab.poke_until("shop", "Ready", "Healthy", 3).await;
    assert_eq!(replicas.lab.told("shop").await, ["EngineDown", "EngineRecovered"]);
}

/// A way to the API server that can be cut: nothing comes through, and no connection is closed.
async fn severable(kubeconfig: &Kubeconfig) -> (Kubeconfig, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut through = kubeconfig.clone();
    let cluster = through.clusters[0].cluster.as_mut().unwrap();
    let server = cluster.server.replace(format!("https://{}", listener.local_addr().unwrap())).unwrap();
    let server = server.strip_prefix("https://").unwrap().trim_end_matches('/').to_owned();
    let cut = Arc::new(AtomicBool::new(false));
    let is_cut = cut.clone();
    tokio::spawn(async move {
        while let Ok((inside, _)) = listener.accept().await {
            let outside = TcpStream::connect(&server).await.unwrap();
            let ((from_inside, to_inside), (from_outside, to_outside)) = (inside.into_split(), outside.into_split());
            tokio::spawn(pass_on(from_inside, to_outside, is_cut.clone()));
            tokio::spawn(pass_on(from_outside, to_inside, is_cut.clone()));
        }
    });
    (through, cut)
}

async fn pass_on(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    cut: Arc<AtomicBool>,
) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        while cut.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(50)).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_leader_that_is_cut_off_stops_before_its_lease_ends() {
    let mut replicas = Replicas::start("cut").await;
    let (through, cut) = severable(&replicas.kubeconfig().await).await;
    let second = replica(&through, &replicas.lab.namespace, "second").await;
    second.until_ready().await.unwrap();
    let first = std::mem::replace(&mut replicas.lab.operator, second);
    first.terminate().await.unwrap();
    replicas.until_leader("second", SOON).await;
    let lab = &replicas.lab;
    lab.apply("shop", &json!({})).await;
    lab.until_ready("shop").await;

    let third = replicas.replica("third").await;
    cut.store(true, Ordering::SeqCst);
    let began = Instant::now();
    lab.cloud.kill_engine("engine-1.lab");
    lab.cloud.advance(Duration::from_secs(150));
    while leads(&lab.operator) {
        assert!(!leads(&third), "two lead");
        assert!(began.elapsed() < SOON, "it does not stop");
        sleep(Duration::from_millis(20)).await;
    }
    let stopped = began.elapsed();
    replicas.until_leader("third", SOON).await;
    println!(
        "stopped {:.1} s after it was cut off, another one led after {:.1} s",
        stopped.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    let lab = &replicas.lab;
    lab.until("shop", "shows the engine", LATER, |tenant| reason(tenant, "Ready") == Some("EnginesDown")).await;
    cut.store(false, Ordering::SeqCst);
    // It is a candidate like any other again.
    let (status, _) = third.terminate().await.unwrap();
    assert!(status.success());
    replicas.until_leader("second", SOON).await;
    replicas.lab.cloud.restart_engine("engine-1.lab");
    replicas.lab.poke_until("shop", "Ready", "Healthy", 3).await;
    assert_eq!(replicas.lab.told("shop").await, ["EngineDown", "EngineRecovered"]);
}

#[tokio::test]
async fn a_namespace_that_cannot_be_listed_hides_no_other_and_is_named() {
    let control_plane = shared().await;
    let one = control_plane.namespace("granted").await.unwrap();
    let two = control_plane.namespace("forbidden").await.unwrap();
    grant(control_plane, &one).await;
    let kubeconfig = control_plane.kubeconfig_for_service_account(&one, "operator").await.unwrap();
    let operator = replica(&kubeconfig, &format!("{one},{two}"), "only").await;
    let lab = Lab::around(control_plane, one, operator).await;
    lab.apply_secret(&lab.cloud.clouds_yaml("openstack")).await;
    lab.apply("shop", &json!({})).await;
    lab.until_ready("shop").await;
    lab.poke("shop").await;
    assert_eq!(series(&lab.operator), 1.0);
    assert_eq!(lab.operator.metric("cloudtenant_synced", &[]).unwrap(), 0.0);
    let (status, text) = lab.operator.get("/readyz").unwrap();
    assert!(
        status == 503 && text.contains(&format!("the CloudTenants of namespace {two} have not been listed")),
        "{text}"
    );
}

#[tokio::test]
async fn a_list_of_namespaces_is_looked_after_and_no_other() {
    let control_plane = shared().await;
    let mut namespaces = Vec::new();
    for name in ["one", "two", "three"] {
        namespaces.push(control_plane.namespace(name).await.unwrap());
    }
    let [one, two, three] = &namespaces[..] else { panic!("three") };
    grant(control_plane, one).await;
    let account = Account { namespace: one, name: "operator" };
    // The second namespace grants the first one's account the same.
    let role =
        ROLE.split("---").nth(1).unwrap().replace("{name: operator}", &format!("{{name: operator, namespace: {two}}}"));
    let binding = ROLE.split("---").nth(2).unwrap();
    let binding = binding.replace("{name: operator}", &format!("{{name: operator, namespace: {two}}}"));
    let binding = binding.replace("name: operator}]", &format!("name: operator, namespace: {one}}}]"));
    control_plane.apply_yaml(Some(two), &format!("{role}---\n{binding}")).await.unwrap();
    let kubeconfig = control_plane.kubeconfig_for_service_account(account.namespace, account.name).await.unwrap();
    let operator = replica(&kubeconfig, &format!("{one},{two}"), "only").await;
    operator.until_ready().await.unwrap();
    let mut lab = Lab::around(control_plane, three.clone(), operator).await;
    for namespace in [three, one, two] {
        lab.namespace.clone_from(namespace);
        lab.apply_secret(&lab.cloud.clouds_yaml("openstack")).await;
        lab.apply("shop", &json!({})).await;
    }
    for namespace in [one, two] {
        lab.namespace.clone_from(namespace);
        lab.until_ready("shop").await;
        // Each has a way of its own to be woken.
        lab.poke("shop").await;
    }
    assert_eq!(series(&lab.operator), 2.0);
    lab.namespace.clone_from(three);
    let never = lab.get("shop").await.status.unwrap();
    assert_eq!((never.observed_generation, never.conditions.len()), (Some(-1), 0), "nobody has visited it");
}
