//! How the program ends.

use std::{path::Path, time::Duration};

use serde_json::json;
use testkit::{
    cloud::{Fault, Service},
    control_plane::ControlPlane,
    operator::Operator,
};

use crate::lab::{Lab, PROGRAM, SOON};

#[tokio::test]
async fn sigterm_ends_it_at_once() {
    let lab = Lab::start("stop").await;
    lab.apply("shop", &json!({})).await;
    lab.until_ready("shop").await;
    assert_eq!(lab.operator.get("/healthz").unwrap().0, 200);
    lab.operator.until_ready().await.unwrap();
    let (status, took) = lab.operator.terminate().await.unwrap();
    assert!(status.success() && took < Duration::from_secs(2), "{status} after {took:?}");
}

#[tokio::test]
async fn sigterm_ends_it_while_heat_hangs() {
    let lab = Lab::start("stop-heat").await;
    lab.cloud.fault(Service::Heat, Fault::Hang);
    lab.cloud.fault(Service::Nova, Fault::Hang);
    lab.apply("shop", &json!({})).await;
    lab.cloud.until_count(Service::Heat, 1, SOON).await.unwrap();
    let (status, took) = lab.operator.terminate().await.unwrap();
    assert!(status.success() && took < Duration::from_secs(5), "{status} after {took:?}");
}

#[tokio::test]
async fn sigterm_ends_it_while_the_api_server_is_away() {
    let control_plane = ControlPlane::start().await.unwrap();
    crate::lab::install(&control_plane).await;
    let lab = Lab::within(&control_plane, "stop-api").await;
    let kubeconfig = control_plane
        .kubeconfig_for_service_account(crate::lab::ACCOUNT.namespace, crate::lab::ACCOUNT.name)
        .await
        .unwrap();
    let Lab { operator, .. } = lab;
    drop(operator);
    control_plane.stop();
    let operator = Operator::start_with(&kubeconfig, Path::new(PROGRAM), &[]).await.unwrap();
    assert_eq!(operator.get("/readyz").unwrap().0, 503, "it has not read its CloudTenants");
    assert_eq!(operator.get("/healthz").unwrap().0, 200);
    let (status, took) = operator.terminate().await.unwrap();
    assert!(status.success() && took < Duration::from_secs(5), "{status} after {took:?}");
}
