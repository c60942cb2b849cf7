//! What the process remembers between two passes: verdicts in a row, and a way that is missing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cloudtenant_operator::{
    api::{CloudTenantStatus, Policy, REQUESTED_AT},
    budget::Budget,
    cloud::Network,
    clouds::{Clouds, engines::Wish},
    identity::TenantName,
    metrics::Metrics,
    observation::{EngineAnswers, Outcome, ProbeKind, engines::EngineAnswer},
    panics::Part,
    status::{self, Engines, Look},
    tenant::Tenant,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::json;
use testkit::cloud::SimulatedCloud;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    services::config,
    words::{START, caches, failure, later, list},
    world::World,
};

fn name(name: &str) -> TenantName {
    TenantName { namespace: "n".to_owned(), name: name.to_owned() }
}

fn tenant() -> Tenant {
    Tenant::new("uid", &World::new().target, &CloudTenantStatus::default(), START)
}

/// No clouds yet, and nobody who is woken.
fn clouds() -> Clouds {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Clouds::new(Network::default(), Arc::new(Metrics::new()), mpsc::channel(1).0, Budget::default())
}

fn heard(number: usize) -> Look<Engines> {
    let one = |answers: EngineAnswers, _| answers.and(Outcome::Seen(EngineAnswer::Unanswered { sent: START }), START);
    Look::Seen(Engines { answers: Arc::new((0..number).fold(EngineAnswers::default(), one)), seen: 0, waits: false })
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

/// An answer that takes long is waited for once, and then wakes the tenant.
#[tokio::test]
async fn what_takes_long_holds_up_one_pass() {
    let target = World::new().target;
    let (wake, mut woken) = mpsc::channel(1);
    let (answer, answered) = oneshot::channel();
    let mut tenant = tenant();
    tenant.caches.start(async { Outcome::Seen(caches(answered.await.unwrap()).unwrap()) });
    assert!(timeout(Duration::from_millis(1), tenant.finish()).await.is_err(), "waited for");
    tenant.caches.wake_later(&wake, &name("t"));
    assert_eq!(tenant.caches.look(&target, ProbeKind::Caches, 0.0, START), Look::UnderWay);
    tenant.finish().await;
    assert_eq!(tenant.caches.look(&target, ProbeKind::Caches, 0.0, START), Look::UnderWay);
    answer.send("ok").unwrap();
    assert_eq!(woken.recv().await, Some(name("t")));
    tenant.finish().await;
    assert!(matches!(tenant.caches.look(&target, ProbeKind::Caches, 0.0, START), Look::Seen(_)));
}

/// A probe that panics is told, and asked again like any other.
#[tokio::test]
async fn a_probe_that_breaks_off() {
    let mut tenant = tenant();
    let before = Part::Probe.count();
    tenant.caches.start(async { panic!("on purpose") });
    tenant.finish().await;
    assert_eq!(Part::Probe.count(), before + 1);
    let look = tenant.caches.look(&World::new().target, ProbeKind::Caches, 0.0, START);
    assert!(matches!(look, Look::Failed(failure, 1) if failure.reason.as_str() == "UnexpectedAnswer"));
}

/// A line is: a condition before | and after a pass that panicked.
#[test]
fn a_pass_that_breaks_off() {
    let rows = [
        ("Ready True Healthy", "Ready Unknown UnexpectedAnswer"),
        ("EnginesHealthy False EnginesDown", "EnginesHealthy Unknown UnexpectedAnswer"),
        ("CachesHealthy Unknown ProbeDisabled", "CachesHealthy Unknown ProbeDisabled"),
        ("UsageReported Unknown InvalidSpec", "UsageReported Unknown UnexpectedAnswer"),
        ("Stalled True InvalidSpec", ""),
        ("Reconciling True Progressing", ""),
    ];
    let conditions: Vec<_> = rows.map(|(before, _)| before.split(' ').collect::<Vec<_>>()).into_iter().collect();
    let conditions = conditions.iter().map(|words| {
        json!({ "type": words[0], "status": words[1], "reason": words[2], "message": "m",
            "lastTransitionTime": "2026-11-22T05:00:00Z" })
    });
    let block = json!({ "summary": "1/2" });
    let old = json!({ "observedGeneration": 1, "conditions": conditions.collect::<Vec<_>>(), "engines": block });
    let old: CloudTenantStatus = serde_json::from_value(old).unwrap();
    let words = |status: &CloudTenantStatus| {
        let one = |condition: &Condition| format!("{} {} {}", condition.type_, condition.status, condition.reason);
        status.conditions.iter().map(one).collect::<Vec<_>>()
    };
    let new = status::broke_off(2, &old, START);
    let expected: Vec<_> = rows.iter().map(|(_, after)| *after).filter(|after| !after.is_empty()).collect();
    assert_eq!(words(&new), expected);
    assert_eq!((new.observed_generation, &new.engines), (Some(2), &old.engines), "data stay");
    // Nothing stored, and the same once more: nothing to write.
    assert_eq!(status::broke_off(1, &CloudTenantStatus::default(), START).conditions.len(), 4);
    assert!(!status::differs(&new, &status::broke_off(2, &new, later(START, 60))));
}

/// What is under way was asked for the spec as it was.
#[tokio::test]
async fn a_new_wish_is_asked_anew() {
    let target = World::new().target;
    let mut stored = CloudTenantStatus { observed_generation: Some(1), ..CloudTenantStatus::default() };
    let mut tenant = Tenant::new("uid", &target, &stored, START);
    for (name, generation, requested, anew) in [
        ("nothing new", 1, None, false),
        ("another spec", 2, None, true),
        ("the same once more", 2, None, false),
        ("somebody asks for it", 2, Some("a"), true),
        ("the same once more", 2, Some("a"), false),
    ] {
        let object = json!({
            "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant",
            "metadata": { "name": "t", "generation": generation, "annotations": requested.map(|at| json!({ REQUESTED_AT: at })) },
            "spec": { "projectID": "p", "cloudCredentialsRef": { "secretName": "s" } },
        });
        tenant.caches.start(std::future::pending());
        tenant.heed(&serde_json::from_value(object).unwrap(), &stored, START);
        assert_eq!((!tenant.caches.is_running(), tenant.caches.is_due(START)), (anew, anew), "{name}");
        stored.observed_generation = Some(generation);
    }
}

/// Nothing waits until a clock that was put back has caught up, and nothing is stale that was not looked at.
#[test]
fn time_goes_on() {
    let mut target = World::new().target;
    let met = later(START, 7200);
    let mut tenant = Tenant::new("uid", &target, &CloudTenantStatus::default(), met);
    tenant.caches.turn.seen(target.interval, 0.0, met);
    tenant.miss(&failure("SecretNotFound", false), met);
    tenant.caches.turn.seen(target.interval, 0.0, met);
    tenant.keep_time(&target, later(START, 3600));
    assert_eq!(tenant.caches.turn.next, later(START, 3900), "an hour back");
    assert_eq!(tenant.missing, Some((later(START, 3600), 1)));
    assert_eq!(tenant.verdict_at(), [later(START, 3600); 3]);
    tenant.keep_time(&target, later(START, 3900));
    assert_eq!(tenant.verdict_at(), [later(START, 3600); 3], "the usual way of time");
    (target.engines.policy, target.usage.policy) = (Policy::Disabled, Policy::Disabled);
    tenant.keep_time(&target, later(START, 9000));
    assert_eq!(tenant.verdict_at(), [9000, 3600, 9000].map(|at| later(START, at)), "what is disabled");
}

/// What another tenant was told is news as long as this one's interval.
#[tokio::test]
async fn heats_answers_to_others() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let clouds = clouds();
    let open = clouds.open("n", &config(&cloud.clouds_yaml("c"))).unwrap();
    let wish =
        |name_, interval| Wish { tenant: name(name_), interval, deadline: Duration::from_secs(60), doubts: false };
    let number = |look: Look<Engines>| match look {
        Look::Seen(seen) => seen.answers.number,
        Look::UnderWay => 0,
        other => panic!("{other:?}"),
    };
    let hour = Duration::from_secs(3600);
    let old = CloudTenantStatus::default();
    let mut first = tenant();
    first.wish_engines("1", &open, wish("first", hour), Timestamp::now());
    first.finish().await;
    assert_eq!(number(first.look_at_engines(&old)), 1);
    for (name, leaves) in [("while others go on", false), ("after all had left", true)] {
        let (mut slow, mut quick) = (tenant(), tenant());
        slow.wish_engines("2", &open, wish("slow", hour), Timestamp::now());
        let known = number(slow.look_at_engines(&old));
        assert!(known > 0, "{name}: within its interval");
        if leaves {
            first.leave_engines();
            slow.leave_engines();
        }
        quick.wish_engines("3", &open, wish("quick", Duration::from_nanos(1)), Timestamp::now());
        let seen = number(quick.look_at_engines(&old));
        assert!(seen == 0 || seen > known, "{name}: {seen} after {known}");
        quick.finish().await;
        assert!(number(quick.look_at_engines(&old)) > known, "{name}");
    }
}

/// Nobody asked for a while: what was answered before is no verdict, and a 503 from then begins no row.
#[test]
fn answers_from_before_a_pause() {
    let unanswered = || Outcome::Seen(EngineAnswer::Unanswered { sent: START });
    let row = |answers: EngineAnswers, seconds| answers.and(unanswered(), later(START, seconds));
    let before = [0, 60, 120].into_iter().fold(EngineAnswers::default(), row);
    let resumed = before.clone().resumed();
    let look = |answers: &EngineAnswers| Look::at(Arc::new(answers.clone()), 0, 0, &CloudTenantStatus::default());
    assert!(matches!(look(&before), Look::Seen(_)));
    assert_eq!(look(&resumed), Look::UnderWay);
    assert_eq!(row(resumed, 9000).unanswered().unwrap().count, 1);
    let failed = before.and(Outcome::Failed(failure("RateLimited", true)), later(START, 180)).resumed();
    assert!(matches!(look(&failed), Look::Failed(_, 1)), "why Heat is left alone");
}

/// What is not decided is asked again soon, unless nobody answers.
#[test]
fn when_heat_is_asked_more_often() {
    let listed = || Outcome::Seen(EngineAnswer::Listed(Arc::new(list("h1; h2", START, &mut BTreeMap::new()))));
    let answers = |before: &[fn() -> Outcome<EngineAnswer>], lists: usize| {
        let before = before.iter().map(|outcome| outcome());
        let all = before.chain((0..lists).map(|_| listed())).zip(0..);
        all.fold(EngineAnswers::default(), |answers, (outcome, number)| answers.and(outcome, later(START, number * 20)))
    };
    let unanswered = || Outcome::Seen(EngineAnswer::Unanswered { sent: START });
    let failed = || Outcome::Failed(failure("Timeout", false));
    for (name, answers, doubted, undecided) in [
        ("all is well", answers(&[], 1), false, false),
        ("a 503", answers(&[unanswered], 0), false, true),
        ("one, and a list", answers(&[unanswered], 1), false, true),
        ("one, and as many lists as it takes", answers(&[unanswered], 3), false, false),
        ("one, and then no answer", answers(&[unanswered, failed], 0), false, false),
        ("one, and then no Heat", answers(&[unanswered, || Outcome::NotOffered(None)], 0), false, false),
        ("one before the process began", answers(&[], 2), true, true),
        ("and as many lists as it takes", answers(&[], 4), true, false),
    ] {
        assert_eq!(answers.is_undecided(doubted), undecided, "{name}");
    }
}

/// The entry for the engines alone has a way of its own, which may be missing.
#[tokio::test]
async fn the_engines_own_way() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let clouds = clouds();
    let open = clouds.open("n", &config(&cloud.clouds_yaml("c"))).unwrap();
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
    let wish = || Wish { tenant: name("t"), interval, deadline: interval, doubts: false };
    tenant.wish_engines("uid", &open, wish(), START);
    assert_eq!(tenant.engines_missing, None);
    assert_eq!(failed(tenant.miss_engines(passing(), later(START, 30))), "None", "what is known stays in use");
    assert_eq!(failed(tenant.miss_engines(missing(), later(START, 40))), "CloudNotFound 2");
    assert_eq!(tenant.look_at_engines(&CloudTenantStatus::default()), Look::NotDue);

    // Another cloud's verdicts are no part of the row.
    tenant.turn_to(&open, START);
    tenant.count_bad(&heard(1), [Some(true); 2]);
    tenant.turn_to(&open, START);
    assert_eq!(tenant.count_bad(&Look::NotDue, [None; 2])[0], 1);
    let other = clouds.open("n", &config(&cloud.clouds_yaml_application_credential("c"))).unwrap();
    tenant.turn_to(&other, START);
    assert_eq!(tenant.count_bad(&Look::NotDue, [None; 2]), [0, 0]);
}
