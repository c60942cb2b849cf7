//! What the process remembers between two passes: verdicts in a row, and a way that is missing.

use std::{sync::Arc, time::Duration};

use cloudtenant_operator::{
    api::CloudTenantStatus,
    cloud::Network,
    clouds::{Clouds, engines::Wish},
    identity::TenantName,
    metrics::Metrics,
    observation::{EngineAnswers, Outcome, ProbeKind, engines::EngineAnswer},
    status::{Engines, Look},
    tenant::Tenant,
};
use testkit::cloud::SimulatedCloud;

use crate::{
    services::{config, session},
    words::{START, caches, failure, later},
    world::World,
};

fn tenant() -> Tenant {
    Tenant::new("uid", &World::new().target, &CloudTenantStatus::default(), START)
}

fn heard(number: usize) -> Look<Engines> {
    let one = |answers: EngineAnswers, _| answers.and(Outcome::Seen(EngineAnswer::Unanswered), START);
    Look::Seen(Engines { answers: Arc::new((0..number).fold(EngineAnswers::default(), one)), seen: 0 })
}

/// A pass whose write failed is repeated with the same answers: they are no further verdicts.
#[test]
fn an_answer_of_heat_counts_once() {
    let mut tenant = tenant();
    for (name, engines, bad, counted) in [
        ("the first", heard(1), Some(true), 1),
        ("the same once more", heard(1), Some(true), 1),
        ("another", heard(2), Some(true), 2),
        ("nothing new", heard(2), None, 2),
        ("could not see", Look::Failed(failure("Timeout", false), 1), None, 2),
        ("under way", Look::UnderWay, None, 2),
        ("another", heard(3), Some(true), 3),
        ("a good one", heard(4), Some(false), 0),
        ("a bad one", heard(5), Some(true), 1),
    ] {
        assert_eq!(tenant.count_bad(&engines, [bad, None])[0], counted, "{name}");
    }
}

#[tokio::test]
async fn an_answer_of_dcs_counts_once() {
    let target = World::new().target;
    let mut tenant = tenant();
    for (name, answer, bad, counted) in [
        ("the first", Some("err"), Some(true), 1),
        ("the same once more", None, Some(true), 1),
        ("another", Some("err"), Some(true), 2),
        ("a good one", Some("ok"), Some(false), 0),
        ("a bad one", Some("create"), Some(true), 1),
    ] {
        if let Some(word) = answer {
            tenant.caches.start(async move { Outcome::Seen(caches(word).unwrap()) });
            tenant.caches.finish().await;
        }
        let look = tenant.caches.look(&target, ProbeKind::Caches, 0.0, START);
        assert!(matches!(look, Look::Seen(_)), "{name}");
        assert_eq!(tenant.count_bad(&Look::NotDue, [None, bad])[1], counted, "{name}");
    }
}

/// The entry for the engines alone has a way of its own, which may be missing.
#[tokio::test]
async fn the_engines_own_way() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let (wake, _woken) = tokio::sync::mpsc::channel(16);
    let clouds = Clouds::new(Network::default(), Arc::new(Metrics::new()), wake);
    let config = config(&cloud.clouds_yaml("c"));
    drop(session(&config));
    let open = clouds.open(&config).unwrap();
    let mut tenant = tenant();
    let passing = || failure("ConnectionFailed", true);
    let missing = || failure("CloudNotFound", false);
    let failed = |look: Option<Look<Engines>>| match look {
        Some(Look::Failed(failure, times)) => format!("{} {times}", failure.reason),
        other => format!("{other:?}"),
    };
    assert_eq!(failed(tenant.miss_engines(passing(), START)), "ConnectionFailed 1", "one is no verdict");
    assert_eq!(failed(tenant.miss_engines(passing(), later(START, 15))), "ConnectionFailed 2");
    assert_eq!(tenant.engines_missing, Some((START, 2)), "since the first");

    let interval = Duration::from_secs(60);
    let name = TenantName { namespace: "n".to_owned(), name: "t".to_owned() };
    let wish = || Wish { tenant: name.clone(), interval, deadline: interval };
    tenant.wish_engines("uid", &open, wish());
    assert_eq!(tenant.engines_missing, None);
    assert_eq!(failed(tenant.miss_engines(passing(), later(START, 30))), "None", "what is known stays in use");
    assert_eq!(failed(tenant.miss_engines(missing(), later(START, 40))), "CloudNotFound 2");
    assert_eq!(tenant.look_at_engines(&CloudTenantStatus::default()), Look::NotDue);

    // Another cloud's verdicts are no part of the row.
    tenant.turn_to(&open, START);
    tenant.count_bad(&heard(1), [Some(true); 2]);
    tenant.turn_to(&open, START);
    assert_eq!(tenant.count_bad(&Look::NotDue, [None; 2])[0], 1);
    let other = clouds.open(&self::config(&cloud.clouds_yaml_application_credential("c"))).unwrap();
    tenant.turn_to(&other, START);
    assert_eq!(tenant.count_bad(&Look::NotDue, [None; 2]), [0, 0]);
}
