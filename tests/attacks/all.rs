//! The hostile run: one namespace does all attacks at once, beside a hundred honest tenants in other namespaces.
//!
//! In `.ci/run` it lasts twenty seconds. `ATTACKS_MINUTES` is another length; then the bounds are strict, so nothing
//! else should need the machine.

use std::{any::Any, io::Write as _, time::Duration};

use serde_json::json;
use testkit::cloud::Fault;
use tokio::time::{sleep, timeout};

use crate::{
    addresses::{self, AUTH_URLS},
    bodies,
    credentials::{self, TABLES},
    fairness, floods,
    honest::HUNDRED,
    hostile::{Answers, Hostile, Reply},
    metadata,
    scene::{Bounds, Scene},
    scrapes, secrets, sessions, texts,
};

/// Without `ATTACKS_MINUTES`.
const SHORT: Duration = Duration::from_secs(20);
/// CloudTenants that exist for some seconds only, at a time.
const PASSING: usize = 40;

/// How many CloudTenants of a kind, each with a credential of its own.
#[derive(Clone, Copy)]
struct Numbers {
    silent: usize,
    sick: usize,
    endless: usize,
    ordinary: usize,
}

const FEW: Numbers = Numbers { silent: 60, sick: 60, endless: 32, ordinary: 60 };
const MANY: Numbers = Numbers { silent: 400, sick: 400, endless: 64, ordinary: 400 };

impl Numbers {
    const fn all(self) -> usize {
        self.silent + self.sick + self.endless + self.ordinary
    }
}

/// Creates everything that does harm by itself. What it returns has to be kept.
async fn objects(scene: &Scene<'_>, numbers: Numbers) -> Vec<Box<dyn Any>> {
    // These first, since the others use up what the operator keeps for a namespace.
    let single = || Reply::SingleBytes;
    let single = Hostile::start(Answers { heat: single(), dcs: single(), nova: single(), ..Answers::default() });
    for number in 0..10 {
        let name = format!("single-{number}");
        scene.add(&name, &[("clouds.yaml", single.clouds_yaml_of(&name, "").as_bytes())], &json!({})).await;
    }
    // Wrong passwords of the user whom honest tenants have.
    let honest = scene.honest.clouds_yaml();
    for number in 0..50 {
        let wrong = honest.replace("password: \"", &format!("password: \"wrong-{number}-"));
        assert_ne!(wrong, honest);
        scene.add(&format!("wrong-{number}"), &[("clouds.yaml", wrong.as_bytes())], &json!({})).await;
    }
    // The operator of this test may call loopback addresses, so these are only what it must not call anyhow.
    for (number, (url, _)) in AUTH_URLS.iter().enumerate().filter(|(_, (url, _))| !url.contains("ATTACKER")) {
        let url = url.replace("PORT", "9").replace("API", "9");
        addresses::add(&scene.client, &scene.namespace, &format!("url-{number}"), &url).await;
    }
    vec![
        Box::new(single),
        Box::new(fairness::silent(scene, numbers.silent).await),
        Box::new(fairness::sick_heat(scene, numbers.sick).await),
        Box::new(fairness::endless(scene, numbers.endless).await),
        Box::new(credentials::ordinary(scene, numbers.ordinary).await),
        Box::new(bodies::catalogues(scene).await),
        Box::new(bodies::engine_lists(scene).await),
        Box::new(bodies::long_bodies(scene).await),
        Box::new(floods::flood(scene).await),
        Box::new(floods::faulty(scene, "interim", &Fault::EndlessInterim).await),
        Box::new(floods::faulty(scene, "slow-head", &Fault::SlowHead).await),
        Box::new(metadata::odd_objects(scene).await),
        Box::new(metadata::requesters(scene).await),
        Box::new(secrets::unreadable(scene).await),
        Box::new(sessions::with_authorities(scene).await),
        Box::new(texts::long_regions(scene).await),
        Box::new(texts::control_names(scene).await),
    ]
}

/// Changes objects without end.
async fn requests(scene: &Scene<'_>) {
    for round in ["a", "b", "c"].into_iter().cycle() {
        metadata::request(scene, round).await;
    }
}

async fn regions(scene: &Scene<'_>) {
    for number in 0.. {
        sessions::change_region(scene, number).await;
        sleep(Duration::from_millis(60)).await;
    }
}

/// Creates CloudTenants with another credential each, and deletes them some seconds later.
async fn passing(scene: &Scene<'_>, cloud: &Hostile) {
    for number in 0.. {
        let name = |number: usize| format!("passing-{number}");
        let yaml = cloud.clouds_yaml_of(&name(number), "");
        scene.add(&name(number), &[("clouds.yaml", yaml.as_bytes())], &json!({})).await;
        if number >= PASSING {
            scene.remove(&name(number - PASSING)).await;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Requests to `/metrics` that are never whole, and answers that nobody reads.
async fn scrapes(scene: &Scene<'_>) {
    let address = scene.operator().address();
    loop {
        let open =
            move || [scrapes::open(address, 1000, &scrapes::half()), scrapes::open(address, 200, scrapes::WHOLE)];
        let streams = tokio::task::spawn_blocking(open).await.unwrap();
        sleep(Duration::from_secs(5)).await;
        drop(streams);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_attacks_at_once_beside_a_hundred_honest_tenants() {
    let minutes = std::env::var("ATTACKS_MINUTES").ok().map(|minutes| minutes.parse::<f64>().unwrap());
    let numbers = if minutes.is_some() { MANY } else { FEW };
    let length = minutes.map_or(SHORT, |minutes| Duration::from_secs_f64(60.0 * minutes));
    let mut scene = Scene::begin_alone("all attacks at once", HUNDRED).await;
    scene.bounds = match minutes {
        Some(_) => Bounds { late: 1.2, slow: 0, whole_minute: true, ..scene.bounds },
        // The servers of all attacks share the processors of CI with the operator.
        None => Bounds { late: 4.0, slow: 10, ..scene.bounds },
    };
    // Both a session and an address.
    scene.bounds.stays += 2 * TABLES * (numbers.all() + 300) as u64;
    let kept = objects(&scene, numbers).await;
    let own = Hostile::start(Answers::default());
    let changes = async { tokio::join!(requests(&scene), regions(&scene), passing(&scene, &own), scrapes(&scene)) };
    assert!(timeout(length, changes).await.is_err(), "the attacks ended");
    let newcomer = scene.honest.newcomer().await;
    for (number, (url, _)) in AUTH_URLS.iter().enumerate().filter(|(_, (url, _))| url.contains("169.254.169.254")) {
        let status = scene.read(&format!("url-{number}")).await;
        assert!(status.contains("AddressRefused"), "{url}: {status}");
    }
    let _ = writeln!(std::io::stderr(), "a new honest tenant was Ready after {:.1} s", newcomer.as_secs_f64());
    scene.end().await;
    drop(kept);
    assert!(own.calls()[1] > 0, "nobody called the attacker's cloud");
}
