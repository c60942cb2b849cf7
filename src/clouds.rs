//! The clouds in use: one session and one engines' task per identity.
//!
//! Tenants with equal clouds.yaml entries share one session, also across namespaces. They share one token, one
//! connection pool and one call to Heat per interval. Each namespace has a [`Cloud`] of its own, which charges the
//! namespace's budget. A cloud ends with the last tenant that holds it. A namespace's latest clouds stay until the next
//! sweep, so that a tenant that returns soon finds its token and Heat's schedule.

pub mod handles;

mod account;
mod calls;
pub mod engines_task;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use account::Account;
use calls::HostCalls;
pub use calls::{Calls, Place};
use tokio::sync::mpsc;

use crate::{
    budget::{Budget, OverBudget},
    identity::TenantName,
    metrics::Metrics,
    observation::ProbeFailure,
    openstack::{CloudConfig, Network, Session},
    probe::failure,
    share::Priority,
};

/// The channel that starts a pass of a tenant.
pub type Wake = mpsc::Sender<TenantName>;

/// Number of clouds per namespace that stay until the next sweep, whether in use or not.
const RECENT: usize = 4;

/// A cloud with one credential, as one namespace uses it.
#[derive(Debug)]
pub struct Cloud {
    shared: Arc<Shared>,
    namespace: Arc<str>,
    account: Arc<Account>,
    table: Arc<Table>,
    /// The cloud of the entry as it is written, if this one is for an observed project.
    entry: Option<Arc<Self>>,
}

/// The part that all namespaces with the same clouds.yaml share.
#[derive(Debug)]
pub struct Shared {
    /// The entry of clouds.yaml, which identifies the cloud.
    pub config: Arc<CloudConfig>,
    /// The session with the cloud.
    pub session: Arc<Session>,
    /// The task that queries Heat.
    pub engines: engines_task::EnginesTask,
    calls: HostCalls,
}

/// All clouds in use.
#[derive(Debug)]
pub struct Clouds {
    table: Arc<Table>,
    network: Network,
    metrics: Arc<Metrics>,
    wake: Wake,
    budget: Budget,
    calls: Calls,
}

#[derive(Debug, Default)]
struct Table(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    clouds: HashMap<Arc<CloudConfig>, InUse>,
    /// By namespace, the latest last.
    recent: HashMap<Arc<str>, VecDeque<Arc<Cloud>>>,
}

#[derive(Debug)]
struct InUse {
    shared: Weak<Shared>,
    /// By namespace, sorted. Most have one, and a table takes 160 bytes.
    clouds: Vec<(Arc<str>, Weak<Cloud>)>,
}

impl InUse {
    fn find(&self, namespace: &str) -> Result<usize, usize> {
        self.clouds.binary_search_by(|(known, _)| (**known).cmp(namespace))
    }

    fn get(&self, namespace: &str) -> Option<&Weak<Cloud>> {
        self.find(namespace).ok().map(|at| &self.clouds[at].1)
    }

    fn insert(&mut self, cloud: &Arc<Cloud>) {
        let entry = (cloud.namespace.clone(), Arc::downgrade(cloud));
        match self.find(&cloud.namespace) {
            Ok(at) => self.clouds[at] = entry,
            Err(at) => {
                if self.clouds.is_empty() {
                    self.clouds.reserve_exact(1);
                }
                self.clouds.insert(at, entry);
            }
        }
    }

    fn remove(&mut self, namespace: &str) {
        if let Ok(at) = self.find(namespace) {
            drop(self.clouds.remove(at));
        }
    }
}

impl Deref for Cloud {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Cloud {
    /// Runs a query of one tenant once it may begin.
    pub async fn query<F: Future>(&self, priority: Priority, query: impl FnOnce() -> F) -> F::Output {
        self.calls.query(self.namespace.clone(), priority, query).await
    }

    /// The cloud of the entry as it is written. All projects of an entry share it, and its engines' task.
    #[must_use]
    pub fn as_written(self: &Arc<Self>) -> &Arc<Self> {
        self.entry.as_ref().unwrap_or(self)
    }

    /// Waits until a pass of the namespace may begin to wait for the cloud.
    pub async fn wait(&self, priority: Priority) -> Place {
        self.calls.wait(self.namespace.clone(), priority).await
    }

    /// Charges the session's current size, which grows with a login.
    ///
    /// # Errors
    /// The failure for the tenant if its namespace may not keep so much.
    pub fn settle(&self) -> Result<(), ProbeFailure> {
        if let Some(entry) = &self.entry {
            entry.settle()?;
        }
        let settled = self.account.charge_session(&self.config, self.session.kept_bytes());
        settled.map_err(|over| failure::of_budget(&over))
    }
}

impl Clouds {
    /// Creates an empty table. The engines' task sends through `wake` the tenants that its answers concern.
    #[must_use]
    pub fn new(network: Network, metrics: Arc<Metrics>, wake: Wake, budget: Budget) -> Self {
        let calls = Calls::new(network.queries_in_flight());
        Self { table: Arc::default(), network, metrics, wake, budget, calls }
    }

    /// Shares the places of these calls with other tables.
    #[must_use]
    pub fn sharing(self, calls: Calls) -> Self {
        Self { calls, ..self }
    }

    /// Returns the cloud of this entry. Equal entries share a session.
    ///
    /// # Errors
    /// The entry's certificate authority is unusable, or the namespace may keep no more.
    pub fn open(&self, namespace: &str, config: &Arc<CloudConfig>) -> Result<Arc<Cloud>, ProbeFailure> {
        let entry = config.entry().map(|entry| self.open_with(namespace, entry, None)).transpose()?;
        self.open_with(namespace, config, entry.as_ref())
    }

    fn open_with(
        &self,
        namespace: &str,
        config: &Arc<CloudConfig>,
        entry: Option<&Arc<Cloud>>,
    ) -> Result<Arc<Cloud>, ProbeFailure> {
        let opened = self.try_open(namespace, config, entry)?;
        let opened = match opened {
            // Unused clouds make room.
            Err(_) if self.forget_recent(namespace) => self.try_open(namespace, config, entry)?,
            opened => opened,
        };
        opened.map_err(|over| failure::of_budget(&over))
    }

    fn try_open(
        &self,
        namespace: &str,
        config: &Arc<CloudConfig>,
        entry: Option<&Arc<Cloud>>,
    ) -> Result<Result<Arc<Cloud>, OverBudget>, ProbeFailure> {
        let mut open = self.table.lock();
        let known = open.clouds.get(config);
        let cloud = match known.and_then(|known| known.get(namespace)).and_then(Weak::upgrade) {
            Some(cloud) => cloud,
            None => {
                let shared = known.and_then(|known| known.shared.upgrade());
                let session = shared.as_ref().map_or(Session::ORDINARY_BYTES, |shared| shared.session.kept_bytes());
                let account = match Account::open(&self.budget, namespace, config, session) {
                    Ok(account) => account,
                    Err(over) => return Ok(Err(over)),
                };
                let shared = shared.map_or_else(|| self.share(config, entry), Ok)?;
                shared.session.used_by(namespace);
                let (namespace, table) = (namespace.into(), self.table.clone());
                let cloud = Arc::new(Cloud { shared, namespace, account, table, entry: entry.cloned() });
                let in_use = open
                    .clouds
                    .entry(config.clone())
                    .or_insert_with(|| InUse { shared: Weak::new(), clouds: Vec::new() });
                in_use.shared = Arc::downgrade(&cloud.shared);
                in_use.insert(&cloud);
                cloud
            }
        };
        let superseded = open.note(&cloud);
        // Dropping the cloud takes the lock.
        drop(open);
        drop(superseded);
        Ok(Ok(cloud))
    }

    fn share(&self, config: &Arc<CloudConfig>, entry: Option<&Arc<Cloud>>) -> Result<Arc<Shared>, ProbeFailure> {
        let session = match entry {
            Some(entry) => entry.session.for_project(config.clone(), &self.network),
            None => Session::new(config.clone(), &self.network, self.metrics.clone()),
        };
        let session = Arc::new(session.map_err(|error| failure::of_config(&error))?);
        let engines = engines_task::EnginesTask::new(self.wake.clone());
        Ok(Arc::new(Shared { config: config.clone(), session, engines, calls: self.calls.at(&config.called_host()) }))
    }

    /// Drops the namespace's latest clouds. Returns whether one of them was unused.
    fn forget_recent(&self, namespace: &str) -> bool {
        let recent = self.table.lock().recent.remove(namespace).unwrap_or_default();
        recent.iter().any(|cloud| Arc::strong_count(cloud) == 1)
    }

    /// The hosts of the clouds that are kept.
    #[must_use]
    pub fn hosts(&self) -> HashSet<String> {
        self.table.lock().clouds.keys().map(|config| config.host()).collect()
    }

    /// Drops the clouds that no tenant holds.
    pub fn sweep(&self) {
        let recent = std::mem::take(&mut self.table.lock().recent);
        // Dropping the clouds takes the lock.
        drop(recent);
        self.network.sweep();
        self.calls.sweep();
    }
}

impl Open {
    /// Keeps this cloud until the next sweep. Returns the cloud that it replaces.
    fn note(&mut self, cloud: &Arc<Cloud>) -> Option<Arc<Cloud>> {
        let recent = self.recent.entry(cloud.namespace.clone()).or_default();
        let known = recent.iter().position(|known| Arc::ptr_eq(known, cloud));
        let known = known.and_then(|at| recent.remove(at));
        recent.push_back(cloud.clone());
        // This is another reference to `cloud`, so no cloud ends here.
        drop(known);
        if recent.len() > RECENT { recent.pop_front() } else { None }
    }
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let mut open = self.table.lock();
        let Some(entry) = open.clouds.get_mut(&self.shared.config) else { return };
        // Another tenant may have opened the cloud again since.
        if entry.get(&self.namespace).is_some_and(|cloud| cloud.strong_count() == 0) {
            entry.remove(&self.namespace);
            self.session.left_by(&self.namespace);
        }
        if entry.clouds.is_empty() {
            open.clouds.remove(&self.shared.config);
            drop(open);
            self.session.abandon(self.account.clone());
        }
    }
}
