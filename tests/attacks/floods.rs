//! A cloud that does what it can to be asked, to be written of, and to be listened to, all the time.

use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use testkit::cloud::{Fault, Service, SimulatedCloud};

use crate::{
    hostile::{Answers, Hostile, Reply},
    scene::Scene,
};

/// The least pause that the operator keeps, in seconds.
const PAUSE: f64 = 5.0;

/// Heat's list with a report interval of 0, where half of the engines are down, each time the other half. All have just
/// reported: the operator does not count an engine that has been silent for long, or less long than before.
fn engines(round: usize, reported: &str) -> Reply {
    let row = |number: usize| {
        let host = format!("host-{number}.lab");
        json!({
            "id": host, "binary": "heat-engine", "engine_id": host, "host": host, "hostname": host, "topic": "engine",
            "report_interval": 0, "created_at": "2020-01-01T00:00:00", "updated_at": reported, "deleted_at": null,
            "status": if (number + round).is_multiple_of(2) { "up" } else { "down" },
        })
    };
    Reply::ok(&json!({ "services": (0..10).map(row).collect::<Vec<_>>() }))
}

/// A tenant whose services answer something else each time, and want the next call at once.
pub async fn flood(scene: &Scene<'_>) -> Hostile {
    let down = json!({
        "code": 503, "title": "Service Unavailable",
        "error": { "type": "HTTPServiceUnavailable", "message": "All heat engines are down." },
    });
    let status = |status: u16| Reply::Status(status, "{}".into());
    let others = || Reply::Turns(vec![status(429), status(401), status(503), status(401)]);
    let down = Reply::Status(503, down.to_string().into());
    let reported = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let heat = vec![engines(0, &reported), down.clone(), engines(1, &reported), down];
    let cloud =
        Hostile::start(Answers { heat: Reply::Turns(heat), dcs: others(), nova: others(), ..Answers::default() });
    scene.add("flood", &[("clouds.yaml", cloud.clouds_yaml("").as_bytes())], &json!({ "timeout": "10s" })).await;
    cloud
}

#[tokio::test(flavor = "multi_thread")]
async fn report_intervals_of_0_and_503s() {
    let scene = Scene::begin("report_interval 0 and 503s", &[]).await;
    let cloud = flood(&scene).await;
    scene.last(30).await;
    let calls = cloud.calls();
    println!("calls of Keystone, Heat, DCS, Nova: {calls:?}");
    let figures = scene.end().await;
    println!(
        "a second: {:.1} calls, {:.1} events, {:.1} writes",
        calls.iter().sum::<usize>() as f64 / figures.seconds,
        figures.events as f64 / figures.seconds,
        figures.writes / figures.seconds,
    );
    let once = (figures.seconds / PAUSE) as usize + 1;
    // A 401 has the same call repeated with another token.
    assert!(calls[1] <= once && calls[1..].iter().all(|calls| *calls <= 2 * once), "{calls:?}");
    assert!(calls[0] <= once + 1, "{} logins", calls[0]);
    assert!(figures.events <= 27, "{} events", figures.events);
    // The honest tenants' writes too, three for each.
    assert!(figures.writes <= (once + 4 + 3 * 10) as f64, "{} writes", figures.writes);
}

/// Ten tenants whose Heat, DCS and Nova have this fault.
pub async fn faulty(scene: &Scene<'_>, prefix: &str, fault: &Fault) -> SimulatedCloud {
    let cloud = SimulatedCloud::start().await.unwrap();
    let yaml = cloud.clouds_yaml("openstack");
    for service in [Service::Heat, Service::Dcs, Service::Nova] {
        cloud.fault(service, fault.clone());
    }
    for number in 0..10 {
        let project = format!("{prefix}-{number}");
        cloud.add_tenant(&project);
        let spec = json!({ "projectID": project, "timeout": "30s" });
        scene.add(&project, &[("clouds.yaml", yaml.as_bytes())], &spec).await;
    }
    cloud
}

/// Interim answers as fast as the services can send them, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn interim_answers_without_end() {
    let scene = Scene::begin("endless 1xx", &[]).await;
    let cloud = faulty(&scene, "interim", &Fault::EndlessInterim).await;
    scene.last(15).await;
    let calls = [Service::Heat, Service::Dcs, Service::Nova].map(|service| cloud.count(service));
    println!("calls of Heat, DCS, Nova: {calls:?}");
    let figures = scene.end().await;
    assert!(calls.iter().all(|calls| *calls > 0), "{calls:?}");
    assert!(figures.processor < figures.seconds / 4.0, "{:.1} s of CPU", figures.processor);
}
