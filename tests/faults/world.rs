//! One tenant with its own simulated cloud: real calls and real decisions, by a clock that the test moves.
//!
//! The passes are those of `src/cluster/reconcile.rs` without Kubernetes: `Memory::begin`, the probes' queries, `decide`,
//! `Memory::commit`. Heat is called as its task does. The world holds no rule.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use cloudtenant_operator::{
    api::{CloudTenant, CloudTenantStatus},
    cluster::observe,
    decide::{
        Access, Answer, EnginesAnswer, Memory, Observed, Shared, Write, Written, decide,
        event::{Notice, fnv1a},
        schedule::ProbeSchedule,
    },
    metrics::Metrics,
    observation::{ByProbe, EngineAnswers, ProbeKind},
    openstack::{Clock, CloudConfig, Network, Session},
    probe,
    target::Target,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use testkit::cloud::{ADMIN_PROJECT, CacheCounts, Server, Service, SimulatedCloud};

use crate::{
    front::{Certificates, Fault, Front, HOSTS},
    secrets::{self, MARK},
};

/// The tenant's interval, for all probes.
pub const INTERVAL: Duration = Duration::from_secs(300);

/// The deadline of a call, in real time. It is long enough for a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// The deadline of calls to which no answer comes.
const SHORT: Duration = Duration::from_millis(1500);

/// The deadline of a connection, in real time.
const CONNECT: Duration = Duration::from_secs(2);

/// When every story begins, by the operator's clock and by the cloud's.
const START: Timestamp = Timestamp::constant(1_795_320_000, 0);

pub struct World {
    /// It ends with the world.
    _cloud: SimulatedCloud,
    fronts: Arc<[Front; 4]>,
    session: Arc<Session>,
    config: Arc<CloudConfig>,
    metrics: Arc<Metrics>,
    target: Target,
    uid: String,
    memory: Memory,
    is_first: bool,
    now: Timestamp,
    /// By the session's clock, the time since the start in milliseconds.
    passed: Arc<AtomicU64>,
    answers: EngineAnswers,
    engines_turn: ProbeSchedule,
    pub stored: CloudTenantStatus,
    next: Option<Duration>,
    /// The deadline of each probe's calls, in real time.
    deadlines: ByProbe<Duration>,
    /// The queries of each probe so far.
    pub queries: ByProbe<usize>,
}

/// What a pass concluded.
pub struct Pass {
    pub status: CloudTenantStatus,
    pub notices: Vec<Notice>,
    pub now: Timestamp,
}

impl World {
    /// `logs_in` has each pass log in anew.
    pub async fn start(tls: Option<&Arc<Certificates>>, logs_in: bool) -> Self {
        let cloud = SimulatedCloud::start().await.unwrap();
        cloud.set_clock(START);
        cloud.set_token_lifetime(Duration::from_secs(if logs_in { 200 } else { 30 * 24 * 3600 }));
        cloud.change_password(&format!("{MARK}password"));
        cloud.set_caches(ADMIN_PROJECT, CacheCounts::redis(&[("running", 3)]));
        let server = |name: &str, hours: u64| Server::new(name, START - Duration::from_secs(hours * 3600));
        cloud.set_servers(ADMIN_PROJECT, vec![server("a", 50), server("b", 20)]);
        let mut fronts = Vec::new();
        for service in Service::ALL {
            let path = if service == Service::Keystone { "/auth/tokens" } else { "" };
            fronts.push(Front::start(cloud.base_url(service), path, tls.cloned()).await);
        }
        let scheme = if tls.is_some() { "https" } else { "http" };
        let replaced = Service::ALL.into_iter().zip(&fronts).zip(HOSTS).map(|((service, front), host)| {
            (cloud.base_url(service).to_owned(), format!("{scheme}://{host}:{}", front.port))
        });
        let replaced: Vec<_> = replaced.collect();
        fronts[0].replace(replaced.clone());
        let yaml = replaced.iter().fold(cloud.clouds_yaml("c"), |yaml, (from, to)| yaml.replace(from, to));
        let config = CloudConfig::parse(&yaml, "c", tls.map(|tls| tls.ca_pem.as_str()), None).unwrap();
        let config = Arc::new(config);
        let fronts: Arc<[Front; 4]> = Arc::new(fronts.try_into().unwrap_or_else(|_| panic!("four services")));
        let named = fronts.clone();
        let look_up = move |name: &str| {
            let at =
                HOSTS.iter().position(|host| *host == name).ok_or_else(|| std::io::Error::other("no such host"))?;
            named[at].address()
        };
        let network = Network::default().allowing_loopback().resolving_by(look_up).with_connect_timeout(CONNECT);
        let passed = Arc::new(AtomicU64::new(0));
        let (began, clock) = (Instant::now(), passed.clone());
        let clock: Clock = Arc::new(move || began + Duration::from_millis(clock.load(SeqCst)));
        let metrics = Arc::new(Metrics::new());
        let session = Session::with_clock(config.clone(), &network, metrics.clone(), clock).unwrap();
        let spec = serde_json::from_value(spec()).unwrap();
        let mut target = Target::new(&spec).unwrap();
        target.timeout = DEADLINE;
        // The share of this UID is 0, so that all probes are due at the same time.
        let uid = (0..).map(|n| format!("uid-{n}")).find(|uid| fnv1a(uid.as_bytes()).is_multiple_of(1000)).unwrap();
        let stored: CloudTenantStatus = serde_json::from_value(json!({ "observedGeneration": -1 })).unwrap();
        Self {
            memory: Memory::new(&uid, &target, &stored, START),
            engines_turn: ProbeSchedule::first(None, INTERVAL, 0.0, START),
            _cloud: cloud,
            fronts,
            session: Arc::new(session),
            config,
            metrics,
            target,
            uid,
            is_first: true,
            now: START,
            passed,
            answers: EngineAnswers::default(),
            stored,
            next: Some(Duration::ZERO),
            deadlines: ByProbe::from_fn(|_| DEADLINE),
            queries: ByProbe::default(),
        }
    }

    pub fn front(&self, service: usize) -> &Front {
        &self.fronts[service]
    }

    /// Begins or ends a fault of a service that these probes need.
    pub fn set(&mut self, service: usize, fault: Option<Fault>, probes: &[ProbeKind]) {
        self.fronts[service].set(fault);
        let is_silent = fault.is_some_and(Fault::is_silent);
        probes.iter().for_each(|kind| self.deadlines[*kind] = if is_silent { SHORT } else { DEADLINE });
    }

    /// Moves the clocks to the next pass, and makes it.
    pub async fn step(&mut self) -> Pass {
        let until = |at: Timestamp| Duration::try_from(at.duration_since(self.now)).unwrap_or_default();
        let heat = until(self.engines_turn.next.max(self.engines_turn.not_before.unwrap_or(self.now)));
        let wait = self.next.map_or(heat, |next| next.min(heat));
        self.advance(wait);
        self.pass().await
    }

    fn advance(&mut self, by: Duration) {
        self.now = self.now.checked_add(by).unwrap();
        self.passed.fetch_add(u64::try_from(by.as_millis()).unwrap(), SeqCst);
    }

    /// Steps until something has come. Returns the last pass, the events of all passes, and the time until then.
    pub async fn until(&mut self, has_come: impl Fn(&Self) -> bool) -> (Pass, Vec<Notice>, Duration) {
        let (began, mut notices) = (self.now, Vec::new());
        for _ in 0..2000 {
            let mut pass = self.step().await;
            notices.append(&mut pass.notices);
            if has_come(self) {
                let took = Duration::try_from(pass.now.duration_since(began)).unwrap();
                return (pass, notices, took);
            }
        }
        panic!("no call within {} s", self.now.duration_since(began).as_secs());
    }

    async fn pass(&mut self) -> Pass {
        let began = self.now;
        let access = if std::mem::take(&mut self.is_first) { Access::First } else { Access::Same };
        let object = self.object();
        let start = self.memory.begin(&self.target, &object, access, self.now);
        let frozen = observe::frozen(&start.stored, &self.config, self.session.known_region().as_deref());
        let due = start.plan.due;
        // The cloud's clock does not move with the operator's, so its questions have the time of the real clock.
        let real = Timestamp::now();
        let own = async |kind: ProbeKind| {
            if !due[kind] {
                return Answer::Nothing;
            }
            let target = Target { timeout: self.deadlines[kind], ..self.target.clone() };
            Answer::Came(probe::ask(kind, &self.session, &target, frozen, real).await)
        };
        let turn = &self.engines_turn;
        let heat_is_due = turn.next.max(turn.not_before.unwrap_or(self.now)) <= self.now;
        let heat = async {
            if !heat_is_due {
                return None;
            }
            let answer = probe::engines::ask(&self.session, self.deadlines[ProbeKind::Engines], real).await;
            Some(probe::outcome(&self.session, answer))
        };
        let (heat, caches, usage) = tokio::join!(heat, own(ProbeKind::Caches), own(ProbeKind::Usage));
        for kind in [ProbeKind::Caches, ProbeKind::Usage] {
            self.queries[kind] += usize::from(due[kind]);
        }
        if let Some(outcome) = heat {
            self.queries[ProbeKind::Engines] += 1;
            self.engines_turn.heard(&outcome, INTERVAL, self.now);
            self.answers = std::mem::take(&mut self.answers).and(outcome, self.now);
        }
        let mut answers = ByProbe::default();
        (answers[ProbeKind::Caches], answers[ProbeKind::Usage]) = (caches, usage);
        let shared =
            Shared { subscription: 1, answers: Arc::new(self.answers.clone()), is_current: true, serves_request: true };
        let old = start.stored.source.clone();
        let source = observe::source(&self.target, &self.config, &self.session, old.as_ref(), self.now).await;
        let observed = Observed { engines: EnginesAnswer::Shared(shared), own: answers, source };
        let mut decision = decide(&self.memory, &self.target, start, observed.clone(), self.now);
        if let Write::After(pause) = decision.write {
            // The pass is repeated when the status may be written.
            self.memory.commit(decision, Written::Skipped);
            self.advance(pause);
            let object = self.object();
            let start = self.memory.begin(&self.target, &object, Access::Same, self.now);
            let observed = Observed { own: ByProbe::default(), ..observed };
            decision = decide(&self.memory, &self.target, start, observed, self.now);
        }
        if decision.doubts_tokens {
            self.session.doubt_token();
        }
        let pass = Pass { status: decision.status.clone(), notices: decision.notices.clone(), now: began };
        self.next = decision.next;
        let written = decision.write == Write::Now;
        secrets::search("what a pass shows", &format!("{decision:?} {:?} {:?}", self.session, self.config));
        secrets::search("metrics", &self.metrics.encode());
        self.memory.commit(decision, if written { Written::As(None) } else { Written::Skipped });
        if written {
            self.stored = serde_json::from_value(serde_json::to_value(&pass.status).unwrap()).unwrap();
        }
        pass
    }

    fn object(&self) -> CloudTenant {
        serde_json::from_value(json!({
            "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant",
            "metadata": { "name": "t", "generation": 1, "uid": self.uid }, "spec": spec(), "status": self.stored,
        }))
        .unwrap()
    }
}

fn spec() -> Value {
    json!({
        "projectID": ADMIN_PROJECT, "cloudCredentialsRef": { "secretName": "cloud", "cloudName": "c" },
        "interval": "5m", "probes": { "usage": { "interval": "5m" } },
    })
}

/// The conditions of a status as `reason status` by type.
pub fn conditions(status: &CloudTenantStatus) -> BTreeMap<String, (String, String)> {
    let pair = |c: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        (c.type_.clone(), (c.status.clone(), c.reason.clone()))
    };
    status.conditions.iter().map(pair).collect()
}

/// The data of a status without times, hours of servers that still run, and what an Unknown condition changes.
pub fn data(status: &CloudTenantStatus) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.retain(|name, _| {
                    let is_moving =
                        name.ends_with("Hours") || matches!(name.as_str(), "observedAt" | "end" | "summary");
                    !is_moving
                });
                members.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut data = serde_json::to_value(status).unwrap();
    data.as_object_mut().unwrap().remove("conditions");
    strip(&mut data);
    data
}
