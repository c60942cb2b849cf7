//! What the run does in Kubernetes, and its watches.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Secret, events::v1::Event};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams},
    runtime::watcher,
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    oracle::Oracle,
    replicas::{ACCOUNT, Shard},
};

/// A request may take so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// A Lease that has not changed for so long is not renewed.
const RENEWED: Duration = Duration::from_secs(10);

/// The oracle, as the watches and the run share it.
pub type Shared = Arc<Mutex<Oracle>>;

/// The oracle, for a moment.
pub fn locked(shared: &Shared) -> MutexGuard<'_, Oracle> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Clients of the API server.
pub struct Kubernetes {
    tenants: Api<DynamicObject>,
    secrets: Api<Secret>,
    leases: Api<Lease>,
    events: Api<Event>,
    /// When each Lease was last renewed by its holder's clock, and when the run has seen that change.
    renewals: Mutex<BTreeMap<String, (Timestamp, Option<Instant>)>>,
}

async fn soon<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T> {
    Ok(timeout(PATIENCE, request).await.context("the API server does not answer")??)
}

impl Kubernetes {
    /// Clients for the run's namespace.
    pub fn new(client: &Client, namespace: &str) -> Self {
        let kind = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk("cloudtenant.dev", "v1alpha1", "CloudTenant"),
            "cloudtenants",
        );
        Self {
            tenants: Api::namespaced_with(client.clone(), namespace, &kind),
            secrets: Api::namespaced(client.clone(), namespace),
            leases: Api::namespaced(client.clone(), ACCOUNT.namespace),
            events: Api::namespaced(client.clone(), namespace),
            renewals: Mutex::default(),
        }
    }

    /// Gives the oracle each state of each CloudTenant, and each event once.
    pub fn watch(&self, shared: &Shared) {
        let (tenants, oracle) = (self.tenants.clone(), shared.clone());
        tokio::spawn(watcher(tenants, watcher::Config::default()).for_each(move |step| {
            let failed = step.is_err();
            if let Ok(watcher::Event::Apply(tenant) | watcher::Event::InitApply(tenant)) = step
                && let Ok(tenant) = serde_json::to_value(tenant)
            {
                locked(&oracle).observed(&tenant);
            }
            pause(failed)
        }));
        let (events, oracle) = (self.events.clone(), shared.clone());
        let mut seen = HashSet::new();
        tokio::spawn(watcher(events, watcher::Config::default()).for_each(move |step| {
            let failed = step.is_err();
            if let Ok(watcher::Event::Apply(event) | watcher::Event::InitApply(event)) = step
                && seen.insert(event.metadata.uid.clone())
                && let Ok(event) = serde_json::to_value(event)
            {
                locked(&oracle).event(&event);
            }
            pause(failed)
        }));
    }

    /// Applies a CloudTenant.
    ///
    /// # Errors
    /// The API server does not take it in time.
    pub async fn apply(&self, tenant: &Value) -> Result<()> {
        let name = tenant["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let parameters = PatchParams::apply("chaos").force();
        soon(self.tenants.patch(&name, &parameters, &Patch::Apply(tenant))).await.map(drop)
    }

    /// Changes a CloudTenant.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn merge(&self, name: &str, patch: &Value) -> Result<()> {
        soon(self.tenants.patch(name, &PatchParams::default(), &Patch::Merge(patch))).await.map(drop)
    }

    /// Deletes a CloudTenant.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn delete(&self, name: &str) -> Result<()> {
        soon(self.tenants.delete(name, &DeleteParams::default())).await.map(drop)
    }

    /// Writes a Secret with these keys, or deletes it. Tries until the API server answers.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn secret(&self, name: &str, keys: Option<&Value>) -> Result<()> {
        let mut last = Ok(());
        for _ in 0..20 {
            last = match keys {
                Some(keys) => {
                    let secret = json!({
                        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": keys,
                    });
                    let parameters = PatchParams::apply("chaos").force();
                    soon(self.secrets.patch(name, &parameters, &Patch::Apply(&secret))).await.map(drop)
                }
                None => soon(self.secrets.delete(name, &DeleteParams::default())).await.map(drop),
            };
            if last.is_ok() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
        last
    }

    /// Who holds the Lease of a shard, if it was renewed within ten seconds. The clock of its holder can be wrong, so
    /// only a change of the time counts.
    pub async fn leader(&self, shard: Shard) -> Option<String> {
        let name = shard.lease();
        let spec = soon(self.leases.get(&name)).await.ok()?.spec?;
        let renewed = spec.renew_time?.0;
        let mut renewals = self.renewals.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, seen) = renewals.entry(name).or_insert((renewed, None));
        if *last != renewed {
            (*last, *seen) = (renewed, Some(Instant::now()));
        }
        spec.holder_identity.filter(|_| seen.is_some_and(|seen| seen.elapsed() < RENEWED))
    }

    /// Deletes the Lease of a shard.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn delete_lease(&self, shard: Shard) -> Result<()> {
        soon(self.leases.delete(&shard.lease(), &DeleteParams::default())).await.map(drop)
    }

    /// Writes another holder into the Lease of a shard, who never renews it.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn steal_lease(&self, shard: Shard) -> Result<()> {
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        let spec = json!({ "spec": { "holderIdentity": "thief", "acquireTime": now, "renewTime": now } });
        soon(self.leases.patch(&shard.lease(), &PatchParams::default(), &Patch::Merge(&spec))).await.map(drop)
    }
}

/// A watch that failed begins again soon, and not at once.
async fn pause(failed: bool) {
    if failed {
        sleep(Duration::from_millis(200)).await;
    }
}
