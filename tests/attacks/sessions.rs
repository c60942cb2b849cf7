//! One CloudTenant that becomes many sessions.

use serde_json::json;
use testkit::certificates::Authority;

use crate::{
    hostile::{Answers, Hostile},
    scene::Scene,
};

/// So many bytes of authorities, each another one.
fn authorities(bytes: usize) -> String {
    let mut text = String::new();
    while text.len() < bytes {
        text.push_str(&Authority::root(&format!("Authority {}", text.len())).unwrap().pem);
    }
    text
}

/// Two tenants with long authorities, one of them longer than what is read.
pub async fn with_authorities(scene: &Scene<'_>) -> Hostile {
    let cloud = Hostile::start(Answers::default());
    let yaml = cloud.clouds_yaml("");
    // The first is more than is read of a Secret.
    let cacert = authorities(500_000);
    let longer = cacert.clone() + &cacert[..=200_000 + cacert[200_000..].find("\n-----BEGIN").unwrap()];
    for (name, cacert) in [("refused", &longer), ("read", &cacert)] {
        scene.add(name, &[("clouds.yaml", yaml.as_bytes()), ("cacert", cacert.as_bytes())], &json!({})).await;
    }
    cloud
}

/// Gives both another region.
pub async fn change_region(scene: &Scene<'_>, number: usize) {
    for name in ["refused", "read"] {
        scene.patch(name, &json!({ "spec": { "region": format!("R{number}") } })).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_is_patched_300_times_with_long_authorities() {
    let scene = Scene::begin("300 regions", &[]).await;
    let cloud = with_authorities(&scene).await;
    for number in 0..300 {
        change_region(&scene, number).await;
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    }
    scene.last(5).await;
    println!("calls {:?}", cloud.calls());
    scene.end().await;
}
