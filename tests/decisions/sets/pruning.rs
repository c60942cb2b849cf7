//! When a set deletes CloudTenants.

use cloudtenant_operator::{
    api::{Reason, set::CloudTenantSetStatus},
    decide::set::{Held, SetMemory, status},
    observation::projects::{Project, ProjectList, ProjectState},
};
use serde_json::json;

use super::world::{MINUTES, World, failure, list, partial, project, ten, without};

/// Each row: a change of the world, minutes until the next list, the list, whom the pass deletes, how many are held, why.
#[test]
fn when_cloud_tenants_are_deleted() {
    type Step = (fn(&mut World), i64, Result<ProjectList, ()>, &'static [&'static str], Option<Held>);
    let same: fn(&mut World) = |_| {};
    let gone = || Ok(without(&["p1"]));
    let half = || Ok(without(&["p0", "p1", "p2", "p3", "p4"]));
    let stories: Vec<(&str, Vec<Step>)> = vec![
        (
            "missing from two lists ten minutes apart",
            vec![(same, 0, gone(), &[], None), (same, 9, gone(), &[], None), (same, 1, gone(), &["p1"], None)],
        ),
        (
            "the clock is set forward in between",
            vec![
                (same, 0, gone(), &[], None),
                (|world| world.set_clock(60), 1, gone(), &[], None),
                (same, 8, gone(), &[], None),
                (same, 1, gone(), &["p1"], None),
            ],
        ),
        (
            "the clock is set back in between",
            vec![
                (same, 0, gone(), &[], None),
                (|world| world.set_clock(-60), 1, gone(), &[], None),
                (same, 9, gone(), &["p1"], None),
            ],
        ),
        (
            "there in between",
            vec![
                (same, 0, gone(), &[], None),
                (same, 9, Ok(without(&[])), &[], None),
                (same, 1, gone(), &[], None),
                (same, 10, gone(), &["p1"], None),
            ],
        ),
        (
            "there in a list that is not whole",
            vec![
                (same, 0, gone(), &[], None),
                (same, 5, Ok(partial(without(&["p2"]))), &[], Some(Held::Incomplete)),
                (same, 5, gone(), &[], None),
                (same, 10, gone(), &["p1"], None),
            ],
        ),
        (
            "a list that is not whole neither begins nor ends the time",
            vec![
                (same, 0, Ok(partial(without(&["p1"]))), &[], Some(Held::Incomplete)),
                (same, 10, gone(), &[], None),
                (same, 5, Ok(partial(without(&["p1"]))), &[], Some(Held::Incomplete)),
                (same, 5, gone(), &["p1"], None),
            ],
        ),
        (
            "an empty list says nothing",
            vec![
                (same, 0, Ok(list(&[])), &[], Some(Held::Empty)),
                (same, 20, Ok(list(&[])), &[], Some(Held::Empty)),
                (same, 0, gone(), &[], None),
                (same, 10, gone(), &["p1"], None),
            ],
        ),
        (
            "a failed list says nothing",
            vec![(same, 0, gone(), &[], None), (same, 20, Err(()), &[], None), (same, 0, gone(), &["p1"], None)],
        ),
        (
            "half of them",
            vec![
                (same, 0, half(), &[], Some(Held::TooMany)),
                (same, 10, half(), &[], Some(Held::TooMany)),
                (same, 1440, half(), &[], Some(Held::TooMany)),
                (same, 1, Ok(without(&[])), &[], None),
            ],
        ),
        (
            "two of ten, and then a third",
            vec![
                (same, 0, Ok(without(&["p1", "p2"])), &[], None),
                (same, 10, Ok(without(&["p1", "p2"])), &["p1", "p2"], None),
                (same, 1, Ok(without(&["p1", "p2", "p3"])), &[], Some(Held::TooMany)),
                (same, 60, Ok(without(&["p1", "p2", "p3"])), &[], Some(Held::TooMany)),
                (same, 1440, Ok(without(&["p1", "p2", "p3"])), &["p3"], None),
            ],
        ),
        (
            "a restart forgets no deletion",
            vec![
                (same, 0, Ok(without(&["p1", "p2"])), &[], None),
                (same, 10, Ok(without(&["p1", "p2"])), &["p1", "p2"], None),
                (
                    |world| world.memory = SetMemory::default(),
                    10,
                    Ok(without(&["p1", "p2", "p3"])),
                    &[],
                    Some(Held::TooMany),
                ),
                (same, 10, Ok(without(&["p1", "p2", "p3"])), &[], Some(Held::TooMany)),
            ],
        ),
        (
            "those that are not confirmed count too",
            vec![(same, 0, gone(), &[], None), (same, 10, half(), &[], Some(Held::TooMany))],
        ),
        (
            "a restart begins anew",
            vec![
                (same, 0, gone(), &[], None),
                (|world| world.memory = SetMemory::default(), 10, gone(), &[], None),
                (same, 10, gone(), &["p1"], None),
            ],
        ),
        (
            "another credential begins anew",
            vec![
                (same, 0, gone(), &[], None),
                (|world| world.credential = "bob", 10, gone(), &[], None),
                (same, 10, gone(), &["p1"], None),
            ],
        ),
        (
            "another spec begins anew",
            vec![
                (same, 0, gone(), &[], None),
                (|world| world.change("interval", json!("5m")), 10, gone(), &[], None),
                (same, 10, gone(), &["p1"], None),
            ],
        ),
        (
            "another source begins anew",
            vec![
                (same, 0, gone(), &[], None),
                (|world| world.change("source", json!("Projects")), 10, gone(), &[], None),
                (same, 10, gone(), &["p1"], None),
            ],
        ),
        (
            "a clock that was put back begins anew",
            vec![
                (same, 0, gone(), &[], None),
                (same, -60, gone(), &[], None),
                (same, 9, gone(), &[], None),
                (same, 1, gone(), &["p1"], None),
            ],
        ),
        (
            "Keep",
            vec![(|world| world.change("prune", json!("Keep")), 0, half(), &[], None), (same, 10, half(), &[], None)],
        ),
        (
            "it exists",
            vec![
                (|world| _ = world.states.insert("p1".into(), ProjectState::Enabled), 0, gone(), &[], None),
                (same, 10, gone(), &[], Some(Held::StillThere)),
                (|world| world.states.clear(), 1, gone(), &["p1"], None),
            ],
        ),
        (
            "nobody may ask",
            vec![
                (|world| _ = world.states.insert("p1".into(), ProjectState::Forbidden), 0, gone(), &[], None),
                (same, 10, gone(), &["p1"], None),
            ],
        ),
        (
            "nobody answers",
            vec![
                (|world| _ = world.states.insert("p1".into(), ProjectState::Unknown), 0, gone(), &[], None),
                (same, 10, gone(), &[], Some(Held::NotAnswered)),
            ],
        ),
        (
            "it is disabled",
            vec![
                (|world| _ = world.states.insert("p1".into(), ProjectState::Disabled), 0, gone(), &[], None),
                (same, 10, gone(), &["p1"], None),
            ],
        ),
        (
            "it is excluded, but exists",
            vec![
                (|world| world.change("filter", json!({ "excludeIDs": ["p1"] })), 0, Ok(without(&[])), &[], None),
                (same, 10, Ok(without(&[])), &[], Some(Held::StillThere)),
                (World::confirm, 1, Ok(without(&[])), &["p1"], None),
            ],
        ),
        (
            "half of them, confirmed",
            vec![
                (same, 0, half(), &[], Some(Held::TooMany)),
                (World::confirm, 9, half(), &[], None),
                (same, 1, half(), &["p0", "p1", "p2", "p3", "p4"], None),
            ],
        ),
        (
            "confirmed, but there was no second list yet",
            vec![
                (World::confirm, 0, half(), &[], None),
                (same, 9, half(), &[], None),
                (same, 1, half(), &["p0", "p1", "p2", "p3", "p4"], None),
            ],
        ),
        (
            "confirmed, but empty or not whole",
            vec![
                (World::confirm, 0, Ok(list(&[])), &[], Some(Held::Empty)),
                (same, 10, Ok(partial(without(&["p1"]))), &[], Some(Held::Incomplete)),
            ],
        ),
        (
            "confirmed, but nobody answers",
            vec![
                (|world| _ = world.states.insert("p1".into(), ProjectState::Unknown), 0, gone(), &[], None),
                (World::confirm, 10, gone(), &[], Some(Held::NotAnswered)),
            ],
        ),
        (
            "confirmed for another generation",
            vec![
                (World::confirm, 0, half(), &[], None),
                (|world| world.change("interval", json!("5m")), 10, half(), &[], Some(Held::TooMany)),
                (same, 10, half(), &[], Some(Held::TooMany)),
            ],
        ),
        (
            "a confirmation lasts a day",
            vec![
                (World::confirm, 0, Ok(without(&[])), &[], None),
                (same, 1430, half(), &[], None),
                (same, 10, half(), &[], Some(Held::TooMany)),
            ],
        ),
        (
            "no restart makes it last longer",
            vec![
                (World::confirm, 0, Ok(without(&[])), &[], None),
                (|world| world.memory = SetMemory::default(), 1440, half(), &[], Some(Held::TooMany)),
            ],
        ),
    ];
    for (name, steps) in stories {
        let mut world = ten(json!({}));
        for (at, (change, minutes, listing, deleted, why)) in steps.into_iter().enumerate() {
            change(&mut world);
            world.wait(minutes * MINUTES);
            let failed = listing.is_err();
            let passed = world.pass(listing.map_err(|()| failure(Reason::ServerError, true)));
            assert_eq!((passed.deleted(), World::why(&passed)), (deleted.to_vec(), why), "{name}: step {at}");
            if !failed {
                assert_eq!(world.stored.held, Some(passed.pruned.held as u32), "{name}: step {at}");
                let is_held = world.conditions().contains(&"InSync=False PruneHeld".to_owned());
                assert_eq!(is_held, why.is_some(), "{name}: step {at}");
            }
        }
    }
}

#[test]
fn keystone_is_asked_for_what_the_list_does_not_say() {
    let mut world = ten(json!({ "maxLossPercent": 100 }));
    let disabled = |id: &str| Project { enabled: false, ..project(id) };
    let mut listing = without(&["p1", "p2", "p3"]);
    listing.projects.push(disabled("p3"));
    assert_eq!(world.pass(Ok(listing.clone())).asked, [""; 0], "missing for the first time");
    world.wait(10 * MINUTES);
    world.states.insert("p2".into(), ProjectState::Enabled);
    let passed = world.pass(Ok(listing));
    assert_eq!(passed.asked, ["p1", "p2"]);
    assert_eq!((passed.deleted(), passed.pruned.held), (vec!["p1", "p3"], 1));

    let mut world = World::new(json!({ "prune": "Delete", "maxLossPercent": 100, "maxTenants": 5000 }));
    let ids: Vec<_> = (0..150).map(|at| format!("p{at:03}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    world.pass(Ok(list(&ids)));
    world.pass(Ok(list(&["p000"])));
    world.wait(10 * MINUTES);
    for (asked, pending) in [(100, 49), (49, 0)] {
        let passed = world.pass(Ok(list(&["p000"])));
        assert_eq!((passed.asked.len(), passed.deleted().len()), (asked, asked));
        assert_eq!((passed.pruned.held, passed.pruned.pending), (0, pending), "nobody has asked for these yet");
        let is_pending = world.conditions().contains(&"Reconciling=True Progressing".to_owned());
        assert_eq!((is_pending, world.conditions()[0].ends_with("PruneHeld")), (pending > 0, false));
    }
}

/// 250 projects are missing, and Keystone says this of all but the last 50, of which it says that they are gone.
#[test]
fn those_that_keystone_does_not_confirm_keep_no_others_waiting() {
    for (state, why) in [(ProjectState::Enabled, Held::StillThere), (ProjectState::Unknown, Held::NotAnswered)] {
        let mut world = World::new(json!({ "prune": "Delete", "maxLossPercent": 100, "maxTenants": 5000 }));
        let ids: Vec<_> = (0..251).map(|at| format!("p{at:03}")).collect();
        world.pass(Ok(list(&ids.iter().map(String::as_str).collect::<Vec<_>>())));
        world.states = ids[1..201].iter().map(|id| (id.clone(), state)).collect();
        world.pass(Ok(list(&["p000"])));
        world.wait(10 * MINUTES);
        let mut asked: Vec<String> = Vec::new();
        for (number, pending, deleted) in [(100, 150, 0), (100, 50, 0), (100, 0, 50)] {
            let passed = world.pass(Ok(list(&["p000"])));
            assert_eq!((passed.asked.len(), passed.pruned.pending, passed.deleted().len()), (number, pending, deleted));
            assert_eq!(
                (passed.pruned.held, World::why(&passed)),
                (200 - passed.pruned.pending.saturating_sub(50), Some(why))
            );
            asked.extend(passed.asked);
        }
        // The fifty of the longest ago fill the third pass up.
        assert_eq!(asked[250..], ids[1..51], "{why:?}");
        let passed = world.pass(Ok(list(&["p000"])));
        assert_eq!((passed.asked[0].as_str(), passed.pruned.pending, passed.pruned.held), ("p051", 0, 200));
        assert!(!world.conditions().contains(&"Reconciling=True Progressing".to_owned()));
    }
}

/// Each row: the share, the number of CloudTenants, those that are gone, and whether they are deleted.
#[test]
fn the_share_that_may_be_deleted() {
    for (percent, tenants, gone, deleted) in [
        (20, 10, 2, true),
        (20, 10, 3, false),
        (20, 9, 1, true),
        (20, 9, 2, false),
        (0, 10, 1, true),
        (0, 10, 2, false),
        (20, 2, 1, true),
        (100, 10, 9, true),
        (50, 10, 5, true),
        (50, 10, 6, false),
    ] {
        let mut world = World::new(json!({ "prune": "Delete", "maxLossPercent": percent }));
        let ids: Vec<_> = (0..tenants).map(|at| format!("p{at}")).collect();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        world.pass(Ok(list(&ids)));
        world.pass(Ok(list(&ids[gone..])));
        world.wait(10 * MINUTES);
        let passed = world.pass(Ok(list(&ids[gone..])));
        assert_eq!(passed.deleted().len(), if deleted { gone } else { 0 }, "{percent} % of {tenants}, {gone} gone");
    }
}

#[test]
fn a_deletion_is_counted_before_it_happens_and_for_a_day() {
    let mut world = ten(json!({}));
    let target = world.target();
    let counted = |status: &CloudTenantSetStatus| -> Vec<(String, u32)> {
        let hours = status.pruning.iter().flat_map(|pruning| &pruning.deleted);
        hours.map(|hour| (hour.hour.0.to_string(), hour.tenants)).collect()
    };
    let hour = |hour: &str, tenants| vec![(format!("2026-03-01T{hour}:00:00Z"), tenants)];
    world.stored = status::reserved(&target, &world.stored, 2, world.now);
    assert_eq!(counted(&world.stored), hour("00", 2));
    world.stored = status::reserved(&target, &world.stored, 1, world.now);
    assert_eq!(counted(&world.stored), hour("00", 3));
    // The clock was an hour ahead.
    world.wait(-3600);
    world.stored = status::reserved(&target, &world.stored, 0, world.now);
    assert_eq!(counted(&world.stored), vec![("2026-02-28T23:00:00Z".to_owned(), 3)]);
    world.wait(24 * 3600);
    assert_eq!(counted(&status::reserved(&target, &world.stored, 0, world.now)).len(), 1);
    world.wait(3600);
    assert_eq!(status::reserved(&target, &world.stored, 0, world.now).pruning, None);
    for _ in 0..100 {
        world.stored = status::reserved(&target, &world.stored, 1, world.now);
        world.wait(1800);
    }
    assert!(counted(&world.stored).len() <= 25, "the schema's bound");
}
