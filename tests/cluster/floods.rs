//! A cloud that does what it can to be asked, and to be written of, all the time.

use std::time::{Duration, Instant};

use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use serde_json::json;
use testkit::{
    cloud::{Fault, Service, SimulatedCloud},
    control_plane::ControlPlane,
};

use crate::lab::{Lab, install};

/// How long each phase goes on.
const PHASE: Duration = Duration::from_secs(30);

/// The least pause that the operator keeps.
const PAUSE: u64 = 5;

/// Status writes and created events, by the API server's own count.
async fn writes(control_plane: &ControlPlane) -> (u64, u64) {
    let metrics = control_plane.metrics().await.unwrap();
    let verbs = ["APPLY", "PATCH", "POST", "PUT"];
    let count =
        |resource, subresource| -> u64 { verbs.iter().map(|verb| metrics.requests(resource, subresource, verb)).sum() };
    (count("cloudtenants", "status"), count("events", ""))
}

fn at_once(code: u16, body: &str) -> Fault {
    let headers = vec![("Retry-After".to_owned(), "0".to_owned())];
    Fault::Status { code, body: body.into(), content_type: "application/json".to_owned(), headers }
}

/// Heat's list with a report interval of 0, where half of the engines are down, each time the other half.
fn engines(round: usize, now: jiff::Timestamp) -> Fault {
    let row = |number: usize| {
        let host = format!("host-{number}.lab");
        // Reports from the future are reports in time, whenever the list is read.
        let reported = if (number + round).is_multiple_of(2) { 3600 } else { -3600 };
        json!({
            "id": host, "binary": "heat-engine", "engine_id": host, "host": host, "hostname": host, "topic": "engine",
            "report_interval": 0, "created_at": (now - Duration::from_secs(7200)).to_string(),
            "updated_at": (now + jiff::SignedDuration::from_secs(reported)).to_string(), "deleted_at": null,
            "status": "up",
        })
    };
    Fault::Body(json!({ "services": (0..10).map(row).collect::<Vec<_>>() }).to_string().into_bytes())
}

/// Each answer is another one than the one before, and asks for the next call at once.
fn set_hostile(cloud: &SimulatedCloud) {
    let down = r#"{"code": 503, "title": "Service Unavailable", "explanation": "The server is currently unavailable. Please try again at a later time.", "error": {"type": "HTTPServiceUnavailable", "traceback": null, "message": "All heat engines are down."}}"#;
    for round in 0..300 {
        cloud.fault(Service::Heat, at_once(503, down).times(1));
        for list in 2 * round..2 * round + 2 {
            cloud.fault(Service::Heat, engines(list, cloud.now()).times(1));
        }
        cloud.fault(Service::Heat, at_once(500, "{}").times(1));
        for service in [Service::Dcs, Service::Nova] {
            cloud.fault(service, at_once(if round % 2 == 0 { 429 } else { 503 }, "{}").times(1));
            cloud.fault(service, Fault::status(401, "{}").times(1));
        }
    }
}

/// What has come of the operator since a time.
struct Figures {
    seconds: u64,
    /// Heat, DCS, Nova.
    calls: [usize; 3],
    logins: usize,
    writes: u64,
    events: u64,
}

impl Figures {
    async fn of(lab: &Lab<'_>, began: Instant) -> Self {
        let (writes, events) = writes(lab.control_plane).await;
        Self {
            seconds: began.elapsed().as_secs(),
            calls: [Service::Heat, Service::Dcs, Service::Nova].map(|service| lab.cloud.count(service)),
            logins: lab.cloud.logins(),
            writes,
            events,
        }
    }

    fn check(&self, phase: &str) {
        let Self { seconds, calls, logins, writes, events } = self;
        println!("{phase}: {seconds} s, calls {calls:?}, {logins} logins, {writes} writes, {events} events");
        let once = seconds / PAUSE + 1;
        // A 401 has the same call repeated with another token.
        let most = usize::try_from(2 * once).unwrap();
        assert!(calls[0] as u64 <= once, "{phase}: {} calls of Heat in {seconds} s", calls[0]);
        assert!(calls[1..].iter().all(|calls| *calls <= most), "{phase}: {calls:?} calls in {seconds} s");
        // One more after each `EndpointNotFound`, at most once in five minutes.
        assert!(*logins as u64 <= once + 1, "{phase}: {logins} logins in {seconds} s");
        assert!(*writes <= once + 4, "{phase}: {writes} writes in {seconds} s");
        assert!(*events <= 27, "{phase}: {events} events in {seconds} s");
    }
}

#[tokio::test]
async fn a_hostile_cloud_decides_no_pause_below_five_seconds() {
    let control_plane = ControlPlane::start().await.unwrap();
    install(&control_plane).await;
    let lab = Lab::within(&control_plane, "floods").await;
    lab.apply_secret(&lab.cloud.clouds_yaml("openstack")).await;
    set_hostile(&lab.cloud);
    let began = Instant::now();
    lab.apply("shop", &json!({ "timeout": "10s" })).await;
    for phase in ["answers that differ", "and tokens that end at once"] {
        if phase.starts_with("and") {
            lab.cloud.set_token_lifetime(Duration::from_secs(1));
            lab.cloud.revoke_tokens();
        }
        let until = Instant::now() + PHASE;
        let mut listed = true;
        while Instant::now() < until {
            listed = !listed;
            lab.cloud.set_in_catalogue("dcs", listed);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Figures::of(&lab, began).await.check(phase);
    }
    let figures = Figures::of(&lab, began).await;
    assert!(figures.calls[0] >= 5 && figures.writes >= 2, "it goes on: {:?}, {}", figures.calls, figures.writes);
    let events: Api<Event> = Api::namespaced(lab.client.clone(), &lab.namespace);
    let kept = events.list(&ListParams::default()).await.unwrap().items.len();
    assert!((1..=27).contains(&kept), "{kept} events");
}
