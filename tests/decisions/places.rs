//! Which cloud and region a status is about, and what is said of a service that only other regions offer.

use cloudtenant_operator::{
    api::{Policy, Source, condition_type as ty},
    decide::{Answer, EnginesAnswer, condition, status::is_same_place},
    observation::{Data, Elsewhere, Outcome, ProbeKind},
};

use crate::{
    words::caches,
    world::{World, reason_of, source},
};

/// A region that nobody knew yet is no other one: nothing is dropped at an upgrade, or before the first login.
#[test]
fn the_same_place() {
    let before = |region: Option<&str>| Source { region: region.map(str::to_owned), ..source("k") };
    for (name, stored, host, region, same) in [
        ("nothing changed", Some("a"), "k", Some("a"), true),
        ("another region", Some("a"), "k", Some("b"), false),
        ("an older operator's status", None, "k", Some("a"), true),
        ("before the first login", Some("a"), "k", None, true),
        ("no regions at all", None, "k", None, true),
        ("another host", None, "l", None, false),
        ("another host, the same region", Some("a"), "l", Some("a"), false),
    ] {
        assert_eq!(is_same_place(&before(stored), host, region), same, "{name}");
    }
}

#[test]
fn a_region_that_was_chosen_drops_nothing() {
    let mut world = World::new();
    world.source = Some(Source { region: None, ..source("k") });
    world.pass(
        EnginesAnswer::NotAsked,
        Answer::Came(Outcome::Seen(Data::Caches(caches("ok").unwrap()))),
        Answer::Nothing,
    );
    let with_region = |region: &str| Some(Source { region: Some(region.to_owned()), ..source("k") });
    world.source = with_region("a");
    let (status, _) = world.pass(EnginesAnswer::NotAsked, Answer::Nothing, Answer::Nothing);
    assert_eq!(status.source.unwrap().region.as_deref(), Some("a"));
    assert!(status.caches.is_some());
    world.source = with_region("b");
    let (status, _) = world.pass(EnginesAnswer::NotAsked, Answer::Nothing, Answer::Nothing);
    assert!(status.caches.is_none(), "the data of another region");
}

#[test]
fn a_service_that_other_regions_offer() {
    let elsewhere = |service| Some(Elsewhere { service, region: "a".to_owned(), offered_in: "b, c".to_owned() });
    let seen = |world: &mut World| {
        let engines = world.pass_after(Outcome::NotOffered(elsewhere("Heat"))).0;
        let others = world
            .pass(
                EnginesAnswer::NotAsked,
                Answer::Came(Outcome::NotOffered(elsewhere("DCS"))),
                Answer::Came(Outcome::NotOffered(elsewhere("Nova"))),
            )
            .0;
        ProbeKind::ALL.map(|kind| {
            let status = if kind == ProbeKind::Engines { &engines } else { &others };
            let found = condition::find(&status.conditions, kind.condition_type()).unwrap();
            (found.reason.clone(), found.message.clone())
        })
    };
    for (policy, reason, advice) in [
        (Policy::Auto, "ServiceNotOffered", "Not probed: "),
        (
            Policy::Required,
            "EndpointNotFound",
            "only in b, c: set spec.region to one of these, set its endpoint override",
        ),
    ] {
        let mut world = World::new();
        let target = &mut world.target;
        target.probes.values_mut().for_each(|probe| probe.policy = policy);
        for ((found, message), service) in seen(&mut world).into_iter().zip(["Heat", "DCS", "Nova"]) {
            assert_eq!(found, reason, "{service}");
            let sentence = format!("{service} is not offered in region a");
            assert!(message.contains(&sentence) && message.contains("b, c"), "{message}");
            assert!(message.contains(advice) && message.ends_with('.'), "{message}");
        }
    }
    // Once observed, its absence is an error.
    let mut world = World::new();
    world.pass(
        EnginesAnswer::NotAsked,
        Answer::Came(Outcome::Seen(Data::Caches(caches("ok").unwrap()))),
        Answer::Nothing,
    );
    let (status, _) =
        world.pass(EnginesAnswer::NotAsked, Answer::Came(Outcome::NotOffered(elsewhere("DCS"))), Answer::Nothing);
    assert_eq!(reason_of(&status, ty::CACHES_HEALTHY), "EndpointNotFound");
}
