//! A thousand tenants on one credential: `cargo bench --bench thousand`, with `-- 10000` for another number.
//!
//! The program in its release build, as its ServiceAccount, in a real control plane, against a simulated cloud.
//! It prints what users and clouds pay for: the time until all are Ready, logins, calls, writes and memory.

use std::{
    collections::BTreeSet,
    path::Path,
    pin::pin,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use cloudtenant_operator::api::{CloudTenant, crd_yaml};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::json;
use testkit::{
    cloud::{CacheCounts, Server, Service, SimulatedCloud},
    control_plane::ControlPlane,
    operator::{Account, Operator, Right},
};
use tokio::time::{sleep, timeout};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cloudtenant-operator");
const RBAC: &str = include_str!("../deploy/rbac.yaml");
const ACCOUNT: Account<'_> = Account { namespace: "cloudtenant-system", name: "cloudtenant-operator" };
const LAST_RIGHT: Right<'_> = Right { verb: "create", group: "events.k8s.io", resource: "events" };
const INTERVAL: Duration = Duration::from_secs(30);
const INTERVALS: u32 = 3;
const LIMIT: Duration = Duration::from_secs(600);

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        // Somebody who tests all targets does not mean this one.
        return Ok(());
    }
    let tenants = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(1000);
    measure(tenants).await
}

async fn measure(tenants: usize) -> Result<()> {
    let control_plane = ControlPlane::start().await?;
    control_plane.install(&crd_yaml()?, RBAC, ACCOUNT, LAST_RIGHT).await?;
    let namespace = control_plane.namespace("thousand").await?;
    let client = control_plane.client().await?;
    let cloud = SimulatedCloud::start().await?;
    let mut secret = Secret::default();
    secret.metadata.name = Some("cloud".to_owned());
    secret.string_data = Some([("clouds.yaml".to_owned(), cloud.clouds_yaml("openstack"))].into());
    Api::namespaced(client.clone(), &namespace).create(&PostParams::default(), &secret).await?;
    let api: Api<CloudTenant> = Api::namespaced(client, &namespace);
    let launched = cloud.now() - Duration::from_secs(3600);
    stream::iter(0..tenants)
        .map(|number| {
            let (name, project) = (format!("tenant-{number:05}"), format!("project-{number:05}"));
            cloud.set_servers(&project, vec![Server::new("web", launched)]);
            cloud.add_tenant(&project);
            cloud.set_caches(&project, CacheCounts::redis(&[("running", 3)]));
            let tenant = json!({
                "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant", "metadata": { "name": name },
                "spec": {
                    "projectID": project, "cloudCredentialsRef": { "secretName": "cloud" },
                    "interval": format!("{}s", INTERVAL.as_secs()),
                },
            });
            let api = api.clone();
            async move { api.patch(&name, &PatchParams::apply("bench"), &Patch::Apply(&tenant)).await }
        })
        .buffer_unordered(32)
        .try_for_each(|_| std::future::ready(Ok(())))
        .await?;
    println!("{tenants} tenants, one credential, interval {INTERVAL:?}");

    let began = Instant::now();
    let environment = [("WATCH_NAMESPACE", namespace.as_str())];
    let operator = Operator::start(&control_plane, Path::new(PROGRAM), ACCOUNT, &environment).await?;
    timeout(LIMIT, until_ready(&api, tenants)).await.context("not all are Ready in time")??;
    println!("all Ready after             {:>8.1} s", began.elapsed().as_secs_f64());
    print_calls("until then", &cloud);
    println!("writes until then           {:>8}", operator.metric("cloudtenant_status_writes_total", &[])?);
    println!("memory                      {:>8.1} MiB", mebibytes(operator.memory()?));
    ensure!(cloud.logins() == 1, "{} logins", cloud.logins());

    cloud.clear_requests();
    let before = [control_plane.metrics().await?.requests("cloudtenants", "status", "APPLY")];
    let processor = processor_seconds(operator.pid())?;
    sleep(INTERVAL * INTERVALS).await;
    let after = [control_plane.metrics().await?.requests("cloudtenants", "status", "APPLY")];
    println!("then, in {INTERVALS} intervals of {INTERVAL:?}:");
    print_calls("in all", &cloud);
    println!("Heat calls at once          {:>8}", cloud.peak_in_flight(Service::Heat));
    println!("writes                      {:>8}", after[0] - before[0]);
    println!("processor time              {:>8.2} s", processor_seconds(operator.pid())? - processor);
    println!("memory                      {:>8.1} MiB", mebibytes(operator.memory()?));
    ensure!(cloud.peak_in_flight(Service::Heat) == 1, "more than one call to Heat at once");
    let (status, took) = operator.terminate().await?;
    println!("stopped after               {:>8.2} s, {status}", took.as_secs_f64());
    Ok(())
}

async fn until_ready(api: &Api<CloudTenant>, tenants: usize) -> Result<()> {
    let mut states = pin!(watcher(api.clone(), watcher::Config::default()).default_backoff().applied_objects());
    let mut ready = BTreeSet::new();
    while let Some(tenant) = states.try_next().await? {
        let conditions = tenant.status.as_ref().map_or(&[][..], |status| &status.conditions);
        if conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True") {
            ready.insert(tenant.name_any());
        }
        if ready.len() == tenants {
            return Ok(());
        }
    }
    Ok(())
}

fn print_calls(when: &str, cloud: &SimulatedCloud) {
    for service in Service::ALL {
        println!("{:<28}{:>8}", format!("{service:?} calls {when}"), cloud.count(service));
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// What the process has used of processors, by Linux' clock of a hundred ticks a second.
fn processor_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("not a stat line")?;
    let ticks = |field: usize| fields.split_whitespace().nth(field).and_then(|ticks| ticks.parse::<u32>().ok());
    let sum = ticks(11).zip(ticks(12)).map(|(user, system)| user + system).context("no times")?;
    Ok(f64::from(sum) / 100.0)
}
