//! The conditions, the events and the next pass of a set.

use cloudtenant_operator::{
    api::{
        EventReason, Reason,
        set::{CloudTenantSetStatus, SetReason},
    },
    decide::{
        set::{
            Claims, Plan, SetMemory,
            status::{self, Listed, Refusal, Written},
        },
        status::StatusRefusal,
    },
};
use serde_json::json;

use super::world::{Judged, MINUTES, OLDER, World, failure, list, other, partial, ten, without};

/// Each row: what happened, the conditions, and what Ready says.
#[test]
fn conditions() {
    let written = Written::default;
    let conflict = Written { conflicts: vec!["web-p2".into(), "web-p1".into()], ..written() };
    let refused = |refusal| Written { refused: Some(refusal), ..written() };
    for (name, listing, outcome, others, expected) in [
        (
            "in sync",
            Ok(list(&["p1"])),
            written(),
            vec![],
            vec!["Ready=True Synced", "ProjectsListed=True Listed", "InSync=True Synced"],
        ),
        (
            "not whole",
            Ok(partial(list(&["p1"]))),
            written(),
            vec![],
            vec!["Ready=True Synced", "ProjectsListed=True Listed", "InSync=True Synced"],
        ),
        (
            "no project",
            Ok(list(&[])),
            written(),
            vec![],
            vec!["Ready=True Synced", "ProjectsListed=True Listed", "InSync=True Synced"],
        ),
        (
            "not done yet",
            Ok(list(&["p1"])),
            Written { is_unfinished: true, ..written() },
            vec![],
            vec![
                "Ready=Unknown Progressing",
                "ProjectsListed=True Listed",
                "InSync=Unknown Progressing",
                "Reconciling=True Progressing",
            ],
        ),
        (
            "a write fails at every pass",
            Ok(list(&["p1"])),
            Written { is_unfinished: true, failing: Some(("web-p1".into(), 3)), ..written() },
            vec![],
            vec![
                "Ready=Unknown ServiceUnavailable",
                "ProjectsListed=True Listed",
                "InSync=Unknown ServiceUnavailable",
                "Reconciling=True Progressing",
            ],
        ),
        (
            "an older set has not listed",
            Ok(list(&["p1"])),
            written(),
            vec![other("db", OLDER, Claims::Waiting)],
            vec![
                "Ready=Unknown Progressing",
                "ProjectsListed=True Listed",
                "InSync=Unknown Progressing",
                "Reconciling=True Progressing",
            ],
        ),
        (
            "a conflict",
            Ok(list(&["p1"])),
            conflict,
            vec![],
            vec!["Ready=False FieldConflict", "ProjectsListed=True Listed", "InSync=False FieldConflict"],
        ),
        (
            "a quota",
            Ok(list(&["p1"])),
            refused(Refusal::Quota),
            vec![],
            vec!["Ready=False QuotaExceeded", "ProjectsListed=True Listed", "InSync=False QuotaExceeded"],
        ),
        (
            "no rights",
            Ok(list(&["p1"])),
            refused(Refusal::Forbidden),
            vec![],
            vec![
                "Ready=False CreateForbidden",
                "ProjectsListed=True Listed",
                "InSync=False CreateForbidden",
                "Stalled=True CreateForbidden",
            ],
        ),
        (
            "invalid",
            Ok(list(&["p1"])),
            refused(Refusal::Invalid),
            vec![],
            vec![
                "Ready=False CreateForbidden",
                "ProjectsListed=True Listed",
                "InSync=False CreateForbidden",
                "Stalled=True CreateForbidden",
            ],
        ),
        (
            "a first failure that may pass",
            Err(failure(Reason::ServerError, true)),
            written(),
            vec![],
            vec![
                "Ready=Unknown Progressing",
                "ProjectsListed=Unknown Progressing",
                "InSync=Unknown Progressing",
                "Reconciling=True Progressing",
            ],
        ),
        (
            "a failure",
            Err(failure(Reason::Timeout, false)),
            written(),
            vec![],
            vec!["Ready=Unknown Timeout", "ProjectsListed=Unknown Timeout", "InSync=Unknown Progressing"],
        ),
        (
            "a failure that a person must mend",
            Err(failure(Reason::AuthenticationFailed, false)),
            written(),
            vec![],
            vec![
                "Ready=Unknown AuthenticationFailed",
                "ProjectsListed=Unknown AuthenticationFailed",
                "InSync=Unknown Progressing",
                "Stalled=True AuthenticationFailed",
            ],
        ),
        (
            "a Secret that may still arrive",
            Err(failure(Reason::SecretNotFound, false)),
            written(),
            vec![],
            vec!["Ready=Unknown SecretNotFound", "ProjectsListed=Unknown SecretNotFound", "InSync=Unknown Progressing"],
        ),
    ] {
        let mut world = World::new(json!({}));
        world.others = others;
        world.written = outcome;
        world.pass(listing);
        assert_eq!(world.conditions(), expected, "{name}");
        assert_eq!(world.stored.observed_generation, Some(1), "{name}");
    }
}

#[test]
fn conditions_over_time() {
    let mut world = ten(json!({}));
    let synced = ["Ready=True Synced", "ProjectsListed=True Listed", "InSync=True Synced"];
    assert_eq!(world.conditions(), synced);
    assert_eq!(
        (world.stored.projects, world.stored.tenants, world.stored.ready, world.stored.held),
        (Some(10), Some(10), Some(0), Some(0))
    );
    // One failure that may pass is no verdict.
    world.pass(Err(failure(Reason::ServerError, true)));
    assert_eq!(world.conditions(), synced);
    world.pass(Err(failure(Reason::ServerError, true)));
    assert_eq!(
        world.conditions(),
        ["Ready=Unknown ServerError", "ProjectsListed=Unknown ServerError", "InSync=True Synced"]
    );
    assert_eq!((world.stored.projects, world.stored.tenants), (Some(10), Some(10)), "the data stay");
    // What is held stays so while the list fails.
    world.pass(Ok(list(&[])));
    assert_eq!((world.conditions()[0].as_str(), world.stored.held), ("Ready=False PruneHeld", Some(10)));
    world.pass(Err(failure(Reason::Timeout, false)));
    assert_eq!(
        world.conditions(),
        ["Ready=False PruneHeld", "ProjectsListed=Unknown Timeout", "InSync=False PruneHeld"]
    );
    // Two problems at once: both are told.
    world.written.refused = Some(Refusal::Forbidden);
    world.pass(Ok(list(&[])));
    assert_eq!(
        world.conditions(),
        [
            "Ready=False PruneHeld",
            "ProjectsListed=True Listed",
            "InSync=False PruneHeld",
            "Stalled=True CreateForbidden"
        ]
    );
    world.cluster.get_mut("web-p1").unwrap()["status"] =
        json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
    world.pass(Ok(without(&[])));
    assert_eq!((world.conditions(), world.stored.ready), (synced.map(str::to_owned).to_vec(), Some(1)));

    world.change("suspend", json!(true));
    world.pass(Ok(without(&[])));
    assert_eq!(world.conditions(), synced);
    assert!(world.message("Ready").starts_with("Suspended: "), "{}", world.message("Ready"));
    assert_eq!(world.stored.observed_generation, Some(2));
    world.pass(Ok(without(&[])));
    assert!(!world.message("Ready").starts_with("Suspended: Suspended: "));
    world.change("suspend", json!(false));
    world.pass(Ok(without(&[])));
    assert!(!world.message("Ready").contains("Suspended"));
}

#[test]
fn a_set_that_cannot_be_observed() {
    let world = ten(json!({}));
    let stored = &world.stored;
    let of = |status: &CloudTenantSetStatus| -> Vec<String> {
        status.conditions.iter().map(|found| format!("{}={} {}", found.type_, found.status, found.reason)).collect()
    };
    let all =
        |reason: &str| ["Ready", "ProjectsListed", "InSync"].map(|type_| format!("{type_}=Unknown {reason}")).to_vec();
    let with_stalled = |reason: &str| [all(reason), vec![format!("Stalled=True {reason}")]].concat();
    let invalid = status::invalid("The field is wrong.", 2, stored, world.now);
    assert_eq!((of(&invalid), invalid.tenants), (with_stalled("InvalidSpec"), Some(10)));
    let refused = status::refused(StatusRefusal::Invalid, stored, stored, world.now);
    assert_eq!((of(&refused), refused.tenants), (with_stalled("StatusRefused"), None));
    let broke_off = status::broke_off(1, stored, world.now);
    assert_eq!((of(&broke_off), broke_off.tenants), (all("UnexpectedAnswer"), Some(10)));
    // A deletion that was counted stays so, whatever becomes of the status.
    let reserved = status::reserved(&world.target(), stored, 2, world.now);
    for status in [
        status::invalid("x", 1, &reserved, world.now),
        status::refused(StatusRefusal::TooLarge, stored, &reserved, world.now),
        status::broke_off(1, &reserved, world.now),
    ] {
        assert_eq!(status.pruning, reserved.pruning);
    }
    // After such a status, the verdicts are made anew.
    let mut world = ten(json!({}));
    world.stored = status::invalid("x", 1, &world.stored, world.now);
    world.pass(Err(failure(Reason::ServerError, true)));
    assert_eq!(world.conditions(), all("Progressing"));
}

/// kstatus takes a generation for finished once it is observed and nothing says that it is in progress.
#[test]
fn a_new_generation_is_in_progress_until_its_first_list() {
    let mut world = ten(json!({}));
    let temporary = || Err(failure(Reason::ServerError, true));
    world.change("interval", json!("5m"));
    world.pass(temporary());
    let in_progress = "Reconciling=True Progressing";
    assert_eq!(
        world.conditions(),
        ["Ready=True Synced", "ProjectsListed=True Listed", "InSync=True Synced", in_progress]
    );
    assert_eq!(world.stored.observed_generation, Some(2));
    world.pass(temporary());
    assert_eq!(world.conditions()[0], "Ready=Unknown ServerError");
    assert!(!world.conditions().contains(&in_progress.to_owned()));
    world.pass(Ok(without(&[])));
    assert_eq!(world.conditions(), ["Ready=True Synced", "ProjectsListed=True Listed", "InSync=True Synced"]);
    // An attempt that ends a failure which a person had to mend is news at once.
    world.pass(Err(failure(Reason::AuthenticationFailed, false)));
    world.failures = 0;
    world.pass(temporary());
    assert_eq!(world.conditions()[1], "ProjectsListed=Unknown ServerError");
}

#[test]
fn a_suspended_set_changes_nothing() {
    let mut world = ten(json!({}));
    world.change("suspend", json!(true));
    world.change("template", json!({ "spec": { "region": "r" } }));
    let before = world.cluster.clone();
    for _ in 0..3 {
        let passed = world.pass(Ok(without(&["p1"])));
        assert_eq!((passed.created(), passed.changed(), passed.deleted()), (vec![], vec![], vec![]));
        world.wait(10 * MINUTES);
    }
    assert_eq!(world.cluster, before);
}

#[test]
fn events() {
    let mut world = World::new(json!({ "prune": "Delete" }));
    let failed = || Err(failure(Reason::Timeout, false));
    assert_eq!(world.pass(failed()).events(), ["ListingFailed"]);
    assert_eq!(world.pass(failed()).events(), [""; 0]);
    let passed = world.pass(Ok(without(&[])));
    assert_eq!(passed.events(), ["TenantsCreated", "ListingRecovered"]);
    assert_eq!(passed.notices[0].note, "Created 10 CloudTenants: web-p0, web-p1, web-p2, web-p3, web-p4 and 5 more.");
    assert_eq!(world.pass(Ok(without(&[]))).events(), [""; 0]);
    assert_eq!(world.pass(Ok(without(&["p1"]))).events(), [""; 0]);
    world.wait(10 * MINUTES);
    let passed = world.pass(Ok(without(&["p1"])));
    assert_eq!(passed.events(), ["TenantsPruned"]);
    assert_eq!(passed.notices[0].note, "Deleted 1 CloudTenant: web-p1.");
    let passed = world.pass(Ok(list(&[])));
    assert_eq!(passed.events(), ["PruneHeld"]);
    assert_eq!(passed.notices[0].note, world.message("InSync"));
    assert_eq!(world.pass(Ok(list(&[]))).events(), [""; 0]);
    // Neither a failure nor a restart repeats it.
    assert_eq!(world.pass(failed()).events(), ["ListingFailed"]);
    world.memory = SetMemory::default();
    assert_eq!(world.pass(Ok(list(&[]))).events(), ["ListingRecovered"]);
    // A Secret that may still arrive has no event yet.
    let mut world = World::new(json!({}));
    assert_eq!(world.pass(Err(failure(Reason::SecretNotFound, false))).events(), [""; 0]);
    let mut world = World::new(json!({}));
    let first = world.pass(failed()).notices;
    let mut world = World::new(json!({}));
    let again = world.pass(failed()).notices;
    assert_eq!(first[0].name("web", "u-web"), again[0].name("web", "u-web"), "the same transition has the same name");
    assert_eq!(EventReason::PruneHeld.type_(), "Warning");
}

/// Each row: what happened, and the seconds until the next pass.
#[test]
fn the_next_pass() {
    let failed = |reason, times| Listed::Failed(failure(reason, false), times);
    let whole = Listed::Yes { whole: true };
    let wait = |seconds| Some(std::time::Duration::from_secs(seconds));
    let slow = Listed::Failed(
        cloudtenant_operator::observation::ProbeFailure {
            retry_after: wait(900),
            ..failure(Reason::RateLimited, true)
        },
        1,
    );
    for (name, listed, unfinished, suspended, seconds) in [
        ("listed", whole.clone(), false, false, wait(600)),
        ("not done", whole.clone(), true, false, wait(15)),
        ("suspended", whole, false, true, None),
        ("failed once", failed(Reason::Timeout, 1), false, false, wait(15)),
        ("failed thrice", failed(Reason::Timeout, 3), false, false, wait(60)),
        ("failed for long", failed(Reason::Timeout, 1000), false, false, wait(600)),
        ("refused", failed(Reason::AuthenticationFailed, 1), false, false, wait(300)),
        ("the cloud names a time", slow, false, false, wait(900)),
        ("a Secret may still arrive", failed(Reason::SecretNotFound, 9), false, false, wait(5)),
    ] {
        let world = World::new(json!({ "suspend": suspended }));
        let written = Written { is_unfinished: unfinished, ..Written::default() };
        let judged = Judged { listed, written, ..Judged::of(&world) };
        assert_eq!(status::next(&judged.pass(world.now)), seconds, "{name}");
    }
}

/// Each row: how often a write has failed | seconds until the next pass.
#[test]
fn passes_for_a_write_that_fails_at_each_of_them_come_ever_later() {
    for (times, seconds) in [(3, 60), (4, 120), (6, 480), (7, 600), (1000, 600)] {
        let world = World::new(json!({}));
        let written =
            Written { is_unfinished: true, failing: Some(("web-p1".to_owned(), times)), ..Written::default() };
        let judged = Judged { written, ..Judged::of(&world) };
        assert_eq!(status::next(&judged.pass(world.now)), Some(std::time::Duration::from_secs(seconds)), "{times}");
    }
}

/// Each row: passes since the last new CloudTenant, CloudTenants that are Ready of three | seconds until the next pass.
#[test]
fn new_cloud_tenants_are_counted_again_until_all_are_ready() {
    for (recounts, ready, interval, seconds) in [
        (0, 0, "10m", 60),
        (0, 2, "10m", 60),
        (1, 2, "10m", 120),
        (3, 2, "10m", 480),
        (4, 2, "10m", 600),
        (u32::MAX, 0, "10m", 600),
        (u32::MAX, 0, "24h", 86_400),
        (0, 3, "10m", 600),
        (0, 0, "1m", 60),
    ] {
        let world = World::new(json!({ "interval": interval }));
        let plan = Plan { tenants: 1, ready, ..Plan::default() };
        let written = Written { created: vec![("web-p2".into(), "u".into())], adopted: 1, ..Written::default() };
        let judged = Judged { plan, written, recounts, ..Judged::of(&world) };
        let wait = Some(std::time::Duration::from_secs(seconds));
        assert_eq!(status::next(&judged.pass(world.now)), wait, "{recounts} passes, {ready} Ready, {interval}");
    }
}

#[test]
fn messages_stay_the_same_while_numbers_change() {
    let mut world = ten(json!({}));
    world.pass(Ok(without(&["p1", "p2", "p3"])));
    let message = world.message("InSync");
    world.pass(Ok(without(&["p1", "p2", "p3", "p4", "p5"])));
    assert_eq!(world.message("InSync"), message);
    assert_eq!(
        message,
        "More projects are gone than spec.maxLossPercent allows within 24 hours, so the operator deletes no CloudTenant: \
         check the roles of the user, or delete the CloudTenants with the annotation cloudtenant.dev/confirm-prune: \"1\"."
    );
    let old = world.stored.clone();
    world.wait(5);
    world.pass(Ok(without(&["p1", "p2", "p3", "p4", "p5"])));
    assert!(!status::differs(&old, &world.stored));
    let minutes = std::time::Duration::from_secs(60);
    assert!(!status::is_heartbeat_due(minutes, &old, &world.stored));
    world.wait(600);
    world.pass(Ok(without(&["p1", "p2", "p3", "p4", "p5"])));
    assert!(status::is_heartbeat_due(minutes, &old, &world.stored));
}

#[test]
fn own_reasons_have_statuses() {
    let of = |reason: SetReason| (reason.condition_status(), reason.is_stalled());
    assert_eq!(of(SetReason::Listed), ("True", false));
    assert_eq!(of(SetReason::PruneHeld), ("False", false));
    assert_eq!(of(SetReason::CreateForbidden), ("False", true));
    assert_eq!(of(SetReason::Shared(Reason::Forbidden)), ("Unknown", true));
}
