//! Names that are as long as a Secret.

use serde_json::json;

use crate::{
    hostile::{Answers, Hostile},
    scene::Scene,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_region_name_of_700_kb_in_40_secrets() {
    let scene = Scene::begin("long region_name", &[]).await;
    let cloud = Hostile::start(Answers::default());
    for number in 0..40 {
        let name = format!("region-{number}");
        // What the API server takes, what is read of a Secret, and the longest that is a region.
        let length = [700_000, 500_000, 255][number % 3];
        let yaml = cloud.clouds_yaml_of(&name, &format!(", region_name: {}", "r".repeat(length)));
        scene.add(&name, &[("clouds.yaml", yaml.as_bytes())], &json!({})).await;
    }
    scene.last(15).await;
    let figures = scene.end().await;
    assert!((1000..1 << 20).contains(&figures.scrape), "a scrape of {} bytes", figures.scrape);
}
