//! Which CloudTenants a set makes, adopts and leaves alone.

use cloudtenant_operator::decide::set::Claims;
use serde_json::json;

use super::world::{OLDER, SAME, World, YOUNGER, claims, list, other};

#[test]
fn whose_a_project_is() {
    let set = |set: &str| json!({ "labels": { "cloudtenant.dev/set": set } });
    let owned = |uid: &str| json!([{ "uid": uid, "controller": true }]);
    let none = [""; 0];
    for (name, object, others, created, changed, skipped) in [
        ("nobody's", None, vec![], vec!["p1"], vec![], vec![]),
        ("made by hand", Some(("mine", json!({}))), vec![], vec![], vec![], vec!["p1 Covered mine"]),
        (
            "made by hand under the set's name",
            Some(("web-p1", json!({}))),
            vec![],
            vec![],
            vec![],
            vec!["p1 Covered web-p1"],
        ),
        ("the label names this set", Some(("web-p1", set("web"))), vec![], vec![], vec!["web-p1"], vec![]),
        (
            "the label alone does not make it the set's",
            Some(("mine", set("web"))),
            vec![],
            vec![],
            vec![],
            vec!["p1 Covered mine"],
        ),
        (
            "another controller has it",
            Some(("web-p1", json!({ "labels": { "cloudtenant.dev/set": "web" }, "ownerReferences": owned("x") }))),
            vec![],
            vec![],
            vec![],
            vec!["p1 Covered web-p1"],
        ),
        (
            "an owner that does not control it",
            Some((
                "web-p1",
                json!({ "labels": { "cloudtenant.dev/set": "web" }, "ownerReferences": [{ "uid": "x" }] }),
            )),
            vec![],
            vec![],
            vec!["web-p1"],
            vec![],
        ),
        (
            "kept by a set of this name that was deleted",
            Some((
                "web-p1",
                json!({ "labels": { "cloudtenant.dev/set": "web" }, "annotations": { "cloudtenant.dev/set-uid": "old" } }),
            )),
            vec![],
            vec![],
            vec!["web-p1"],
            vec![],
        ),
        (
            "another set's",
            Some(("db-p1", set("db"))),
            vec![other("db", YOUNGER, Claims::Unknown)],
            vec![],
            vec![],
            vec!["p1 OtherSet db"],
        ),
        (
            "kept by another set that was deleted",
            Some(("db-p1", set("db"))),
            vec![],
            vec![],
            vec![],
            vec!["p1 Covered db-p1"],
        ),
        (
            "an older set wants it",
            None,
            vec![other("db", OLDER, claims(&["p1"]))],
            vec![],
            vec![],
            vec!["p1 OtherSet db"],
        ),
        ("an older set wants others", None, vec![other("db", OLDER, claims(&["p2"]))], vec!["p1"], vec![], vec![]),
        (
            "of the same second, the UID decides",
            None,
            vec![other("db", SAME, claims(&["p1"]))],
            vec![],
            vec![],
            vec!["p1 OtherSet db"],
        ),
        (
            "of the same second, the greater UID loses",
            None,
            vec![other("xxx", SAME, claims(&["p1"]))],
            vec!["p1"],
            vec![],
            vec![],
        ),
        ("a younger set wants it", None, vec![other("db", YOUNGER, claims(&["p1"]))], vec!["p1"], vec![], vec![]),
        ("an older set has not listed yet", None, vec![other("db", OLDER, Claims::Waiting)], vec![], vec![], vec![]),
        (
            "a younger set has not listed yet",
            None,
            vec![other("db", YOUNGER, Claims::Waiting)],
            vec!["p1"],
            vec![],
            vec![],
        ),
        ("an older set cannot list", None, vec![other("db", OLDER, Claims::Unknown)], vec!["p1"], vec![], vec![]),
    ] {
        let mut world = World::new(json!({}));
        world.others = others;
        if let Some((name, metadata)) = object {
            world.by_hand(name, "p1", metadata);
        }
        let before = world.cluster.clone();
        let passed = world.pass(Ok(list(&["p1"])));
        assert_eq!(
            (passed.created(), passed.changed(), passed.skipped()),
            (created, changed, skipped.iter().map(|skip| (*skip).to_owned()).collect()),
            "{name}"
        );
        if passed.created() == none && passed.changed() == none {
            assert_eq!(world.cluster, before, "{name}");
        }
    }
}

#[test]
fn obstacles() {
    let mut world = World::new(json!({}));
    world.by_hand("web-p1", "another", json!({}));
    let long = "x".repeat(65);
    let passed = world.pass(Ok(list(&["p2", "a/b", "p1", "_x", &long])));
    assert_eq!(passed.created(), ["p2"]);
    let shown = "x".repeat(64);
    assert_eq!(
        passed.skipped(),
        [
            "_x InvalidProjectID -".replace("ID", "Id"),
            "a/b InvalidProjectId -".to_owned(),
            "p1 NameTaken web-p1".to_owned(),
            format!("{shown} InvalidProjectId -")
        ]
    );
    assert_eq!(
        (world.stored.skipped.len(), world.stored.skipped_omitted, world.stored.skipped_total),
        (4, None, Some(4))
    );

    let ids: Vec<_> = (0..30).map(|at| format!("!{at:02}")).collect();
    world.pass(Ok(list(&ids.iter().map(String::as_str).collect::<Vec<_>>())));
    assert_eq!(
        (world.stored.skipped.len(), world.stored.skipped_omitted, world.stored.skipped_total),
        (20, Some(10), Some(30))
    );
    assert_eq!(
        (world.stored.skipped[0].project_id.as_str(), world.stored.skipped[19].project_id.as_str()),
        ("!00", "!19")
    );
}

/// Each row: a CloudTenant, and the other sets | whether the set waits until it is gone, and whom it skips.
#[test]
fn a_cloud_tenant_that_is_being_deleted_is_waited_for() {
    let deleted = json!("2026-03-01T00:00:00Z");
    let of_set = |uid: &str| json!([{ "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenantSet", "uid": uid, "controller": true }]);
    for (name, tenant, project, metadata, others, waits, skipped) in [
        ("of somebody", "mine", "p1", json!({ "deletionTimestamp": deleted }), vec![], true, vec![]),
        ("with the name", "web-p1", "p2", json!({ "deletionTimestamp": deleted }), vec![], true, vec![]),
        (
            "of a set of this name that was deleted",
            "web-p1",
            "p1",
            json!({ "ownerReferences": of_set("old") }),
            vec![],
            true,
            vec![],
        ),
        (
            "of another set that was deleted",
            "db-p1",
            "p1",
            json!({ "ownerReferences": of_set("old") }),
            vec![],
            true,
            vec![],
        ),
        (
            "of another set",
            "db-p1",
            "p1",
            json!({ "labels": { "cloudtenant.dev/set": "db" }, "ownerReferences": of_set("u-db") }),
            vec![other("db", YOUNGER, Claims::Unknown)],
            false,
            vec!["p1 OtherSet db"],
        ),
        (
            "an older set gets the project",
            "mine",
            "p1",
            json!({ "deletionTimestamp": deleted }),
            vec![other("db", OLDER, claims(&["p1"]))],
            false,
            vec!["p1 OtherSet db"],
        ),
        (
            "of another controller",
            "mine",
            "p1",
            json!({ "ownerReferences": [{ "apiVersion": "x/v1", "kind": "CloudTenantSet", "uid": "old", "controller": true }] }),
            vec![],
            false,
            vec!["p1 Covered mine"],
        ),
    ] {
        let mut world = World::new(json!({}));
        world.others = others;
        world.by_hand(tenant, project, metadata);
        let passed = world.pass(Ok(list(&["p1"])));
        assert_eq!((passed.created(), passed.changed()), (vec![], vec![]), "{name}");
        assert_eq!(
            (passed.plan.waits_for_deletions, passed.skipped()),
            (waits, skipped.iter().map(|skip| (*skip).to_owned()).collect()),
            "{name}"
        );
        assert_eq!(world.conditions()[0] == "Ready=Unknown Progressing", waits, "{name}");
        if waits {
            world.cluster.clear();
            assert_eq!(world.pass(Ok(list(&["p1"]))).created(), ["p1"], "{name}");
        }
    }
}

#[test]
fn a_deletion_that_does_not_end_costs_little() {
    let mut world = World::new(json!({}));
    world.by_hand("web-p1", "p1", json!({ "deletionTimestamp": "2026-03-01T00:00:00Z" }));
    for (seconds, wait) in [(0, 5), (5, 5), (5, 10), (10, 20), (20, 40)] {
        world.wait(seconds);
        let plan = world.pass(Ok(list(&["p1"]))).plan;
        let longest = world.memory.waits_for_deletions(&plan, world.now);
        assert_eq!(longest, Some(std::time::Duration::from_secs(wait)));
    }
    world.cluster.clear();
    let plan = world.pass(Ok(list(&["p1"]))).plan;
    assert_eq!(world.memory.waits_for_deletions(&plan, world.now), None);
}

#[test]
fn no_more_than_max_tenants() {
    let mut world = World::new(json!({ "maxTenants": 2 }));
    let passed = world.pass(Ok(list(&["p3", "p1", "p2"])));
    assert_eq!((passed.created(), passed.plan.is_limited), (vec!["p1", "p2"], true));
    assert_eq!(
        world.conditions(),
        ["Ready=False LimitReached", "ProjectsListed=True Listed", "InSync=False LimitReached"]
    );
    assert_eq!((world.stored.projects, world.stored.tenants), (Some(3), Some(2)));
    // What is there is changed and kept all the same.
    world.change("template", json!({ "spec": { "region": "r" } }));
    world.change("maxTenants", json!(1));
    let passed = world.pass(Ok(list(&["p0", "p1", "p2"])));
    assert_eq!((passed.created(), passed.changed()), (vec![], vec!["web-p1", "web-p2"]));
}

/// Else each restart of the operator would make all sets but the oldest unready for a moment.
#[test]
fn a_set_that_lacks_nothing_does_not_wait_for_an_older_one() {
    let mut world = World::new(json!({}));
    world.pass(Ok(list(&["p1"])));
    world.others = vec![other("db", OLDER, Claims::Waiting)];
    assert!(!world.pass(Ok(list(&["p1"]))).plan.waits_for_sets);
    let passed = world.pass(Ok(list(&["p1", "p2"])));
    assert_eq!((passed.created(), passed.plan.waits_for_sets), (vec![], true));
}

#[test]
fn adopted_cloud_tenants_count_at_once() {
    let mut world = World::new(json!({ "maxTenants": 3 }));
    let label = json!({ "labels": { "cloudtenant.dev/set": "web" } });
    world.by_hand("web-p3", "p3", label.clone());
    world.by_hand("web-p4", "p4", label);
    world.by_hand("mine", "p2", json!({}));
    let passed = world.pass(Ok(list(&["bad id", "p0", "p1", "p2", "p3", "p4"])));
    assert_eq!((passed.created(), passed.changed()), (vec!["p0"], vec!["web-p3", "web-p4"]));
    assert_eq!(passed.skipped(), ["bad id InvalidProjectId -", "p2 Covered mine"]);
    assert!(passed.plan.is_limited);
    assert_eq!(world.stored.tenants, Some(3));
}
