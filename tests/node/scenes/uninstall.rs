use anyhow::{Result, ensure};

use crate::world::{RELEASE, SHOP, SYSTEM, TENANT, World, chart};

pub async fn play(world: &mut World) -> Result<()> {
    world.install(&chart(), &[])?;
    let before = identity(world)?;
    world.helm(&["uninstall", RELEASE, "--namespace", SYSTEM, "--wait", "--timeout", "60s"])?;
    // Helm waits for the Deployment, and not for its Pods.
    let ours = format!("app.kubernetes.io/instance={RELEASE}");
    let gone = ["wait", "--for=delete", "pods", "--namespace", SYSTEM, "--selector", &ours, "--timeout", "60s"];
    world.kubectl(&gone)?;
    ensure!(identity(world)? == before, "the CloudTenant is another");
    let left = world.kubectl(&[
        "get",
        "all,roles,rolebindings,serviceaccounts",
        "--namespace",
        SYSTEM,
        "--output",
        "name",
        "--selector",
        &ours,
    ])?;
    ensure!(left.is_empty() || left == "No resources found", "left behind: {left}");
    world.install(&chart(), &[])?;
    ensure!(identity(world)? == before, "the CloudTenant is another");
    println!("  the CloudTenant was kept, and a new release took over the CRD");
    Ok(())
}

fn identity(world: &World) -> Result<String> {
    world.kubectl(&["get", "cloudtenant", TENANT, "--namespace", SHOP, "--output", "jsonpath={.metadata.uid}"])
}
