//! A namespace with an account of its own, a cloud, and an operator with a healthy CloudTenant.

use std::{fs, path::Path, process::Command, time::Duration};

use cloudtenant_operator::api::CloudTenant;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, config::Kubeconfig};
use serde_json::json;
use testkit::{cloud::Service, control_plane::wait, eventually::until, gateway::Gateway, operator::Operator};

use crate::{
    account::grant,
    lab::{LATER, Lab, PROGRAM, SOON, shared},
};

/// The CloudTenant's name.
pub const SHOP: &str = "shop";
const ENGINE: &str = "engine-1.lab";

/// What a process uses.
#[derive(Debug)]
struct Usage {
    memory: u64,
    descriptors: usize,
}

impl Usage {
    fn of(operator: &Operator) -> Self {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", operator.pid())).unwrap().count();
        Self { memory: operator.memory().unwrap(), descriptors }
    }

    fn is_near(&self, before: &Self) -> bool {
        self.memory <= before.memory + before.memory / 2 && self.descriptors <= before.descriptors + 8
    }
}

pub struct Stage<'a> {
    pub lab: Lab<'a>,
    pub kubeconfig: Kubeconfig,
    before: Usage,
}

/// More variables of an operator in this namespace.
pub type More<'a> = &'a [(&'a str, &'a str)];

/// One of the replicas, if there are several.
pub const ELECTED: More<'static> = &[("LEADER_ELECTION", "true")];

pub async fn operator(kubeconfig: &Kubeconfig, namespace: &str, more: More<'_>) -> Operator {
    let own = [
        ("WATCH_NAMESPACE", namespace),
        ("POD_NAMESPACE", namespace),
        ("POD_NAME", "only"),
        ("LOG_LEVEL", "info,cloudtenant_operator=debug"),
    ];
    let environment: Vec<_> = own.into_iter().chain(more.iter().copied()).collect();
    Operator::start_with(kubeconfig, Path::new(PROGRAM), &environment).await.unwrap()
}

/// A namespace and its account `operator` in the shared control plane.
pub async fn account(name: &str) -> (String, Kubeconfig) {
    let control_plane = shared().await;
    let namespace = control_plane.namespace(name).await.unwrap();
    grant(control_plane, &namespace).await;
    let kubeconfig = control_plane.kubeconfig_for_service_account(&namespace, "operator").await.unwrap();
    (namespace, kubeconfig)
}

pub fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

impl Stage<'static> {
    pub async fn start(name: &str, more: More<'_>) -> Self {
        let (namespace, kubeconfig) = account(name).await;
        let operator = operator(&kubeconfig, &namespace, more).await;
        Self::set(Lab::around(shared().await, namespace, operator).await, kubeconfig).await
    }

    /// With a gateway between the operator and the API server.
    pub async fn behind_gateway(name: &str) -> (Self, Gateway) {
        let (namespace, kubeconfig) = account(name).await;
        let control_plane = shared().await;
        let gateway = Gateway::to(control_plane, &namespace, "operator").await.unwrap();
        let operator = operator(gateway.kubeconfig(), &namespace, &[]).await;
        (Self::set(Lab::around(control_plane, namespace, operator).await, kubeconfig).await, gateway)
    }
}

impl<'a> Stage<'a> {
    pub async fn set(lab: Lab<'a>, kubeconfig: Kubeconfig) -> Self {
        let clouds = lab.cloud.clouds_yaml("openstack");
        Self::set_with(lab, kubeconfig, &clouds).await
    }

    pub async fn set_with(lab: Lab<'a>, kubeconfig: Kubeconfig, clouds: &str) -> Self {
        lab.apply_secret(clouds).await;
        lab.apply(SHOP, &json!({})).await;
        lab.until_ready(SHOP).await;
        let before = Usage::of(&lab.operator);
        Self { lab, kubeconfig, before }
    }

    pub fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.lab.client.clone(), &self.lab.namespace)
    }

    /// Waits until the Lease names this holder.
    pub async fn until_holder(&self, name: &str, within: Duration) {
        let held = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()) == Some(name);
        let description = format!("is held by {name}");
        wait::until(self.leases(), "cloudtenant-operator", &description, within, held).await.unwrap();
    }

    pub fn leads(&self) -> bool {
        self.lab.operator.metric("cloudtenant_leader", &[]).unwrap() == 1.0
    }

    /// An engine stops to report. The next list shows it.
    pub fn lose_engine(&self) {
        self.lab.cloud.kill_engine(ENGINE);
        self.lab.cloud.advance(Duration::from_secs(150));
    }

    pub async fn until_down(&self) -> CloudTenant {
        self.lab.until_reason(SHOP, "Ready", "EnginesDown").await
    }

    /// A pass begins because its interval is over.
    pub async fn until_next_pass(&self) {
        let asked = self.lab.cloud.count(Service::Dcs);
        self.lab.cloud.until_count(Service::Dcs, asked + 1, LATER).await.unwrap();
    }

    pub fn written(&self, outcome: &str) -> f64 {
        let label = format!("outcome=\"{outcome}\"");
        self.lab.operator.metric("cloudtenant_status_writes_total", &[&label]).unwrap()
    }

    /// The engine reports again, and after that: these events and no others, each once; the process works as before, and
    /// has about the memory and the connections that it had at first, or after it was replaced.
    pub async fn heals(&self, events: &[&str]) {
        self.lab.cloud.restart_engine(ENGINE);
        self.lab.until_ready(SHOP).await;
        self.until_next_pass().await;
        self.lab.poke(SHOP).await;
        assert_eq!(self.lab.told(SHOP).await, events);
        self.lab.operator.until_ready().await.unwrap();
        let now = || Usage::of(&self.lab.operator);
        let shown = || format!("{:?} before, {:?} now", self.before, now());
        until("memory and connections are as before", SOON, || now().is_near(&self.before), shown).await.unwrap();
    }

    /// Another process takes the place of the one that was killed.
    pub async fn replace(&mut self) {
        self.lab.operator = operator(&self.kubeconfig, &self.lab.namespace, &[]).await;
    }
}
