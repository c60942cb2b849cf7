//! CloudTenantSets by the chart's opt-in, with projects of a real Keystone and Kubernetes' own garbage collector.

use std::{collections::BTreeMap, path::Path, time::Instant};

use anyhow::{Context as _, Result, ensure};
use cloudtenant_operator::api::set::CloudTenantSet;
use kube::{Api, ResourceExt as _, api::ListParams};
use serde_json::json;
use testkit::{control_plane::wait, eventually::eventually};

use super::install::helm_test;
use crate::{
    openstack,
    world::{KEYSTONE, SOON, TOLD, World, chart},
};

const FLEET: &str = "fleet";
/// The name of the set in the example.
const SET: &str = "all-projects";
const PROJECTS: u32 = 3;

pub async fn play(world: &mut World) -> Result<()> {
    world.install(&chart(), &["--set", "tenantSets.enabled=true"])?;
    helm_test(world).await?;
    let clouds = openstack::lister(KEYSTONE, PROJECTS)?;
    world.kubectl(&["create", "namespace", FLEET])?;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "openstack-credentials"},
        "stringData": {"clouds.yaml": clouds.to_string()}});
    world.apply(FLEET, &[secret])?;
    let played = deletions(world).await;
    let began = Instant::now();
    world.kubectl(&["delete", "namespace", FLEET, "--timeout", "90s"])?;
    world.seconds("namespace with a set deleted until it is gone", began);
    world.install(&chart(), &[])?;
    played
}

/// All ways to delete a set, and what becomes of its CloudTenants.
async fn deletions(world: &mut World) -> Result<()> {
    let began = Instant::now();
    create(world, "Keep").await?;
    world.seconds("CloudTenantSet applied until Ready with three CloudTenants", began);
    world.kubectl(&[
        "wait",
        "cloudtenants",
        "--all",
        "--for=condition=Ready",
        "--namespace",
        FLEET,
        "--timeout=90s",
    ])?;
    world.seconds("CloudTenantSet applied until its CloudTenants are Ready", began);
    println!("{}", world.kubectl(&["get", "cloudtenantsets,cloudtenants", "--namespace", FLEET])?);
    let kept = owned(world).await?;
    ensure!(kept.values().all(|(_, owners)| *owners == 0), "owners with prune: Keep: {kept:?}");
    delete(world, "background")?;

    create(world, "Delete").await?;
    let adopted = owned(world).await?;
    let same =
        adopted.iter().all(|(name, (uid, owners))| *owners == 1 && kept.get(name).is_some_and(|(a, _)| a == uid));
    ensure!(same && adopted.len() == kept.len(), "not adopted: {kept:?} and {adopted:?}");
    println!("  prune: Keep: the CloudTenants stay, and the next set adopts them");
    delete(world, "orphan")?;
    ensure!(owned(world).await? == kept, "after --cascade=orphan: {:?}", owned(world).await?);
    println!("  prune: Delete, --cascade=orphan: they stay without an owner");

    create(world, "Delete").await?;
    let began = Instant::now();
    delete(world, "foreground")?;
    let left = owned(world).await?;
    ensure!(left.is_empty(), "after --cascade=foreground: {left:?}");
    world.seconds("prune: Delete, --cascade=foreground: set and CloudTenants gone", began);

    create(world, "Delete").await?;
    let mut younger = read_example()?;
    younger["metadata"]["name"] = "younger".into();
    younger["spec"]["interval"] = "1m".into();
    world.apply(FLEET, &[younger])?;
    until_tenants(world, "younger", 0).await?;
    let skipped = sets(world).get("younger").await?.status.map(|status| status.skipped).unwrap_or_default();
    let is_by_older = skipped.iter().all(|one| one.by.as_deref() == Some(SET));
    ensure!(is_by_older && skipped.len() == PROJECTS as usize, "the younger set skips {skipped:?}");
    let began = Instant::now();
    delete(world, "background")?;
    eventually("the CloudTenants of the deleted set are gone", SOON, async || {
        let left = owned(world).await?;
        ensure!(left.keys().all(|name| name.starts_with("younger-")), "{left:?}");
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    world.seconds("prune: Delete: set deleted until its CloudTenants are gone", began);
    until_tenants(world, "younger", PROJECTS).await?;
    world.seconds("prune: Delete: set deleted until a younger set has the projects, interval 1m", began);
    Ok(())
}

fn read_example() -> Result<serde_json::Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/tenant-set.yaml");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    Ok(serde_saphyr::from_str(&text)?)
}

/// Applies the example with this value of `prune`, and waits until it has its CloudTenants.
async fn create(world: &World, prune: &str) -> Result<()> {
    let mut set = read_example()?;
    set["spec"]["prune"] = prune.into();
    world.apply(FLEET, &[set])?;
    until_tenants(world, SET, PROJECTS).await
}

/// Waits until a set is Ready with so many CloudTenants.
async fn until_tenants(world: &World, name: &str, tenants: u32) -> Result<()> {
    let holds = |set: &CloudTenantSet| {
        let Some(status) = &set.status else { return false };
        let is_ready = status.conditions.iter().any(|found| found.type_ == "Ready" && found.status == "True");
        is_ready && status.tenants == Some(tenants)
    };
    let what = format!("is Ready with {tenants} CloudTenants");
    wait::until(sets(world), name, &what, TOLD, holds).await.map(drop)
}

fn delete(world: &World, cascade: &str) -> Result<()> {
    let cascade = format!("--cascade={cascade}");
    world.kubectl(&["delete", "cloudtenantset", SET, "--namespace", FLEET, &cascade, "--timeout", "90s"]).map(drop)
}

fn sets(world: &World) -> Api<CloudTenantSet> {
    Api::namespaced(world.client.clone(), FLEET)
}

/// The UID and the number of owners of each CloudTenant by its name.
async fn owned(world: &World) -> Result<BTreeMap<String, (String, usize)>> {
    let tenants = world.tenants(FLEET).list(&ListParams::default()).await?.items;
    let one = |tenant: &cloudtenant_operator::api::CloudTenant| {
        (tenant.name_any(), (tenant.uid().unwrap_or_default(), tenant.owner_references().len()))
    };
    Ok(tenants.iter().map(one).collect())
}
