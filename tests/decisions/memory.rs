//! What one tenant holds between two passes: queries, a subscription to Heat's answers, a cloud. What is remembered for
//! decisions is tested beside it, in `src/decide`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cloudtenant_operator::{
    api::{CloudTenant, CloudTenantStatus, REQUESTED_AT},
    budget::Budget,
    clouds::{Clouds, engines_task::Demand, handles::Handles},
    decide::{
        Access, Answer, Memory, Plan,
        status::{self, Observation},
    },
    identity::TenantName,
    metrics::Metrics,
    observation::{Data, EngineAnswers, Outcome, ProbeKind, engine_answers::EngineAnswer},
    openstack::Network,
    panics::Part,
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

/// No clouds yet, and nobody who is woken.
fn clouds() -> Clouds {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Clouds::new(Network::default().allowing_loopback(), Arc::new(Metrics::new()), mpsc::channel(1).0, Budget::default())
}

/// An answer that takes long is waited for once, and then wakes the tenant.
#[tokio::test]
async fn what_takes_long_holds_up_one_pass() {
    let (wake, mut woken) = mpsc::channel(1);
    let (answer, answered) = oneshot::channel();
    let mut handles = Handles::default();
    handles.queries[ProbeKind::Caches]
        .start(async { Outcome::Seen(Data::Caches(caches(answered.await.unwrap()).unwrap())) });
    assert!(timeout(Duration::from_millis(1), handles.finish()).await.is_err(), "waited for");
    handles.queries[ProbeKind::Caches].wake_later(&wake, &name("t"));
    assert_eq!(handles.queries[ProbeKind::Caches].take(), Answer::UnderWay);
    handles.finish().await;
    assert_eq!(handles.queries[ProbeKind::Caches].take(), Answer::UnderWay);
    answer.send("ok").unwrap();
    assert_eq!(woken.recv().await, Some(name("t")));
    handles.finish().await;
    assert!(matches!(handles.queries[ProbeKind::Caches].take(), Answer::Came(Outcome::Seen(_))));
}

/// A probe that panics is told, and asked again like any other.
#[tokio::test]
async fn a_probe_that_breaks_off() {
    let mut handles = Handles::default();
    let before = Part::Probe.count();
    handles.queries[ProbeKind::Caches].start(async { panic!("on purpose") });
    handles.finish().await;
    assert_eq!(Part::Probe.count(), before + 1);
    let answer = handles.queries[ProbeKind::Caches].take();
    assert!(matches!(answer, Answer::Came(Outcome::Failed(failure)) if failure.reason.as_str() == "UnexpectedAnswer"));
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
async fn a_new_spec_or_request_is_asked_anew() {
    let target = World::new().target;
    let mut stored = CloudTenantStatus { observed_generation: Some(1), ..CloudTenantStatus::default() };
    let mut memory = Memory::new("uid", &target, &stored, START);
    let mut handles = Handles::default();
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
        handles.queries[ProbeKind::Caches].start(std::future::pending());
        let mut object: CloudTenant = serde_json::from_value(object).unwrap();
        object.status = Some(stored.clone());
        let plan = memory.begin(&target, &object, Access::Same, START).plan;
        handles.follow(plan, START);
        let is_running = handles.queries[ProbeKind::Caches].is_running();
        assert_eq!((!is_running, plan.due[ProbeKind::Caches] && !is_running), (anew, anew), "{name}");
        stored.observed_generation = Some(generation);
    }
}

/// What another tenant was told is news as long as this one's interval.
#[tokio::test]
async fn heats_answers_to_others() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let clouds = clouds();
    let open = clouds.open("n", &config(&cloud.clouds_yaml("c"))).unwrap();
    let demand =
        |name_, interval| Demand { tenant: name(name_), interval, deadline: Duration::from_secs(60), doubts: false };
    let number = |handles: &Handles| {
        let shared = handles.engines().unwrap();
        let old = CloudTenantStatus::default();
        match Observation::at(shared.answers, 0, &old) {
            Observation::Seen(seen) if shared.is_current => seen.answers.number,
            Observation::Seen(_) | Observation::UnderWay => 0,
            other => panic!("{other:?}"),
        }
    };
    let hour = Duration::from_secs(3600);
    let mut first = Handles::default();
    first.subscribe_engines("1", &open, demand("first", hour), Plan::default(), Timestamp::now());
    first.finish().await;
    assert_eq!(number(&first), 1);
    for (name, leaves) in [("while others go on", false), ("after all had left", true)] {
        let (mut slow, mut quick) = (Handles::default(), Handles::default());
        slow.subscribe_engines("2", &open, demand("slow", hour), Plan::default(), Timestamp::now());
        let known = number(&slow);
        assert!(known > 0, "{name}: within its interval");
        if leaves {
            first.leave_engines();
            slow.leave_engines();
        }
        quick.subscribe_engines(
            "3",
            &open,
            demand("quick", Duration::from_nanos(1)),
            Plan::default(),
            Timestamp::now(),
        );
        let seen = number(&quick);
        assert!(seen == 0 || seen > known, "{name}: {seen} after {known}");
        quick.finish().await;
        assert!(number(&quick) > known, "{name}");
    }
}

/// A tenant that subscribes with an open request, as after `suspend`, does not take an answer from before the request.
#[tokio::test]
async fn a_request_that_is_older_than_the_subscription() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let open = clouds().open("n", &config(&cloud.clouds_yaml("c"))).unwrap();
    let interval = Duration::from_secs(3600);
    let demand = |name_| Demand { tenant: name(name_), interval, deadline: interval, doubts: false };
    let mut other = Handles::default();
    other.subscribe_engines("1", &open, demand("other"), Plan::default(), Timestamp::now());
    other.finish().await;
    for (name, is_requested) in [("no request", false), ("a request", true)] {
        let mut handles = Handles::default();
        let plan = Plan { is_requested, ..Plan::default() };
        handles.subscribe_engines("2", &open, demand("t"), plan, Timestamp::now());
        let shared = handles.engines().unwrap();
        assert!(shared.answers.number > 0, "{name}");
        assert_eq!((shared.is_current, shared.serves_request), (!is_requested, !is_requested), "{name}");
        assert!(other.engines().unwrap().is_current, "{name}: the others read on");
    }
}

/// Nobody asked for a while: what was answered before is no verdict, and a 503 from then begins no row.
#[test]
fn answers_from_before_a_pause() {
    let unanswered = || Outcome::Seen(EngineAnswer::Unanswered { sent: START });
    let row = |answers: EngineAnswers, seconds| answers.and(unanswered(), later(START, seconds));
    let before = [0, 60, 120].into_iter().fold(EngineAnswers::default(), row);
    let resumed = before.clone().resumed();
    let look = |answers: &EngineAnswers| Observation::at(Arc::new(answers.clone()), 0, &CloudTenantStatus::default());
    assert!(matches!(look(&before), Observation::Seen(_)));
    assert_eq!(look(&resumed), Observation::UnderWay);
    assert_eq!(row(resumed, 9000).unanswered().unwrap().count, 1);
    let failed = before.and(Outcome::Failed(failure("RateLimited", true)), later(START, 180)).resumed();
    assert!(matches!(look(&failed), Observation::Failed(_, 1)), "why Heat is left alone");
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

/// What may pass by itself ends no subscription; a missing entry does.
#[tokio::test]
async fn the_subscription_of_an_entry_that_is_missing() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let open = clouds().open("n", &config(&cloud.clouds_yaml("c"))).unwrap();
    let mut handles = Handles::default();
    let interval = Duration::from_secs(60);
    let demand = Demand { tenant: name("t"), interval, deadline: interval, doubts: false };
    handles.subscribe_engines("uid", &open, demand, Plan::default(), START);
    handles.miss_engines(&failure("ConnectionFailed", true));
    assert!(handles.engines().is_some(), "what is known stays in use");
    handles.miss_engines(&failure("CloudNotFound", false));
    assert_eq!(handles.engines(), None);
}

/// Another cloud's queries and answers end.
#[tokio::test]
async fn another_cloud() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let clouds = clouds();
    let open = clouds.open("n", &config(&cloud.clouds_yaml("c"))).unwrap();
    let other = clouds.open("n", &config(&cloud.clouds_yaml_application_credential("c"))).unwrap();
    let mut handles = Handles::default();
    for (name, cloud, access, is_running) in [
        ("the first", &open, Access::First, true),
        ("the same", &open, Access::Same, true),
        ("another", &other, Access::Other, false),
        ("and back", &open, Access::Other, false),
    ] {
        handles.queries[ProbeKind::Caches].start(std::future::pending());
        assert_eq!(handles.turn_to(cloud), access, "{name}");
        assert_eq!(handles.queries[ProbeKind::Caches].is_running(), is_running, "{name}");
    }
}
