//! What every pass needs, and what is remembered of each tenant.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::{
    cloud::Network,
    clouds::{Clouds, Wake},
    leader::Mandate,
    metrics::Metrics,
    secrets::Secrets,
    tenant::Tenant,
    writer::Writer,
};

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
}

/// What every pass needs.
pub struct Context {
    /// The clouds in use.
    pub clouds: Clouds,
    /// The Secrets.
    pub secrets: Secrets,
    /// Status and events.
    pub writer: Writer,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Who is looked at again.
    pub wake: Wake,
    /// The process ends.
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
            clouds: Clouds::new(settings.network.clone(), metrics.clone(), wake.clone()),
            secrets: Secrets::new(client.clone(), settings.watch_secrets),
            writer: Writer::new(client.clone(), &settings.instance, metrics.clone(), mandate),
            metrics,
            wake,
            shutdown,
            tenants: Mutex::default(),
        }
    }

    /// Forgets all tenants but these, by UID, and what only they needed.
    pub fn retain(&self, alive: impl Fn(&str) -> bool) {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| alive(uid));
        self.clouds.sweep();
        self.secrets.sweep(Duration::from_secs(24 * 3600));
    }

    /// What is remembered of the tenant with this UID: nothing at first.
    pub fn tenant(&self, uid: &str) -> Arc<tokio::sync::Mutex<Option<Tenant>>> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.entry(uid.to_owned()).or_default().clone()
    }
}
