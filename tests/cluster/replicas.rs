//! Several replicas: one leads, and another one as soon as that one does not.
//!
//! They run with rights in one namespace alone, as with `rbac.scope: namespaces`.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use k8s_openapi::api::{coordination::v1::Lease, rbac::v1::RoleBinding};
use kube::{Api, api::DeleteParams, config::Kubeconfig};
use serde_json::json;
use testkit::{
    control_plane::wait,
    eventually::{eventually, until},
    operator::{Account, Operator},
};
use tokio::time::sleep;

use crate::{
    account::{grant, grant_also, role},
    lab::{LATER, Lab, PROGRAM, SOON, reason, shared},
    link::Link,
};

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
    let before = eventually("the writes are counted", SOON, async || {
        let before = written(&lab.operator);
        sleep(Duration::from_secs(1)).await;
        let after = written(&lab.operator);
        if before == after && after >= 1.0 { Ok(after) } else { Err(format!("{before}, then {after}")) }
    });
    let before = before.await.unwrap();
    signal("-STOP", &lab.operator);
    lab.cloud.kill_engine("engine-1.lab");
    lab.cloud.advance(Duration::from_secs(150));
    replicas.until_leader("second", SOON).await;
    let lab = &replicas.lab;
    lab.until("shop", "shows the engine", LATER, |tenant| reason(tenant, "Ready") == Some("EnginesDown")).await;
    // Everything that it has to do is due now.
    lab.cloud.restart_engine("engine-1.lab");
    signal("-CONT", &lab.operator);
    until("it leads no more", SOON, || !leads(&lab.operator), || lab.operator.log()).await.unwrap();
    assert_eq!(written(&lab.operator), before);
    replicas.lab.operator = second;
    replicas.lab.poke_until("shop", "Ready", "Healthy", 3).await;
    assert_eq!(replicas.lab.told("shop").await, ["EngineDown", "EngineRecovered"]);
}

#[tokio::test]
async fn a_leader_that_is_cut_off_stops_before_its_lease_ends() {
    let mut replicas = Replicas::start("cut").await;
    let (through, link) = Link::to(&replicas.kubeconfig().await).await;
    let second = replica(&through, &replicas.lab.namespace, "second").await;
    second.until_ready().await.unwrap();
    let first = std::mem::replace(&mut replicas.lab.operator, second);
    first.terminate().await.unwrap();
    replicas.until_leader("second", SOON).await;
    let lab = &replicas.lab;
    lab.apply("shop", &json!({})).await;
    lab.until_ready("shop").await;

    let third = replicas.replica("third").await;
    link.freeze_all(true);
    let began = Instant::now();
    lab.cloud.kill_engine("engine-1.lab");
    lab.cloud.advance(Duration::from_secs(150));
    let stops = || {
        let leads_still = leads(&lab.operator);
        assert!(!leads_still || !leads(&third), "two lead");
        !leads_still
    };
    until("it leads no more", SOON, stops, || lab.operator.log()).await.unwrap();
    let stopped = began.elapsed();
    replicas.until_leader("third", SOON).await;
    println!(
        "stopped {:.1} s after it was cut off, another one led after {:.1} s",
        stopped.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    let lab = &replicas.lab;
    lab.until("shop", "shows the engine", LATER, |tenant| reason(tenant, "Ready") == Some("EnginesDown")).await;
    link.freeze_all(false);
    // It is a candidate like any other again.
    let (status, _) = third.terminate().await.unwrap();
    assert!(status.success());
    replicas.until_leader("second", SOON).await;
    replicas.lab.cloud.restart_engine("engine-1.lab");
    replicas.lab.poke_until("shop", "Ready", "Healthy", 3).await;
    assert_eq!(replicas.lab.told("shop").await, ["EngineDown", "EngineRecovered"]);
}

/// Waits until the metric says so of this namespace.
async fn until_watched(operator: &Operator, namespace: &str, watched: f64) {
    let began = Instant::now();
    let label = format!("watched_namespace=\"{namespace}\"");
    let is_shown = || operator.get("/metrics").unwrap().1.contains(&label);
    while !is_shown() || operator.metric("cloudtenant_namespace_watched", &[&label]).unwrap() != watched {
        assert!(began.elapsed() < LATER, "{namespace} is not {watched}:\n{}", operator.log());
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_namespace_that_is_lost_costs_the_others_nothing_and_is_taken_up_again() {
    let control_plane = shared().await;
    let one = control_plane.namespace("granted").await.unwrap();
    let two = control_plane.namespace("lost").await.unwrap();
    grant(control_plane, &one).await;
    let kubeconfig = control_plane.kubeconfig_for_service_account(&one, "operator").await.unwrap();
    let operator = replica(&kubeconfig, &format!("{one},{two}"), "only").await;
    let mut lab = Lab::around(control_plane, one.clone(), operator).await;
    for namespace in [&two, &one] {
        lab.namespace.clone_from(namespace);
        lab.apply_secret(&lab.cloud.clouds_yaml("openstack")).await;
        lab.apply("shop", &json!({})).await;
    }
    lab.until_ready("shop").await;
    lab.poke("shop").await;
    let series_of_all = |operator: &Operator| (series(operator), operator.metric("cloudtenant_synced", &[]).unwrap());
    until_watched(&lab.operator, &two, 0.0).await;
    until_watched(&lab.operator, &one, 1.0).await;
    lab.operator.until_ready().await.unwrap();
    assert_eq!(series_of_all(&lab.operator), (1.0, 1.0));
    assert!(lab.operator.log().contains(&format!("namespace {two}")), "the log names it");

    // Its Role comes, goes while the watch is open, and comes back.
    for name in ["first", "again"] {
        grant_also(control_plane, &one, &two).await;
        until_watched(&lab.operator, &two, 1.0).await;
        lab.namespace.clone_from(&two);
        lab.apply(name, &json!({})).await;
        lab.until_ready(name).await;
        let bindings: Api<RoleBinding> = Api::namespaced(lab.client.clone(), &two);
        bindings.delete("other", &DeleteParams::default()).await.unwrap();
        until_watched(&lab.operator, &two, 0.0).await;
        lab.operator.until_ready().await.unwrap();
        lab.namespace.clone_from(&one);
        lab.poke("shop").await;
        assert_eq!(series_of_all(&lab.operator), (1.0, 1.0), "{name}");
    }
    // A new Pod is not held up.
    let next = replica(&kubeconfig, &format!("{one},{two}"), "next").await;
    next.until_ready().await.unwrap();
    let (status, _) = lab.operator.terminate().await.unwrap();
    assert!(status.success(), "{status}");
}

/// A Pod that could list no CloudTenants at all must not take the place of one that works.
#[tokio::test]
async fn a_standby_that_may_list_nothing_is_not_ready() {
    let replicas = Replicas::start("could-not").await;
    let Lab { control_plane, namespace, .. } = &replicas.lab;
    let other = control_plane.namespace("could-not-other").await.unwrap();
    let kubeconfig = replicas.kubeconfig().await;
    let environment = [
        ("WATCH_NAMESPACE", other.as_str()),
        ("POD_NAMESPACE", namespace),
        ("POD_NAME", "second"),
        ("LEADER_ELECTION", "true"),
    ];
    let second = Operator::start_with(&kubeconfig, Path::new(PROGRAM), &environment).await.unwrap();
    let named = format!("the CloudTenants of namespace {other} cannot be listed: ");
    until_page(&second, "names the namespace", |status, text| status == 503 && text.contains(&named)).await;
    grant_also(control_plane, namespace, &other).await;
    second.until_ready().await.unwrap();
    assert!(leads(&replicas.lab.operator) && !leads(&second));
}

async fn until_page(operator: &Operator, what: &str, condition: impl Fn(u16, &str) -> bool) {
    let ask = async || {
        let (status, text) = operator.get("/readyz").unwrap();
        if condition(status, &text) { Ok(()) } else { Err(format!("{status} {text}")) }
    };
    eventually(what, 2 * LATER, ask).await.unwrap();
}

/// A leader that learns of no change any more says so, and shows nothing of what it knew.
#[tokio::test]
async fn a_leader_that_may_not_watch_any_more_is_not_ready() {
    let control_plane = shared().await;
    let namespace = control_plane.namespace("unwatched").await.unwrap();
    grant(control_plane, &namespace).await;
    let kubeconfig = control_plane.kubeconfig_for_service_account(&namespace, "operator").await.unwrap();
    let (through, link) = Link::to(&kubeconfig).await;
    let operator = replica(&through, &namespace, "only").await;
    let lab = Lab::around(control_plane, namespace.clone(), operator).await;
    lab.apply_secret(&lab.cloud.clouds_yaml("openstack")).await;
    lab.apply("shop", &json!({})).await;
    lab.until_ready("shop").await;
    let synced = || lab.operator.metric("cloudtenant_synced", &[]).unwrap();
    assert_eq!((series(&lab.operator), synced()), (1.0, 1.0));

    let less = role(&namespace).replace("[get, list, watch]", "[get]");
    control_plane.apply_yaml(Some(&namespace), &less).await.unwrap();
    // A watch that is open already goes on, and the API server learns of a Role by a watch of its own.
    let refused = eventually("the watch is refused", LATER, async || {
        let log = lab.operator.log();
        // Before 1.34 the list comes first.
        if log.contains("cannot watch resource") || log.contains("cannot list resource") {
            return Ok(());
        }
        link.close();
        sleep(Duration::from_secs(1)).await;
        Err(lab.operator.log())
    });
    refused.await.unwrap();
    let named = format!("the CloudTenants of namespace {namespace} cannot be watched any more");
    until_page(&lab.operator, "names the namespace", |status, text| status == 503 && text.contains(&named)).await;
    assert_eq!((leads(&lab.operator), synced()), (true, 0.0));
    let shown = || lab.operator.get("/metrics").unwrap().1;
    until("it does not show what may have changed", SOON, || series(&lab.operator) == 0.0, shown).await.unwrap();
    grant(control_plane, &namespace).await;
    until_page(&lab.operator, "watches again", |status, _| status == 200).await;
    lab.apply("another", &json!({})).await;
    lab.until_ready("another").await;
    assert_eq!((series(&lab.operator), synced()), (2.0, 1.0));
}

/// One of three API servers loses its power: what is open to it is dead, and nobody says so.
#[tokio::test]
async fn a_dead_connection_does_not_cost_the_lead() {
    let control_plane = shared().await;
    let namespace = control_plane.namespace("half-dead").await.unwrap();
    grant(control_plane, &namespace).await;
    let kubeconfig = control_plane.kubeconfig_for_service_account(&namespace, "operator").await.unwrap();
    let (through, link) = Link::to(&kubeconfig).await;
    let operator = replica(&through, &namespace, "only").await;
    operator.until_ready().await.unwrap();
    let lab = Lab::around(control_plane, namespace, operator).await;
    lab.apply_secret(&lab.cloud.clouds_yaml("openstack")).await;
    let leases: Api<Lease> = Api::namespaced(lab.client.clone(), &lab.namespace);
    let renewed = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref()).map(|at| at.0);
    for _ in 0..3 {
        // Between two renewals.
        sleep(Duration::from_secs(1)).await;
        link.freeze_what_is_open();
        let frozen = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1);
        let after = |lease: &Lease| renewed(lease).is_some_and(|at| at > frozen);
        wait::until(leases.clone(), "cloudtenant-operator", "is renewed", SOON, after).await.unwrap();
    }
    // The watch on CloudTenants is dead, too.
    lab.apply("shop", &json!({})).await;
    lab.until("shop", "is looked at", LATER, |tenant| reason(tenant, "Ready") == Some("Healthy")).await;
    assert!(leads(&lab.operator));
    assert!(!lab.operator.log().contains("leading no more"), "{}", lab.operator.log());
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
    grant_also(control_plane, one, two).await;
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
