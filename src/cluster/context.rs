//! The shared data of all passes, and the state of each tenant.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use kube::{Client, Resource as _};
use tokio_util::sync::CancellationToken;

use crate::{
    budget::Budget,
    clouds::{Calls, Clouds, Wake, handles::Handles},
    cluster::{leader::Mandate, secrets::Secrets, writer::StatusWriter},
    decide::Memory,
    metrics::Metrics,
    openstack::{ClockReading, Network},
    shard::Shard,
    share::{Priority, Shares, Sharing},
    watched::{
        kept::Kept,
        roster::{Sets, WatchedSet},
    },
};

/// Number of concurrent passes over all watches. A pass that waits for its cloud does not count.
const PASSES: u32 = 64;

/// The installation's settings.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The namespaces whose CloudTenants the operator watches. An empty list means all namespaces.
    pub namespaces: Vec<String>,
    /// Whether the operator watches Secrets. Otherwise it only reads those that a CloudTenant names.
    pub watch_secrets: bool,
    /// The name of this process in events.
    pub instance: String,
    /// How the operator reaches clouds.
    pub network: Network,
    /// How much data from tenants and clouds the operator keeps.
    pub budget: Budget,
    /// The shard whose CloudTenants the operator serves.
    pub shard: Shard,
    /// What it shares with the operators of other shards in this process. `None` if there is none.
    pub common: Option<Common>,
    /// How the operator serves CloudTenantSets. `None` if it does not.
    pub sets: Option<SetSettings>,
}

/// The installation's settings for CloudTenantSets.
#[derive(Debug, Clone)]
pub struct SetSettings {
    /// The number of CloudTenants that one set creates, changes or deletes a minute.
    pub writes_per_minute: u32,
    /// While the operator serves sets, this contains those that it watches.
    pub sets: Sets,
    /// The time by which sets are judged. Tests move it.
    pub clock: Clock,
}

/// A source of the current time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// Creates a clock that reads the time from this function.
    pub fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(Timestamp::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// The places that all shards of a process share, so that one process never does more at once if it serves several.
#[derive(Debug, Clone)]
pub struct Common {
    turns: Shares,
    calls: Calls,
}

impl Common {
    /// Creates free places for calls over this network.
    #[must_use]
    pub fn new(network: &Network) -> Self {
        Self { turns: Shares::new(PASSES, Sharing::Everything), calls: Calls::new(network.queries_in_flight()) }
    }
}

impl Settings {
    /// Returns the number of watches on Secrets: as many as on CloudTenants, or none.
    fn secret_watches(&self) -> usize {
        if self.watch_secrets { self.namespaces.len().max(1) } else { 0 }
    }
}

/// The state of one tenant between two passes.
pub struct Tenant {
    /// The state that decisions need.
    pub memory: Memory,
    /// The tenant's cloud, subscription and queries.
    pub handles: Handles,
    /// When the clock was last read.
    clock: ClockReading,
}

impl Tenant {
    /// The state of a tenant that is new to this process.
    #[must_use]
    pub fn new(memory: Memory) -> Self {
        Self { memory, handles: Handles::default(), clock: ClockReading::now() }
    }

    /// Moves what the tenant remembers with the operator's clock, if that was set.
    pub fn keep_time(&mut self) {
        let by = self.clock.renew();
        if !by.is_zero() {
            self.memory.clock_was_set(by);
        }
    }
}

/// The shared data of all passes.
pub struct Context {
    /// The clouds in use.
    pub clouds: Clouds,
    /// The Secrets.
    pub secrets: Secrets,
    /// The writer of statuses and events.
    pub writer: StatusWriter,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The channel that starts a pass of a tenant.
    pub wake: Wake,
    /// The turns of the passes, shared by all watches.
    pub turns: Shares,
    /// The shard whose CloudTenants these are.
    shard: Shard,
    /// The CloudTenantSets. Without the flag there are none.
    pub sets: Sets,
    /// Cancelled when the process ends or another one becomes the leader.
    pub shutdown: CancellationToken,
    /// The namespaces in which the API server refuses the watch.
    lost: Mutex<HashSet<String>>,
    tenants: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Tenant>>>>>,
}

impl Context {
    /// Creates a context without tenants.
    #[must_use]
    pub fn new(
        client: &Client,
        settings: &Settings,
        mandate: Mandate,
        metrics: Arc<Metrics>,
        wake: Wake,
        shutdown: CancellationToken,
    ) -> Self {
        let Settings { network, budget, shard, .. } = settings;
        let common = settings.common.clone().unwrap_or_else(|| Common::new(network));
        let clouds = Clouds::new(network.clone(), metrics.clone(), wake.clone(), budget.clone());
        Self {
            clouds: clouds.sharing(common.calls),
            secrets: Secrets::new(client.clone(), settings.secret_watches(), budget.clone()),
            writer: StatusWriter::new(client.clone(), &settings.instance, metrics.clone(), mandate),
            metrics,
            wake,
            turns: common.turns,
            sets: settings.sets.as_ref().map(|settings| settings.sets.clone()).unwrap_or_default(),
            shard: *shard,
            shutdown,
            lost: Mutex::default(),
            tenants: Mutex::default(),
        }
    }

    /// Drops the state of all tenants except these, and everything that only others needed.
    pub fn retain(&self, tenants: &[Arc<Kept>]) {
        let secret = |tenant: &Arc<Kept>| Some((tenant.secret_name()?.to_owned(), tenant.name.namespace.clone()));
        let mut named: HashMap<_, _> =
            tenants.iter().filter_map(|tenant| Some((tenant.uid.as_deref()?, secret(tenant)))).collect();
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| named.contains_key(uid.as_str()));
        let sets = self.sets.all();
        let secret = |set: &WatchedSet| {
            let spec = set.0.as_ref().ok().map(|set| set.spec.cloud_credentials_ref.secret_name.clone());
            spec.zip(set.meta().namespace.clone())
        };
        named.extend(sets.iter().filter_map(|set| Some((set.meta().uid.as_deref()?, secret(set)))));
        self.secrets.retain(|uid, (namespace, name)| {
            let named = named.get(uid).and_then(Option::as_ref);
            named.is_some_and(|(secret, here)| secret == name && here == namespace)
        });
        self.metrics.retain(self.shard, |uid| named.contains_key(uid));
        self.metrics.retain_clouds(self.shard, self.clouds.hosts());
        self.clouds.sweep();
    }

    /// Drops the tenant's written status if the watch has brought it back. A pass that is under way keeps it, so call
    /// this also after each pass.
    pub fn brought(&self, uid: Option<&str>, version: Option<&str>) {
        let (Some(uid), Some(version)) = (uid, version) else { return };
        let known = self.tenants.lock().unwrap_or_else(PoisonError::into_inner).get(uid).cloned();
        if let Some(Ok(mut known)) = known.as_ref().map(|known| known.try_lock())
            && let Some(tenant) = known.as_mut()
        {
            tenant.memory.brought(version);
        }
    }

    /// Records whether the API server refuses the watch on this namespace.
    pub fn lose(&self, namespace: &str, is_lost: bool) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_lost {
            lost.remove(namespace);
        } else if !lost.contains(namespace) {
            lost.insert(namespace.to_owned());
        }
    }

    /// Whether the API server refuses the watch on this namespace. It then refuses Secrets and statuses too.
    pub fn is_lost(&self, namespace: &str) -> bool {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).contains(namespace)
    }

    /// Returns the priority of the next pass of the tenant with this UID. The first pass of a tenant goes before later
    /// passes of others in its namespace.
    pub fn priority(&self, uid: &str) -> Priority {
        let known = self.tenants.lock().unwrap_or_else(PoisonError::into_inner).contains_key(uid);
        if known { Priority::Later } else { Priority::First }
    }

    /// Returns the state of the tenant with this UID. It is empty at first.
    pub fn tenant(&self, uid: &str) -> Arc<tokio::sync::Mutex<Option<Tenant>>> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.entry(uid.to_owned()).or_default().clone()
    }
}

/// There is one for each tenant, without what it refers to.
const _: () = assert!(size_of::<Tenant>() <= 832);
