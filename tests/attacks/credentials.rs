//! No attack: as many ordinary credentials as one namespace may have.

use std::time::{Duration, Instant};

use cloudtenant_operator::api::CloudTenant;
use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;
use testkit::cloud::SimulatedCloud;
use tokio::time::sleep;

use crate::scene::{Scene, secret, tenant};

/// In `.ci/run`; `ATTACKS_CREDENTIALS` is another number.
const CREDENTIALS: usize = 500;
/// What stays of each in bytes, until the process ends: tables in the operator and in kube keep their capacity.
pub const TABLES: u64 = 4 << 10;
const LIMIT: Duration = Duration::from_secs(900);

/// So many tenants of a cloud that answers, each with its own credential.
pub async fn ordinary(scene: &Scene<'_>, number: usize) -> SimulatedCloud {
    let cloud = SimulatedCloud::start().await.unwrap();
    let added = stream::iter(0..number).map(|number| {
        let name = format!("tenant-{number:05}");
        cloud.add_tenant(&name);
        cloud.add_user(&name, "p", &name, &["admin"]);
        let yaml = format!(
            "clouds: {{openstack: {{region_name: RegionOne, auth: {{auth_url: '{}', username: {name}, password: p, \
             project_name: {name}, user_domain_name: Default, project_domain_name: Default}}}}}}",
            cloud.auth_url()
        );
        let spec = json!({ "projectID": name, "interval": "5m", "timeout": "60s" });
        async move {
            scene.create::<Secret>(&secret(&name, &[("clouds.yaml", yaml.as_bytes())])).await;
            scene.create::<CloudTenant>(&tenant(&name, &name, &spec)).await;
        }
    });
    added.buffer_unordered(16).collect::<Vec<()>>().await;
    cloud
}

#[tokio::test(flavor = "multi_thread")]
async fn many_ordinary_credentials_in_one_namespace() {
    let credentials = std::env::var("ATTACKS_CREDENTIALS").map_or(CREDENTIALS, |number| number.parse().unwrap());
    let name = format!("{credentials} ordinary credentials");
    let mut scene = Scene::begin(&name, &[]).await;
    scene.bounds.stays += TABLES * credentials as u64;
    let began = Instant::now();
    let _cloud = ordinary(&scene, credentials).await;
    println!("created after {:.0} s", began.elapsed().as_secs_f64());
    let ready = async || {
        let labels = [format!("namespace=\"{}\"", scene.namespace), "type=\"Ready\"".into(), "status=\"True\"".into()];
        let labels = labels.each_ref().map(String::as_str);
        scene.operator().metric("cloudtenant_status_condition", &labels).unwrap_or_default() as usize
    };
    let mut done = 0;
    while done < credentials && began.elapsed() < LIMIT {
        sleep(Duration::from_secs(3)).await;
        done = ready().await;
    }
    println!("{done} of {credentials} Ready after {:.0} s", began.elapsed().as_secs_f64());
    scene.last(5).await;
    println!("{:.1} MiB more than without", scene.grown() as f64 / f64::from(1 << 20));
    scene.end().await;
    assert_eq!(done, credentials, "not all are Ready");
}
