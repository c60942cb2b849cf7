//! The way to the cloud is blocked: never a verdict on what cannot be seen.

use serde_json::json;
use testkit::cloud::{Fault, Service};

use crate::lab::{LATER, Lab, SOON, condition, message, reason, status, summary};

#[tokio::test]
async fn what_cannot_be_reached_is_unknown_and_never_false() {
    let lab = Lab::start("blind").await;
    lab.apply("shop", &json!({})).await;
    lab.until_ready("shop").await;
    let record = lab.record("shop");

    lab.cloud.fault(Service::Heat, Fault::Unreachable);
    lab.cloud.fault(Service::Nova, Fault::Unreachable);
    let tenant = lab.poke("shop").await;
    assert_eq!(status(&tenant, "Ready"), Some("True"), "one failure is no verdict");
    let tenant = lab.poke_until("shop", "Ready", "ConnectionFailed", 3).await;
    assert_eq!(status(&tenant, "UsageReported"), Some("Unknown"));
    assert_eq!(status(&tenant, "CachesHealthy"), Some("True"));
    assert!(condition(&tenant, "Stalled").is_none());
    assert_eq!(summary(&tenant), "?/2", "what was seen stays, marked");
    assert!(tenant.status.unwrap().usage.is_some());

    lab.cloud.clear_faults(Service::Heat);
    lab.cloud.clear_faults(Service::Nova);
    let last = lab.poke_until("shop", "Ready", "Healthy", 3).await;
    assert_eq!(record.statuses("Ready", &last).await, ["True", "Unknown", "True"]);
    let told = lab.told("shop").await;
    assert!(!told.is_empty() && told.iter().all(|reason| reason.starts_with("Observation")), "{told:?}");
}

#[tokio::test]
async fn keystone_is_away() {
    let lab = Lab::start("keystone").await;
    lab.apply("shop", &json!({})).await;
    lab.until_ready("shop").await;

    lab.cloud.fault(Service::Keystone, Fault::Unreachable);
    let tenant = lab.poke("shop").await;
    assert_eq!(status(&tenant, "Ready"), Some("True"), "the token in hand still does");
    lab.cloud.revoke_tokens();
    let tenant = lab.poke_until("shop", "Ready", "ConnectionFailed", 3).await;
    assert!(message(&tenant, "Ready").unwrap().contains("Keystone"), "{:?}", message(&tenant, "Ready"));
    assert_eq!(status(&tenant, "Ready"), Some("Unknown"));
    assert!(condition(&tenant, "Stalled").is_none());

    lab.cloud.clear_faults(Service::Keystone);
    // Logins that fail are a second apart.
    lab.poke_until("shop", "Ready", "Healthy", 50).await;
    assert_eq!(lab.told("shop").await, ["ObservationFailed", "ObservationRecovered"]);
}

#[tokio::test]
async fn the_secret_comes_after_the_tenant() {
    let lab = Lab::without_secret("late").await;
    lab.apply("shop", &json!({})).await;
    let tenant = lab.until_reason("shop", "Ready", "SecretNotFound").await;
    assert!(condition(&tenant, "Stalled").is_none(), "people apply folders in any order");
    lab.apply_secret(&lab.cloud.clouds_yaml("openstack")).await;
    lab.until("shop", "is ready", SOON, |tenant| status(tenant, "Ready") == Some("True")).await;
    assert_eq!(lab.events("shop").await, [], "nothing worth an event has happened");
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_and_heals_when_corrected() {
    let lab = Lab::without_secret("password").await;
    let good = lab.cloud.clouds_yaml("openstack");
    lab.apply_secret(&good.replace("operator-secret", "guessed")).await;
    lab.apply("shop", &json!({})).await;
    let tenant = lab.until_reason("shop", "Stalled", "AuthenticationFailed").await;
    assert_eq!(status(&tenant, "Ready"), Some("Unknown"));
    for _ in 0..3 {
        lab.poke("shop").await;
    }
    assert_eq!(lab.cloud.logins(), 1, "accounts get locked");
    assert_eq!(lab.told("shop").await, ["AuthenticationFailed"]);

    lab.apply_secret(&good).await;
    let tenant = lab.until("shop", "is ready", LATER, |tenant| status(tenant, "Ready") == Some("True")).await;
    assert!(condition(&tenant, "Stalled").is_none());
    assert_eq!(lab.cloud.logins(), 2);
    assert_eq!(lab.told("shop").await, ["AuthenticationFailed", "ObservationRecovered"]);
}

#[tokio::test]
async fn a_role_that_is_missing_and_granted() {
    let lab = Lab::start("role").await;
    lab.cloud.remove_admin_role();
    lab.apply("shop", &json!({ "projectID": lab.cloud.admin_project() })).await;
    let tenant = lab.until_reason("shop", "EnginesHealthy", "Forbidden").await;
    assert_eq!(reason(&tenant, "Stalled"), Some("Forbidden"));
    assert_eq!(reason(&tenant, "UsageReported"), Some("Reported"), "its own usage needs no admin");
    lab.cloud.grant_admin_role();
    lab.poke_until("shop", "Ready", "Healthy", 3).await;
}

#[tokio::test]
async fn heat_hangs_and_the_others_are_reported_meanwhile() {
    let lab = Lab::start("hanging").await;
    lab.cloud.fault(Service::Heat, Fault::Hang);
    lab.apply("shop", &json!({})).await;
    let tenant = lab.until_reason("shop", "CachesHealthy", "AllCachesHealthy").await;
    assert_eq!((status(&tenant, "Ready"), reason(&tenant, "Ready")), (Some("Unknown"), Some("Progressing")));
    assert_eq!(status(&tenant, "Reconciling"), Some("True"));
}
