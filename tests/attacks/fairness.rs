//! Clouds of one namespace that take all the time they can get, beside honest tenants.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use cloudtenant_operator::api::CloudTenant;
use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use crate::{
    credentials::TABLES,
    hostile::{Answers, Hostile, Reply},
    scene::{PASSWORD, PROJECT, Scene, secret, tenant},
};

/// How long the honest tenants' calls are counted.
const COUNTED: Duration = Duration::from_secs(40);
/// Of the ten honest tenants, with an interval of 10 s, in that time.
const DUE: usize = 40;

/// Adds tenants to the attacker's namespace, each with its own credential.
async fn add(scene: &Scene<'_>, prefix: &str, number: usize, yaml: impl Fn(&str) -> String, spec: &Value) {
    let added = stream::iter(0..number).map(|number| {
        let name = format!("{prefix}-{number:04}");
        let yaml = yaml(&name);
        async move {
            scene.create::<Secret>(&secret(&name, &[("clouds.yaml", yaml.as_bytes())])).await;
            scene.create::<CloudTenant>(&tenant(&name, &name, spec)).await;
        }
    });
    added.buffer_unordered(16).collect::<Vec<()>>().await;
}

/// Counts honest tenants' observations, then measures a newcomer's way to Ready.
async fn measure(scene: &Scene<'_>) -> (usize, usize, Duration) {
    let (before, began) = (scene.honest.observed(), Instant::now());
    tokio::time::sleep(COUNTED).await;
    let after = scene.honest.observed();
    let (caches, engines) = (after.0 - before.0, after.1 - before.1);
    let newcomer = scene.honest.newcomer().await;
    println!(
        "{}: {caches} of {DUE} observations of DCS in {:.0} s, {engines} calls to Heat; a newcomer was Ready after {:.1} s",
        scene.name(),
        began.elapsed().as_secs_f64(),
        newcomer.as_secs_f64(),
    );
    (caches, engines, newcomer)
}

/// Tenants at an address where the kernel accepts some connections, which never get an answer. It drops the packets of
/// the others.
pub async fn silent(scene: &Scene<'_>, number: usize) -> TcpListener {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let yaml = |user: &str| {
        format!(
            "clouds: {{openstack: {{auth: {{auth_url: 'http://{}/v3', username: {user}, password: {PASSWORD}, \
             user_domain_id: d, project_id: {PROJECT}}}}}}}",
            silent.local_addr().unwrap()
        )
    };
    add(scene, "silent", number, yaml, &json!({})).await;
    silent
}

#[tokio::test(flavor = "multi_thread")]
async fn four_hundred_tenants_at_an_address_that_never_answers() {
    let mut scene = Scene::begin_in_all_namespaces("400 at a silent address").await;
    // Each has a session and a host.
    scene.bounds.stays += 2 * TABLES * 400;
    let _silent = silent(&scene, 400).await;
    let (caches, engines, newcomer) = measure(&scene).await;
    scene.end().await;
    assert!(caches >= DUE * 9 / 10, "{caches}");
    assert!(engines >= 3, "{engines}");
    assert!(newcomer < Duration::from_secs(5), "{newcomer:?}");
}

/// Number of Heat's answers that were read, of all clouds.
fn read(scene: &Scene<'_>) -> usize {
    let labels = ["service=\"orchestration\"", "outcome=\"ok\""];
    scene.operator().metric("cloudtenant_cloud_requests_total", &labels).unwrap_or_default() as usize
}

/// Tenants whose Heat and Nova begin an answer and never end it.
pub async fn endless(scene: &Scene<'_>, number: usize) -> Hostile {
    let endless = || Reply::Endless(512 << 10);
    let cloud = Hostile::start(Answers { heat: endless(), nova: endless(), ..Answers::default() });
    add(scene, "endless", number, |user| cloud.clouds_yaml_of(user, ""), &json!({ "timeout": "60s" })).await;
    cloud
}

/// Tenants whose Heat does not answer.
pub async fn sick_heat(scene: &Scene<'_>, number: usize) -> Hostile {
    let cloud = Hostile::start(Answers { heat: Reply::Silence, ..Answers::default() });
    add(scene, "sick", number, |user| cloud.clouds_yaml_of(user, ""), &json!({ "timeout": "60s" })).await;
    cloud
}

/// An honest Heat whose list is long, beside clouds whose lists do not end.
#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_bodies_that_do_not_end() {
    let mut scene = Scene::begin_in_all_namespaces("64 endless bodies").await;
    scene.bounds.stays += TABLES * 64;
    let row = |number: usize| {
        let host = format!("heat-{number:04}.lab");
        json!({
            "id": host, "binary": "heat-engine", "engine_id": host, "host": host, "hostname": host, "topic": "engine",
            "report_interval": 60, "created_at": "2020-01-01T00:00:00", "updated_at": "2099-01-01T00:00:00",
            "deleted_at": null, "status": "up",
        })
    };
    let list = json!({ "services": (0..2000).map(row).collect::<Vec<_>>() });
    assert!(list.to_string().len() > 400_000);
    let honest = Hostile::start(Answers { heat: Reply::ok(&list), ..Answers::default() });
    let cloud = endless(&scene, 64).await;
    scene.last(5).await;
    scene.add_to_honest("long-list", &honest.clouds_yaml("")).await;
    let before = read(&scene);
    let (caches, engines, newcomer) = measure(&scene).await;
    let read = read(&scene) - before;
    println!(
        "{read} lists of Heat were read, {engines} of them short; calls to the honest Heat: {}",
        honest.calls()[1]
    );
    scene.end().await;
    assert!(cloud.calls()[1] > 4, "{:?}", cloud.calls());
    assert!(caches >= DUE * 9 / 10, "{caches}");
    assert!(read >= engines + 3, "{read}");
    assert!(newcomer < Duration::from_secs(5), "{newcomer:?}");
}

/// The operator starts while they exist.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_tenants_at_a_heat_that_does_not_answer() {
    let mut scene = Scene::begin_in_all_namespaces("1,000 at a sick Heat").await;
    scene.bounds.stays += TABLES * 1000;
    let _cloud = sick_heat(&scene, 1000).await;
    scene.restart().await;
    let first = scene.honest.newcomer().await;
    println!("1,000 at a sick Heat: a newcomer was Ready {:.1} s after the start", first.as_secs_f64());
    tokio::time::sleep(Duration::from_secs(15)).await;
    let (before, began) = (scene.honest.observed(), Instant::now());
    tokio::time::sleep(COUNTED).await;
    let caches = scene.honest.observed().0 - before.0;
    println!("1,000 at a sick Heat: {caches} of {DUE} observations of DCS in {:.0} s", began.elapsed().as_secs_f64());
    scene.end().await;
    assert!(caches >= DUE * 9 / 10, "{caches}");
    assert!(first < Duration::from_secs(10), "{first:?}");
}
