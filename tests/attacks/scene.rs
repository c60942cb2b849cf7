//! One attack's surroundings: honest tenants, a namespace of the attacker's, and the operator with the chart's limit.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use cloudtenant_operator::api::{CloudTenant, crd_yaml};
use k8s_openapi::{
    api::{core::v1::Secret, events::v1::Event},
    jiff::Timestamp,
};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{ListParams, PostParams},
    core::Request,
};
use serde_json::{Value, json};
use testkit::{
    cloud::{Service, SimulatedCloud},
    control_plane::{ControlPlane, wait},
    operator::{Account, Operator, Right},
};
use tokio::{sync::OnceCell, time::sleep};

use crate::{
    cage::{Cage, limit},
    health::{Health, Seen, allocated},
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

/// Of the honest tenants, in two namespaces.
const HONEST: usize = 5;
const INTERVAL: Duration = Duration::from_secs(10);
/// An observation may be so much later than its interval: passes wait for each other, and the machine for others.
const SLACK: Duration = Duration::from_secs(5);
/// The longest that anything may take.
const LATER: Duration = Duration::from_secs(120);
/// After this the objects of an attack are forgotten.
const MINUTE: Duration = Duration::from_secs(60);
/// So much more memory than before an attack may be left a minute after it: what the allocator keeps for itself.
const LEFT: u64 = 32 << 20;
/// So many more bytes than before an attack may be allocated a minute after it: buffers of connections, watches and
/// threads.
const STAYS: u64 = 1 << 20;

/// What an attack cost.
#[derive(Debug)]
pub struct Figures {
    pub seconds: f64,
    /// The time of processors that the operator used, in seconds.
    pub processor: f64,
    pub events: usize,
    pub writes: f64,
    /// Of `/metrics` while the attack lasted, in bytes.
    pub scrape: usize,
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
    cloud: SimulatedCloud,
    honest: Vec<String>,
    environment: Vec<(String, String)>,
    program: PathBuf,
    cage: Cage,
    /// Of the operators that ran before.
    seen: Seen,
    log: String,
    before: Memory,
    /// The bytes that the program had allocated, if the build has such a metric.
    allocated_before: Option<u64>,
    /// So many more bytes may be allocated a minute after the attack.
    pub stays: u64,
    began: Instant,
    processor: f64,
    /// By namespace and name: since when an honest tenant is Ready.
    ready: BTreeMap<(String, String), Timestamp>,
    restarted: bool,
}

pub async fn shared() -> &'static ControlPlane {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let control_plane = ControlPlane::shared().await.unwrap();
    INSTALLED.get_or_init(async || install(control_plane).await).await;
    control_plane
}

async fn install(control_plane: &ControlPlane) {
    control_plane.install(&crd_yaml().unwrap(), RBAC, ACCOUNT, LAST_RIGHT).await.unwrap();
}

impl<'a> Scene<'a> {
    /// Honest tenants that are Ready, and nothing else yet.
    pub async fn begin(name: &'a str, environment: &[(&str, &str)]) -> Self {
        Self::within(shared().await, name, environment, true).await
    }

    /// The same with one watch on all namespaces, as the chart installs it, in a control plane of its own.
    pub async fn begin_in_all_namespaces(name: &'a str) -> Self {
        // It ends with this process.
        let control_plane = Box::leak(Box::new(ControlPlane::start().await.unwrap()));
        install(control_plane).await;
        Self::within(control_plane, name, &[], false).await
    }

    async fn within(
        control_plane: &'static ControlPlane,
        name: &'a str,
        environment: &[(&str, &str)],
        named: bool,
    ) -> Self {
        let client = control_plane.client().await.unwrap();
        let cloud = SimulatedCloud::start().await.unwrap();
        let mut honest = Vec::new();
        for _ in 0..2 {
            honest.push(control_plane.namespace("honest").await.unwrap());
        }
        let namespace = control_plane.namespace("attack").await.unwrap();
        let watched = format!("{},{namespace}", honest.join(","));
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
            cloud,
            honest,
            environment,
            program,
            cage,
            seen: Seen::default(),
            log: String::new(),
            before: Memory::default(),
            allocated_before: None,
            stays: STAYS,
            began: Instant::now(),
            processor: 0.0,
            ready: BTreeMap::new(),
            restarted: false,
        };
        scene.run().await;
        scene.add_honest().await;
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

    async fn add_honest(&mut self) {
        for namespace in self.honest.clone() {
            let yaml = self.cloud.clouds_yaml("openstack");
            self.create_in::<Secret>(&namespace, &secret("cloud", &[("clouds.yaml", yaml.as_bytes())])).await;
            for number in 0..HONEST {
                let project = format!("{namespace}-{number}");
                self.cloud.add_tenant(&project);
                let tenant = tenant(&format!("honest-{number}"), "cloud", &json!({ "projectID": project }));
                self.create_in::<CloudTenant>(&namespace, &tenant).await;
            }
        }
        for namespace in self.honest.clone() {
            for number in 0..HONEST {
                let name = format!("honest-{number}");
                let tenants: Api<CloudTenant> = Api::namespaced(self.client.clone(), &namespace);
                let tenant = wait::until(tenants, &name, "is Ready", LATER, |tenant| ready(tenant).is_some()).await;
                self.ready.insert((namespace.clone(), name), ready(&tenant.unwrap()).unwrap());
            }
        }
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
        let namespace = &self.honest[1];
        self.create_in::<Secret>(namespace, &secret(name, &[("clouds.yaml", yaml.as_bytes())])).await;
        self.create_in::<CloudTenant>(namespace, &tenant(name, name, &json!({}))).await;
    }

    async fn create_in<K>(&self, namespace: &str, object: &Value)
    where
        K: kube::Resource<DynamicType = ()>,
    {
        self.create_text_in::<K>(namespace, object.to_string()).await;
    }

    async fn create_text_in<K>(&self, namespace: &str, object: String)
    where
        K: kube::Resource<DynamicType = ()>,
    {
        let request = Request::new(K::url_path(&(), Some(namespace)));
        let request = request.create(&PostParams::default(), object.into_bytes()).unwrap();
        self.client.request_text(request).await.unwrap();
    }

    /// Creates an object of the attacker's. kube's own types may not be able to read it.
    pub async fn create<K>(&self, object: &Value)
    where
        K: kube::Resource<DynamicType = ()>,
    {
        self.create_in::<K>(&self.namespace, object).await;
    }

    /// The same from JSON text.
    pub async fn create_text<K>(&self, object: String)
    where
        K: kube::Resource<DynamicType = ()>,
    {
        self.create_text_in::<K>(&self.namespace, object).await;
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

    /// Adds one more honest tenant. Returns how long it takes to become Ready.
    pub async fn newcomer(&self) -> Duration {
        let (began, namespace) = (Instant::now(), &self.honest[0]);
        let project = format!("{namespace}-newcomer");
        self.cloud.add_tenant(&project);
        self.create_in::<CloudTenant>(namespace, &tenant("newcomer", "cloud", &json!({ "projectID": project }))).await;
        let tenants: Api<CloudTenant> = Api::namespaced(self.client.clone(), namespace);
        wait::until(tenants, "newcomer", "is Ready", 2 * LATER, |tenant| ready(tenant).is_some()).await.unwrap();
        began.elapsed()
    }

    /// Number of DCS observations of the honest tenants so far, and of calls to their Heat.
    pub fn observed(&self) -> (usize, usize) {
        let requests = self.cloud.requests(Service::Dcs);
        let observed = |(namespace, name): &(String, String)| {
            let project = format!("/{namespace}-{}/", name.trim_start_matches("honest-"));
            requests.iter().filter(|request| request.path.contains(&project)).count()
        };
        (self.ready.keys().map(observed).sum(), self.cloud.count(Service::Heat))
    }

    /// Lets the attack last so long.
    pub async fn last(&self, seconds: u64) {
        sleep(Duration::from_secs(seconds)).await;
    }

    /// Deletes the attacker's objects, and checks what the attack may not do.
    pub async fn end(mut self) -> Figures {
        let seconds = self.began.elapsed();
        let pid = self.operator().pid();
        let alive = memory(pid).is_some();
        let used = processor(pid) - self.processor;
        let scrape = self.operator().get("/metrics").map_or(0, |(_, body)| body.len());
        let writes = self.writes();
        let events = self.events().await;
        let asked = self.slowest_of_honest();
        let broken = self.no_longer_ready().await;
        let calls = Service::ALL.map(|service| self.cloud.count(service));
        self.delete().await;
        let (left, allocated, after) = self.until_memory_is_back(pid).await;
        let seen = self.seen.and(self.health.take().unwrap().end());
        let leaks = self.log().lines().filter(|line| line.contains(PASSWORD)).count();
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let kills = self.cage.kills();
        // Not by `println!`, which the harness keeps back: the output has to tell which limit it was.
        let _ = writeln!(
            std::io::stderr(),
            "{}: limit {}; {} in {:.0} s; killed {kills} times; memory {:.1} MiB before, peak {:.1} MiB (VmHWM), \
             {:.1} MiB {:.0} s after; allocated {} KiB before, {} at most, {} after; {used:.1} s of CPU; /healthz at most {:.2} s, {} without answer; honest tenants \
             asked every {:.1} s at most, {} of {} no longer Ready, their cloud's calls {calls:?}; {events} events, \
             {writes} writes; a scrape of {scrape} bytes; {leaks} lines of the log with a Secret's bytes, {} in all",
            self.name,
            self.cage.describe(),
            if alive { "alive" } else { "DEAD" },
            seconds.as_secs_f64(),
            mib(self.before.own),
            mib(seen.memory.peak),
            mib(left),
            after.as_secs_f64(),
            self.allocated_before.unwrap_or_default() >> 10,
            seen.allocated >> 10,
            allocated.unwrap_or_default() >> 10,
            seen.slowest.as_secs_f64(),
            seen.missing,
            asked.as_secs_f64(),
            broken.len(),
            self.ready.len(),
            self.log().lines().count(),
        );
        assert!(alive && kills == 0, "killed {kills} times");
        assert!(seen.memory.peak <= limit(), "a peak of {} bytes", seen.memory.peak);
        assert!(left <= self.before.own + LEFT, "{left} bytes are left, {} before", self.before.own);
        if let Some((before, after)) = self.allocated_before.zip(allocated) {
            assert!(after <= before + self.stays, "{after} bytes are still allocated, {before} before");
        }
        // Other tests use the same processors, so one answer may be late. The kubelet needs three to end a container.
        assert!(seen.missing == 0 && seen.slow <= 1, "/healthz: {seen:?}");
        // A process that has just started spreads its first observations over one interval.
        let most = INTERVAL * if self.restarted { 2 } else { 1 } + SLACK;
        assert!(asked <= most, "an honest tenant was not asked for {asked:?}");
        assert!(broken.is_empty(), "no longer Ready: {broken:?}");
        assert_eq!(leaks, 0, "a Secret's bytes are in the log");
        Figures { seconds: seconds.as_secs_f64(), processor: used, events, writes, scrape }
    }

    fn writes(&self) -> f64 {
        self.operator().metric("cloudtenant_status_writes_total", &[]).unwrap_or_default() + 0.0
    }

    /// Those on the attacker's objects.
    async fn events(&self) -> usize {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        api.list(&ListParams::default()).await.unwrap().items.len()
    }

    /// The longest time between two observations of an honest tenant, or since the last.
    fn slowest_of_honest(&self) -> Duration {
        let now = self.cloud.now();
        let requests = self.cloud.requests(Service::Dcs);
        let gap = |(namespace, name): &(String, String)| {
            let project = format!("/{namespace}-{}/", name.trim_start_matches("honest-"));
            let times = requests.iter().filter(|request| request.path.contains(&project)).map(|request| request.at);
            let times: Vec<_> = times.chain([now]).collect();
            times.windows(2).map(|pair| pair[0].duration_until(pair[1]).unsigned_abs()).max()
        };
        self.ready.keys().filter_map(gap).max().unwrap()
    }

    /// The honest tenants whose Ready is another than when the attack began.
    async fn no_longer_ready(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for ((namespace, name), since) in &self.ready {
            let tenants: Api<CloudTenant> = Api::namespaced(self.client.clone(), namespace);
            let tenant = tenants.get(name).await.unwrap();
            if ready(&tenant) != Some(*since) {
                broken.push(tenant.name_any());
            }
        }
        broken
    }

    async fn delete(&self) {
        for path in [CloudTenant::url_path(&(), Some(&self.namespace)), Secret::url_path(&(), Some(&self.namespace))] {
            self.client.request_text(http::Request::delete(path).body(Vec::new()).unwrap()).await.unwrap();
        }
    }

    /// Waits until memory is as before the attack, a minute at most; with `ATTACKS_MINUTE` a whole minute. The memory
    /// in the end, the bytes that are allocated, and when that was.
    async fn until_memory_is_back(&self, pid: u32) -> (u64, Option<u64>, Duration) {
        let began = Instant::now();
        let whole = std::env::var_os("ATTACKS_MINUTE").is_some();
        loop {
            let own = memory(pid).unwrap_or_default().own;
            let allocated = allocated(self.operator().address());
            let most = self.allocated_before.map(|before| before + self.stays);
            let is_back = own <= self.before.own + LEFT && allocated.zip(most).is_none_or(|(now, most)| now <= most);
            if is_back && !whole || began.elapsed() > MINUTE {
                return (own, allocated, began.elapsed());
            }
            sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Since when it is Ready.
fn ready(tenant: &CloudTenant) -> Option<Timestamp> {
    let conditions = &tenant.status.as_ref()?.conditions;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready.map(|ready| ready.last_transition_time.0)
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
