//! Honest tenants beside an attack: their clouds, what the operator has to say of them, and how late it calls.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use cloudtenant_operator::api::CloudTenant;
use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt as _,
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::{Value, json};
use testkit::{
    cloud::{CacheCounts, Server, Service, SimulatedCloud},
    control_plane::{ControlPlane, wait},
};
use tokio::task::JoinSet;

use crate::scene::{LATER, create_in, secret, tenant};

/// How many honest tenants there are.
#[derive(Debug, Clone, Copy)]
pub struct Crowd {
    pub namespaces: usize,
    /// Tenants in each namespace.
    pub tenants: usize,
    /// Whether each namespace has a cloud of its own.
    pub own_clouds: bool,
    /// In seconds. A namespace's tenants have one after the other, and from the first again.
    pub intervals: &'static [u64],
    /// The interval of usage, in seconds.
    pub usage: u64,
}

/// Beside one attack.
pub const TEN: Crowd = Crowd { namespaces: 2, tenants: 5, own_clouds: false, intervals: &[10], usage: 3600 };
/// Beside all attacks.
pub const HUNDRED: Crowd = Crowd { namespaces: 10, tenants: 10, own_clouds: true, intervals: &[10, 30, 60], usage: 60 };

struct Tenant {
    /// The index of its namespace.
    place: usize,
    name: String,
    project: String,
    interval: Duration,
    /// The interval of usage.
    usage: Duration,
    /// Its caches that run, and those with errors. No two tenants of a namespace have the same.
    caches: (u64, u64),
    servers: usize,
}

impl Tenant {
    /// Whether the status says what its cloud has, with these conditions.
    fn is_told(&self, object: &CloudTenant) -> bool {
        let status = serde_json::to_value(&object.status).unwrap();
        let verdict = |name: &str| {
            let conditions = status["conditions"].as_array().into_iter().flatten();
            conditions.filter(|condition| condition["type"] == name).map(|found| &found["status"]).next()
        };
        let healthy = if self.caches.1 == 0 { "True" } else { "False" };
        let all = &status["caches"]["all"];
        [("Ready", healthy), ("EnginesHealthy", "True"), ("CachesHealthy", healthy), ("UsageReported", "True")]
            .into_iter()
            .all(|(name, expected)| verdict(name).is_some_and(|found| found == expected))
            && ["Stalled", "Reconciling"].iter().all(|name| verdict(name).is_none())
            && status["engines"]["summary"] == "2/2"
            && (all["running"].as_u64(), all["error"].as_u64()) == (Some(self.caches.0), Some(self.caches.1))
            && status["usage"]["servers"].as_u64() == Some(self.servers as u64)
    }
}

/// What of a status may not change while its cloud does not change.
fn constant(object: &CloudTenant) -> Value {
    let mut status = serde_json::to_value(&object.status).unwrap();
    let rows = status["engines"]["hosts"].as_array_mut().into_iter().flatten();
    rows.for_each(|row| {
        row.as_object_mut().unwrap().remove("lastHeartbeat");
    });
    status["usage"] = json!({ "servers": status["usage"]["servers"], "complete": status["usage"]["complete"] });
    for block in ["engines", "caches"] {
        status[block].as_object_mut().map(|members| members.remove("observedAt"));
    }
    status.as_object_mut().unwrap().remove("observedAt");
    status
}

/// What the watches see.
#[derive(Default)]
struct Watched {
    /// By namespace and name: what the status has to say.
    expected: BTreeMap<(String, String), Value>,
    seen: usize,
    wrong: Vec<String>,
}

impl Watched {
    fn see(&mut self, object: &CloudTenant) {
        let name = (object.namespace().unwrap_or_default(), object.name_any());
        let Some(expected) = self.expected.get(&name) else { return };
        self.seen += 1;
        let found = constant(object);
        if *expected != found {
            self.wrong.push(format!("{name:?}: {found}, and was {expected}"));
        }
    }
}

/// The longest time between two calls of a probe, or since the last.
#[derive(Debug, Clone, Default)]
pub struct Latest {
    /// As a multiple of the interval.
    pub ratio: f64,
    pub gap: Duration,
    pub of: String,
    /// Calls in all.
    pub calls: usize,
}

impl Latest {
    fn and(&mut self, of: &str, interval: Duration, mut times: Vec<Timestamp>, until: Timestamp) {
        self.calls += times.len();
        times.push(until);
        for pair in times.windows(2) {
            let gap = pair[0].duration_until(pair[1]).unsigned_abs();
            let ratio = gap.as_secs_f64() / interval.as_secs_f64();
            if ratio > self.ratio {
                *self = Self { ratio, gap, of: of.to_owned(), calls: self.calls };
            }
        }
    }
}

pub struct Honest {
    client: Client,
    pub namespaces: Vec<String>,
    clouds: Vec<SimulatedCloud>,
    tenants: Vec<Tenant>,
    watched: Arc<Mutex<Watched>>,
    watches: JoinSet<()>,
}

impl Honest {
    /// Namespaces and clouds, without a tenant.
    pub async fn new(control_plane: &ControlPlane, client: Client, crowd: Crowd) -> Self {
        let mut namespaces = Vec::new();
        let mut clouds = Vec::new();
        let mut tenants = Vec::new();
        for place in 0..crowd.namespaces {
            let namespace = control_plane.namespace("honest").await.unwrap();
            if place == 0 || crowd.own_clouds {
                clouds.push(SimulatedCloud::start().await.unwrap());
            }
            for number in 0..crowd.tenants {
                let seconds = crowd.intervals[number % crowd.intervals.len()];
                tenants.push(Tenant {
                    place,
                    name: format!("honest-{number}"),
                    project: format!("{namespace}-{number}"),
                    interval: Duration::from_secs(seconds),
                    usage: Duration::from_secs(crowd.usage),
                    caches: (number as u64 + 1, u64::from(number % 5 == 4)),
                    servers: number % 3,
                });
            }
            namespaces.push(namespace);
        }
        Self { client, namespaces, clouds, tenants, watched: Arc::default(), watches: JoinSet::new() }
    }

    fn cloud(&self, place: usize) -> &SimulatedCloud {
        &self.clouds[place % self.clouds.len()]
    }

    /// A clouds.yaml of the first namespace's cloud.
    pub fn clouds_yaml(&self) -> String {
        self.cloud(0).clouds_yaml("openstack")
    }

    /// Creates the tenants, waits until their statuses are right, and watches these from then on.
    pub async fn add(&mut self) {
        for (place, namespace) in self.namespaces.iter().enumerate() {
            let yaml = self.cloud(place).clouds_yaml("openstack");
            create_in::<Secret>(&self.client, namespace, &secret("cloud", &[("clouds.yaml", yaml.as_bytes())])).await;
        }
        let added = stream::iter(&self.tenants).map(|tenant| self.add_one(tenant));
        added.buffer_unordered(16).collect::<Vec<()>>().await;
        for tenant in &self.tenants {
            let namespace = &self.namespaces[tenant.place];
            let api: Api<CloudTenant> = Api::namespaced(self.client.clone(), namespace);
            let told = wait::until(api, &tenant.name, "is right", LATER, |object| tenant.is_told(object)).await;
            let name = (namespace.clone(), tenant.name.clone());
            self.watched.lock().unwrap().expected.insert(name, constant(&told.unwrap()));
        }
        for namespace in &self.namespaces {
            let api: Api<CloudTenant> = Api::namespaced(self.client.clone(), namespace);
            let watched = self.watched.clone();
            let steps = watcher(api, watcher::Config::default()).default_backoff();
            self.watches.spawn(steps.for_each(move |step| {
                if let Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) = step {
                    watched.lock().unwrap().see(&object);
                }
                std::future::ready(())
            }));
        }
    }

    async fn add_one(&self, honest: &Tenant) {
        let (cloud, namespace) = (self.cloud(honest.place), &self.namespaces[honest.place]);
        cloud.add_tenant(&honest.project);
        let (running, error) = honest.caches;
        cloud.set_caches(&honest.project, CacheCounts::redis(&[("running", running), ("error", error)]));
        let server = |number| Server::new(&format!("server-{number}"), cloud.now() - SignedDuration::from_hours(1));
        cloud.set_servers(&honest.project, (0..honest.servers).map(server).collect());
        let spec = json!({
            "projectID": honest.project, "interval": format!("{}s", honest.interval.as_secs()),
            "probes": { "usage": { "interval": format!("{}s", honest.usage.as_secs()) } },
        });
        create_in::<CloudTenant>(&self.client, namespace, &tenant(&honest.name, "cloud", &spec)).await;
    }

    /// Adds one more tenant. Returns how long it takes to become Ready.
    pub async fn newcomer(&self) -> Duration {
        let (began, namespace) = (Instant::now(), &self.namespaces[0]);
        let project = format!("{namespace}-newcomer");
        self.cloud(0).add_tenant(&project);
        let object = tenant("newcomer", "cloud", &json!({ "projectID": project }));
        create_in::<CloudTenant>(&self.client, namespace, &object).await;
        let api: Api<CloudTenant> = Api::namespaced(self.client.clone(), namespace);
        wait::until(api, "newcomer", "is Ready", 2 * LATER, is_ready).await.unwrap();
        began.elapsed()
    }

    /// Number of DCS observations so far, and of calls to Heat.
    pub fn observed(&self) -> (usize, usize) {
        let caches = (0..self.clouds.len()).flat_map(|cloud| self.times(cloud, Service::Dcs).into_values());
        (caches.map(|times| times.len()).sum(), self.clouds.iter().map(|cloud| cloud.count(Service::Heat)).sum())
    }

    /// Calls so far, of all clouds, by service.
    pub fn calls(&self) -> [usize; Service::ALL.len()] {
        Service::ALL.map(|service| self.clouds.iter().map(|cloud| cloud.count(service)).sum())
    }

    /// By tenant: when a cloud's service was called about its project.
    fn times(&self, cloud: usize, service: Service) -> BTreeMap<usize, Vec<Timestamp>> {
        let own = self.tenants.iter().enumerate().filter(|(_, tenant)| tenant.place % self.clouds.len() == cloud);
        let numbers: BTreeMap<_, _> = own.map(|(number, tenant)| (tenant.project.as_str(), number)).collect();
        let mut times: BTreeMap<_, Vec<_>> = numbers.values().map(|number| (*number, Vec::new())).collect();
        for request in self.clouds[cloud].requests(service) {
            let number = request.path.split('/').find_map(|part| numbers.get(part));
            if let Some(times) = number.and_then(|number| times.get_mut(number)) {
                times.push(request.at);
            }
        }
        times
    }

    /// The latest call to an honest cloud, by the clouds' own logs. Heat's list is called once for all tenants of a
    /// cloud, at their shortest interval.
    pub fn latest(&self) -> Latest {
        let mut latest = Latest::default();
        for (at, cloud) in self.clouds.iter().enumerate() {
            let now = cloud.now();
            for service in [Service::Dcs, Service::Nova] {
                for (number, times) in self.times(at, service) {
                    let tenant = &self.tenants[number];
                    let interval = if service == Service::Nova { tenant.usage } else { tenant.interval };
                    latest.and(&format!("{service:?} of {}", tenant.project), interval, times, now);
                }
            }
            let shortest = self.tenants.iter().map(|tenant| tenant.interval).min().unwrap();
            let times = cloud.requests(Service::Heat).iter().map(|request| request.at).collect();
            latest.and(&format!("Heat of cloud {at}"), shortest, times, now);
        }
        latest
    }

    /// The statuses that the watches saw, and those of them that were wrong.
    pub fn statuses(&self) -> (usize, Vec<String>) {
        let watched = self.watched.lock().unwrap();
        (watched.seen, watched.wrong.clone())
    }

    pub fn len(&self) -> usize {
        self.tenants.len()
    }
}

fn is_ready(tenant: &CloudTenant) -> bool {
    let conditions = tenant.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
