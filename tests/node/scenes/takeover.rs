//! Two Pods: what happens to the leader, and when there is one again.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use crate::{
    calls::call,
    follow::Leaders,
    openstack,
    process::Process,
    world::{RELEASE, SOON, SYSTEM, TOLD, World, chart, until},
};

/// How long a Lease counts that nobody gives back.
const LEASE: Duration = Duration::from_secs(15);
/// What the next leader may take beside that.
const TAKING: Duration = Duration::from_secs(2);

pub async fn pod_deleted(world: &mut World) -> Result<()> {
    let (leaders, leader) = two(world).await?;
    let before = events(world).await?;
    openstack::ctl("kill heat-engine-2")?;
    let began = Instant::now();
    world.kubectl(&["delete", "pod", &leader.name_any(), "--namespace", SYSTEM, "--wait=false"])?;
    let next =
        leaders.from(began, SOON, |held| !held.by.is_empty() && !held.by.starts_with(&leader.name_any())).await?;
    let took = next.at - began;
    world.figure("leader's Pod deleted until another leads", &seconds(took));
    ensure!(took <= TAKING, "{took:?}");
    world.until_condition("EnginesHealthy", "False", "EnginesDown", TOLD).await?;
    recover(world, before).await
}

pub async fn process_killed(world: &mut World) -> Result<()> {
    let (leaders, leader) = two(world).await?;
    let process = Process::of_pod(&leader.name_any())?;
    let before = events(world).await?;
    openstack::ctl("kill heat-engine-2")?;
    let began = Instant::now();
    process.kill()?;
    // Its last renewal may still be on its way to us. Nobody writes the Lease but who leads.
    let dead = Instant::now() + Duration::from_millis(200);
    let next = leaders.from(dead, SOON, |held| !held.by.is_empty()).await?;
    let took = next.at - began;
    world.figure("leader's process killed with -9 until one leads", &seconds(took));
    println!("  {} led, then {}", leader.name_any(), next.by);
    ensure!(took <= LEASE + TAKING, "{took:?}");
    world.until_condition("EnginesHealthy", "False", "EnginesDown", TOLD).await?;
    recover(world, before).await
}

pub async fn cut_off(world: &mut World) -> Result<()> {
    let (leaders, leader) = two(world).await?;
    let before = events(world).await?;
    let cut = Cut::make(&leader)?;
    let began = Instant::now();
    openstack::ctl("kill heat-engine-2")?;
    // It still can reach the cloud, so only its own judgement stops it.
    let ended = || Ok((leads(world, &leader)? == Some(false)).then(Instant::now));
    let stopped = until(LEASE + TAKING, "the metric cloudtenant_leader of the old leader is 0", ended).await?;
    let next =
        leaders.from(began, SOON, |held| !held.by.is_empty() && !held.by.starts_with(&leader.name_any())).await?;
    world.figure("leader cut off from the API server until it stops", &seconds(stopped - began));
    world.figure("leader cut off from the API server until another leads", &seconds(next.at - began));
    ensure!(stopped < next.at, "it stopped {:?} after the other began", stopped - next.at);
    ensure!(next.at - began <= LEASE + TAKING, "{:?}", next.at - began);
    world.until_condition("EnginesHealthy", "False", "EnginesDown", TOLD).await?;
    drop(cut);
    recover(world, before).await?;
    ensure!(leads(world, &leader)? == Some(false), "it leads beside the other");
    Ok(())
}

/// Two Pods that are ready, and the leader's.
async fn two(world: &World) -> Result<(Leaders, Pod)> {
    let leaders = Leaders::follow(&world.client, SYSTEM, RELEASE);
    let began = Instant::now();
    world.install(&chart(), &["--set", "replicas=2"])?;
    let held = leaders.from(began, SOON, |held| !held.by.is_empty()).await?;
    world.until_condition("Ready", "True", "Healthy", TOLD).await?;
    let pods = world.pods().await?;
    ensure!(pods.len() == 2, "{} Pods", pods.len());
    let leader = world.pod(&held.by, &pods)?;
    for pod in &pods {
        let is_leader = pod.name_any() == leader.name_any();
        ensure!(leads(world, pod)? == Some(is_leader), "{}: cloudtenant_leader is wrong", pod.name_any());
    }
    Ok((leaders, leader))
}

/// What the Pod says of itself; nothing while it does not answer.
pub fn leads(world: &World, pod: &Pod) -> Result<Option<bool>> {
    let Ok(metrics) = world.get(pod, "/metrics") else { return Ok(None) };
    let value = metrics.lines().find_map(|line| line.strip_prefix("cloudtenant_leader ")).context("no such metric")?;
    Ok(Some(value.trim() == "1"))
}

async fn events(world: &World) -> Result<[usize; 2]> {
    Ok([world.events("EngineDown").await?, world.events("EngineRecovered").await?])
}

/// Starts the engine that was killed: it was told once that it went, and is told once that it came.
async fn recover(world: &World, before: [usize; 2]) -> Result<()> {
    openstack::ctl("start heat-engine-2")?;
    world.until_condition("EnginesHealthy", "True", "AllEnginesUp", TOLD).await?;
    let after = events(world).await?;
    ensure!(after == before.map(|count| count + 1), "events before {before:?}, after {after:?}: not one of each");
    println!("  one EngineDown, one EngineRecovered");
    Ok(())
}

/// A Pod's packets to the API server are dropped, before its Service is resolved, until this is.
struct Cut;

impl Cut {
    fn make(pod: &Pod) -> Result<Self> {
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).context("the Pod has no address")?;
        let cut = Self;
        let rules = format!(
            "add table ip cut\nadd chain ip cut early {{ type filter hook prerouting priority -300; }}\n\
             add rule ip cut early ip saddr {address} tcp dport {{ 443, 6443 }} drop\n"
        );
        for rule in rules.lines() {
            call(Command::new("nft").arg(rule))?;
        }
        Ok(cut)
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        let _ = call(Command::new("nft").arg("delete table ip cut"));
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
