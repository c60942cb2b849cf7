//! API servers that send no list as a stream: 1.31 to 1.33 by default, and later ones by their feature gate.

use serde_json::json;
use testkit::control_plane::ControlPlane;

use crate::{
    lab::{Lab, install},
    odd_metadata,
};

#[tokio::test]
async fn without_streamed_lists_the_tenants_are_listed_in_pages_and_watched() {
    let control_plane = ControlPlane::start_with(&["--feature-gates=WatchList=false"]).await.unwrap();
    install(&control_plane).await;
    let mut lab = Lab::within(&control_plane, "pages").await;
    lab.apply_secret(&lab.cloud.clouds_yaml("openstack")).await;
    for name in ["before", "later"] {
        lab.apply(name, &json!({})).await;
        lab.until_ready(name).await;
        lab.restart_operator().await;
    }
    lab.apply("after-a-restart", &json!({})).await;
    lab.until_ready("after-a-restart").await;
    let log = lab.operator.log();
    assert!(log.contains("sendInitialEvents is forbidden"), "the API server refuses streams: {log}");
    odd_metadata::stops_nobody_else(&control_plane).await;
}
