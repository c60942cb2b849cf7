//! Sets that are deleted and created again.

use kube::api::DeleteParams;
use serde_json::json;

use crate::scene::{Scene, condition};

/// This control plane has no garbage collector, so the test deletes what that would delete.
#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_is_created_again_makes_its_cloud_tenants_anew() {
    let scene = Scene::start("again").await;
    scene.projects(2);
    let spec = json!({ "prune": "Delete", "template": { "spec": { "suspend": true } } });
    scene.create("fleet", &spec).await;
    scene.until_ready("fleet", 2).await;
    scene.delete("fleet").await;
    scene.create("fleet", &spec).await;
    let set = scene.until("fleet", "waits", |set| condition(set, "InSync").1 == "Progressing").await;
    assert_eq!((condition(&set, "Reconciling").0.as_str(), set.status.unwrap().skipped.len()), ("True", 0));
    for name in ["fleet-p1", "fleet-p2"] {
        scene.tenants.delete(name, &DeleteParams::default()).await.unwrap();
    }
    // Its interval is a day.
    scene.until_ready("fleet", 2).await;
    let owner = scene.tenant("fleet-p1").await.metadata.owner_references.unwrap().remove(0);
    assert_eq!(Some(owner.uid), scene.set("fleet").await.metadata.uid);
    scene.stop().await;
}
