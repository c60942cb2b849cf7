//! The API server or its etcd is away for a while. A user sees the last status until it is back.

use std::time::Duration;

use testkit::control_plane::{Component, ControlPlane};
use tokio::{sync::OnceCell, time::sleep};

use crate::{
    lab::{ACCOUNT, Lab, install},
    stage::{Stage, signal},
};

/// Longer than a write of the operator waits.
const FROZEN: Duration = Duration::from_secs(12);
const AWAY: Duration = Duration::from_secs(2);

/// The control plane of this file, since the others' must not fail.
async fn stage(name: &str) -> Stage<'static> {
    static OWN: OnceCell<ControlPlane> = OnceCell::const_new();
    let start = async || {
        let control_plane = ControlPlane::start().await.unwrap();
        install(&control_plane).await;
        control_plane
    };
    let control_plane = OWN.get_or_init(start).await;
    let kubeconfig = control_plane.kubeconfig_for_service_account(ACCOUNT.namespace, ACCOUNT.name).await.unwrap();
    Stage::set(Lab::within(control_plane, name).await, kubeconfig).await
}

pub async fn is_killed() {
    let stage = stage("killed").await;
    stage.lose_engine();
    stage.lab.control_plane.restart(Component::ApiServer, AWAY).await.unwrap();
    stage.until_down().await;
    stage.heals(&["EngineDown", "EngineRecovered"]).await;
}

pub async fn loses_its_etcd() {
    let stage = stage("etcd").await;
    stage.lose_engine();
    stage.lab.control_plane.restart(Component::Etcd, AWAY).await.unwrap();
    stage.until_down().await;
    stage.heals(&["EngineDown", "EngineRecovered"]).await;
}

pub async fn is_frozen() {
    let stage = stage("frozen").await;
    let pid = stage.lab.control_plane.pid(Component::ApiServer).unwrap();
    signal("-STOP", pid);
    stage.lose_engine();
    sleep(FROZEN).await;
    signal("-CONT", pid);
    stage.until_down().await;
    stage.heals(&["EngineDown", "EngineRecovered"]).await;
}
