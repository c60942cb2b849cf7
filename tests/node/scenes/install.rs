use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;

use crate::{
    openstack,
    process::Process,
    world::{KEYSTONE, RELEASE, SHOP, SOON, SYSTEM, World, chart},
};

pub async fn play(world: &mut World) -> Result<()> {
    let began = Instant::now();
    let lab = std::thread::spawn(openstack::up);
    world.install(&chart(), &[])?;
    world.seconds("helm install --wait", began);
    for pod in world.pods().await? {
        let spec = pod.spec.as_ref().context("no spec")?;
        println!("  {}: {}", pod.name_any(), spec.containers[0].image.as_deref().unwrap_or_default());
    }
    let warned = world.ask_kubectl(&[
        "label",
        "--overwrite",
        "--dry-run=server",
        "namespace",
        SYSTEM,
        "pod-security.kubernetes.io/enforce=restricted",
    ])?;
    ensure!(warned.well && !warned.text.contains("Warning"), "not restricted: {}", warned.text);

    lab.join().ok().context("the lab's thread")??;
    world.seconds("real Keystone, Heat and Nova serve", began);
    let began = Instant::now();
    world.publish_keystone()?;
    world.kubectl(&["create", "namespace", SHOP])?;
    let tenant = World::tenant(crate::world::TENANT, &openstack::clouds(KEYSTONE)?, &openstack::project()?);
    world.apply(SHOP, &tenant)?;
    world.until_condition("Ready", "True", "Healthy", SOON).await?;
    world.seconds("CloudTenant applied until Ready", began);
    println!("{}", world.kubectl(&["get", "cloudtenants", "--namespace", SHOP, "--output", "wide"])?);
    // DCS is not in this cloud.
    world.until_condition("CachesHealthy", "Unknown", "ServiceNotOffered", SOON).await?;
    let pods = world.pods().await?;
    let memory = Process::of_pod(&pods[0].name_any())?.memory()?;
    world.figure("memory of the operator at rest, one CloudTenant", &format!("{memory:.1} MiB"));
    Ok(())
}

pub async fn helm_test(world: &mut World) -> Result<()> {
    let said = world.helm(&["test", RELEASE, "--namespace", SYSTEM, "--timeout", "60s", "--logs"])?;
    println!("{said}");
    ensure!(said.contains("Succeeded"), "helm test says no `Succeeded`");
    Ok(())
}
