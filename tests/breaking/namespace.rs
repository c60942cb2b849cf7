//! A namespace is deleted under an operator that watches another one, too.

use k8s_openapi::api::{
    core::v1::{Namespace, Secret},
    rbac::v1::RoleBinding,
};
use kube::{
    Api,
    api::{DeleteParams, ObjectMeta, PostParams},
};
use serde_json::json;
use testkit::{control_plane::wait, eventually::until};

use crate::{
    account::grant_also,
    lab::{LATER, Lab, SECRET, SOON, shared},
    stage::{SHOP, Stage, account, operator},
};

/// While it is terminating, its CloudTenants are still observed, and no events are created. Without a controller
/// manager, the test deletes what is in it.
pub async fn is_deleted_and_created_again() {
    let (home, kubeconfig) = account("home").await;
    let control_plane = shared().await;
    let target = control_plane.namespace("target").await.unwrap();
    grant_also(control_plane, &home, &target).await;
    let operator = operator(&kubeconfig, &home, &[("WATCH_NAMESPACE", &format!("{home},{target}"))]).await;
    let mut lab = Lab::around(control_plane, home.clone(), operator).await;
    lab.apply_secret(&lab.cloud.clouds_yaml("openstack")).await;
    lab.apply("other", &json!({})).await;
    lab.until_ready("other").await;
    lab.namespace.clone_from(&target);
    let mut stage = Stage::set(lab, kubeconfig).await;

    let namespaces: Api<Namespace> = Api::all(stage.lab.client.clone());
    namespaces.delete(&target, &DeleteParams::default()).await.unwrap();
    stage.lose_engine();
    stage.until_down().await;
    assert_eq!(stage.lab.told(SHOP).await, Vec::<String>::new());
    let lost = stage.lab.operator.metric("cloudtenant_events_total", &["outcome=\"error\""]).unwrap();
    assert_eq!(lost, 0.0, "nobody reads these events");

    stage.lab.tenants().delete(SHOP, &DeleteParams::default()).await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(stage.lab.client.clone(), &target);
    secrets.delete(SECRET, &DeleteParams::default()).await.unwrap();
    let bindings: Api<RoleBinding> = Api::namespaced(stage.lab.client.clone(), &target);
    bindings.delete("other", &DeleteParams::default()).await.unwrap();
    let mut ended = namespaces.get(&target).await.unwrap();
    ended.spec.get_or_insert_default().finalizers = None;
    let finalize = format!("/api/v1/namespaces/{target}/finalize");
    let request = http::Request::put(finalize).body(serde_json::to_vec(&ended).unwrap()).unwrap();
    stage.lab.client.request_text(request).await.unwrap();
    wait::until_gone(namespaces.clone(), &target, SOON).await.unwrap();
    let series = || stage.lab.operator.metric("cloudtenant_info", &[]).unwrap();
    until("its series are gone", LATER, || series() == 1.0, || stage.lab.operator.get("/metrics").unwrap().1)
        .await
        .unwrap();
    stage.lab.cloud.restart_engine("engine-1.lab");
    stage.lab.namespace.clone_from(&home);
    stage.lab.poke_until("other", "Ready", "Healthy", 3).await;

    let again = Namespace {
        metadata: ObjectMeta { name: Some(target.clone()), ..ObjectMeta::default() },
        ..Namespace::default()
    };
    namespaces.create(&PostParams::default(), &again).await.unwrap();
    grant_also(control_plane, &home, &target).await;
    stage.lab.namespace.clone_from(&target);
    stage.lab.apply_secret(&stage.lab.cloud.clouds_yaml("openstack")).await;
    stage.lab.apply(SHOP, &json!({})).await;
    stage.lab.until_ready(SHOP).await;
    stage.lose_engine();
    stage.until_down().await;
    stage.heals(&["EngineDown", "EngineRecovered"]).await;
}
