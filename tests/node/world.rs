//! What the scenes are played in.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use cloudtenant_operator::api::CloudTenant;
use k8s_openapi::api::{core::v1::Pod, events::v1::Event};
use kube::{Api, Client, ResourceExt as _, api::ListParams};
use serde_json::{Value, json};
use testkit::{control_plane::wait, eventually::eventually};

use crate::{
    calls::{Said, ask, call},
    machine, openstack,
};

pub const RELEASE: &str = "cloudtenant-operator";
pub const SYSTEM: &str = "cloudtenant-system";
/// The namespace of the tenant.
pub const SHOP: &str = "shop";
pub const TENANT: &str = "tenant";
/// Keystone has the name of a Service, which the operator has to look up in the cluster's DNS.
pub const KEYSTONE: &str = "keystone.openstack.svc.cluster.local";
/// The longest that Kubernetes may take for anything, on a busy machine.
pub const SOON: Duration = Duration::from_secs(90);
/// The longest until an engine's death is told: its last report gets too old, and two bad verdicts.
pub const TOLD: Duration = Duration::from_secs(120);

pub struct World {
    pub client: Client,
    /// What is printed at the end.
    pub figures: Vec<(String, String)>,
}

impl World {
    pub async fn new() -> Result<Self> {
        // As in the operator's own main: one provider for TLS in the process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::try_default().await.context("the node's kubeconfig")?;
        let mut world = Self { client, figures: Vec::new() };
        for line in env::var("NODE_IMAGE").unwrap_or_default().lines() {
            if let Some((what @ ("digest" | "size"), said)) = line.split_once(' ') {
                world.figure(&format!("image: {what}"), said.trim());
            }
        }
        Ok(world)
    }

    pub fn kubectl(&self, words: &[&str]) -> Result<String> {
        call(Command::new("kubectl").args(words))
    }

    pub fn ask_kubectl(&self, words: &[&str]) -> Result<Said> {
        ask(Command::new("kubectl").args(words))
    }

    pub fn helm(&self, words: &[&str]) -> Result<String> {
        call(&mut self.helm_command(words))
    }

    pub fn ask_helm(&self, words: &[&str]) -> Result<Said> {
        ask(&mut self.helm_command(words))
    }

    fn helm_command(&self, words: &[&str]) -> Command {
        let mut helm = Command::new("helm");
        helm.args(words);
        // Its own settings and caches, and nobody's repositories.
        for (variable, name) in
            [("HELM_CONFIG_HOME", "config"), ("HELM_CACHE_HOME", "cache"), ("HELM_DATA_HOME", "data")]
        {
            helm.env(variable, machine::directory().join("helm").join(name));
        }
        helm
    }

    /// Installs or upgrades the operator by this chart, and waits until all its Pods are ready.
    pub fn install(&self, chart: &Path, more: &[&str]) -> Result<String> {
        self.helm(&[&self.install_words(chart, "120s")[..], more].concat())
    }

    pub fn install_words<'a>(&self, chart: &'a Path, timeout: &'a str) -> Vec<&'a str> {
        let chart = chart.to_str().unwrap_or_default();
        let mut words = vec!["upgrade", "--install", RELEASE, chart, "--namespace", SYSTEM, "--create-namespace"];
        // Ready within a second rather than within five: nothing else is changed by it.
        words.extend(["--set", "readinessProbe.periodSeconds=1", "--wait", "--timeout", timeout]);
        words
    }

    pub async fn pods(&self) -> Result<Vec<Pod>> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), SYSTEM);
        let ours = format!("app.kubernetes.io/name=cloudtenant-operator,app.kubernetes.io/instance={RELEASE}");
        let pods = api.list(&ListParams::default().labels(&ours)).await?.items;
        Ok(pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect())
    }

    pub fn pod(&self, holder: &str, pods: &[Pod]) -> Result<Pod> {
        // The identity may have more than the Pod's name in it.
        let of_holder = |pod: &&Pod| holder.starts_with(&pod.name_any());
        pods.iter().find(of_holder).cloned().with_context(|| format!("no Pod of the leader {holder:?}"))
    }

    pub fn tenants(&self, namespace: &str) -> Api<CloudTenant> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Waits until the condition has this status and this reason.
    pub async fn until_condition(&self, type_: &str, status: &str, reason: &str, limit: Duration) -> Result<()> {
        let holds = |tenant: &CloudTenant| {
            let conditions = tenant.status.iter().flat_map(|status| &status.conditions);
            conditions
                .into_iter()
                .any(|condition| (&*condition.type_, &*condition.status, &*condition.reason) == (type_, status, reason))
        };
        let what = format!("has {type_}={status} {reason}");
        wait::until(self.tenants(SHOP), TENANT, &what, limit, holds).await.map(drop)
    }

    /// How many events of this reason there are of the tenant.
    pub async fn events(&self, reason: &str) -> Result<usize> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), SHOP);
        let events = api.list(&ListParams::default().fields(&format!("reason={reason}"))).await?.items;
        let of_tenant = |event: &&Event| event.regarding.as_ref().is_some_and(|at| at.name.as_deref() == Some(TENANT));
        let times = |event: &Event| event.series.as_ref().map_or(1, |series| series.count.unsigned_abs() as usize);
        Ok(events.iter().filter(of_tenant).map(times).sum())
    }

    /// A Secret and a CloudTenant, as JSON, which is YAML.
    pub fn tenant(name: &str, clouds: &Value, project: &str) -> [Value; 2] {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": {"clouds.yaml": clouds.to_string()}});
        let tenant = json!({"apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant", "metadata": {"name": name},
            "spec": {"projectID": project, "cloudCredentialsRef": {"secretName": name}, "interval": "10s",
                "timeout": "15s", "probes": {"usage": {"interval": "1m"}}}});
        [secret, tenant]
    }

    pub fn apply(&self, namespace: &str, objects: &[Value]) -> Result<()> {
        let file = machine::directory().join("apply.json");
        std::fs::write(&file, json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string())?;
        let file = file.to_str().context("the directory's name is not UTF-8")?;
        self.kubectl(&["apply", "--server-side", "--namespace", namespace, "--filename", file]).map(drop)
    }

    /// Keystone as a Service: with endpoints that are no Pods but the node's address.
    pub fn publish_keystone(&self) -> Result<()> {
        let port = json!({"name": "http", "port": openstack::KEYSTONE, "protocol": "TCP"});
        self.kubectl(&["create", "namespace", "openstack"])?;
        self.apply(
            "openstack",
            &[
                json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "keystone"}, "spec": {"ports": [port]}}),
                json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                    "metadata": {"name": "keystone", "labels": {"kubernetes.io/service-name": "keystone"}},
                    "endpoints": [{"addresses": [openstack::ADDRESS], "conditions": {"ready": true}}], "ports": [port]}),
            ],
        )
    }

    /// A path of a Pod's server.
    pub fn get(&self, pod: &Pod, path: &str) -> Result<String> {
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).context("the Pod has no address")?;
        call(Command::new("curl").args(["-sS", "--max-time", "2", &format!("http://{address}:8080{path}")]))
    }

    pub fn figure(&mut self, what: &str, value: &str) {
        println!("  {what}: {value}");
        self.figures.push((what.to_owned(), value.to_owned()));
    }

    pub fn seconds(&mut self, what: &str, since: Instant) {
        self.figure(what, &format!("{:.1} s", since.elapsed().as_secs_f64()));
    }

    pub fn print_figures(&self) {
        println!("\n| figure | |\n| --- | --- |");
        self.figures.iter().for_each(|(what, value)| println!("| {what} | {value} |"));
    }

    /// What somebody would look at who has to find out why.
    pub fn tell_all(&self) {
        for words in [
            &["get", "pods,leases,cloudtenants", "--all-namespaces", "--output", "wide"][..],
            &["get", "events", "--all-namespaces", "--sort-by", ".lastTimestamp"],
            &[
                "logs",
                "--namespace",
                SYSTEM,
                "--selector",
                "app.kubernetes.io/instance=cloudtenant-operator",
                "--prefix",
            ],
        ] {
            if let Ok(said) = self.ask_kubectl(words) {
                let lines: Vec<_> = said.text.lines().collect();
                println!("--- kubectl {}", words.join(" "));
                lines[lines.len().saturating_sub(40)..].iter().for_each(|line| println!("{line}"));
            }
        }
    }
}

/// Asks until the answer will do, for what has no watch.
pub async fn until<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    eventually(what, limit, async || ask()?.context("not yet")).await
}

pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/cloudtenant-operator")
}
