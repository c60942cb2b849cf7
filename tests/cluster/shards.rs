//! Several shards: each CloudTenant is served by one process at any time, also when processes end, return, or are
//! replaced by those of another number of shards.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use cloudtenant_operator::{api::CloudTenant, shard::Shard};
use futures::future::join_all;
use jiff::Timestamp;
use kube::{ResourceExt as _, config::Kubeconfig};
use serde_json::{Value, json};
use testkit::{eventually::until, operator::Operator};

use crate::{
    account::ROLE,
    lab::{LATER, Lab, PROGRAM, SOON, handled, reason, shared},
};

/// The Lease, and two seconds.
const TAKEOVER: Duration = Duration::from_secs(17);

struct Shards {
    lab: Lab<'static>,
    kubeconfig: Kubeconfig,
    /// The names of the tenants by their shard of two.
    tenants: [Vec<String>; 2],
    /// The logs of processes that have ended.
    ended: Vec<(&'static str, String)>,
}

/// Starts a process of a shard.
async fn process(kubeconfig: &Kubeconfig, namespace: &str, name: &str, shard: &str) -> Operator {
    let environment = [
        ("WATCH_NAMESPACE", namespace),
        ("POD_NAMESPACE", namespace),
        ("POD_NAME", name),
        ("LEADER_ELECTION", "true"),
        ("SHARD", shard),
        ("LOG_LEVEL", "info,cloudtenant_operator=debug"),
    ];
    let operator = Operator::start_with(kubeconfig, Path::new(PROGRAM), &environment).await.unwrap();
    operator.until_ready().await.unwrap();
    operator
}

impl Shards {
    /// A process without shards, which serves tenants of both shards of two.
    async fn start() -> Self {
        let control_plane = shared().await;
        let namespace = control_plane.namespace("shards").await.unwrap();
        let leases = ["0/1", "0/2", "0/3"].map(|shard| shard.parse::<Shard>().unwrap());
        let leases = leases.iter().flat_map(|shard| shard.lease_names("cloudtenant-operator"));
        let leases = leases.collect::<Vec<_>>().join(", ");
        let role = ROLE.replace("[cloudtenant-operator]", &format!("[{leases}]"));
        control_plane.apply_yaml(Some(&namespace), &role).await.unwrap();
        let kubeconfig = control_plane.kubeconfig_for_service_account(&namespace, "operator").await.unwrap();
        let only = process(&kubeconfig, &namespace, "only", "0/1").await;
        let lab = Lab::around(control_plane, namespace, only).await;
        lab.apply_secret(&lab.cloud.clouds_yaml("openstack")).await;
        let mut tenants = [vec![], vec![]];
        // The API server chooses the UIDs.
        for number in 0..60 {
            if tenants.iter().all(|some: &Vec<String>| some.len() > 1) {
                break;
            }
            let name = format!("tenant-{number}");
            let tenant = lab.apply(&name, &json!({ "projectID": format!("project-{name}") })).await;
            let uid = tenant.uid().unwrap();
            let shard = (0..2).find(|index| Shard::new(*index, 2).unwrap().owns(&uid)).unwrap();
            tenants[shard as usize].push(name);
        }
        let shards = Self { lab, kubeconfig, tenants, ended: Vec::new() };
        join_all(shards.names().map(|name| shards.lab.until_ready(name))).await;
        shards
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.tenants.iter().flatten()
    }

    async fn process(&self, name: &str, shard: &str) -> Operator {
        process(&self.kubeconfig, &self.lab.namespace, name, shard).await
    }

    /// Requests a pass over these tenants, and waits until all have had one.
    async fn poke(&self, names: &[String], timeout: Duration) {
        let mut wanted = Vec::new();
        for name in names {
            wanted.push((name, self.lab.request(name).await));
        }
        let began = Instant::now();
        for (name, wanted) in wanted {
            let left = timeout.saturating_sub(began.elapsed());
            self.lab.until(name, "has handled requestedAt", left, |tenant| handled(tenant) == Some(&wanted)).await;
        }
    }

    /// The processes that had passes over each tenant, one after the other.
    fn owners(&self, running: &[(&'static str, &Operator)]) -> BTreeMap<String, Vec<&'static str>> {
        let running = running.iter().map(|(name, operator)| (*name, operator.log()));
        let mut passes = Vec::new();
        for (process, log) in self.ended.iter().cloned().chain(running) {
            for line in log.lines().filter(|line| line.contains(r#""message":"pass""#)) {
                let at: Value = serde_json::from_str(line).unwrap();
                let at: Timestamp = at["timestamp"].as_str().unwrap().parse().unwrap();
                let of = |name: &&String| line.contains(&format!(r#""name":"{name}""#));
                let tenant = self.names().find(of).unwrap_or_else(|| panic!("{line}"));
                passes.push((at, process, tenant.clone()));
            }
        }
        passes.sort();
        let mut owners: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (_, process, tenant) in passes {
            owners.entry(tenant).or_default().push(process);
        }
        owners.values_mut().for_each(Vec::dedup);
        owners
    }
}

/// Ends a process. Returns its log.
async fn terminated(operator: Operator) -> String {
    let pid = operator.pid().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let has_stopped = || operator.log().contains(r#""message":"stopped""#);
    until("it has stopped", SOON, has_stopped, || operator.log()).await.unwrap();
    operator.log()
}

/// The tenants that the process has series of.
fn shown(operator: &Operator) -> BTreeSet<String> {
    let (_, text) = operator.get("/metrics").unwrap();
    let series = text.lines().filter(|line| line.starts_with("cloudtenant_info{"));
    series.map(|line| line.split(",name=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()).collect()
}

/// Waits until a process serves these shards and no others, and has their list.
async fn until_serves(operator: &Operator, shards: [f64; 2], within: Duration) {
    let serves = || {
        ["0", "1"].iter().zip(shards).all(|(shard, wanted)| {
            let label = format!("shard=\"{shard}\"");
            operator.metric("cloudtenant_shard_synced", &[&label]).unwrap() == wanted
        })
    };
    until(&format!("it serves {shards:?}"), within, serves, || operator.log()).await.unwrap();
}

fn set<'a>(names: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
    names.into_iter().cloned().collect()
}

#[tokio::test]
async fn each_tenant_is_served_by_one_process_at_any_time() {
    let mut shards = Shards::start().await;
    let [of_first, of_second] = shards.tenants.clone();

    // The number of shards becomes 2: its processes are ready, and wait for the one without shards.
    let (first, second) = tokio::join!(shards.process("first", "0/2"), shards.process("second", "1/2"));
    for operator in [&first, &second] {
        assert_eq!((operator.metric("cloudtenant_leader", &[]).unwrap(), shown(operator).len()), (0.0, 0));
    }
    let only = std::mem::replace(&mut shards.lab.operator, first);
    shards.ended.push(("only", terminated(only).await));
    let first = &shards.lab.operator;
    until_serves(first, [1.0, 0.0], Duration::from_secs(8)).await;
    until_serves(&second, [0.0, 1.0], Duration::from_secs(8)).await;
    assert_eq!((shown(first), shown(&second)), (set(&of_first), set(&of_second)));
    shards.poke(&[&of_first[..], &of_second].concat(), SOON).await;

    // A process is killed. An outage begins while nobody serves its tenants.
    let lab = &shards.lab;
    let killed = Command::new("kill").args(["-KILL", &second.pid().to_string()]).status().unwrap();
    assert!(killed.success());
    let began = Instant::now();
    lab.cloud.kill_engine("engine-1.lab");
    lab.cloud.advance(Duration::from_secs(150));
    let shows_the_outage = |tenant: &CloudTenant| reason(tenant, "Ready") == Some("EnginesDown");
    let left = TAKEOVER.saturating_sub(began.elapsed());
    join_all(of_second.iter().map(|name| lab.until(name, "shows the outage", left, shows_the_outage))).await;
    println!("the other process served the tenants {:.1} s after the kill", began.elapsed().as_secs_f64());
    assert!(began.elapsed() < TAKEOVER, "the Lease and two seconds: {:?}", began.elapsed());
    until_serves(&lab.operator, [1.0, 1.0], SOON).await;
    assert_eq!(shown(&lab.operator), set(shards.names()));
    join_all(shards.names().map(|name| lab.poke_until(name, "Ready", "EnginesDown", 3))).await;
    shards.ended.push(("second", second.log()));
    drop(second);

    // A process of its shard returns. One of another number of shards waits.
    let again = shards.process("again", "1/2").await;
    let three = shards.process("three", "0/3").await;
    until_serves(&again, [0.0, 1.0], SOON).await;
    let lab = &shards.lab;
    until_serves(&lab.operator, [1.0, 0.0], SOON).await;
    assert_eq!((shown(&lab.operator), shown(&again)), (set(&of_first), set(&of_second)));
    lab.cloud.restart_engine("engine-1.lab");
    join_all(shards.names().map(|name| lab.poke_until(name, "Ready", "Healthy", 3))).await;
    assert_eq!((three.metric("cloudtenant_leader", &[]).unwrap(), shown(&three).len()), (0.0, 0));

    // The number of shards becomes 3, with one process for all of them.
    let first = std::mem::replace(&mut shards.lab.operator, three);
    let (first, again) = tokio::join!(terminated(first), terminated(again));
    shards.ended.extend([("first", first), ("again", again)]);
    until_serves(&shards.lab.operator, [1.0, 1.0], SOON).await;
    let all: Vec<_> = shards.names().cloned().collect();
    shards.poke(&all, LATER).await;
    assert_eq!(shown(&shards.lab.operator), set(&all));

    let owners = shards.owners(&[("three", &shards.lab.operator)]);
    for (names, expected) in
        [(&of_first, &["only", "first", "three"][..]), (&of_second, &["only", "second", "first", "again", "three"])]
    {
        for name in names {
            assert_eq!(owners[name], expected, "{name}");
            assert_eq!(shards.lab.told(name).await, ["EngineDown", "EngineRecovered"], "{name}");
        }
    }
}
