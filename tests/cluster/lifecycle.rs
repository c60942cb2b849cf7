//! A CloudTenant whose cloud is there: engines that come and go, and what a user does with the resource.

use std::time::Duration;

use cloudtenant_operator::api::REQUESTED_AT;
use serde_json::json;
use testkit::cloud::{CacheCounts, Server, Service};

use crate::lab::{Lab, PROJECT, SOON, condition, handled, message, reason, status, summary};

#[tokio::test]
async fn a_healthy_tenant_becomes_ready_with_all_its_data() {
    let lab = Lab::start("ready").await;
    let launched = lab.cloud.now() - Duration::from_secs(300);
    lab.cloud.set_servers(PROJECT, vec![Server::new("web-1", launched), Server::new("web-2", launched)]);
    lab.cloud.set_caches(PROJECT, CacheCounts::redis(&[("running", 3)]));
    lab.apply("shop", &json!({})).await;

    let tenant = lab.until_ready("shop").await;

    let types = ["Ready", "EnginesHealthy", "CachesHealthy", "UsageReported"];
    assert_eq!(types.map(|type_| status(&tenant, type_)), [Some("True"); 4]);
    assert!(condition(&tenant, "Stalled").is_none() && condition(&tenant, "Reconciling").is_none());
    let seen = tenant.status.clone().unwrap();
    assert_eq!(seen.observed_generation, tenant.metadata.generation);
    assert_eq!(summary(&tenant), "2/2");
    let hosts: Vec<_> = seen.engines.unwrap().hosts.into_iter().map(|host| (host.host, host.up, host.down)).collect();
    assert_eq!(hosts, [("engine-1.lab".to_owned(), 1, 0), ("engine-2.lab".to_owned(), 1, 0)]);
    assert_eq!(seen.caches.unwrap().all.running, Some(3));
    let usage = seen.usage.unwrap();
    assert_eq!((usage.figures.servers, usage.active_servers), (2, 2));
    assert_eq!(usage.figures.by_flavor.iter().map(|used| used.servers).sum::<u64>(), 2);
    let hours: f64 = usage.figures.vcpu_hours.parse().unwrap();
    // Two servers of two processors for five minutes, unless the month has just begun.
    assert!(hours <= 0.4 && (hours > 0.3 || lab.cloud.now().strftime("%d %H").to_string() == "01 00"), "{hours}");
    let source = seen.source.unwrap();
    assert_eq!(source.token_project_name.as_deref(), Some("admin"));
    assert_eq!(source.region.as_deref(), Some("RegionOne"));
    assert_eq!(lab.events("shop").await, []);
    assert_eq!(lab.cloud.logins(), 1);
}

#[tokio::test]
async fn an_engine_dies_and_comes_back() {
    let lab = Lab::start("engine").await;
    lab.apply("shop", &json!({})).await;
    lab.until_ready("shop").await;

    lab.cloud.kill_engine("engine-1.lab");
    // Its last report is older than two intervals, and younger than the three after which a restart deletes the row.
    lab.cloud.advance(Duration::from_secs(150));
    let tenant = lab.until_reason("shop", "Ready", "EnginesDown").await;
    assert_eq!(summary(&tenant), "1/2");
    assert_eq!(status(&tenant, "Ready"), Some("False"));
    let down = tenant.status.as_ref().unwrap().engines.as_ref().unwrap().down_engines.clone();
    let id = down[0].engine_id.as_deref().unwrap();
    assert!(condition(&tenant, "Stalled").is_none(), "somebody may just be restarting it");
    assert!(message(&tenant, "EnginesHealthy").unwrap().contains("engine-1.lab"));
    lab.poke("shop").await;
    lab.poke("shop").await;
    assert_eq!(lab.told("shop").await, ["EngineDown"]);

    lab.cloud.restart_engine("engine-1.lab");
    let tenant = lab.poke_until("shop", "Ready", "Healthy", 3).await;
    assert_eq!(summary(&tenant), "2/2", "the ghost row does not count");
    lab.poke("shop").await;
    let told = lab.events("shop").await;
    assert_eq!(
        told,
        [
            (
                "EngineDown".to_owned(),
                format!("The orchestration engine on engine-1.lab stopped reporting (engine ID {id})."),
            ),
            ("EngineRecovered".to_owned(), "The orchestration engine on engine-1.lab reports again.".to_owned()),
        ]
    );
}

#[tokio::test]
async fn a_hung_engine_is_not_all_engines_down() {
    let lab = Lab::start("hung").await;
    lab.apply("shop", &json!({})).await;
    lab.until_ready("shop").await;
    let record = lab.record("shop");

    lab.cloud.hang_engine("engine-2.lab");
    let tenant = lab.poke_until("shop", "EnginesHealthy", "EngineUnresponsive", 4).await;
    assert_eq!(summary(&tenant), "?/2");
    for _ in 0..6 {
        // 503 and 200 alternate; the 200s do not make it well.
        let tenant = lab.poke("shop").await;
        assert_eq!(reason(&tenant, "EnginesHealthy"), Some("EngineUnresponsive"));
    }
    assert_eq!(lab.told("shop").await, ["EngineUnresponsive"]);

    lab.cloud.resume_engine("engine-2.lab");
    lab.cloud.set_report_interval(1);
    // Three reports of quiet, by the operator's clock, and a few answers.
    let tenant = lab.until_ready("shop").await;
    assert_eq!(summary(&tenant), "2/2");
    assert_eq!(lab.told("shop").await, ["EngineUnresponsive", "EngineRecovered"]);
    assert_eq!(record.statuses("EnginesHealthy", &tenant).await, ["True", "False", "True"]);
}

#[tokio::test]
async fn no_engine_is_left() {
    let lab = Lab::start("none").await;
    lab.cloud.set_report_interval(1);
    lab.apply("shop", &json!({})).await;
    lab.until_ready("shop").await;

    lab.cloud.kill_engine("engine-1.lab");
    lab.cloud.kill_engine("engine-2.lab");
    let tenant = lab.until_reason("shop", "EnginesHealthy", "AllEnginesDown").await;
    assert_eq!(summary(&tenant), "0/2");
    assert_eq!(lab.told("shop").await, ["EngineUnresponsive", "AllEnginesDown"]);

    lab.cloud.restart_engine("engine-1.lab");
    lab.cloud.restart_engine("engine-2.lab");
    let tenant = lab.until_ready("shop").await;
    assert_eq!(summary(&tenant), "2/2");
    assert_eq!(lab.told("shop").await, ["EngineUnresponsive", "AllEnginesDown", "EngineRecovered", "EngineRecovered"]);
}

#[tokio::test]
async fn sick_caches() {
    let lab = Lab::start("caches").await;
    lab.apply("shop", &json!({})).await;
    lab.until_ready("shop").await;
    lab.cloud.set_caches(PROJECT, CacheCounts::redis(&[("running", 2), ("error", 1)]));
    let tenant = lab.poke_until("shop", "Ready", "CacheErrors", 2).await;
    assert_eq!(status(&tenant, "Ready"), Some("False"));
    lab.cloud.set_caches(PROJECT, CacheCounts::redis(&[("running", 3)]));
    lab.poke_until("shop", "Ready", "Healthy", 2).await;
    assert_eq!(lab.told("shop").await, ["CachesUnhealthy", "CachesRecovered"]);
}

#[tokio::test]
async fn suspended_and_resumed() {
    let lab = Lab::start("suspend").await;
    lab.apply("shop", &json!({})).await;
    lab.until_ready("shop").await;

    lab.merge("shop", &json!({ "spec": { "suspend": true } })).await;
    let said = |tenant: &_| message(tenant, "Ready").is_some_and(|message| message.starts_with("Suspended: "));
    let suspended = lab.until("shop", "says that it is suspended", SOON, said).await;
    assert_eq!(status(&suspended, "Ready"), Some("True"), "conditions stay");
    assert_eq!(suspended.status.as_ref().unwrap().observed_generation, suspended.metadata.generation);
    assert_eq!(summary(&suspended), "2/2");
    let asked = Service::ALL.map(|service| lab.cloud.count(service));
    lab.cloud.kill_engine("engine-1.lab");
    lab.cloud.advance(Duration::from_secs(200));
    let wanted = lab.request("shop").await;
    // Another tenant of the namespace gets its first verdict meanwhile: the operator has been at work.
    lab.apply("other", &json!({ "projectID": "other", "probes": { "engines": { "policy": "Disabled" } } })).await;
    lab.until_ready("other").await;
    let now = lab.get("shop").await;
    assert_eq!(now.status, suspended.status, "requestedAt waits");
    assert_eq!(lab.cloud.count(Service::Heat), asked[1]);

    lab.merge("shop", &json!({ "spec": { "suspend": false } })).await;
    let resumed = lab.until_reason("shop", "Ready", "EnginesDown").await;
    assert!(!said(&resumed));
    lab.until("shop", "has handled requestedAt", SOON, |tenant| handled(tenant) == Some(&wanted)).await;
}

#[tokio::test]
async fn requested_at_asks_everything_now() {
    let lab = Lab::start("request").await;
    lab.apply("shop", &json!({ "interval": "1h" })).await;
    lab.until_ready("shop").await;
    let services = [Service::Heat, Service::Dcs, Service::Nova];
    let before = services.map(|service| lab.cloud.count(service));
    lab.merge("shop", &json!({ "metadata": { "annotations": { REQUESTED_AT: "some word" } } })).await;
    let tenant = lab.until("shop", "has handled it", SOON, |tenant| handled(tenant).is_some()).await;
    assert_eq!(handled(&tenant).unwrap(), "some word");
    let after = services.map(|service| lab.cloud.count(service));
    assert_eq!(after, before.map(|count| count + 1));
}

#[tokio::test]
async fn the_example_for_flux_is_looked_at_when_its_annotation_changes() {
    let lab = Lab::start("annotation").await;
    let example = include_str!("../../integrations/flux/reconcile.yaml").replace("  namespace: shop\n", "");
    lab.cloud.add_tenant("3f2a9c51d07b4e868b1df6a4c0e97b22");
    for value in ["2026-11-22T04:00:00Z", "2026-11-23T04:00:00Z"] {
        let applied = example.replace("2026-11-22T04:00:00Z", value);
        lab.control_plane.apply_yaml(Some(&lab.namespace), &applied).await.unwrap();
        let wanted = value.to_owned();
        lab.until("web-shop", "has handled it", SOON, |tenant| handled(tenant) == Some(&wanted)).await;
    }
    assert_eq!(status(&lab.get("web-shop").await, "Ready"), Some("True"));
}

#[tokio::test]
async fn disabled_probes_are_not_asked_and_not_counted() {
    let lab = Lab::start("disabled").await;
    let off = json!({ "policy": "Disabled" });
    lab.apply("usage", &json!({ "probes": { "engines": off, "caches": off } })).await;
    let tenant = lab.until_ready("usage").await;
    for type_ in ["EnginesHealthy", "CachesHealthy"] {
        assert_eq!((status(&tenant, type_), reason(&tenant, type_)), (Some("Unknown"), Some("ProbeDisabled")));
    }
    assert_eq!((lab.cloud.count(Service::Heat), lab.cloud.count(Service::Dcs)), (0, 0));

    lab.apply("nothing", &json!({ "probes": { "engines": off, "caches": off, "usage": off } })).await;
    let tenant = lab.until_reason("nothing", "Ready", "NothingObserved").await;
    assert_eq!(status(&tenant, "Stalled"), Some("True"));

    lab.apply("usage", &json!({ "probes": { "engines": off, "usage": off } })).await;
    let tenant = lab.until_reason("usage", "CachesHealthy", "AllCachesHealthy").await;
    assert!(tenant.status.unwrap().usage.is_none(), "what is no longer looked at is not shown");
}

#[tokio::test]
async fn a_service_that_the_cloud_does_not_offer_is_skipped() {
    let lab = Lab::start("offer").await;
    lab.cloud.set_in_catalogue("dcs", false);
    lab.apply("shop", &json!({})).await;
    let tenant = lab.until_ready("shop").await;
    assert_eq!(reason(&tenant, "CachesHealthy"), Some("ServiceNotOffered"));
}
