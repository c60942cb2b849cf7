//! What happens to the Lease of a leader. Nobody writes a status without it.

use jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testkit::eventually::until;

use crate::{
    lab::{Lab, SOON, reason, shared},
    stage::{ELECTED, SHOP, Stage, account, operator},
};

const LEASE: &str = "cloudtenant-operator";

fn held_by(name: &str) -> Value {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    json!({ "holderIdentity": name, "acquireTime": now, "renewTime": now, "leaseDurationSeconds": 15 })
}

pub async fn is_deleted() {
    let stage = Stage::start("lease-deleted", ELECTED).await;
    stage.leases().delete(LEASE, &DeleteParams::default()).await.unwrap();
    stage.lose_engine();
    stage.until_holder("only", SOON).await;
    stage.until_down().await;
    stage.heals(&["EngineDown", "EngineRecovered"]).await;
}

/// The statuses stand still for the Lease's 15 s, since the thief might be another operator.
pub async fn is_stolen() {
    let stage = Stage::start("lease-stolen", ELECTED).await;
    let stolen = json!({ "spec": held_by("thief") });
    stage.leases().patch(LEASE, &PatchParams::default(), &Patch::Merge(&stolen)).await.unwrap();
    until("it leads no more", SOON, || !stage.leads(), || stage.lab.operator.log()).await.unwrap();
    stage.lose_engine();
    stage.until_holder("only", SOON).await;
    assert_eq!(reason(&stage.lab.get(SHOP).await, "Ready"), Some("Healthy"), "nothing was written meanwhile");
    stage.until_down().await;
    stage.heals(&["EngineDown", "EngineRecovered"]).await;
}

/// A holder that died without a release.
pub async fn has_a_dead_holder() {
    let (namespace, kubeconfig) = account("lease-dead").await;
    let control_plane = shared().await;
    let lease = json!({ "metadata": { "name": LEASE }, "spec": held_by("dead") });
    let leases = kube::Api::namespaced(control_plane.client().await.unwrap(), &namespace);
    let lease: k8s_openapi::api::coordination::v1::Lease = serde_json::from_value(lease).unwrap();
    leases.create(&PostParams::default(), &lease).await.unwrap();
    let operator = operator(&kubeconfig, &namespace, ELECTED).await;
    operator.until_ready().await.unwrap();
    let leader = || operator.metric("cloudtenant_leader", &[]).unwrap();
    assert_eq!(leader(), 0.0, "a standby is ready before the Lease ends");
    let stage = Stage::set(Lab::around(control_plane, namespace, operator).await, kubeconfig).await;
    assert!(stage.leads());
    stage.lose_engine();
    stage.until_down().await;
    stage.heals(&["EngineDown", "EngineRecovered"]).await;
}
