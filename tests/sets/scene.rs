//! A namespace with a cloud and an operator of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use cloudtenant_operator::{
    api::{CloudTenant, crd_yaml, set},
    cluster::{
        context::{Clock, SetSettings, Settings},
        readiness::Readiness,
    },
    metrics::{Metrics, ProjectLabel},
    openstack::Network,
    process::run::{BrokeOff, Process},
    watched::roster::{Roster, Sets},
};
use k8s_openapi::{
    api::{
        authorization::v1::SelfSubjectAccessReview,
        core::v1::{ResourceQuota, Secret},
        events::v1::Event,
    },
    apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry,
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
pub use set::CloudTenantSet;
use testkit::{
    cloud::{Service, SimulatedCloud},
    control_plane::{ApiServerMetrics, ControlPlane, wait},
    eventually::eventually,
};
use tokio::{sync::OnceCell, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Longest wait for anything.
pub const LATER: Duration = Duration::from_secs(300);

const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";

/// All that the operator needs in a namespace with sets, without the right to create CloudTenants.
const RIGHTS: &str = "
  - { apiGroups: [cloudtenant.dev], resources: [cloudtenants], verbs: [get, list, watch, patch, delete] }
  - { apiGroups: [cloudtenant.dev], resources: [cloudtenants/status, cloudtenantsets/status], verbs: [patch] }
  - { apiGroups: [cloudtenant.dev], resources: [cloudtenantsets], verbs: [get, list, watch] }
  - { apiGroups: [cloudtenant.dev], resources: [cloudtenantsets/finalizers], verbs: [update] }
  - { apiGroups: [''], resources: [secrets], verbs: [get] }
  - { apiGroups: [events.k8s.io], resources: [events], verbs: [create] }
";

/// The clock by which the operator judges sets.
#[derive(Clone, Default)]
pub struct Moved(Arc<AtomicI64>);

impl Moved {
    /// Moves the clock by so many seconds.
    pub fn forward(&self, seconds: i64) {
        self.0.fetch_add(seconds, SeqCst);
    }

    fn clock(&self) -> Clock {
        let offset = self.0.clone();
        Clock::new(move || Timestamp::now() + SignedDuration::from_secs(offset.load(SeqCst)))
    }
}

pub struct Scene {
    pub cloud: SimulatedCloud,
    pub clock: Moved,
    pub tenants: Api<CloudTenant>,
    client: Client,
    /// The operator's own.
    operator: Client,
    namespace: String,
    writes_per_minute: u32,
    running: Option<(CancellationToken, JoinHandle<Result<(), BrokeOff>>)>,
    asked: AtomicUsize,
}

/// The status and the reason of a condition. Both are empty without it.
pub fn condition(set: &CloudTenantSet, type_: &str) -> (String, String) {
    let mut conditions = set.status.iter().flat_map(|status| &status.conditions);
    let found = conditions.find(|condition| condition.type_ == type_);
    found.map(|found| (found.status.clone(), found.reason.clone())).unwrap_or_default()
}

/// The projects that the status names as skipped, each with the reason and who has it.
pub fn skipped(set: &CloudTenantSet) -> Vec<(String, String, String)> {
    let skipped = set.status.iter().flat_map(|status| &status.skipped);
    skipped
        .map(|one| (one.project_id.clone(), format!("{:?}", one.reason), one.by.clone().unwrap_or_default()))
        .collect()
}

/// Rows of what [`skipped`] returns.
pub fn rows(rows: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    rows.iter().map(|(id, reason, by)| ((*id).to_owned(), (*reason).to_owned(), (*by).to_owned())).collect()
}

fn by_hand(name: &str, project: &str) -> CloudTenant {
    let object = json!({
        "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant", "metadata": { "name": name },
        "spec": { "projectID": project, "cloudCredentialsRef": { "secretName": "cloud" } },
    });
    serde_json::from_value(object).unwrap()
}

impl Scene {
    pub async fn start(name: &str) -> Self {
        Self::start_with(name, 1000).await
    }

    pub async fn start_with(name: &str, writes_per_minute: u32) -> Self {
        let mut scene = Self::prepare(name, writes_per_minute).await;
        scene.run();
        scene
    }

    /// Starts the operator as a ServiceAccount that has all its rights but one: it may not create CloudTenants.
    pub async fn start_without_create(name: &str) -> Self {
        let mut scene = Self::prepare(name, 1000).await;
        scene.grant("operator", RIGHTS).await;
        let control_plane = ControlPlane::shared().await.unwrap();
        scene.operator = control_plane.client_for_service_account(&scene.namespace, "operator").await.unwrap();
        scene.until_allowed("create", "events.k8s.io", "events").await;
        scene.run();
        scene
    }

    async fn prepare(name: &str, writes_per_minute: u32) -> Self {
        static CRDS: OnceCell<()> = OnceCell::const_new();
        let control_plane = ControlPlane::shared().await.unwrap();
        let apply = || async {
            control_plane.apply_crds(&crd_yaml().unwrap()).await.unwrap();
            control_plane.apply_crds(&set::crd_yaml().unwrap()).await.unwrap();
        };
        CRDS.get_or_init(apply).await;
        let namespace = control_plane.namespace(name).await.unwrap();
        let client = control_plane.client().await.unwrap();
        let cloud = SimulatedCloud::start().await.unwrap();
        let tenants = Api::namespaced(client.clone(), &namespace);
        let (clock, asked, operator) = (Moved::default(), AtomicUsize::default(), client.clone());
        let scene =
            Self { cloud, clock, tenants, client, operator, namespace, writes_per_minute, running: None, asked };
        scene.add_secret("cloud", &scene.cloud).await;
        scene
    }

    /// Creates a Secret with the credential for a cloud.
    pub async fn add_secret(&self, name: &str, cloud: &SimulatedCloud) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name },
            "stringData": { "clouds.yaml": cloud.clouds_yaml("openstack") },
        });
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    }

    fn run(&mut self) {
        let roster = Roster::default();
        let sets =
            SetSettings { writes_per_minute: self.writes_per_minute, sets: Sets::default(), clock: self.clock.clock() };
        let settings = Settings {
            namespaces: vec![self.namespace.clone()],
            instance: "sets".to_owned(),
            network: Network::default().allowing_loopback(),
            sets: Some(sets),
            ..Settings::default()
        };
        let metrics = Arc::new(Metrics::with_tenants(roster.clone(), ProjectLabel::Off));
        let stop = CancellationToken::new();
        let (client, readiness) = (self.operator.clone(), Readiness::default());
        let process = Process::new(client, settings, metrics, roster, readiness, stop.clone());
        self.running = Some((stop, tokio::spawn(process.run(None))));
    }

    /// Ends the operator and starts another one.
    pub async fn restart(&mut self) {
        self.end().await;
        self.run();
    }

    async fn end(&mut self) {
        if let Some((stop, running)) = self.running.take() {
            stop.cancel();
            assert_eq!(running.await.unwrap(), Ok(()));
        }
    }

    pub async fn stop(mut self) {
        self.end().await;
    }

    /// Adds projects `p1`, `p2` and so on, whose names begin with `fleet-`.
    pub fn projects(&self, number: usize) {
        for index in 1..=number {
            self.cloud.put_project_of_operator(&format!("p{index}"), &format!("fleet-{index}"));
        }
    }

    fn sets(&self) -> Api<CloudTenantSet> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates a set of the projects whose names begin with `fleet-`.
    pub async fn create(&self, name: &str, more: &Value) {
        let mut spec = json!({
            "cloudCredentialsRef": { "secretName": "cloud" }, "interval": "24h",
            "filter": { "namePattern": "^fleet-" },
        });
        for (field, value) in more.as_object().unwrap() {
            spec[field] = value.clone();
        }
        let set = json!({
            "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenantSet", "metadata": { "name": name },
            "spec": spec,
        });
        self.sets().create(&PostParams::default(), &serde_json::from_value(set).unwrap()).await.unwrap();
    }

    /// Creates a set as [`Self::create`] does, in a later second than the other one: the API server keeps whole seconds.
    pub async fn create_younger(&self, name: &str, older: &str, more: &Value) {
        let older = self.set(older).await.metadata.creation_timestamp;
        eventually("another second begins", LATER, async || {
            self.create(name, more).await;
            if self.set(name).await.metadata.creation_timestamp > older {
                return Ok(());
            }
            self.delete(name).await;
            Err("the same second")
        })
        .await
        .unwrap();
    }

    pub async fn create_tenant(&self, name: &str, project: &str) {
        self.tenants.create(&PostParams::default(), &by_hand(name, project)).await.unwrap();
    }

    /// Waits until the API server refuses somebody's CloudTenant with these words.
    pub async fn until_refused(&self, words: &str) {
        let parameters = PostParams { dry_run: true, ..PostParams::default() };
        eventually("a CloudTenant is refused", LATER, async || {
            match self.tenants.create(&parameters, &by_hand("probe", "probe")).await {
                Err(error) if error.to_string().contains(words) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
        .unwrap();
    }

    /// Allows the operator to create CloudTenants.
    pub async fn allow_create(&self) {
        let rule = "\n  - { apiGroups: [cloudtenant.dev], resources: [cloudtenants], verbs: [create] }\n";
        self.grant("creator", rule).await;
        self.until_allowed("create", "cloudtenant.dev", "cloudtenants").await;
    }

    /// Gives the operator's ServiceAccount a role with these rules.
    async fn grant(&self, role: &str, rules: &str) {
        let namespace = &self.namespace;
        self.apply(&format!(
            "
apiVersion: v1
kind: ServiceAccount
metadata: {{ name: operator }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{ name: {role} }}
rules: {rules}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{ name: {role} }}
roleRef: {{ apiGroup: rbac.authorization.k8s.io, kind: Role, name: {role} }}
subjects: [{{ kind: ServiceAccount, name: operator, namespace: {namespace} }}]
"
        ))
        .await;
    }

    /// Waits until the API server's authorizer knows that the operator may do this.
    async fn until_allowed(&self, verb: &str, group: &str, resource: &str) {
        let review = json!({ "spec": { "resourceAttributes": {
            "namespace": self.namespace, "verb": verb, "group": group, "resource": resource,
        } } });
        let review: SelfSubjectAccessReview = serde_json::from_value(review).unwrap();
        eventually("the right is in force", LATER, async || {
            let reviewed = Api::all(self.operator.clone()).create(&PostParams::default(), &review).await;
            let status = reviewed.unwrap().status;
            if status.is_some_and(|status| status.allowed) { Ok(()) } else { Err("not allowed") }
        })
        .await
        .unwrap();
    }

    /// Applies YAML in the namespace.
    pub async fn apply(&self, yaml: &str) {
        ControlPlane::shared().await.unwrap().apply_yaml(Some(&self.namespace), yaml).await.unwrap();
    }

    /// Limits the namespace to this number of CloudTenants, of which so many exist. This control plane has no controller
    /// that counts them, but the API server counts those that it admits.
    pub async fn set_quota(&self, most: u32, used: usize) {
        let quotas: Api<ResourceQuota> = Api::namespaced(self.client.clone(), &self.namespace);
        let count = "count/cloudtenants.cloudtenant.dev";
        let hard = json!({ count: most.to_string() });
        self.apply(
            &json!({
                "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "quota" }, "spec": { "hard": hard },
            })
            .to_string(),
        )
        .await;
        let status = json!({ "status": { "hard": hard, "used": { count: used.to_string() } } });
        quotas.patch_status("quota", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }

    /// Refuses CloudTenants of the namespace that do not have this label, by a policy of the API server.
    pub async fn require_label(&self, label: &str) {
        let name = &self.namespace;
        self.apply(&format!(
            "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{ name: {name} }}
spec:
  matchConstraints:
    resourceRules:
      - {{ apiGroups: [cloudtenant.dev], apiVersions: ['*'], operations: [CREATE], resources: [cloudtenants] }}
  validations:
    - expression: has(object.metadata.labels) && '{label}' in object.metadata.labels
      message: the label {label} is missing
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{ name: {name} }}
spec:
  policyName: {name}
  validationActions: [Deny]
  matchResources: {{ namespaceSelector: {{ matchLabels: {{ kubernetes.io/metadata.name: {name} }} }} }}
"
        ))
        .await;
    }

    pub async fn set(&self, name: &str) -> CloudTenantSet {
        self.sets().get(name).await.unwrap()
    }

    pub async fn tenant(&self, name: &str) -> CloudTenant {
        self.tenants.get(name).await.unwrap()
    }

    pub async fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.all().await.iter().map(kube::ResourceExt::name_any).collect();
        names.sort();
        names
    }

    async fn all(&self) -> Vec<CloudTenant> {
        self.tenants.list(&ListParams::default()).await.unwrap().items
    }

    /// The CloudTenants' resource versions.
    pub async fn versions(&self) -> Vec<(String, Option<String>)> {
        self.all().await.iter().map(|tenant| (tenant.name_any(), tenant.resource_version())).collect()
    }

    pub async fn until(&self, name: &str, what: &str, holds: impl Fn(&CloudTenantSet) -> bool) -> CloudTenantSet {
        wait::until(self.sets(), name, what, LATER, holds).await.unwrap()
    }

    /// Waits until the set is Ready with so many CloudTenants.
    pub async fn until_ready(&self, name: &str, tenants: u32) {
        let what = format!("is Ready with {tenants} CloudTenants");
        let is_ready = |set: &CloudTenantSet| {
            condition(set, "Ready").0 == "True"
                && condition(set, "Reconciling").0.is_empty()
                && set.status.as_ref().is_some_and(|status| status.tenants == Some(tenants))
        };
        self.until(name, &what, is_ready).await;
    }

    pub async fn until_tenant_ready(&self, name: &str) {
        let is_ready = |tenant: &CloudTenant| {
            let mut conditions = tenant.status.iter().flat_map(|status| &status.conditions);
            conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        wait::until(self.tenants.clone(), name, "is Ready", LATER, is_ready).await.unwrap();
    }

    pub async fn until_interval(&self, name: &str, interval: &str) {
        let has = |tenant: &CloudTenant| tenant.spec.interval.0 == interval;
        wait::until(self.tenants.clone(), name, "has the interval", LATER, has).await.unwrap();
    }

    /// Waits until a CloudTenant has an owner or none.
    pub async fn until_owned(&self, name: &str, is_owned: bool) {
        let has = |tenant: &CloudTenant| tenant.owner_references().is_empty() != is_owned;
        wait::until(self.tenants.clone(), name, "has the right owner", LATER, has).await.unwrap();
    }

    pub async fn until_gone(&self, name: &str) {
        wait::until_gone(self.tenants.clone(), name, LATER).await.unwrap();
    }

    /// Waits until a set has made the CloudTenant of the first project.
    pub async fn until_some(&self) {
        wait::until(self.tenants.clone(), "fleet-p1", "exists", LATER, |_: &CloudTenant| true).await.unwrap();
    }

    /// Sets an annotation of a set.
    pub async fn annotate(&self, name: &str, key: &str, value: &str) {
        let patch = json!({ "metadata": { "annotations": { key: value } } });
        self.sets().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Asks for a pass, and does not wait for it.
    pub async fn ask(&self, name: &str, value: &str) {
        self.annotate(name, REQUESTED_AT, value).await;
    }

    /// Asks for a list, and waits until the operator has handled it.
    pub async fn list_again(&self, name: &str) {
        let value = format!("request {}", self.asked.fetch_add(1, SeqCst));
        self.ask(name, &value).await;
        self.until(name, "has handled the request", |set| {
            set.status.as_ref().is_some_and(|status| status.last_handled_reconcile_at.as_ref() == Some(&value))
        })
        .await;
    }

    /// Merges this into the set's spec.
    pub async fn change(&self, name: &str, spec: &Value) {
        let patch = json!({ "spec": spec });
        self.sets().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Suspends CloudTenants by the set's template, so that nothing but the set writes them, and waits for it.
    pub async fn suspend_tenants(&self, names: &[&str], set: &str) {
        self.change(set, &json!({ "template": { "spec": { "suspend": true } } })).await;
        for name in names {
            let is_done = |tenant: &CloudTenant| {
                let status = tenant.status.as_ref();
                tenant.spec.suspend
                    && status.and_then(|status| status.observed_generation) == tenant.metadata.generation
            };
            wait::until(self.tenants.clone(), name, "is suspended", LATER, is_done).await.unwrap();
        }
    }

    /// Takes a CloudTenant's interval over, as another field manager.
    pub async fn force_interval(&self, name: &str, interval: &str) {
        let patch = json!({
            "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant", "spec": { "interval": interval },
        });
        let parameters = PatchParams::apply("somebody").force();
        self.tenants.patch(name, &parameters, &Patch::Apply(patch)).await.unwrap();
    }

    /// Deletes a set that stays until the garbage collector, which this control plane does not have, has deleted its
    /// CloudTenants.
    pub async fn delete_in_foreground(&self, name: &str) {
        self.sets().delete(name, &DeleteParams::foreground()).await.unwrap();
    }

    pub async fn delete(&self, name: &str) {
        self.sets().delete(name, &DeleteParams::default()).await.unwrap();
        wait::until_gone(self.sets(), name, LATER).await.unwrap();
    }

    /// The notes of the events with this reason.
    pub async fn events(&self, reason: &str) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let events = events.list(&ListParams::default()).await.unwrap().items;
        let of = events.into_iter().filter(|event| event.reason.as_deref() == Some(reason));
        of.filter_map(|event| event.note).collect()
    }

    /// The pages of `GET /v3/projects` that Keystone has been asked for.
    pub fn lists_of_projects(&self) -> usize {
        let requests = self.cloud.requests(Service::Keystone);
        requests.iter().filter(|request| request.path.ends_with("/v3/projects")).count()
    }

    /// What the API server has counted.
    pub async fn api_server(&self) -> ApiServerMetrics {
        ControlPlane::shared().await.unwrap().metrics().await.unwrap()
    }

    /// The number of entries of the sets' field manager in a CloudTenant whose time is not that of its creation.
    pub async fn applied_by_set(&self, name: &str) -> usize {
        let tenant = self.tenant(name).await;
        let created = tenant.metadata.creation_timestamp.clone();
        let mut entries = tenant.metadata.managed_fields.into_iter().flatten();
        let is_later = |entry: &ManagedFieldsEntry| {
            entry.manager.as_deref() == Some(set::SETS_FIELD_MANAGER) && entry.time != created
        };
        entries.by_ref().filter(is_later).count()
    }

    /// What kubectl prints about the namespace's objects of a kind.
    pub async fn kubectl_get(&self, kind: &str) -> String {
        let control_plane = ControlPlane::shared().await.unwrap();
        control_plane.kubectl(&["get", kind, "--namespace", &self.namespace]).await.unwrap().stdout
    }

    /// The lists of projects that Keystone has been asked for.
    pub fn lists(&self) -> usize {
        let requests = self.cloud.requests(Service::Keystone);
        requests.iter().filter(|request| request.path.ends_with("/auth/projects")).count()
    }
}
