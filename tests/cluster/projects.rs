//! Many projects of one Secret: a login for each, and one call to Heat.

use serde_json::json;
use testkit::cloud::Service;

use crate::lab::{Lab, SECRET, message, reason};

#[tokio::test]
async fn fifty_projects_of_one_secret_are_a_login_each_and_one_call_to_heat() {
    let lab = Lab::start("projects").await;
    let names: Vec<_> = (0..50).map(|number| format!("tenant-{number:02}")).collect();
    let project = |name: &str| format!("project-{name}");
    for name in &names {
        lab.cloud.add_tenant_of_operator(&project(name));
        let reference = json!({ "secretName": SECRET, "scope": "ObservedProject" });
        lab.apply(name, &json!({ "projectID": project(name), "cloudCredentialsRef": reference })).await;
    }
    for name in &names {
        let tenant = lab.until_ready(name).await;
        let source = tenant.status.and_then(|status| status.source).unwrap();
        assert_eq!(source.token_project_id, Some(project(name)));
    }
    assert_eq!((lab.cloud.logins(), lab.cloud.refused_logins()), (51, 0));
    assert_eq!(lab.cloud.peak_in_flight(Service::Heat), 1);
    let heat = lab.cloud.count(Service::Heat);
    assert!(heat <= 8, "{heat} calls to Heat");

    // What happens to one project concerns that one alone, and not its engines.
    lab.cloud.remove_roles(&project(&names[0]));
    let tenant = lab.poke_until(&names[0], "CachesHealthy", "Forbidden", 3).await;
    let told = message(&tenant, "CachesHealthy");
    assert_eq!(told, Some("Keystone gives this user no token for the project: grant a role, or enable it."));
    assert_eq!(reason(&tenant, "EnginesHealthy"), Some("AllEnginesUp"));
    assert_eq!(reason(&lab.poke(&names[1]).await, "Ready"), Some("Healthy"));
    assert_eq!((lab.cloud.logins(), lab.cloud.refused_logins()), (53, 1), "with the proving login");
}
