//! CloudTenantSets on a real control plane, with a simulated Keystone. The operator runs in this process, so that a test can
//! move the clock by which lists are compared.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod again;
mod bounds;
mod owners;
mod refused;
mod scene;
mod tags;
mod writes;

use std::time::Instant;

use kube::{Resource as _, ResourceExt as _, api::DeleteParams};
use scene::{Scene, condition, rows, skipped};
use serde_json::json;
use testkit::cloud::{Fault, Listing, Service};

/// Longer than the time between two lists after which a project is gone.
const TEN_MINUTES: i64 = 11 * 60;

#[tokio::test(flavor = "multi_thread")]
async fn projects_come_change_and_go_and_their_cloud_tenants_are_kept() {
    let scene = Scene::start("kept").await;
    scene.projects(3);
    scene.create("fleet", &json!({ "template": { "metadata": { "labels": { "team": "a" } } } })).await;
    scene.until_ready("fleet", 3).await;
    let child = scene.tenant("fleet-p1").await;
    assert_eq!(child.spec.project_id, "p1");
    assert_eq!((child.labels()["cloudtenant.dev/set"].as_str(), child.labels()["team"].as_str()), ("fleet", "a"));
    assert_eq!(child.annotations()["cloudtenant.dev/project-name"], "fleet-1");
    assert!(child.owner_references().is_empty(), "a kept CloudTenant outlives its set");
    scene.until_tenant_ready("fleet-p1").await;
    let created = scene.events("TenantsCreated").await;
    assert_eq!(created.len(), 1, "{created:?}");

    // A pass that finds nothing new writes no CloudTenant.
    let versions = scene.versions().await;
    scene.suspend_tenants(&["fleet-p1", "fleet-p2", "fleet-p3"], "fleet").await;
    let suspended = scene.versions().await;
    scene.list_again("fleet").await;
    assert_eq!(scene.versions().await, suspended, "written in vain; at first {versions:?}");

    scene.cloud.put_project_of_operator("p4", "fleet-4");
    scene.cloud.rename_project("p2", "fleet-two");
    scene.list_again("fleet").await;
    assert_eq!(scene.tenant("fleet-p2").await.annotations()["cloudtenant.dev/project-name"], "fleet-two");
    assert_eq!(scene.tenant("fleet-p4").await.spec.project_id, "p4");

    scene.cloud.remove_tenant("p1");
    scene.cloud.set_tenant_enabled("p3", false);
    for _ in 0..3 {
        scene.clock.forward(TEN_MINUTES);
        scene.list_again("fleet").await;
    }
    assert_eq!(scene.names().await, ["fleet-p1", "fleet-p2", "fleet-p3", "fleet-p4"]);
    assert_eq!(scene.set("fleet").await.status.unwrap().projects, Some(2));

    scene.delete("fleet").await;
    assert_eq!(scene.names().await.len(), 4);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_project_that_is_gone_from_two_whole_lists_is_pruned() {
    let mut scene = Scene::start("pruned").await;
    scene.projects(10);
    scene.create("fleet", &json!({ "prune": "Delete", "source": "Projects" })).await;
    scene.until_ready("fleet", 10).await;
    let owner = scene.tenant("fleet-p1").await.owner_references()[0].clone();
    assert_eq!((owner.kind.as_str(), owner.controller), ("CloudTenantSet", Some(true)));

    // Each list that lacks projects without saying that they are gone.
    for (name, listing) in [("empty", Listing::Empty), ("half", Listing::Half), ("truncated", Listing::Limited(5))] {
        scene.cloud.set_listing(listing);
        for _ in 0..3 {
            scene.clock.forward(TEN_MINUTES);
            scene.list_again("fleet").await;
        }
        let set = scene.set("fleet").await;
        assert_eq!(scene.names().await.len(), 10, "{name}");
        assert_eq!(condition(&set, "InSync"), ("False".into(), "PruneHeld".into()), "{name}");
    }
    assert!(!scene.events("PruneHeld").await.is_empty());
    scene.cloud.set_listing(Listing::Whole);
    scene.cloud.fault_on(Service::Keystone, "/v3/projects", Fault::status(500, "{}"));
    scene.ask("fleet", "fails").await;
    scene.until("fleet", "cannot list", |set| condition(set, "ProjectsListed").0 == "Unknown").await;
    assert_eq!(scene.names().await.len(), 10);
    scene.cloud.clear_faults(Service::Keystone);
    scene.list_again("fleet").await;
    scene.until("fleet", "is Ready again", |set| condition(set, "Ready").0 == "True").await;

    // Gone from one list, then a restart: the first list of the new process deletes nothing.
    scene.cloud.remove_tenant("p7");
    scene.list_again("fleet").await;
    scene.restart().await;
    scene.clock.forward(TEN_MINUTES);
    scene.list_again("fleet").await;
    assert_eq!(scene.names().await.len(), 10, "after a restart");
    scene.clock.forward(TEN_MINUTES);
    scene.list_again("fleet").await;
    scene.until_gone("fleet-p7").await;
    assert_eq!(scene.names().await.len(), 9);
    assert_eq!(scene.events("TenantsPruned").await.len(), 1);

    // Five of nine: more than a fifth, until somebody confirms it.
    for id in ["p1", "p2", "p3", "p4", "p5"] {
        scene.cloud.remove_tenant(id);
    }
    for _ in 0..3 {
        scene.clock.forward(TEN_MINUTES);
        scene.list_again("fleet").await;
    }
    assert_eq!(scene.names().await.len(), 9, "too many at once");
    let generation = scene.set("fleet").await.meta().generation.unwrap();
    scene.annotate("fleet", "cloudtenant.dev/confirm-prune", &generation.to_string()).await;
    scene.list_again("fleet").await;
    scene.until_gone("fleet-p5").await;
    assert_eq!(scene.names().await, ["fleet-p10", "fleet-p6", "fleet-p8", "fleet-p9"]);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_made_is_left_alone() {
    let scene = Scene::start("others").await;
    scene.projects(4);
    // One has a project, one the name that the set would give.
    scene.create_tenant("by-hand", "p1").await;
    scene.create_tenant("fleet-p2", "elsewhere").await;
    let before = [scene.tenant("by-hand").await.spec, scene.tenant("fleet-p2").await.spec];
    scene.create("fleet", &json!({ "prune": "Delete" })).await;
    scene.until_ready("fleet", 2).await;
    let wanted = [("p1", "Covered", "by-hand"), ("p2", "NameTaken", "fleet-p2")];
    assert_eq!(skipped(&scene.set("fleet").await), rows(&wanted));
    assert_eq!([scene.tenant("by-hand").await.spec, scene.tenant("fleet-p2").await.spec], before);

    // Another set gets what this one leaves. Both can be created in the same second, so neither is surely the older one.
    scene.cloud.put_project_of_operator("x5", "other-5");
    scene.create("young", &json!({ "filter": { "namePattern": "^(fleet-[34]|other-)" } })).await;
    scene.until_ready("young", 1).await;
    assert_eq!(scene.names().await, ["by-hand", "fleet-p2", "fleet-p3", "fleet-p4", "young-x5"]);

    // Somebody else owns a field: the conflict is reported and not forced.
    scene.force_interval("fleet-p3", "2m").await;
    scene.change("fleet", &json!({ "template": { "spec": { "interval": "5m" } } })).await;
    scene.until("fleet", "reports a conflict", |set| condition(set, "InSync").1 == "FieldConflict").await;
    assert_eq!(scene.tenant("fleet-p3").await.spec.interval.0, "2m");
    scene.until_interval("fleet-p4", "5m").await;

    scene.cloud.remove_tenant("p1");
    scene.cloud.remove_tenant("p2");
    for _ in 0..3 {
        scene.clock.forward(TEN_MINUTES);
        scene.list_again("fleet").await;
    }
    assert_eq!(scene.names().await.len(), 5);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_is_limited_paced_suspended_and_corrected() {
    let scene = Scene::start_with("limits", 5).await;
    scene.projects(12);
    scene.create("fleet", &json!({ "maxTenants": 8 })).await;
    scene.until("fleet", "waits for its pace", |set| condition(set, "Reconciling").0 == "True").await;
    assert_eq!(scene.names().await.len(), 5, "five writes a minute");
    scene.clock.forward(61);
    scene.list_again("fleet").await;
    scene.until("fleet", "has reached its limit", |set| condition(set, "InSync").1 == "LimitReached").await;
    assert_eq!(scene.names().await.len(), 8);

    scene.change("fleet", &json!({ "suspend": true })).await;
    let calls = scene.cloud.count(Service::Keystone);
    scene
        .until("fleet", "is suspended", |set| {
            set.status.as_ref().is_some_and(|status| status.observed_generation == set.meta().generation)
        })
        .await;
    scene.ask("fleet", "while suspended").await;
    scene.cloud.put_project_of_operator("late", "fleet-late");
    scene.change("fleet", &json!({ "suspend": false, "filter": { "namePattern": "(" } })).await;
    scene.until("fleet", "is Stalled", |set| condition(set, "Stalled").0 == "True").await;
    let set = scene.set("fleet").await;
    let message = set.status.unwrap().conditions.into_iter().find(|found| found.type_ == "Ready").unwrap().message;
    assert!(message.contains("namePattern"), "{message}");
    let lists = scene.cloud.count(Service::Keystone) - calls;
    assert!(scene.lists() == 2, "{lists} calls");
    scene.change("fleet", &json!({ "filter": { "namePattern": "^fleet-late$" } })).await;
    scene.clock.forward(61);
    scene
        .until("fleet", "is corrected", |set| set.status.as_ref().is_some_and(|status| status.projects == Some(1)))
        .await;
    scene.stop().await;
}

/// The namespace's CloudTenants are deleted by the garbage collector, which this control plane does not have.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_set_writes_nothing() {
    let scene = Scene::start("deleted").await;
    scene.projects(2);
    scene.create("fleet", &json!({ "prune": "Delete" })).await;
    scene.until_ready("fleet", 2).await;
    scene.tenants.delete("fleet-p1", &DeleteParams::default()).await.unwrap();
    scene.list_again("fleet").await;
    assert_eq!(scene.names().await, ["fleet-p1", "fleet-p2"], "what is deleted by hand comes back");
    scene.delete("fleet").await;
    scene.tenants.delete("fleet-p1", &DeleteParams::default()).await.unwrap();
    scene.create("second", &json!({ "filter": { "namePattern": "^fleet-1$" } })).await;
    scene.until_ready("second", 1).await;
    assert_eq!(scene.names().await, ["fleet-p2", "second-p1"]);
    scene.stop().await;
}

/// `SETS_PROJECTS=2000 cargo test --test sets many -- --nocapture` prints figures of that many projects. The API server's
/// figures are those of this test if it runs alone.
#[tokio::test(flavor = "multi_thread")]
async fn many_projects_are_listed_in_pages_and_a_quiet_pass_writes_none() {
    let number = std::env::var("SETS_PROJECTS").map_or(30, |number| number.parse().unwrap());
    let scene = Scene::start_with("many", 10_000).await;
    scene.projects(number);
    scene.cloud.set_listing(Listing::Paged(1000));
    let spec = json!({ "suspend": true });
    let template = json!({ "maxTenants": 5000, "source": "Projects", "template": { "spec": spec } });
    let before = scene.api_server().await;
    let began = Instant::now();
    scene.create("fleet", &template).await;
    scene.until_ready("fleet", u32::try_from(number).unwrap()).await;
    let (created, after) = (began.elapsed(), scene.api_server().await);
    let first = scene.lists_of_projects();
    let versions = scene.versions().await;
    let began = Instant::now();
    scene.list_again("fleet").await;
    let (again, at_last) = (began.elapsed(), scene.api_server().await);
    let second = scene.lists_of_projects() - first;
    let objects = scene.versions().await;
    // Their own statuses are written meanwhile, but the set writes none of them.
    assert_eq!(objects.len(), versions.len());
    assert_eq!(scene.applied_by_set("fleet-p1").await, 0, "written in vain");
    // The cloud has some projects besides these.
    assert!(second == first && second <= number / 1000 + 1, "{first} and {second} pages");
    let [applies, lists] = [("APPLY", &after, &before), ("LIST", &at_last, &after)]
        .map(|(verb, now, then)| now.requests("cloudtenants", "", verb) - then.requests("cloudtenants", "", verb));
    println!(
        "{number} projects: all made after {created:.1?} with {first} calls to Keystone and {applies} applies; a quiet \
         pass took {again:.1?} with {second} calls and {lists} pages of CloudTenants\n{}",
        scene.kubectl_get("cloudtenantsets").await
    );
    scene.stop().await;
}
