//! A chart of somebody who uses the operator: a Secret, and a CloudTenant.

use std::{fs, path::PathBuf, time::Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    machine, openstack,
    world::{KEYSTONE, TENANT, World, chart},
};

/// Far longer than it takes to be refused.
const TIMEOUT: &str = "180s";

pub async fn play(world: &mut World) -> Result<()> {
    world.install(&chart(), &[])?;
    let mut clouds = openstack::clouds(KEYSTONE)?;
    let began = Instant::now();
    install(world, "good", &clouds)?;
    world.seconds("helm install --wait of a CloudTenant", began);
    let ready = world.kubectl(&[
        "get",
        "cloudtenant",
        TENANT,
        "--namespace",
        "good",
        "--output",
        "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}",
    ])?;
    ensure!(ready == "True", "helm did not wait until it is Ready: {ready}");

    clouds["clouds"]["openstack"]["auth"]["password"] = json!("wrong");
    let began = Instant::now();
    let error = install(world, "wrong", &clouds).err().context("helm went well with a wrong password")?;
    let took = began.elapsed();
    world.seconds("helm install --wait of a CloudTenant with a wrong password fails", began);
    ensure!(took.as_secs() < 60, "it waited for {took:?}");
    println!("  {}", format!("{error:#}").lines().last().unwrap_or_default());
    let reason = world.kubectl(&[
        "get",
        "cloudtenant",
        TENANT,
        "--namespace",
        "wrong",
        "--output",
        "jsonpath={.status.conditions[?(@.type==\"Stalled\")].reason}",
    ])?;
    ensure!(reason == "AuthenticationFailed", "Stalled says {reason:?}");
    Ok(())
}

fn install(world: &World, name: &str, clouds: &Value) -> Result<String> {
    let chart = chart_of(name, &World::tenant(TENANT, clouds, &openstack::project()?))?;
    let chart = chart.to_str().context("the directory's name is not UTF-8")?;
    world.helm(&["install", name, chart, "--namespace", name, "--create-namespace", "--wait", "--timeout", TIMEOUT])
}

/// Helm's templates are YAML, and so is JSON.
fn chart_of(name: &str, objects: &[Value]) -> Result<PathBuf> {
    let chart = machine::directory().join(format!("chart-{name}"));
    fs::create_dir_all(chart.join("templates"))?;
    fs::write(chart.join("Chart.yaml"), json!({"apiVersion": "v2", "name": name, "version": "1.0.0"}).to_string())?;
    for (at, object) in objects.iter().enumerate() {
        fs::write(chart.join(format!("templates/{at}.yaml")), object.to_string())?;
    }
    Ok(chart)
}
