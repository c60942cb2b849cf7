//! What does not change is not written, counted by the API server itself.

use std::time::Duration;

use serde_json::json;
use testkit::{cloud::Service, control_plane::ControlPlane};

use crate::lab::{LATER, Lab, install};

/// Every request that changes something, but ours.
async fn writes(control_plane: &ControlPlane) -> u64 {
    let metrics = control_plane.metrics().await.unwrap();
    let verbs = ["APPLY", "PATCH", "POST", "PUT"];
    let count =
        |resource, subresource| -> u64 { verbs.iter().map(|verb| metrics.requests(resource, subresource, verb)).sum() };
    count("cloudtenants", "status") + count("events", "")
}

async fn ready(lab: &Lab<'_>, tenants: usize) -> Vec<String> {
    let names: Vec<_> = (0..tenants).map(|number| format!("tenant-{number}")).collect();
    for name in &names {
        lab.apply(name, &json!({ "projectID": format!("project-{name}") })).await;
    }
    for name in &names {
        lab.until_ready(name).await;
    }
    names
}

/// So many looks at every tenant, and not one write.
async fn unchanged(tenants: usize, looks: usize) {
    let control_plane = ControlPlane::start().await.unwrap();
    install(&control_plane).await;
    let lab = Lab::within(&control_plane, "frugal").await;
    lab.apply_secret(&lab.cloud.clouds_yaml("openstack")).await;
    let names = ready(&lab, tenants).await;
    let (written, asked) = (writes(&control_plane).await, lab.cloud.count(Service::Dcs));
    let heat = lab.cloud.count(Service::Heat);
    let written_by_itself = lab.operator.metric("cloudtenant_status_writes_total", &[]).unwrap();
    // An annotation of somebody else has the tenant looked at, and nothing to say about it.
    for number in 0..20 {
        lab.merge(&names[0], &json!({ "metadata": { "annotations": { "note": number.to_string() } } })).await;
    }

    let all = asked + tenants * looks;
    lab.cloud.until_count(Service::Dcs, all, Duration::from_secs(11 * (looks as u64 + 3))).await.unwrap();

    assert_eq!(writes(&control_plane).await, written);
    assert_eq!(lab.operator.metric("cloudtenant_status_writes_total", &[]).unwrap(), written_by_itself);
    let heat = lab.cloud.count(Service::Heat) - heat;
    assert!(heat <= looks + 1, "{heat} calls to Heat in {looks} intervals, for {tenants} tenants");
    assert_eq!(lab.cloud.logins(), 1);
}

#[tokio::test]
async fn twenty_looks_at_what_does_not_change_write_nothing() {
    unchanged(5, 4).await;
}

#[tokio::test]
async fn a_restart_repeats_no_event_and_writes_nothing() {
    let control_plane = ControlPlane::start().await.unwrap();
    install(&control_plane).await;
    let mut lab = Lab::within(&control_plane, "restart").await;
    lab.apply_secret(&lab.cloud.clouds_yaml("openstack")).await;
    let names = ready(&lab, 3).await;
    lab.cloud.kill_engine("engine-2.lab");
    lab.cloud.advance(Duration::from_secs(200));
    for name in &names {
        lab.until_reason(name, "Ready", "EnginesDown").await;
    }
    let written = writes(&control_plane).await;

    for _ in 0..2 {
        let asked = lab.cloud.count(Service::Dcs);
        lab.restart_operator().await;
        lab.cloud.until_count(Service::Dcs, asked + 2 * names.len(), LATER).await.unwrap();
    }
    for name in &names {
        assert_eq!(lab.told(name).await, ["EngineDown"]);
    }
    assert_eq!(writes(&control_plane).await, written);
}
