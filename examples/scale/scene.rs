//! The control plane, the clouds and the CloudTenants.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    time::{Duration, Instant},
};

use anyhow::Result;
use cloudtenant_operator::api::{CloudTenant, crd_yaml};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::{Value, json};
use testkit::{
    cloud::{CacheCounts, Fault, Server, Service, SimulatedCloud},
    control_plane::ControlPlane,
};

use crate::{ACCOUNT, Arguments, LAST_RIGHT};

const RBAC: &str = include_str!("../../deploy/rbac.yaml");
/// Requests to the API server at a time.
const AT_ONCE: usize = 50;
/// The operator's rate is compared with this number of bare patches.
const BARE_PATCHES: u32 = 2000;

/// Everything around the operator.
pub struct Scene {
    pub control_plane: ControlPlane,
    pub namespace: String,
    client: Client,
    clouds: Vec<SimulatedCloud>,
    /// The number of these clouds, the last ones, that do not answer.
    sick: u32,
    tenants: u32,
    credentials: u32,
    description: String,
}

impl Scene {
    /// Creates all objects.
    pub async fn create(arguments: &Arguments) -> Result<Self> {
        let control_plane = ControlPlane::start().await?;
        control_plane.install(&crd_yaml()?, RBAC, ACCOUNT, LAST_RIGHT).await?;
        let namespace = control_plane.namespace("scale").await?;
        let client = control_plane.client().await?;
        let mut clouds = Vec::new();
        for number in 0..arguments.clouds {
            let is_sick = number >= arguments.clouds - arguments.sick;
            clouds.push(cloud(is_sick, Duration::from_millis(arguments.latency.into())).await?);
        }
        let Arguments { tenants, credentials, sick, interval, latency, .. } = *arguments;
        let description = format!(
            "{tenants} CloudTenants, {credentials} credentials, {} clouds of which {sick} do not answer, interval \
             {interval} s, latency {latency} ms",
            arguments.clouds
        );
        let scene = Self { control_plane, namespace, client, clouds, sick, tenants, credentials, description };
        let secrets = stream::iter(0..credentials).map(|number| scene.create_secret(number));
        secrets.buffer_unordered(AT_ONCE).try_for_each(|()| std::future::ready(Ok(()))).await?;
        let objects = stream::iter(0..tenants).map(|number| scene.create_tenant(number, interval));
        objects.buffer_unordered(AT_ONCE).try_for_each(|()| std::future::ready(Ok(()))).await?;
        Ok(scene)
    }

    pub fn description(&self) -> &str {
        &self.description
    }

    /// The index of the credential's cloud.
    fn cloud_of(&self, credential: u32) -> usize {
        credential as usize % self.clouds.len()
    }

    fn is_well(&self, tenant: u32) -> bool {
        self.cloud_of(tenant % self.credentials) < self.clouds.len() - self.sick as usize
    }

    /// The number of CloudTenants whose clouds answer.
    pub fn well(&self) -> u32 {
        (0..self.tenants).map(|tenant| u32::from(self.is_well(tenant))).sum()
    }

    async fn create_secret(&self, number: u32) -> Result<()> {
        let cloud = &self.clouds[self.cloud_of(number)];
        let user = format!("user-{number:06}");
        cloud.add_tenant(&user);
        cloud.add_user(&user, "p", &user, &["admin"]);
        let entry = json!({ "clouds": { "openstack": { "region_name": "RegionOne", "auth": {
            "auth_url": cloud.auth_url(), "username": user, "password": "p", "project_name": user,
            "user_domain_name": "Default", "project_domain_name": "Default",
        }}}});
        let mut secret = Secret::default();
        secret.metadata.name = Some(format!("cloud-{number:06}"));
        secret.string_data = Some([("clouds.yaml".to_owned(), entry.to_string())].into());
        Api::namespaced(self.client.clone(), &self.namespace).create(&PostParams::default(), &secret).await?;
        Ok(())
    }

    async fn create_tenant(&self, number: u32, interval: u32) -> Result<()> {
        let credential = number % self.credentials;
        let cloud = &self.clouds[self.cloud_of(credential)];
        let project = format!("project-{number:06}");
        let launched = cloud.now() - Duration::from_secs(3600);
        cloud.set_servers(&project, vec![Server::new("web", launched)]);
        cloud.add_tenant(&project);
        cloud.set_caches(&project, CacheCounts::redis(&[("running", 3)]));
        let tenant = json!({
            "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant", "metadata": { "name": name(number) },
            "spec": {
                "projectID": project, "cloudCredentialsRef": { "secretName": format!("cloud-{credential:06}") },
                "interval": format!("{interval}s"),
            },
        });
        self.tenants().patch(&name(number), &PatchParams::apply("scale"), &Patch::Apply(&tenant)).await?;
        Ok(())
    }

    fn tenants(&self) -> Api<CloudTenant> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The API server's own rate: patches of a status of ordinary size, a second. The statuses are removed again.
    pub async fn bare_patches(&self) -> Result<f64> {
        let condition = |number| {
            json!({
                "type": format!("Bare{number}"), "status": "True", "reason": "Bench", "message": "x".repeat(250),
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        let status = json!({ "status": { "conditions": (0..5).map(condition).collect::<Vec<_>>() } });
        let number = self.tenants.min(BARE_PATCHES);
        let began = Instant::now();
        self.patch_statuses(number, &status).await?;
        let rate = f64::from(number) / began.elapsed().as_secs_f64();
        self.patch_statuses(number, &json!({ "status": null })).await?;
        Ok(rate)
    }

    async fn patch_statuses(&self, number: u32, patch: &Value) -> Result<()> {
        let api = self.tenants();
        let patches = stream::iter(0..number).map(|number| {
            let api = api.clone();
            async move {
                let parameters = PatchParams::default();
                api.patch_status(&name(number), &parameters, &Patch::Merge(patch)).await.map(drop)
            }
        });
        Ok(patches.buffer_unordered(AT_ONCE).try_for_each(|()| std::future::ready(Ok(()))).await?)
    }

    /// Waits until all CloudTenants of clouds that answer are Ready.
    pub async fn until_ready(&self) -> Result<()> {
        let mut missing: BTreeSet<_> = (0..self.tenants).filter(|tenant| self.is_well(*tenant)).map(name).collect();
        let states = watcher(self.tenants(), watcher::Config::default()).default_backoff().applied_objects();
        let mut states = pin!(states);
        while let Some(tenant) = states.try_next().await? {
            let conditions = tenant.status.as_ref().map_or(&[][..], |status| &status.conditions);
            if conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True") {
                missing.remove(&tenant.name_any());
            }
            if missing.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// The requests that all clouds have seen, by service.
    pub fn calls(&self) -> BTreeMap<String, usize> {
        let count = |service| self.clouds.iter().map(|cloud| cloud.count(service)).sum();
        Service::ALL.into_iter().map(|service| (format!("{service:?}"), count(service))).collect()
    }

    pub fn forget_requests(&self) {
        self.clouds.iter().for_each(SimulatedCloud::clear_requests);
    }

    /// Prints how much later than after one interval the clouds' DCS was queried again, for each pair of consecutive
    /// queries of a CloudTenant, and what share of the due queries came.
    pub fn print_lag(&self, interval: Duration) {
        let well = &self.clouds[..self.clouds.len() - self.sick as usize];
        let mut times: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
        for request in well.iter().flat_map(|cloud| cloud.requests(Service::Dcs)) {
            times.entry(request.path).or_default().push(request.at);
        }
        let gaps = times.values().flat_map(|times| times.windows(2).map(|pair| pair[1].duration_since(pair[0])));
        let late = |gap: jiff::SignedDuration| (gap.as_secs_f64() - interval.as_secs_f64()).max(0.0);
        let mut lags: Vec<f64> = gaps.map(late).collect();
        lags.sort_by(f64::total_cmp);
        let at = |share: f64| lags.get(((lags.len().saturating_sub(1)) as f64 * share) as usize).copied();
        let [median, most, last] = [0.5, 0.99, 1.0].map(|share| at(share).unwrap_or_default());
        println!("queries of DCS were late by     {median:>10.2} s (median), {most:.2} s (99 %), {last:.2} s (most)");
    }
}

fn name(number: u32) -> String {
    format!("tenant-{number:06}")
}

async fn cloud(is_sick: bool, latency: Duration) -> Result<SimulatedCloud> {
    let cloud = SimulatedCloud::start().await?;
    for service in Service::ALL {
        if !latency.is_zero() {
            cloud.fault(service, Fault::Delay(latency));
        }
        if is_sick && service != Service::Keystone {
            cloud.fault(service, Fault::Hang);
        }
    }
    Ok(cloud)
}
