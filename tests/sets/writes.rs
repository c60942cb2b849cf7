//! Writes that fail at every pass, and what the events say about passes that end early.

use serde_json::json;

use crate::{
    TEN_MINUTES,
    scene::{Scene, condition},
};

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_keep_no_deletion_waiting() {
    let scene = Scene::start_with("conflicts", 5).await;
    scene.projects(7);
    let spec = json!({ "prune": "Delete", "maxLossPercent": 100, "template": { "spec": { "suspend": true } } });
    scene.create("fleet", &spec).await;
    scene.until("fleet", "waits for its pace", |set| condition(set, "Reconciling").0 == "True").await;
    scene.clock.forward(61);
    scene.list_again("fleet").await;
    scene.until_ready("fleet", 7).await;
    // Six conflicts, where the pace allows five writes.
    for index in 1..=6 {
        scene.force_interval(&format!("fleet-p{index}"), "2m").await;
    }
    scene.clock.forward(61);
    scene.change("fleet", &json!({ "template": { "spec": { "interval": "5m" } } })).await;
    scene.until("fleet", "reports a conflict", |set| condition(set, "InSync").1 == "FieldConflict").await;
    scene.clock.forward(61);
    scene.list_again("fleet").await;
    scene.until_interval("fleet-p7", "5m").await;

    scene.cloud.remove_tenant("p7");
    scene.clock.forward(61);
    scene.list_again("fleet").await;
    scene.clock.forward(TEN_MINUTES);
    scene.list_again("fleet").await;
    scene.until_gone("fleet-p7").await;
    let is_settled = |set: &_| condition(set, "Reconciling").0.is_empty() && condition(set, "InSync").0 == "False";
    let set = scene.until("fleet", "has ended", is_settled).await;
    assert_eq!(condition(&set, "InSync").1, "FieldConflict");
    assert_eq!(set.status.unwrap().tenants, Some(6));
    scene.stop().await;
}

/// A change of the spec ends the writes of a pass.
#[tokio::test(flavor = "multi_thread")]
async fn the_events_tell_of_each_cloud_tenant_once() {
    let scene = Scene::start("told").await;
    scene.projects(40);
    let spec = |labels: &str| json!({ "template": { "metadata": { "labels": { "round": labels } }, "spec": { "suspend": true } } });
    scene.create("fleet", &spec("0")).await;
    scene.until_some().await;
    for round in ["1", "2", "3"] {
        scene.change("fleet", &spec(round)).await;
    }
    scene.until_ready("fleet", 40).await;
    let told = scene.events("TenantsCreated").await;
    let number = |note: &String| note.split(' ').nth(1).unwrap().parse::<usize>().unwrap();
    assert_eq!(told.iter().map(number).sum::<usize>(), 40, "{told:?}");
    scene.stop().await;
}
