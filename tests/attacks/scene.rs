//! One attack's surroundings: honest tenants, a namespace of the attacker's, and the operator with the chart's limit.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use cloudtenant_operator::api::{CloudTenant, crd_yaml};
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{
    Api, Client, Resource as _,
    api::{ListParams, PostParams},
    core::Request,
};
use serde_json::{Value, json};
use testkit::{
    control_plane::ControlPlane,
    operator::{Account, Operator, Right},
};
use tokio::{
    sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::sleep,
};

use crate::{
    cage::{Cage, limit},
    figures::Figures,
    health::{Health, Seen, allocated},
    honest::{Crowd, Honest, TEN},
    process::{Memory, memory, processor},
};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_cloudtenant-operator");
const RBAC: &str = include_str!("../../deploy/rbac.yaml");
pub const ACCOUNT: Account<'_> = Account { namespace: "cloudtenant-system", name: "cloudtenant-operator" };
const LAST_RIGHT: Right<'_> = Right { verb: "create", group: "events.k8s.io", resource: "events" };

/// The project of a hostile server's tokens.
pub const PROJECT: &str = "9c3f7a1be0d84c52a6e8f1d2b3c4a5d6";
/// The password in every hostile clouds.yaml. The log must not have it.
pub const PASSWORD: &str = "marked-bytes-of-a-secret-0123456789";

/// The interval of a CloudTenant that has no other.
const INTERVAL: Duration = Duration::from_secs(10);
/// The longest that anything may take.
pub const LATER: Duration = Duration::from_secs(120);
/// After this the objects of an attack are forgotten.
const MINUTE: Duration = Duration::from_secs(60);
/// So much more memory than before an attack may be left a minute after it: what the allocator keeps for itself.
const LEFT: u64 = 32 << 20;

/// What may happen under an attack.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The time between two calls of an honest tenant, as a multiple of its interval: passes wait for each other, and
    /// the machine for others.
    pub late: f64,
    /// Consecutive answers of /healthz that are late. Other tests use the same processors, and the kubelet needs three
    /// to end a container.
    pub slow: usize,
    /// So many more bytes than before an attack may be allocated a minute after it: buffers of connections, watches
    /// and threads.
    pub stays: u64,
    /// Whether memory is measured a whole minute after the attack, also if it is back before.
    pub whole_minute: bool,
}

impl Default for Bounds {
    fn default() -> Self {
        let whole_minute = std::env::var_os("ATTACKS_MINUTE").is_some();
        Self { late: 1.5, slow: 1, stays: 1 << 20, whole_minute }
    }
}

/// A run that measures strictly has the machine for itself.
static PLACES: RwLock<()> = RwLock::const_new(());

/// Kept while a scene lasts.
#[expect(dead_code, reason = "they are dropped")]
enum Place {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

pub struct Scene<'a> {
    pub client: Client,
    /// The attacker's.
    pub namespace: String,
    /// Before the cage, which can be removed when it is empty.
    operator: Option<Operator>,
    health: Option<Health>,
    name: &'a str,
    control_plane: &'static ControlPlane,
    pub honest: Honest,
    environment: Vec<(String, String)>,
    program: PathBuf,
    cage: Cage,
    /// Of the operators that ran before.
    seen: Seen,
    log: String,
    before: Memory,
    /// The bytes that the program had allocated, if the build has such a metric.
    allocated_before: Option<u64>,
    pub bounds: Bounds,
    began: Instant,
    processor: f64,
    restarted: bool,
    _place: Place,
}

pub async fn shared() -> &'static ControlPlane {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let control_plane = ControlPlane::shared().await.unwrap();
    INSTALLED.get_or_init(async || install(control_plane).await).await;
    control_plane
}

/// It ends with this process.
async fn own_control_plane() -> &'static ControlPlane {
    let control_plane = Box::leak(Box::new(ControlPlane::start().await.unwrap()));
    install(control_plane).await;
    control_plane
}

async fn install(control_plane: &ControlPlane) {
    control_plane.install(&crd_yaml().unwrap(), RBAC, ACCOUNT, LAST_RIGHT).await.unwrap();
}

impl<'a> Scene<'a> {
    /// Honest tenants whose statuses are right, and nothing else yet.
    pub async fn begin(name: &'a str, environment: &[(&str, &str)]) -> Self {
        let place = Place::Shared(PLACES.read().await);
        Self::within(shared().await, name, TEN, place, environment, true).await
    }

    /// The same with one watch on all namespaces, as the chart installs it, in a control plane of its own.
    pub async fn begin_in_all_namespaces(name: &'a str) -> Self {
        let place = Place::Shared(PLACES.read().await);
        Self::within(own_control_plane().await, name, TEN, place, &[], false).await
    }

    /// The same with more honest tenants, while no other scene lasts.
    pub async fn begin_alone(name: &'a str, crowd: Crowd) -> Self {
        let place = Place::Alone(PLACES.write().await);
        Self::within(own_control_plane().await, name, crowd, place, &[], false).await
    }

    async fn within(
        control_plane: &'static ControlPlane,
        name: &'a str,
        crowd: Crowd,
        place: Place,
        environment: &[(&str, &str)],
        named: bool,
    ) -> Self {
        let client = control_plane.client().await.unwrap();
        let honest = Honest::new(control_plane, client.clone(), crowd).await;
        let namespace = control_plane.namespace("attack").await.unwrap();
        let watched = format!("{},{namespace}", honest.namespaces.join(","));
        let mut environment: Vec<_> =
            environment.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        if named {
            environment.push(("WATCH_NAMESPACE".to_owned(), watched));
        }
        let cage = Cage::new();
        let program = std::env::var("ATTACKS_PROGRAM").unwrap_or_else(|_| PROGRAM.to_owned());
        let program = cage.around(Path::new(&program));
        let mut scene = Self {
            client,
            namespace,
            operator: None,
            health: None,
            name,
            control_plane,
            honest,
            environment,
            program,
            cage,
            seen: Seen::default(),
            log: String::new(),
            before: Memory::default(),
            allocated_before: None,
            bounds: Bounds::default(),
            began: Instant::now(),
            processor: 0.0,
            restarted: false,
            _place: place,
        };
        scene.run().await;
        scene.honest.add().await;
        scene.before = memory(scene.operator().pid()).unwrap();
        scene.allocated_before = allocated(scene.operator().address());
        scene.processor = processor(scene.operator().pid());
        scene.began = Instant::now();
        scene
    }

    async fn run(&mut self) {
        let environment: Vec<_> = self.environment.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let operator = Operator::start(self.control_plane, &self.program, ACCOUNT, &environment).await.unwrap();
        self.health = Some(Health::of(operator.address(), operator.pid()));
        self.operator = Some(operator);
    }

    pub fn name(&self) -> &str {
        self.name
    }

    pub fn operator(&self) -> &Operator {
        self.operator.as_ref().unwrap()
    }

    /// Everything that the operators have logged.
    pub fn log(&self) -> String {
        self.log.clone() + &self.operator().log()
    }

    /// A Secret and a CloudTenant of an honest namespace, for another cloud.
    pub async fn add_to_honest(&self, name: &str, yaml: &str) {
        let namespace = &self.honest.namespaces[1];
        create_in::<Secret>(&self.client, namespace, &secret(name, &[("clouds.yaml", yaml.as_bytes())])).await;
        create_in::<CloudTenant>(&self.client, namespace, &tenant(name, name, &json!({}))).await;
    }

    /// Creates an object of the attacker's. kube's own types may not be able to read it.
    pub async fn create<K>(&self, object: &Value)
    where
        K: kube::Resource<DynamicType = ()>,
    {
        self.create_text::<K>(object.to_string()).await;
    }

    /// The same from JSON text.
    pub async fn create_text<K>(&self, object: String)
    where
        K: kube::Resource<DynamicType = ()>,
    {
        create_text_in::<K>(&self.client, &self.namespace, object).await;
    }

    /// A Secret, and a CloudTenant that names it, both with this name.
    pub async fn add(&self, name: &str, data: &[(&str, &[u8])], spec: &Value) {
        self.create::<Secret>(&secret(name, data)).await;
        self.create::<CloudTenant>(&tenant(name, name, spec)).await;
    }

    /// A merge patch of the attacker's CloudTenant.
    pub async fn patch(&self, name: &str, patch: &Value) {
        let path = format!("{}/{name}", CloudTenant::url_path(&(), Some(&self.namespace)));
        let request = http::Request::patch(path).header("content-type", "application/merge-patch+json");
        self.client.request_text(request.body(patch.to_string().into_bytes()).unwrap()).await.unwrap();
    }

    /// Deletes a Secret and a CloudTenant of the attacker's with this name.
    pub async fn remove(&self, name: &str) {
        let namespace = Some(self.namespace.as_str());
        for path in [CloudTenant::url_path(&(), namespace), Secret::url_path(&(), namespace)] {
            let request = http::Request::delete(format!("{path}/{name}")).body(Vec::new()).unwrap();
            self.client.request_text(request).await.unwrap();
        }
    }

    /// An object of the attacker's, as text.
    pub async fn read(&self, name: &str) -> String {
        let path = format!("{}/{name}", CloudTenant::url_path(&(), Some(&self.namespace)));
        self.client.request_text(http::Request::get(path).body(Vec::new()).unwrap()).await.unwrap()
    }

    /// Another process, as after an upgrade.
    pub async fn restart(&mut self) {
        let operator = self.operator.take().unwrap();
        self.seen = self.seen.and(self.health.take().unwrap().end());
        self.log.push_str(&operator.log());
        let (status, _) = operator.terminate().await.unwrap();
        assert!(status.success(), "{status}");
        self.run().await;
        self.processor = 0.0;
        self.restarted = true;
    }

    /// How much more memory of its own the operator has than before the attack, in bytes.
    pub fn grown(&self) -> u64 {
        memory(self.operator().pid()).unwrap_or_default().own.saturating_sub(self.before.own)
    }

    /// Lets the attack last so long.
    pub async fn last(&self, seconds: u64) {
        sleep(Duration::from_secs(seconds)).await;
    }

    /// Deletes the attacker's objects, and checks what the attack may not do.
    pub async fn end(mut self) -> Figures {
        let seconds = self.began.elapsed().as_secs_f64();
        let pid = self.operator().pid();
        let alive = memory(pid).is_some();
        let used = processor(pid) - self.processor;
        let scrape = self.operator().get("/metrics").map_or(0, |(_, body)| body.len());
        let writes = self.writes();
        let events = self.events().await;
        let before_deletion = self.honest.latest();
        self.delete().await;
        let (left, allocated, after) = self.until_memory_is_back(pid).await;
        // A bound that is strict holds while the objects go, too.
        let latest = if self.bounds.whole_minute { self.honest.latest() } else { before_deletion };
        let seen = self.seen.and(self.health.take().unwrap().end());
        let (statuses, wrong) = self.honest.statuses();
        let log = self.log();
        let figures = Figures {
            name: self.name.to_owned(),
            limit: self.cage.describe(),
            compared: Some(limit()).filter(|_| !self.cage.is_enforced()),
            alive,
            kills: self.cage.kills(),
            seconds,
            processor: used,
            before: self.before,
            seen,
            left,
            allocated_before: self.allocated_before,
            allocated,
            after,
            latest,
            honest: self.honest.len(),
            calls: self.honest.calls(),
            statuses,
            wrong,
            events,
            writes,
            scrape,
            leaks: log.lines().filter(|line| line.contains(PASSWORD)).count(),
            lines: log.lines().count(),
        };
        // Not by `println!`, which the harness keeps back: the output has to tell which limit it was.
        let _ = writeln!(std::io::stderr(), "{figures}");
        if self.bounds.whole_minute {
            let _ = write!(std::io::stderr(), "{}", figures.table());
        }
        for wrong in &figures.wrong {
            let _ = writeln!(std::io::stderr(), "a wrong status: {wrong}");
        }
        // A process that has just started spreads its first observations over one interval.
        let late = self.bounds.late + if self.restarted { 1.0 } else { 0.0 };
        let kept = self.before.own + LEFT + self.bounds.stays;
        figures.check(&Bounds { late, ..self.bounds }, kept);
        figures
    }

    fn writes(&self) -> f64 {
        self.operator().metric("cloudtenant_status_writes_total", &[]).unwrap_or_default() + 0.0
    }

    /// Those on the attacker's objects.
    async fn events(&self) -> usize {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        api.list(&ListParams::default()).await.unwrap().items.len()
    }

    async fn delete(&self) {
        for path in [CloudTenant::url_path(&(), Some(&self.namespace)), Secret::url_path(&(), Some(&self.namespace))] {
            self.client.request_text(http::Request::delete(path).body(Vec::new()).unwrap()).await.unwrap();
        }
    }

    /// Waits until memory is as before the attack, a minute at most. The memory in the end, the bytes that are
    /// allocated, and when that was.
    async fn until_memory_is_back(&self, pid: u32) -> (u64, Option<u64>, Duration) {
        let began = Instant::now();
        loop {
            let own = memory(pid).unwrap_or_default().own;
            let allocated = allocated(self.operator().address());
            let most = self.allocated_before.map(|before| before + self.bounds.stays);
            let is_back = own <= self.before.own + LEFT && allocated.zip(most).is_none_or(|(now, most)| now <= most);
            if is_back && !self.bounds.whole_minute || began.elapsed() > MINUTE {
                return (own, allocated, began.elapsed());
            }
            sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Creates an object. kube's own types may not be able to read it.
pub async fn create_in<K>(client: &Client, namespace: &str, object: &Value)
where
    K: kube::Resource<DynamicType = ()>,
{
    create_text_in::<K>(client, namespace, object.to_string()).await;
}

async fn create_text_in<K>(client: &Client, namespace: &str, object: String)
where
    K: kube::Resource<DynamicType = ()>,
{
    let request = Request::new(K::url_path(&(), Some(namespace)));
    let request = request.create(&PostParams::default(), object.into_bytes()).unwrap();
    client.request_text(request).await.unwrap();
}

pub fn secret(name: &str, data: &[(&str, &[u8])]) -> Value {
    let data: serde_json::Map<_, _> =
        data.iter().map(|(key, bytes)| ((*key).to_owned(), json!(BASE64_STANDARD.encode(bytes)))).collect();
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "data": data })
}

/// A CloudTenant with a short interval. `spec` goes on top.
pub fn tenant(name: &str, secret: &str, spec: &Value) -> Value {
    let mut whole = json!({
        "projectID": PROJECT, "cloudCredentialsRef": { "secretName": secret },
        "interval": format!("{}s", INTERVAL.as_secs()), "timeout": "5s",
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        whole[key] = value.clone();
    }
    json!({
        "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant",
        "metadata": { "name": name }, "spec": whole,
    })
}
