//! One test's surroundings: a namespace, a cloud, and an operator that looks after that namespace.

use std::{path::Path, time::Duration};

use cloudtenant_operator::api::{CloudTenant, REQUESTED_AT, crd_yaml};
use futures::StreamExt as _;
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::{Value, json};
use testkit::{
    cloud::SimulatedCloud,
    control_plane::{ControlPlane, wait},
    operator::{Account, Operator, Right},
};
use tokio::sync::{OnceCell, mpsc};

use crate::witness::Witness;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_cloudtenant-operator");
pub const RBAC: &str = include_str!("../../deploy/rbac.yaml");
pub const ACCOUNT: Account<'_> = Account { namespace: "cloudtenant-system", name: "cloudtenant-operator" };
/// The last right in rbac.yaml.
pub const LAST_RIGHT: Right<'_> = Right { verb: "create", group: "events.k8s.io", resource: "events" };

/// The tenant's project in most tests: not the token's own.
pub const PROJECT: &str = "9c3f7a1be0d84c52a6e8f1d2b3c4a5d6";
/// The Secret's name.
pub const SECRET: &str = "openstack-credentials";

/// The longest that anything may take but what waits for the operator's own clock.
pub const SOON: Duration = Duration::from_secs(30);
/// For what takes the operator several intervals.
pub const LATER: Duration = Duration::from_secs(90);

pub async fn install(control_plane: &ControlPlane) {
    control_plane.install(&crd_yaml().unwrap(), RBAC, ACCOUNT, LAST_RIGHT).await.unwrap();
}

/// The process' control plane with the operator's definitions and rights.
pub async fn shared() -> &'static ControlPlane {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let control_plane = ControlPlane::shared().await.unwrap();
    INSTALLED.get_or_init(async || install(control_plane).await).await;
    control_plane
}

pub struct Lab<'a> {
    pub control_plane: &'a ControlPlane,
    pub namespace: String,
    pub client: Client,
    pub cloud: SimulatedCloud,
    pub operator: Operator,
    witness: Witness,
}

impl Lab<'static> {
    /// All of it, the Secret too, in the shared control plane.
    pub async fn start(name: &str) -> Self {
        let lab = Self::without_secret(name).await;
        lab.apply_secret(&lab.cloud.clouds_yaml("openstack")).await;
        lab
    }

    pub async fn without_secret(name: &str) -> Self {
        Lab::within(shared().await, name).await
    }
}

impl<'a> Lab<'a> {
    pub async fn within(control_plane: &'a ControlPlane, name: &str) -> Self {
        let namespace = control_plane.namespace(name).await.unwrap();
        let operator = run(control_plane, &namespace).await;
        Self::around(control_plane, namespace, operator).await
    }

    /// The same around an operator that runs already.
    pub async fn around(control_plane: &'a ControlPlane, namespace: String, operator: Operator) -> Self {
        let client = control_plane.client().await.unwrap();
        let cloud = SimulatedCloud::start().await.unwrap();
        cloud.set_rpc_timeout(Duration::from_millis(200));
        cloud.add_tenant(PROJECT);
        let witness = Witness::of(control_plane.kubeconfig(), &namespace).await;
        Self { control_plane, namespace, client, cloud, operator, witness }
    }

    pub fn tenants(&self) -> Api<CloudTenant> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub async fn apply_secret(&self, clouds_yaml: &str) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": SECRET },
            "stringData": { "clouds.yaml": clouds_yaml },
        });
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        secrets.patch(SECRET, &PatchParams::apply("test").force(), &Patch::Apply(&secret)).await.unwrap();
    }

    /// Applies a CloudTenant with a short interval, whose project the cloud knows. `spec` goes on top.
    pub async fn apply(&self, name: &str, spec: &Value) -> CloudTenant {
        let tenant = tenant(name, spec);
        if let Some(project) = tenant["spec"]["projectID"].as_str() {
            self.cloud.add_tenant(project);
        }
        let parameters = PatchParams::apply("test").force();
        self.witnessed(self.tenants().patch(name, &parameters, &Patch::Apply(&tenant)).await.unwrap())
    }

    pub async fn merge(&self, name: &str, patch: &Value) -> CloudTenant {
        self.witnessed(self.tenants().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap())
    }

    pub async fn get(&self, name: &str) -> CloudTenant {
        self.witnessed(self.tenants().get(name).await.unwrap())
    }

    fn witnessed(&self, tenant: CloudTenant) -> CloudTenant {
        self.witness.expect(&tenant);
        tenant
    }

    pub async fn until(
        &self,
        name: &str,
        description: &str,
        timeout: Duration,
        condition: impl Fn(&CloudTenant) -> bool,
    ) -> CloudTenant {
        self.witnessed(wait::until(self.tenants(), name, description, timeout, condition).await.unwrap())
    }

    /// Waits until a condition has this reason.
    pub async fn until_reason(&self, name: &str, type_: &str, wanted: &str) -> CloudTenant {
        let description = format!("has {type_} with reason {wanted}");
        self.until(name, &description, LATER, |tenant| reason(tenant, type_) == Some(wanted)).await
    }

    pub async fn until_ready(&self, name: &str) -> CloudTenant {
        self.until_reason(name, "Ready", "Healthy").await
    }

    /// Has everything looked at now, and waits until that is in the status.
    pub async fn poke(&self, name: &str) -> CloudTenant {
        let wanted = self.request(name).await;
        self.until(name, "has handled requestedAt", SOON, |tenant| handled(tenant) == Some(&wanted)).await
    }

    /// Has everything looked at now.
    pub async fn request(&self, name: &str) -> String {
        let wanted = jiff::Timestamp::now().to_string();
        self.merge(name, &json!({ "metadata": { "annotations": { REQUESTED_AT: wanted } } })).await;
        wanted
    }

    /// Pokes until the condition has this reason, at most so many times.
    pub async fn poke_until(&self, name: &str, type_: &str, wanted: &str, times: usize) -> CloudTenant {
        let mut reasons = Vec::new();
        for _ in 0..times {
            let tenant = self.poke(name).await;
            if reason(&tenant, type_) == Some(wanted) {
                return tenant;
            }
            reasons.push(reason(&tenant, type_).map(str::to_owned));
        }
        panic!("{type_} does not become {wanted}: {reasons:?}\n{}", self.operator.log());
    }

    /// The events on a CloudTenant by reason and note, oldest first.
    pub async fn events(&self, name: &str) -> Vec<(String, String)> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut events = api.list(&ListParams::default()).await.unwrap().items;
        events.retain(|event| event.regarding.as_ref().and_then(|about| about.name.as_deref()) == Some(name));
        events.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
        events.into_iter().map(|event| (event.reason.unwrap_or_default(), event.note.unwrap_or_default())).collect()
    }

    /// The reasons of the events on a CloudTenant, oldest first.
    pub async fn told(&self, name: &str) -> Vec<String> {
        self.events(name).await.into_iter().map(|(reason, _)| reason).collect()
    }

    /// Notes from now on each state that a CloudTenant's conditions go through.
    pub fn record(&self, name: &str) -> Record {
        let (send, states) = mpsc::unbounded_channel();
        let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let watch = watcher(self.tenants(), only).applied_objects();
        let watching = tokio::spawn(watch.for_each(move |tenant| {
            if let Ok(tenant) = tenant {
                let _ = send.send(tenant);
            }
            std::future::ready(())
        }));
        Record { states, watching }
    }

    /// Stops the operator and runs another one.
    pub async fn restart_operator(&mut self) {
        let again = run(self.control_plane, &self.namespace).await;
        let before = std::mem::replace(&mut self.operator, again);
        let (status, _) = before.terminate().await.unwrap();
        assert!(status.success(), "{status}");
    }
}

/// What a CloudTenant went through.
pub struct Record {
    states: mpsc::UnboundedReceiver<CloudTenant>,
    watching: tokio::task::JoinHandle<()>,
}

impl Record {
    /// Every state up to `last`.
    pub async fn until(mut self, last: &CloudTenant) -> Vec<CloudTenant> {
        let version =
            |tenant: &CloudTenant| -> u64 { tenant.metadata.resource_version.as_ref().unwrap().parse().unwrap() };
        let mut states = Vec::new();
        // This watch may be behind the one that `last` came from.
        while let Some(tenant) = tokio::time::timeout(LATER, self.states.recv()).await.unwrap() {
            let is_last = version(&tenant) >= version(last);
            states.push(tenant);
            if is_last {
                break;
            }
        }
        self.watching.abort();
        states
    }

    /// Every status of this condition up to the state `last`, without repetitions.
    pub async fn statuses(self, type_: &str, last: &CloudTenant) -> Vec<String> {
        let states = self.until(last).await;
        let mut statuses: Vec<_> =
            states.iter().filter_map(|tenant| status(tenant, type_).map(str::to_owned)).collect();
        statuses.dedup();
        statuses
    }
}

pub async fn run(control_plane: &ControlPlane, namespace: &str) -> Operator {
    let environment = [("WATCH_NAMESPACE", namespace), ("LOG_LEVEL", "info,cloudtenant_operator=debug")];
    Operator::start(control_plane, Path::new(PROGRAM), ACCOUNT, &environment).await.unwrap()
}

/// A CloudTenant with a short interval. `spec` goes on top.
pub fn tenant(name: &str, spec: &Value) -> Value {
    let mut whole = json!({
        "projectID": PROJECT, "cloudCredentialsRef": { "secretName": SECRET }, "interval": "10s", "timeout": "5s",
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        whole[key] = value.clone();
    }
    json!({
        "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant",
        "metadata": { "name": name }, "spec": whole,
    })
}

pub fn condition<'a>(
    tenant: &'a CloudTenant,
    type_: &str,
) -> Option<&'a k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    tenant.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == type_)
}

pub fn reason<'a>(tenant: &'a CloudTenant, type_: &str) -> Option<&'a str> {
    condition(tenant, type_).map(|condition| condition.reason.as_str())
}

pub fn status<'a>(tenant: &'a CloudTenant, type_: &str) -> Option<&'a str> {
    condition(tenant, type_).map(|condition| condition.status.as_str())
}

pub fn message<'a>(tenant: &'a CloudTenant, type_: &str) -> Option<&'a str> {
    condition(tenant, type_).map(|condition| condition.message.as_str())
}

pub fn handled(tenant: &CloudTenant) -> Option<&String> {
    tenant.status.as_ref()?.last_handled_reconcile_at.as_ref()
}

pub fn summary(tenant: &CloudTenant) -> &str {
    tenant.status.as_ref().and_then(|status| status.engines.as_ref()).map_or("", |engines| &engines.summary)
}
