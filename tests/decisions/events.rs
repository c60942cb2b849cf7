//! What is told, exactly once: the tables of `verdicts` and `passes` say when, and here is how.

use cloudtenant_operator::{
    api::Policy,
    decide::event::{self, EventReason, Notice, fnv1a},
    observation::ProbeKind,
};

use crate::{words::later, world::World};

fn names(notices: &[Notice]) -> Vec<String> {
    notices.iter().map(|notice| notice.name("tenant", "uid")).collect()
}

/// The operator dies between the event and the status, and the next one comes to the same conclusion later.
#[test]
fn the_same_transition_has_the_same_name_whenever_it_is_told() {
    for (name, before, after) in [
        ("a first visit", None, ["down", "err", "!Forbidden"]),
        ("hosts", Some(["up", "ok", "full"]), ["down", "err", "full"]),
        ("a 503", Some(["up", "ok", "full"]), ["503", "create", "full"]),
        ("recovered", Some(["down", "err", "!Timeout"]), ["up", "ok", "full"]),
        ("a refused login", Some(["up", "ok", "full"]), ["!AuthenticationFailed"; 3]),
        ("from Unknown", Some(["!Timeout"; 3]), ["down", "err", "full"]),
    ] {
        let mut world = World::new();
        if let Some([engines, caches, usage]) = before {
            world.pass_in_words(engines, caches, usage);
        }
        let mut again = world.clone();
        let [engines, caches, usage] = after;
        world.now = later(world.now, 30);
        again.now = later(again.now, 90);
        again.restart();
        let (told, again) =
            (world.pass_in_words(engines, caches, usage).1, again.pass_in_words(engines, caches, usage).1);
        assert!(!told.is_empty(), "{name}");
        assert_eq!(names(&told), names(&again), "{name}");
    }
}

#[test]
fn a_name_tells_tenants_hosts_and_states_apart() {
    let notice = |about: &str, left: &str| Notice {
        reason: EventReason::EngineDown,
        about: about.to_owned(),
        note: String::new(),
        left: left.to_owned(),
    };
    let base = notice("h1", "a").name("t", "1");
    for (what, name) in [
        ("the UID", notice("h1", "a").name("t", "2")),
        ("the host", notice("h2", "a").name("t", "1")),
        ("the state that is left", notice("h1", "b").name("t", "1")),
        ("the reason", Notice { reason: EventReason::EngineForgotten, ..notice("h1", "a") }.name("t", "1")),
        ("no word runs into the next", notice("h1\na", "").name("t", "1")),
    ] {
        assert_ne!(name, base, "{what}");
    }
    // As a release before wrote it: it must not change.
    assert_eq!(base, format!("t.{:016x}", fnv1a(b"1\nEngineDown\nh1\na")));
    assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
}

#[test]
fn what_kubernetes_asks_of_events() {
    for reason in EventReason::ALL {
        assert!(reason.to_string().chars().all(char::is_alphabetic) && ["Normal", "Warning"].contains(&reason.type_()));
    }
    let long =
        Notice { reason: EventReason::EngineDown, about: String::new(), note: String::new(), left: String::new() };
    for tenant in ["t".repeat(253), format!("{}.x", "t".repeat(229))] {
        let name = long.name(&tenant, "uid");
        assert!(name.len() <= 253 && !name.contains(".."), "{name}");
    }
    let mut world = World::of_engines();
    world.pass_in_words_of_engines("200 h01..60");
    world.now = later(world.now, 30);
    let (_, notices) = world.pass_in_words_of_engines("200 h01..60 down");
    assert_eq!(notices.len(), 1);
    assert!(notices[0].note.len() <= 1024);
}

/// Five hosts come and go every half minute for an hour: six hundred transitions.
#[test]
fn engines_that_come_and_go_have_a_bounded_number_of_events() {
    let mut world = World::of_engines();
    let (mut transitions, mut events, mut sums, mut counted) = (0, 0, 0, 0);
    for pass in 0..120 {
        world.now = later(world.now, 30);
        let words = if pass % 2 == 0 { "200 h01..05" } else { "200 h01..05 down" };
        let before = world.stored.clone();
        let (status, admitted) = world.pass_in_words_of_engines(words);
        transitions += event::transitions(&world.target, &before, &status).len();
        for notice in admitted {
            if notice.reason == EventReason::EventsSuppressed {
                sums += 1;
                counted += notice.note.split(' ').next().unwrap().parse::<usize>().unwrap();
            } else {
                events += 1;
            }
        }
    }
    assert!(transitions > 500, "{transitions}");
    assert!((25..=25 + 12).contains(&events) && (10..=13).contains(&sums), "{events} events, {sums} sums");
    // What came after the last sum is not in it.
    let left_out = transitions - events;
    assert!(counted <= left_out && counted > left_out * 8 / 10, "{counted} of {left_out}");
}

/// A login is refused for caches, and later for engines whose state began when that of the caches did: two events.
#[test]
fn the_same_failure_of_two_probes_has_two_names() {
    let mut world = World::new();
    let mut told = Vec::new();
    for [engines, caches, usage] in [
        ["up", "ok", "full"],
        ["-", "!AuthenticationFailed", "full"],
        ["-", "ok", "full"],
        ["!AuthenticationFailed", "ok", "full"],
    ] {
        world.now = later(world.now, 10);
        let (_, notices) = world.pass_in_words(engines, caches, usage);
        let refused = notices.into_iter().filter(|notice| notice.reason == EventReason::AuthenticationFailed);
        told.extend(refused.map(|notice| notice.name("t", "uid")));
    }
    assert_eq!(told.len(), 2);
    assert_ne!(told[0], told[1]);
}

/// Changes the world as a word of the next two tables says. Returns what the pass observes, or `None` for a word without a
/// pass. `restart` is another leader, `waited` a Secret that has been missing for two minutes, and `off` and `on` are the
/// policy of the probe.
fn change<'a>(world: &mut World, kind: ProbeKind, word: &'a str) -> Option<&'a str> {
    match word {
        "restart" => {
            world.restart();
            None
        }
        "off" | "on" => {
            world.target.probes[kind].policy = if word == "on" { Policy::Auto } else { Policy::Disabled };
            world.generation += 1;
            Some("...")
        }
        "waited" => {
            world.waited = true;
            Some("!SecretKeyMissing")
        }
        word => Some(word),
    }
}

/// The conditions are Unknown from the first pass on, so their times stay. Each line: passes | the number of events
/// `ObservationFailed`.
#[test]
fn each_new_kind_of_failure_has_an_event_while_a_condition_stays_unknown() {
    for (name, passes, events) in [
        ("a failed connection, and then no key", &["...", "!ConnectionFailed", "!SecretKeyMissing", "waited"][..], 2),
        (
            "no key, a failed connection, no key",
            &["!SecretNotFound", "!ConnectionFailed", "!SecretKeyMissing", "waited"],
            2,
        ),
        ("the same, and another leader", &["!CloudNotFound", "!DNSFailed", "restart", "!CloudNotFound", "waited"], 2),
        ("a probe that is disabled between", &["!Timeout", "off", "on", "!Timeout", "off", "on", "!Timeout"], 3),
        ("no key once more is no news", &["...", "waited", "!Timeout", "restart", "!SecretKeyMissing", "waited"], 1),
        ("a failed connection once more is no news", &["...", "!Timeout", "!SecretNotFound", "!Timeout"], 1),
    ] {
        let mut world = World::new();
        let mut names = std::collections::BTreeSet::new();
        for pass in passes {
            world.now = later(world.now, 10);
            let Some(word) = change(&mut world, ProbeKind::Usage, pass) else { continue };
            let (_, notices) = world.pass_in_words(word, word, word);
            let failed = notices.iter().filter(|notice| notice.reason == EventReason::ObservationFailed);
            names.extend(failed.map(|notice| notice.name("t", "uid")));
        }
        assert_eq!(names.len(), events, "{name}");
    }
}

/// The same for a probe that works again with a verdict below `failureThreshold`: its condition stays Unknown. Each line:
/// passes of the caches | the number of events `ObservationRecovered`.
#[test]
fn each_recovery_has_an_event_while_a_condition_stays_unknown() {
    for (name, passes, events) in [
        ("one recovery", &["!Timeout", "err", "..."][..], 1),
        ("a probe that is disabled between", &["!Timeout", "err", "off", "on", "!Timeout", "err"], 2),
        ("the same, and another leader", &["!Timeout", "err", "off", "on", "restart", "!Timeout", "err"], 2),
        ("a recovery of the same failure is no news", &["!Timeout", "err", "!Timeout", "err"], 1),
    ] {
        let mut world = World::new();
        world.set_thresholds(3);
        let mut names = std::collections::BTreeSet::new();
        for pass in passes {
            world.now = later(world.now, 10);
            let Some(word) = change(&mut world, ProbeKind::Caches, pass) else { continue };
            let (_, notices) = world.pass_in_words("...", word, "...");
            let recovered = notices.iter().filter(|notice| notice.reason == EventReason::ObservationRecovered);
            names.extend(recovered.map(|notice| notice.name("t", "uid")));
        }
        assert_eq!(names.len(), events, "{name}");
    }
}
