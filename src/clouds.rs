//! The clouds in use: one session for each identity, and its engines' task.
//!
//! Tenants whose clouds.yaml says the same share one session, whichever namespace it stands in: one token, one
//! pool of connections, one call to Heat an interval. Each namespace has a [`Cloud`] of its own before it, which counts
//! what the namespace keeps. A cloud ends with the last tenant that holds it; only a namespace's latest ones stay until
//! the next sweep, so that a tenant that comes back at once finds its token and Heat's turn.

pub mod handles;

mod account;
pub mod engines;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::mpsc;

use crate::{
    budget::{Budget, OverBudget},
    identity::TenantName,
    metrics::Metrics,
    observation::ProbeFailure,
    openstack::{CloudConfig, Network, Session},
    probe::failure,
};

use account::Account;

/// Where those are named who have to look again.
pub type Wake = mpsc::Sender<TenantName>;

/// So many clouds of a namespace stay until the next sweep, in use or not.
const RECENT: usize = 4;

/// One cloud as one credential sees it, and as one namespace uses it.
#[derive(Debug)]
pub struct Cloud {
    shared: Arc<Shared>,
    namespace: String,
    account: Arc<Account>,
    table: Arc<Table>,
}

/// What all namespaces with the same clouds.yaml share.
#[derive(Debug)]
pub struct Shared {
    /// What makes it what it is.
    pub config: Arc<CloudConfig>,
    /// The way to it.
    pub session: Arc<Session>,
    /// What Heat says there.
    pub engines: engines::EnginesTask,
}

/// All clouds in use.
#[derive(Debug)]
pub struct Clouds {
    table: Arc<Table>,
    network: Network,
    metrics: Arc<Metrics>,
    wake: Wake,
    budget: Budget,
}

#[derive(Debug, Default)]
struct Table(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    clouds: HashMap<Arc<CloudConfig>, Entry>,
    /// By namespace, the latest last.
    recent: HashMap<String, VecDeque<Arc<Cloud>>>,
}

#[derive(Debug)]
struct Entry {
    shared: Weak<Shared>,
    /// By namespace.
    clouds: HashMap<String, Weak<Cloud>>,
}

impl Deref for Cloud {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Cloud {
    /// Counts what the session keeps by now: it grows with a login.
    ///
    /// # Errors
    /// What the tenant is told where its namespace may not keep so much.
    pub fn settle(&self) -> Result<(), ProbeFailure> {
        let settled = self.account.charge_session(&self.config, self.session.kept_bytes());
        settled.map_err(|over| failure::of_budget(&over))
    }
}

impl Clouds {
    /// None yet. `wake` is told whom the engines' answers concern.
    #[must_use]
    pub fn new(network: Network, metrics: Arc<Metrics>, wake: Wake, budget: Budget) -> Self {
        Self { table: Arc::default(), network, metrics, wake, budget }
    }

    /// The cloud that this entry describes, the same session for equal entries.
    ///
    /// # Errors
    /// The entry's certificate authority cannot be used, or the namespace may keep no more.
    pub fn open(&self, namespace: &str, config: &Arc<CloudConfig>) -> Result<Arc<Cloud>, ProbeFailure> {
        let opened = self.try_open(namespace, config)?;
        let opened = match opened {
            // What nobody uses any more makes room.
            Err(_) if self.forget_recent(namespace) => self.try_open(namespace, config)?,
            opened => opened,
        };
        opened.map_err(|over| failure::of_budget(&over))
    }

    fn try_open(
        &self,
        namespace: &str,
        config: &Arc<CloudConfig>,
    ) -> Result<Result<Arc<Cloud>, OverBudget>, ProbeFailure> {
        let mut open = self.table.lock();
        let known = open.clouds.get(config);
        let cloud = match known.and_then(|known| known.clouds.get(namespace)).and_then(Weak::upgrade) {
            Some(cloud) => cloud,
            None => {
                let shared = known.and_then(|known| known.shared.upgrade());
                let session = shared.as_ref().map_or(Session::ORDINARY_BYTES, |shared| shared.session.kept_bytes());
                let account = match Account::open(&self.budget, namespace, config, session) {
                    Ok(account) => account,
                    Err(over) => return Ok(Err(over)),
                };
                let shared = shared.map_or_else(|| self.share(config), Ok)?;
                let table = self.table.clone();
                let cloud = Arc::new(Cloud { shared, namespace: namespace.to_owned(), account, table });
                let entry = open
                    .clouds
                    .entry(config.clone())
                    .or_insert_with(|| Entry { shared: Weak::new(), clouds: HashMap::new() });
                entry.shared = Arc::downgrade(&cloud.shared);
                entry.clouds.insert(namespace.to_owned(), Arc::downgrade(&cloud));
                cloud
            }
        };
        let superseded = open.note(&cloud);
        // Its end needs the lock.
        drop(open);
        drop(superseded);
        Ok(Ok(cloud))
    }

    fn share(&self, config: &Arc<CloudConfig>) -> Result<Arc<Shared>, ProbeFailure> {
        let session = Session::new(config.clone(), &self.network, self.metrics.clone());
        let session = Arc::new(session.map_err(|error| failure::of_config(&error))?);
        let engines = engines::EnginesTask::new(self.wake.clone());
        Ok(Arc::new(Shared { config: config.clone(), session, engines }))
    }

    /// Whether the namespace had clouds that only waited for a sweep.
    fn forget_recent(&self, namespace: &str) -> bool {
        let recent = self.table.lock().recent.remove(namespace).unwrap_or_default();
        recent.iter().any(|cloud| Arc::strong_count(cloud) == 1)
    }

    /// Forgets the clouds that no tenant holds.
    pub fn sweep(&self) {
        let mut open = self.table.lock();
        let recent = std::mem::take(&mut open.recent);
        let hosts: HashSet<String> = open.clouds.keys().map(|config| config.host()).collect();
        drop(open);
        // Their ends need the lock.
        drop(recent);
        self.metrics.retain_clouds(|host| hosts.contains(host));
        self.network.sweep();
    }
}

impl Open {
    /// Has this cloud stay until the next sweep. The one that does not any more is returned.
    fn note(&mut self, cloud: &Arc<Cloud>) -> Option<Arc<Cloud>> {
        let recent = self.recent.entry(cloud.namespace.clone()).or_default();
        let known = recent.iter().position(|known| Arc::ptr_eq(known, cloud));
        let known = known.and_then(|at| recent.remove(at));
        recent.push_back(cloud.clone());
        // The known one is `cloud` too, so nothing ends with it here.
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
        // It may have been opened again since.
        if entry.clouds.get(&self.namespace).is_some_and(|cloud| cloud.strong_count() == 0) {
            entry.clouds.remove(&self.namespace);
        }
        if entry.clouds.is_empty() {
            open.clouds.remove(&self.shared.config);
            drop(open);
            self.session.abandon(self.account.clone());
        }
    }
}
