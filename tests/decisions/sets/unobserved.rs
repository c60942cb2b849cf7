//! What a set says if its CloudTenants cannot be read, or if the operator does not serve it.

use cloudtenant_operator::{
    api::Reason,
    decide::set::{
        self, Selection, Unread,
        status::{self, Full},
    },
};
use serde_json::json;

use super::world::{Judged, World, failure, list, ten, without};

/// A pass that lists the projects, and cannot read the CloudTenants for this number of times.
fn pass(world: &mut World, why: Unread, times: u32) {
    let judged = Judged::of(world);
    let selection = Selection::new(without(&[]), &judged.target.filter);
    let judged = Judged { plan: set::unread(Some(&selection), why, times), ..judged };
    world.stored = status::compute(&judged.pass(world.now), &world.stored);
}

#[test]
fn cloud_tenants_that_cannot_be_read() {
    let synced = ["Ready=True Synced", "ProjectsListed=True Listed", "InSync=True Synced"];
    let listed = "ProjectsListed=True Listed";
    for (why, times, conditions) in [
        (Unread::Timeout, 1, synced.to_vec()),
        (Unread::Unavailable, 1, synced.to_vec()),
        (Unread::Timeout, 2, vec!["Ready=Unknown Timeout", listed, "InSync=Unknown Timeout"]),
        (Unread::Unavailable, 2, vec!["Ready=Unknown ServiceUnavailable", listed, "InSync=Unknown ServiceUnavailable"]),
        (Unread::Unexpected, 1, vec!["Ready=Unknown UnexpectedAnswer", listed, "InSync=Unknown UnexpectedAnswer"]),
        (Unread::TooMany, 1, vec!["Ready=False LimitReached", listed, "InSync=False LimitReached"]),
        (
            Unread::Forbidden,
            1,
            vec!["Ready=False CreateForbidden", listed, "InSync=False CreateForbidden", "Stalled=True CreateForbidden"],
        ),
    ] {
        let mut world = ten(json!({}));
        pass(&mut world, why, times);
        assert_eq!(world.conditions(), conditions, "{why:?}, {times}");
        assert_eq!((world.stored.projects, world.stored.tenants), (Some(10), Some(10)), "the data stay");
        world.pass(Ok(without(&[])));
        assert_eq!(world.conditions(), synced, "{why:?}");
    }
    let mut world = World::new(json!({}));
    pass(&mut world, Unread::Unavailable, 1);
    assert_eq!(
        world.conditions(),
        ["Ready=Unknown Progressing", listed, "InSync=Unknown Progressing", "Reconciling=True Progressing"]
    );
    assert_eq!((world.stored.projects, world.stored.tenants, world.stored.held), (Some(10), None, None));
}

#[test]
fn a_cloud_tenant_that_cannot_be_read_is_named() {
    let mut world = ten(json!({}));
    let plan = set::Plan { unreadable: Some("odd".to_owned()), ..set::Plan::default() };
    let judged = Judged { plan, ..Judged::of(&world) };
    world.stored = status::compute(&judged.pass(world.now), &world.stored);
    assert_eq!(world.conditions()[2], "InSync=Unknown UnexpectedAnswer");
    assert!(world.message("InSync").contains(" odd"), "{}", world.message("InSync"));
    world.pass(Ok(without(&[])));
    assert_eq!(world.conditions()[0], "Ready=True Synced");
}

#[test]
fn a_set_that_is_not_served() {
    let mut world = ten(json!({}));
    let before = world.stored.clone();
    world.stored = status::not_served(Full::Namespace(100), 1, &before, world.now);
    let expected = [
        "Ready=False NotServed",
        "ProjectsListed=Unknown Progressing",
        "InSync=False NotServed",
        "Stalled=True NotServed",
    ];
    assert_eq!(world.conditions(), expected);
    assert_eq!((world.stored.tenants, &world.stored.pruning), (Some(10), &before.pruning), "the data stay");
    assert_eq!(
        world.message("Ready"),
        "The operator serves 100 CloudTenantSets of a namespace, and this is one more: delete others, or use another \
         namespace."
    );
    let again = status::not_served(Full::Namespace(100), 1, &world.stored, world.now);
    assert!(!status::differs(&world.stored, &again), "it is written once");
    // Once it is served, nothing of that is left, also if Keystone does not answer.
    world.pass(Err(failure(Reason::Timeout, false)));
    assert_eq!(
        world.conditions(),
        ["Ready=Unknown Timeout", "ProjectsListed=Unknown Timeout", "InSync=Unknown Progressing"]
    );
}

#[test]
fn skipped_projects_are_counted_by_reason() {
    let mut world = World::new(json!({}));
    world.by_hand("mine", "p1", json!({}));
    world.by_hand("web-p2", "elsewhere", json!({}));
    world.pass(Ok(list(&["p1", "p2", "p3", "a/b", "c/d"])));
    let counts: Vec<_> = world.stored.skipped_by_reason.iter().map(|one| (one.reason.as_str(), one.projects)).collect();
    assert_eq!(counts, [("Covered", 1), ("NameTaken", 1), ("InvalidProjectID", 2)]);
    assert_eq!(world.stored.skipped_total, Some(4));
    world.pass(Ok(list(&["p3"])));
    assert_eq!((world.stored.skipped_by_reason.len(), world.stored.skipped_total), (0, Some(0)));
}
