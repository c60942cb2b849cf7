//! Many tenants of one cloud are one client to it.

use serde_json::json;
use testkit::cloud::Service;

use crate::lab::Lab;

#[tokio::test]
async fn fifty_tenants_share_one_login_and_one_call_to_heat() {
    let lab = Lab::start("many").await;
    let names: Vec<_> = (0..50).map(|number| format!("tenant-{number:02}")).collect();
    for name in &names {
        lab.apply(name, &json!({ "projectID": format!("project-{name}") })).await;
    }
    for name in &names {
        lab.until_ready(name).await;
    }
    assert_eq!(lab.cloud.logins(), 1);
    assert_eq!(lab.cloud.peak_in_flight(Service::Heat), 1);
    let asked = |service| lab.cloud.requests(service).into_iter().map(|request| request.path);
    for name in &names {
        let of_project = |path: String| path.contains(&format!("project-{name}"));
        assert!(asked(Service::Dcs).any(of_project) && asked(Service::Nova).any(of_project), "{name}");
    }
    let heat = lab.cloud.count(Service::Heat);
    assert!(heat <= 8, "{heat} calls to Heat");
}
