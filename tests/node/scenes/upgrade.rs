//! Upgrades whose CRD is another: by copies of the chart.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::takeover::leads;
use crate::{
    calls::call,
    machine,
    world::{RELEASE, SOON, SYSTEM, World, chart, until},
};

const CRD: &str = "files/cloudtenants.cloudtenant.dev.yaml";

pub async fn new_field(world: &mut World) -> Result<()> {
    world.install(&chart(), &[])?;
    let explain = ["explain", "cloudtenant.spec.colour"];
    ensure!(!world.ask_kubectl(&explain)?.well, "the field is there before");
    let newer = copy("newer", |crd| {
        let at = crd.find("projectID:\n").context("the CRD has no projectID")?;
        let indent = crd[..at].rsplit('\n').next().unwrap_or_default().to_owned();
        crd.insert_str(at, &format!("colour:\n{indent}  description: New.\n{indent}  type: string\n{indent}"));
        Ok(())
    })?;
    let began = Instant::now();
    world.install(&newer, &[])?;
    until(SOON, "kubectl explain shows the new field", || Ok(world.ask_kubectl(&explain)?.well.then_some(()))).await?;
    world.seconds("helm upgrade until a new field is served", began);
    world.helm(&["rollback", RELEASE, "--namespace", SYSTEM, "--wait", "--timeout", "120s"])?;
    until(SOON, "the field is gone", || Ok((!world.ask_kubectl(&explain)?.well).then_some(()))).await?;
    world.until_condition("Ready", "True", "Healthy", SOON).await
}

pub async fn old_crd(world: &mut World) -> Result<()> {
    world.install(&chart(), &[])?;
    let before = world.pods().await?;
    let older = copy("older", |crd| {
        let at = crd.find("lastHandledReconcileAt:\n").context("the CRD has no lastHandledReconcileAt")?;
        let begin = crd[..at].rfind('\n').map_or(0, |line| line + 1);
        let indent = at - begin;
        // The lines of the field are those that are further in.
        let mut end = at;
        for line in crd[at..].split_inclusive('\n') {
            if end > at && line.len() - line.trim_start().len() <= indent {
                break;
            }
            end += line.len();
        }
        crd.replace_range(begin..end, "");
        Ok(())
    })?;
    // Another annotation, for other Pods.
    let words = [&world.install_words(&older, "15s")[..], &["--set", "podAnnotations.crd=older"]].concat();
    let said = world.ask_helm(&words)?;
    ensure!(!said.well, "helm upgrade --wait went well before an older CRD");
    let pods = world.pods().await?;
    let known = |pod: &Pod| before.iter().any(|old| old.name_any() == pod.name_any());
    ensure!(before.iter().all(|old| pods.iter().any(|pod| pod.name_any() == old.name_any())), "an old Pod is gone");
    let new = pods.iter().find(|pod| !known(pod)).context("there is no new Pod")?;
    let said = world.get(new, "/readyz")?;
    println!("  the new Pod: {said}");
    ensure!(said.contains("lastHandledReconcileAt"), "/readyz does not name the field: {said}");
    for old in &before {
        world.get(old, "/readyz").and_then(|said| {
            ensure!(ready(&pods, old), "{} is not ready: {said}", old.name_any());
            Ok(())
        })?;
    }
    let leaders = before.iter().map(|old| leads(world, old)).collect::<Result<Vec<_>>>()?;
    ensure!(leaders.contains(&Some(true)), "no old Pod leads: {leaders:?}");
    world.helm(&["rollback", RELEASE, "--namespace", SYSTEM, "--wait", "--timeout", "120s"])?;
    let pods = world.pods().await?;
    ensure!(pods.iter().all(|pod| ready(&pods, pod)), "not all are ready after the rollback");
    world.until_condition("Ready", "True", "Healthy", SOON).await
}

fn ready(pods: &[Pod], pod: &Pod) -> bool {
    let same = pods.iter().find(|other| other.name_any() == pod.name_any());
    let conditions = same.and_then(|pod| pod.status.as_ref()?.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"))
}

/// A copy of the chart with another CRD.
fn copy(name: &str, change: impl FnOnce(&mut String) -> Result<()>) -> Result<PathBuf> {
    let copy = machine::directory().join(name);
    call(Command::new("rm").arg("-rf").arg(&copy))?;
    call(Command::new("cp").arg("-r").arg(chart()).arg(&copy))?;
    let file: &Path = &copy.join(CRD);
    let mut crd = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    change(&mut crd)?;
    fs::write(file, crd)?;
    Ok(copy)
}
