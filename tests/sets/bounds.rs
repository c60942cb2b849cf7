//! Sets beyond the operator's bounds, and sets whose Keystone hangs.

use serde_json::json;
use testkit::cloud::{Fault, Service, SimulatedCloud};

use crate::scene::{Scene, condition};

/// The sets that the operator serves in a namespace.
const SERVED: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_is_not_served_says_so() {
    let scene = Scene::start("bounds").await;
    for number in 0..SERVED {
        scene.create(&format!("set-{number}"), &json!({ "suspend": true })).await;
    }
    for number in 0..SERVED {
        scene.until(&format!("set-{number}"), "is served", |set| condition(set, "Ready").0 == "Unknown").await;
    }
    scene.create("more", &json!({})).await;
    let set = scene.until("more", "is not served", |set| condition(set, "Stalled").0 == "True").await;
    let expected = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
    assert_eq!(condition(&set, "Ready"), expected("False", "NotServed"));
    assert_eq!(condition(&set, "InSync"), expected("False", "NotServed"));
    assert_eq!(condition(&set, "ProjectsListed"), expected("Unknown", "Progressing"));
    assert_eq!(set.status.unwrap().observed_generation, set.metadata.generation);
    assert_eq!(scene.lists(), 0);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keystone_that_hangs_delays_no_set_of_another_one() {
    let scene = Scene::start("hangs").await;
    let well = SimulatedCloud::start().await.unwrap();
    scene.add_secret("well", &well).await;
    scene.cloud.fault_on(Service::Keystone, "/auth/projects", Fault::Hang);
    let sick: Vec<_> = (0..9).map(|number| format!("sick-{number}")).collect();
    for name in &sick {
        scene.create(name, &json!({})).await;
    }
    let spec = json!({ "cloudCredentialsRef": { "secretName": "well" }, "template": { "spec": { "suspend": true } } });
    scene.create("well", &spec).await;
    scene.until_ready("well", 0).await;
    let mut ended = 0;
    for name in &sick {
        ended += usize::from(scene.set(name).await.status.is_some_and(|status| !status.conditions.is_empty()));
    }
    assert!(ended < 6, "it has waited for {ended} lists");
    scene.cloud.clear_faults(Service::Keystone);
    scene.stop().await;
}
