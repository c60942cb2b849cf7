//! The examples in `integrations/policies`, applied to the API server. They refuse what a tenant may not create.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::{control_plane::ControlPlane, eventually::eventually};

use crate::scene::{shared, tenant};

const QUOTA: &str = include_str!("../../integrations/policies/resource-quota.yaml");
const POLICY: &str = include_str!("../../integrations/policies/validating-admission-policy.yaml");
/// The API server takes some seconds to apply a new policy.
const SOON: Duration = Duration::from_secs(60);

/// Creates the object. Returns the API server's refusal, or nothing.
async fn refusal(control_plane: &ControlPlane, namespace: &str, object: &Value, more: &[&str]) -> Result<String> {
    let args = [&["create", "--namespace", namespace, "-f", "-"], more].concat();
    let output = control_plane.kubectl_stdin(&args, &object.to_string()).await?;
    Ok(if output.status.success() { String::new() } else { output.stderr })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_limits_the_number_of_cloudtenants() {
    let control_plane = shared().await;
    let namespace = control_plane.namespace("quota").await.unwrap();
    control_plane.apply_yaml(Some(&namespace), QUOTA).await.unwrap();
    // As the controller manager does, which the tests' control plane lacks.
    let count = json!({ "count/cloudtenants.cloudtenant.dev": "20" });
    let none = json!({ "count/cloudtenants.cloudtenant.dev": "0" });
    let patch = json!({ "status": { "hard": count, "used": none } }).to_string();
    let args =
        ["patch", "resourcequota", "cloudtenants", "--namespace", &namespace, "--subresource=status", "-p", &patch];
    let patched = control_plane.kubectl(&args).await.unwrap();
    assert!(patched.status.success(), "{}", patched.stderr);
    let object = |number: usize| tenant(&format!("t{number}"), "cloud", &json!({ "suspend": true }));
    // The API server may not have read the new status yet.
    let first = eventually("the quota is in force", SOON, async || {
        let refused = refusal(control_plane, &namespace, &object(0), &[]).await?;
        ensure!(refused.is_empty(), "{refused}");
        Ok::<_, anyhow::Error>(())
    });
    first.await.unwrap();
    for number in 1..20 {
        assert_eq!(refusal(control_plane, &namespace, &object(number), &[]).await.unwrap(), "", "{number}");
    }
    let refused = refusal(control_plane, &namespace, &object(20), &[]).await.unwrap();
    assert!(refused.contains("exceeded quota: cloudtenants"), "{refused}");
    // Another namespace has no quota.
    let other = control_plane.namespace("other").await.unwrap();
    assert_eq!(refusal(control_plane, &other, &object(20), &[]).await.unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_limits_intervals_and_annotations() {
    let control_plane = shared().await;
    let namespace = control_plane.namespace("policy").await.unwrap();
    control_plane.apply_yaml(None, POLICY).await.unwrap();
    let label = ["label", "namespace", &namespace, "cloudtenant.dev/policy=limited"];
    assert!(control_plane.kubectl(&label).await.unwrap().status.success());
    let dry = ["--dry-run=server"];
    let with = |name: &str, spec: Value, annotation: &str| {
        let mut object = tenant(name, "cloud", &spec);
        if !annotation.is_empty() {
            object["metadata"]["annotations"] = json!({ "reconcile.fluxcd.io/requestedAt": annotation });
        }
        object
    };
    let in_force = eventually("the policy is in force", SOON, async || {
        let object = with("short", json!({ "interval": "10s" }), "");
        ensure!(!refusal(control_plane, &namespace, &object, &dry).await?.is_empty(), "it is allowed");
        Ok::<_, anyhow::Error>(())
    });
    in_force.await.unwrap();
    let long = "x".repeat(41);
    for (name, spec, annotation, expected) in [
        ("interval", json!({ "interval": "59s" }), "", "interval must be at least 1m"),
        ("the-least", json!({ "interval": "1m", "timeout": "2m" }), "2026-11-22T05:09:46.123456789+01:00", ""),
        ("defaults", json!({ "interval": "5m" }), "1764262800", ""),
        ("timeout", json!({ "interval": "5m", "timeout": "121s" }), "", "timeout must be at most 2m"),
        ("long", json!({ "interval": "5m" }), long.as_str(), "requestedAt must be a time"),
        ("lines", json!({ "interval": "5m" }), "a\nb", "requestedAt must be a time"),
    ] {
        let refused = refusal(control_plane, &namespace, &with(name, spec, annotation), &dry).await.unwrap();
        assert_eq!(refused.is_empty(), expected.is_empty(), "{name}: {refused}");
        assert!(refused.contains(expected), "{name}: {refused}");
    }
    // A namespace without the label is free.
    let other = control_plane.namespace("other").await.unwrap();
    let object = with("short", json!({ "interval": "10s" }), "");
    assert_eq!(refusal(control_plane, &other, &object, &dry).await.unwrap(), "");
}
