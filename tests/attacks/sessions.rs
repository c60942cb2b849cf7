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

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_is_patched_300_times_with_long_authorities() {
    let scene = Scene::begin("300 regions", &[]).await;
    let cloud = Hostile::start(Answers::default());
    let yaml = cloud.clouds_yaml("");
    // The first is more than is read of a Secret.
    let cacert = authorities(500_000);
    let longer = cacert.clone() + &cacert[..=200_000 + cacert[200_000..].find("\n-----BEGIN").unwrap()];
    for (name, cacert) in [("refused", &longer), ("read", &cacert)] {
        scene.add(name, &[("clouds.yaml", yaml.as_bytes()), ("cacert", cacert.as_bytes())], &json!({})).await;
    }
    for number in 0..300 {
        for name in ["refused", "read"] {
            scene.patch(name, &json!({ "spec": { "region": format!("R{number}") } })).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    }
    scene.last(5).await;
    println!("calls {:?}", cloud.calls());
    scene.end().await;
}
