//! What every pass needs, and what is remembered of each tenant.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Client, Resource as _};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    budget::Budget,
    clouds::{Clouds, Wake, handles::Handles},
    cluster::{leader::Mandate, secrets::Secrets, writer::StatusWriter},
    decide::Memory,
    metrics::Metrics,
    openstack::Network,
    watched::roster::Watched,
};

/// Passes at the same time, over all watches together.
pub const PASSES: u16 = 64;

/// What an operator is told by whoever installs it.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The namespaces whose CloudTenants are looked at; all if empty.
    pub namespaces: Vec<String>,
    /// Secrets may be watched, and are not only read where a CloudTenant names them.
    pub watch_secrets: bool,
    /// This process, in events.
    pub instance: String,
    /// How clouds are reached.
    pub network: Network,
    /// How much is kept of what tenants and clouds send.
    pub budget: Budget,
}

impl Settings {
    /// How many watches on Secrets there are: as many as on CloudTenants, or none.
    fn secret_watches(&self) -> usize {
        if self.watch_secrets { self.namespaces.len().max(1) } else { 0 }
    }
}

/// One tenant between two passes.
pub struct Tenant {
    /// What decisions need of the passes before.
    pub memory: Memory,
    /// What it holds of the outside.
    pub handles: Handles,
}

/// What every pass needs.
pub struct Context {
    /// The clouds in use.
    pub clouds: Clouds,
    /// The Secrets.
    pub secrets: Secrets,
    /// Status and events.
    pub writer: StatusWriter,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Who is looked at again.
    pub wake: Wake,
    /// Turns for [`PASSES`].
    pub passes: Arc<Semaphore>,
    /// The work ends: with the process, or because another one leads.
    pub shutdown: CancellationToken,
    tenants: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Tenant>>>>>,
}

impl Context {
    /// A context that has met no tenant yet.
    #[must_use]
    pub fn new(
        client: &Client,
        settings: &Settings,
        mandate: Mandate,
        metrics: Arc<Metrics>,
        wake: Wake,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            clouds: Clouds::new(settings.network.clone(), metrics.clone(), wake.clone(), settings.budget.clone()),
            secrets: Secrets::new(client.clone(), settings.secret_watches(), settings.budget.clone()),
            writer: StatusWriter::new(client.clone(), &settings.instance, metrics.clone(), mandate),
            metrics,
            wake,
            passes: Arc::new(Semaphore::new(PASSES.into())),
            shutdown,
            tenants: Mutex::default(),
        }
    }

    /// Forgets all tenants but these, by UID, and what only they needed.
    pub fn retain(&self, alive: impl Fn(&str) -> bool) {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| alive(uid));
        self.secrets.retain(&alive);
        self.metrics.retain(alive);
        self.clouds.sweep();
    }

    /// Drops the statuses that the watch has brought back since they were written. A pass that is under way keeps its own.
    pub fn drop_written(&self, tenants: &[Arc<Watched>]) {
        for tenant in tenants {
            let ObjectMeta { uid: Some(uid), resource_version: Some(version), .. } = tenant.meta() else { continue };
            let known = self.tenants.lock().unwrap_or_else(PoisonError::into_inner).get(uid).cloned();
            if let Some(Ok(mut known)) = known.as_ref().map(|known| known.try_lock())
                && let Some(tenant) = known.as_mut()
            {
                tenant.memory.brought(version);
            }
        }
    }

    /// What is remembered of the tenant with this UID: nothing at first.
    pub fn tenant(&self, uid: &str) -> Arc<tokio::sync::Mutex<Option<Tenant>>> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.entry(uid.to_owned()).or_default().clone()
    }
}
