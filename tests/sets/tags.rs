//! Projects with tags.

use kube::Resource as _;
use serde_json::json;

use crate::{
    TEN_MINUTES,
    scene::{Scene, condition},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_selects_the_projects_that_have_all_its_tags() {
    let scene = Scene::start("tags").await;
    scene.projects(4);
    scene.cloud.set_project_tags("p1", &["blue", "prod"]);
    scene.cloud.set_project_tags("p2", &["prod"]);
    scene.cloud.set_project_tags("p3", &["Prod", "blue"]);
    for (name, source) in [("own", "AccessibleProjects"), ("all", "Projects")] {
        let tags = json!({ "tags": ["prod", "blue"] });
        // Only one of the two sets may have a project, so the first one is deleted before the second one.
        scene.create(name, &json!({ "source": source, "filter": tags, "prune": "Delete" })).await;
        scene.until_ready(name, 1).await;
        assert_eq!(scene.names().await, [format!("{name}-p1")], "{source}");
        scene.cloud.set_project_tags("p2", &["blue", "new", "prod"]);
        scene.list_again(name).await;
        assert_eq!(scene.names().await, [format!("{name}-p1"), format!("{name}-p2")], "{source}");

        // The project exists, so its CloudTenant stays until somebody confirms the deletion.
        scene.cloud.set_project_tags("p2", &["prod"]);
        for _ in 0..2 {
            scene.list_again(name).await;
            scene.clock.forward(TEN_MINUTES);
        }
        scene.list_again(name).await;
        let set = scene.set(name).await;
        assert_eq!(scene.names().await.len(), 2, "{source}");
        assert_eq!(condition(&set, "InSync"), ("False".into(), "PruneHeld".into()), "{source}");
        assert_eq!(set.status.as_ref().and_then(|status| status.held), Some(1), "{source}");
        let generation = set.meta().generation.unwrap().to_string();
        scene.annotate(name, "cloudtenant.dev/confirm-prune", &generation).await;
        scene.list_again(name).await;
        scene.until_gone(&format!("{name}-p2")).await;
        scene.until_ready(name, 1).await;

        scene.delete(name).await;
        scene.tenants.delete(&format!("{name}-p1"), &kube::api::DeleteParams::default()).await.unwrap();
    }
    scene.stop().await;
}
