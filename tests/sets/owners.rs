//! Whose a CloudTenant is: two sets that select the same project, and sets that are deleted.

use kube::{Resource as _, ResourceExt as _, api::DeleteParams};
use serde_json::json;

use crate::scene::{CloudTenantSet, Scene, condition, rows, skipped};

#[tokio::test(flavor = "multi_thread")]
async fn the_older_set_has_the_projects_and_the_younger_takes_them_over() {
    let scene = Scene::start("two").await;
    scene.projects(2);
    scene.create("older", &json!({ "prune": "Delete" })).await;
    scene.until_ready("older", 2).await;
    scene.create_younger("younger", "older", &json!({ "prune": "Delete" })).await;
    scene.until_ready("younger", 0).await;
    let set = scene.set("younger").await;
    assert_eq!(skipped(&set), rows(&[("p1", "OtherSet", "older"), ("p2", "OtherSet", "older")]));
    assert_eq!(set.status.unwrap().projects, Some(2));

    scene.cloud.put_project_of_operator("p3", "fleet-3");
    scene.list_again("older").await;
    scene.list_again("younger").await;
    assert_eq!(scene.names().await, ["older-p1", "older-p2", "older-p3"]);
    assert_eq!(skipped(&scene.set("younger").await).len(), 3);

    // The garbage collector deletes the CloudTenants of a deleted set. The younger set waits for that.
    scene.delete("older").await;
    scene.list_again("younger").await;
    let set = scene.set("younger").await;
    assert_eq!(condition(&set, "InSync"), ("Unknown".to_owned(), "Progressing".to_owned()));
    assert_eq!(skipped(&set), []);
    for name in scene.names().await {
        scene.tenants.delete(&name, &DeleteParams::default()).await.unwrap();
    }
    scene.until_ready("younger", 3).await;
    assert_eq!(scene.names().await, ["younger-p1", "younger-p2", "younger-p3"]);
    assert_eq!(skipped(&scene.set("younger").await), []);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_tenant_stays_with_the_younger_set_that_has_it() {
    let scene = Scene::start("wider").await;
    scene.projects(2);
    scene.create("older", &json!({ "filter": { "namePattern": "^fleet-1$" } })).await;
    scene.until_ready("older", 1).await;
    scene.create_younger("younger", "older", &json!({})).await;
    scene.until_ready("younger", 1).await;
    assert_eq!(skipped(&scene.set("younger").await), rows(&[("p1", "OtherSet", "older")]));
    let before = scene.tenant("younger-p2").await.uid();
    scene.change("older", &json!({ "filter": { "namePattern": "^fleet-" } })).await;
    let selects_both = |set: &CloudTenantSet| set.status.as_ref().is_some_and(|status| status.projects == Some(2));
    scene.until("older", "selects both", selects_both).await;
    assert_eq!(skipped(&scene.set("older").await), rows(&[("p2", "OtherSet", "younger")]));
    scene.list_again("younger").await;
    assert_eq!(scene.names().await, ["older-p1", "younger-p2"]);
    assert_eq!(scene.tenant("younger-p2").await.uid(), before);
    assert_eq!(condition(&scene.set("older").await, "Ready").0, "True");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_follow_prune_and_a_new_set_adopts_what_a_deleted_one_has_kept() {
    let scene = Scene::start("owners").await;
    scene.projects(2);
    scene.create("fleet", &json!({})).await;
    scene.until_ready("fleet", 2).await;
    let names = ["fleet-p1", "fleet-p2"];
    for (prune, is_owned) in [("Delete", true), ("Keep", false)] {
        scene.change("fleet", &json!({ "prune": prune })).await;
        for name in names {
            scene.until_owned(name, is_owned).await;
        }
    }

    let uids = [scene.tenant(names[0]).await.uid(), scene.tenant(names[1]).await.uid()];
    let first = scene.set("fleet").await.uid();
    scene.delete("fleet").await;
    assert_eq!(scene.names().await, names);
    scene.create("fleet", &json!({ "prune": "Delete" })).await;
    scene.until_ready("fleet", 2).await;
    let second = scene.set("fleet").await.uid();
    assert_ne!(first, second);
    for (name, uid) in names.into_iter().zip(uids) {
        scene.until_owned(name, true).await;
        let tenant = scene.tenant(name).await;
        assert_eq!(tenant.uid(), uid, "{name} is another object");
        assert_eq!(tenant.annotations().get("cloudtenant.dev/set-uid"), second.as_ref());
        assert_eq!(Some(&tenant.owner_references()[0].uid), second.as_ref());
    }
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_waits_for_its_cloud_tenants_deletion_writes_none() {
    let scene = Scene::start("waits").await;
    scene.projects(2);
    scene.create("fleet", &json!({ "prune": "Delete" })).await;
    scene.until_ready("fleet", 2).await;
    scene.delete_in_foreground("fleet").await;
    let status = scene.set("fleet").await.status;
    scene.tenants.delete("fleet-p1", &DeleteParams::default()).await.unwrap();
    scene.ask("fleet", "while it is being deleted").await;
    // Another set that wants the project gets it, as no set has it any more.
    scene.create("second", &json!({ "filter": { "namePattern": "^fleet-1$" } })).await;
    scene.until_ready("second", 1).await;
    assert_eq!(scene.names().await, ["fleet-p2", "second-p1"]);
    let set = scene.set("fleet").await;
    assert!(set.meta().deletion_timestamp.is_some(), "{set:?}");
    assert_eq!(set.status, status);
    scene.stop().await;
}
