//! What holds whatever the cloud answers.

use std::time::Duration;

use cloudtenant_operator::{
    api::{CacheState, CloudTenantStatus, Period, Reason, condition_type as ty},
    decide::{
        condition,
        event::transitions,
        status::{
            self, Engines, Observation,
            engine_count::{KnownHosts, count},
        },
    },
    observation::engine_answers::EngineAnswer,
    probe,
};
use proptest::{collection::vec, prelude::*, sample::select};
use testkit::recorded;

use crate::{
    words::{START, later},
    world::{World, reason_of},
};

/// An answer of Heat in words.
fn answer() -> impl Strategy<Value = String> {
    let row = |host: &'static str| {
        let rows = [
            "",
            "HOST;",
            "HOST down;",
            "HOST down beat=90000;",
            "HOST x2;",
            "HOST; HOST down;",
            "HOST down; HOST born=1;",
            "HOST down unreadable;",
        ];
        select(rows.to_vec()).prop_map(move |row| row.replace("HOST", host))
    };
    let listed = (row("h1"), row("h2"), row("h3")).prop_map(|(a, b, c)| format!("200 {a} {b} {c}"));
    let other = ["503", "503", "timeout", "?ConnectionFailed", "?RateLimited", "!Forbidden", "absent"];
    prop_oneof![3 => listed, 2 => Just("503".to_owned()), 2 => select(other.to_vec()).prop_map(str::to_owned)]
}

/// Seconds since the last answer, the answer, whether the tenant makes a pass, and whether the operator starts anew.
fn answers() -> impl Strategy<Value = Vec<(i64, String, bool, bool)>> {
    vec((1_i64..40, answer(), prop::bool::weighted(0.8), prop::bool::weighted(0.1)), 1..40)
}

fn looks() -> impl Strategy<Value = Vec<[&'static str; 3]>> {
    let failures =
        ["-", "...", "absent", "?ServerError", "!Timeout", "!Forbidden", "!SecretNotFound", "!AuthenticationFailed"];
    let with = |own: &[&'static str]| select([own, &failures[..]].concat());
    let one = (
        with(&["up", "down", "503", "none"]),
        with(&["ok", "err", "err9", "create", "frozen", "frozen9"]),
        with(&["full", "full9", "cut", "unpaged"]),
    );
    vec(one.prop_map(|(engines, caches, usage)| [engines, caches, usage]), 1..12)
}

fn repeats_nothing(world: &World, new: &CloudTenantStatus) {
    let again = world.compute();
    assert!(!status::differs(new, &again), "computed again from its own output:\n{new:#?}\n{again:#?}");
    for (before, after) in new.conditions.iter().zip(&again.conditions) {
        assert_eq!(before.last_transition_time, after.last_transition_time);
    }
    assert_eq!(transitions(&world.target, new, &again), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engines_verdict(answers in answers()) {
        let mut world = World::of_engines();
        world.target.interval = Duration::from_secs(3600);
        let mut row = 0;
        for (seconds, answer, pass, restart) in answers {
            world.now = later(world.now, seconds);
            if restart {
                world.restart();
                row = 0;
            }
            row = if answer == "503" { row + 1 } else if answer.starts_with("200") { 0 } else { row };
            if !pass {
                world.hear(&answer);
                continue;
            }
            let was_all_down = world.stored.engines.as_ref().is_some_and(|block| block.up == 0 && block.unanswered == 4);
            let (new, _) = world.pass_in_words_of_engines(&answer);
            if reason_of(&new, ty::ENGINES_HEALTHY) == "AllEnginesDown" {
                prop_assert!(was_all_down || row >= 4, "after {row} 503s");
            }
            if let Some(block) = &new.engines {
                prop_assert_eq!(block.up + block.down, block.total);
                prop_assert!(block.unanswered <= 4);
                let (up, down) = block.hosts.iter().fold((0, 0), |sum, host| (sum.0 + host.up, sum.1 + host.down));
                prop_assert_eq!((up, down), (block.up, block.down));
            }
            // A single 503 after time-outs is no verdict yet, and a restart forgets time-outs that no pass has seen.
            if matches!(world.engines(), Observation::Seen(Engines { waits: true, .. })) {
                continue;
            }
            repeats_nothing(&world, &new);
            // An operator that starts anew in an unchanged world tells nothing, however often.
            let mut again = world.clone();
            for _ in 0..2 {
                again.restart();
                let (_, notices) = again.pass_in_words_of_engines(&answer);
                prop_assert_eq!(notices, []);
            }
        }
    }

    #[test]
    fn the_conditions(looks in looks(), observed in any::<bool>(), threshold in 1_u32..4, frozen in any::<bool>()) {
        let mut world = World::new();
        world.target.caches.unhealthy_states.extend(frozen.then_some(CacheState::Frozen));
        world.target.ready_when_observed = observed;
        world.set_thresholds(threshold);
        for [engines, caches, usage] in looks {
            world.now = later(world.now, 10);
            let (new, _) = world.pass_in_words(engines, caches, usage);
            let has = |type_| condition::find(&new.conditions, type_).is_some();
            prop_assert!([ty::READY, ty::ENGINES_HEALTHY, ty::CACHES_HEALTHY, ty::USAGE_REPORTED].into_iter().all(has));
            prop_assert!(!(has(ty::RECONCILING) && has(ty::STALLED)));
            let ready = &condition::find(&new.conditions, ty::READY).unwrap().status;
            let well = [Reason::Healthy, Reason::Observed].map(Reason::as_str);
            prop_assert_eq!(ready == "True", well.contains(&reason_of(&new, ty::READY).as_str()));
            prop_assert!(!(observed && ready == "False"));
            if !has(ty::RECONCILING) {
                repeats_nothing(&world, &new);
            }
        }
    }

    #[test]
    fn parsers_take_any_bytes(status in 100_u16..600, body in vec(any::<u8>(), 0..200)) {
        read(status, &body);
    }

    #[test]
    fn parsers_take_what_is_almost_right(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        for name in ["heat/services-one-down", "nova/show-with-servers", "dcs/instances-status-include-failure"] {
            let mut body = recorded::Recorded::load(name).unwrap().body;
            let at = at.index(body.len());
            body[at] = byte;
            if cut {
                body.truncate(at);
            }
            read(200, &body);
        }
    }

    #[test]
    fn lists_with_any_numbers_and_times(interval in any::<u64>(), year in -9999_i64..99999, offset in any::<u32>()) {
        let body = format!(
            r#"{{"services": [{{"host": "h", "status": "down", "report_interval": {interval},
                "created_at": "{year:04}-01-01T00:00:00", "updated_at": "{offset}"}},
                {{"host": "h", "status": "down", "report_interval": {interval}, "created_at": "{year:04}-01-01T00:00:00"}}]}}"#
        );
        read(200, body.as_bytes());
    }
}

/// Reads a body as each of the three would, and counts what it read.
fn read(status: u16, body: &[u8]) {
    let rules = World::new().target.engines;
    if let Some(Ok(EngineAnswer::Listed(list))) = probe::engines::parse(status, body, START, START) {
        let block = count(&list, &KnownHosts::default(), &rules);
        assert!(usize::try_from(block.total + block.forgotten).unwrap() <= list.rows.len());
    }
    if let Ok(seen) = probe::caches::parse(body) {
        let judged = status::caches::judge(&seen, &World::new().target.caches, START);
        assert!(judged.block.by_kind.len() <= 20 && judged.message.ends_with('.'));
    }
    read_in_parts(body);
    if let Ok(page) = probe::usage::parse(body) {
        let mut sum = probe::usage::Sum::new(probe::usage::windows(Period::Month, START).current);
        if sum.add(page).is_ok() {
            let usage = sum.finish(true);
            assert!(usage.by_flavor.len() <= 20);
            assert!(usage.by_flavor.iter().all(|used| (1..=255).contains(&used.flavor.chars().count())));
        }
    }
}

/// A long body is parsed while it arrives. The result does not depend on how it arrives.
fn read_in_parts(body: &[u8]) {
    let engines = probe::engines::parse(200, body, START, START).unwrap();
    let usage = format!("{:?}", probe::usage::parse(body));
    for least in [61, 1021] {
        assert_eq!(probe::engines::parse_in_parts(body, least, START), engines, "{least}");
        assert_eq!(format!("{:?}", probe::usage::parse_in_parts(body, least)), usage, "{least}");
    }
}
