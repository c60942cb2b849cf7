//! Objects go away and come back under the same name.

use http::Method;
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use serde_json::json;
use testkit::gateway::{Deed, Which};

use crate::{
    lab::{SECRET, condition},
    stage::{SHOP, Stage},
};

/// `SecretNotFound` within the 30 s for which a Secret counts as read. It becomes Stalled only later, so there is no
/// event.
pub async fn the_secret_is_deleted_and_created_again() {
    let stage = Stage::start("secret", &[]).await;
    let lab = &stage.lab;
    let secrets: Api<Secret> = Api::namespaced(lab.client.clone(), &lab.namespace);
    secrets.delete(SECRET, &DeleteParams::default()).await.unwrap();
    let shop = lab.until_reason(SHOP, "Ready", "SecretNotFound").await;
    assert!(condition(&shop, "Stalled").is_none());
    lab.apply_secret(&lab.cloud.clouds_yaml("openstack")).await;
    lab.until_ready(SHOP).await;
    stage.lose_engine();
    stage.until_down().await;
    stage.heals(&["EngineDown", "EngineRecovered"]).await;
}

/// The write of the old object's pass arrives after the new one is there. The new one has only what its own passes saw,
/// and each object has its event once.
pub async fn a_tenant_is_replaced_in_mid_pass() {
    let (stage, gateway) = Stage::behind_gateway("replaced").await;
    let lab = &stage.lab;
    gateway.next(Which { method: Method::PATCH, path: "/status", body: "EnginesDown" }, Deed::Hold);
    stage.lose_engine();
    lab.request(SHOP).await;
    gateway.until_met().await.unwrap();
    let old = lab.get(SHOP).await.metadata.uid;
    lab.tenants().delete(SHOP, &DeleteParams::default()).await.unwrap();
    let new = lab.apply(SHOP, &json!({})).await.metadata.uid;
    gateway.release();
    stage.until_down().await;
    assert_ne!(old, new);
    stage.heals(&["EngineDown", "EngineDown", "EngineRecovered"]).await;
    let events: Api<Event> = Api::namespaced(lab.client.clone(), &lab.namespace);
    let events = events.list(&ListParams::default()).await.unwrap().items;
    for (uid, count) in [(old, 1), (new, 2)] {
        let about = |event: &&Event| event.regarding.as_ref().unwrap().uid == uid;
        assert_eq!(events.iter().filter(about).count(), count);
    }
}
