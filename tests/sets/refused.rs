//! What the API server refuses: by a quota, for want of a right, and by an admission policy.

use serde_json::json;
use testkit::eventually::eventually;

use crate::scene::{LATER, Scene, condition};

fn refused(reason: &str) -> (String, String) {
    ("False".to_owned(), reason.to_owned())
}

/// Asks for lists until the set has so many CloudTenants. The API server learns of a changed quota by a watch.
async fn until_tenants(scene: &Scene, tenants: usize) {
    eventually("the quota is in force", LATER, async || {
        scene.list_again("fleet").await;
        let names = scene.names().await;
        if names.len() == tenants { Ok(()) } else { Err(format!("{names:?}")) }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_bounds_a_set_until_it_is_raised() {
    let scene = Scene::start("quota").await;
    scene.projects(4);
    scene.set_quota(0, 0).await;
    scene.until_refused("exceeded quota").await;
    scene.create("fleet", &json!({})).await;
    scene.until("fleet", "reports the quota", |set| condition(set, "InSync") == refused("QuotaExceeded")).await;
    assert_eq!(scene.names().await.len(), 0);

    scene.set_quota(2, 0).await;
    until_tenants(&scene, 2).await;
    let set = scene.set("fleet").await;
    assert_eq!(condition(&set, "InSync"), refused("QuotaExceeded"));
    assert_eq!(condition(&set, "Ready"), refused("QuotaExceeded"));
    assert_eq!(condition(&set, "Stalled").0, "", "the quota may be raised at any time");

    // The CloudTenants that exist follow the template all the same.
    scene.change("fleet", &json!({ "template": { "spec": { "interval": "5m" } } })).await;
    for name in scene.names().await {
        scene.until_interval(&name, "5m").await;
    }
    scene.set_quota(10, 2).await;
    until_tenants(&scene, 4).await;
    scene.until_ready("fleet", 4).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_create_a_set_says_so_until_it_is_granted() {
    let scene = Scene::start_without_create("forbidden").await;
    scene.projects(2);
    scene.create("fleet", &json!({})).await;
    // An API server that starts forbids everything for a moment. So the first refusals are not reported.
    let first = scene.until("fleet", "is not finished", |set| condition(set, "Reconciling").0 == "True").await;
    assert_eq!(condition(&first, "Stalled").0, "");
    scene.clock.forward(16);
    scene.list_again("fleet").await;
    let set = scene.set("fleet").await;
    for type_ in ["Ready", "InSync"] {
        assert_eq!(condition(&set, type_), refused("CreateForbidden"), "{type_}");
    }
    assert_eq!(condition(&set, "Stalled"), ("True".to_owned(), "CreateForbidden".to_owned()));
    assert_eq!(scene.names().await.len(), 0);

    scene.allow_create().await;
    scene.list_again("fleet").await;
    scene.until_ready("fleet", 2).await;
    assert_eq!(condition(&scene.set("fleet").await, "Stalled").0, "");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_policy_refuses_is_made_once_the_template_is_corrected() {
    let scene = Scene::start("policy").await;
    scene.projects(2);
    scene.require_label("cost-centre").await;
    scene.until_refused("the label cost-centre is missing").await;
    scene.create("fleet", &json!({})).await;
    let set = scene.until("fleet", "is Stalled", |set| condition(set, "Stalled").0 == "True").await;
    assert_eq!(condition(&set, "InSync"), refused("CreateForbidden"));
    assert_eq!(scene.names().await.len(), 0);

    scene.change("fleet", &json!({ "template": { "metadata": { "labels": { "cost-centre": "42" } } } })).await;
    scene.until_ready("fleet", 2).await;
    assert_eq!(condition(&scene.set("fleet").await, "Stalled").0, "");
    scene.stop().await;
}
