//! The clouds in use: one session for each identity, and its engines' task.
//!
//! Tenants whose clouds.yaml says the same share one [`Cloud`], whichever namespace it stands in: one token, one
//! pool of connections, one call to Heat an interval.

pub mod engines;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::mpsc;

use crate::{
    cloud::{CloudConfig, ConfigError, Network, Session},
    identity::TenantName,
    metrics::Metrics,
};

/// Where those are named who have to look again.
pub type Wake = mpsc::Sender<TenantName>;

/// One cloud as one credential sees it.
#[derive(Debug)]
pub struct Cloud {
    /// What makes it what it is.
    pub config: Arc<CloudConfig>,
    /// The way to it.
    pub session: Session,
    /// What Heat says there.
    pub engines: engines::EnginesTask,
}

/// All clouds in use.
#[derive(Debug)]
pub struct Clouds {
    open: Mutex<HashMap<Arc<CloudConfig>, Arc<Cloud>>>,
    network: Network,
    metrics: Arc<Metrics>,
    wake: Wake,
}

impl Clouds {
    /// None yet. `wake` is told whom the engines' answers concern.
    #[must_use]
    pub fn new(network: Network, metrics: Arc<Metrics>, wake: Wake) -> Self {
        Self { open: Mutex::default(), network, metrics, wake }
    }

    /// The cloud that this entry describes, the same one for equal entries.
    ///
    /// # Errors
    /// The entry's certificate authority cannot be used.
    pub fn open(&self, config: &Arc<CloudConfig>) -> Result<Arc<Cloud>, ConfigError> {
        let mut open = self.lock();
        if let Some(cloud) = open.get(config) {
            return Ok(cloud.clone());
        }
        let cloud = Arc::new(Cloud {
            config: config.clone(),
            session: Session::new(config.clone(), &self.network, self.metrics.clone())?,
            engines: engines::EnginesTask::new(self.wake.clone()),
        });
        open.insert(config.clone(), cloud.clone());
        Ok(cloud)
    }

    /// Forgets the clouds that no tenant holds.
    pub fn sweep(&self) {
        let mut open = self.lock();
        open.retain(|_, cloud| Arc::strong_count(cloud) > 1);
        let hosts: HashSet<String> = open.keys().map(|config| config.host()).collect();
        drop(open);
        self.metrics.retain_clouds(|host| hosts.contains(host));
        self.network.sweep();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<CloudConfig>, Arc<Cloud>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
