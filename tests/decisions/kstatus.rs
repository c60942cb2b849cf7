//! kstatus' verdict on a status, by kstatus itself. Flux, Helm's `--wait`, kpt and others act on it.

use cloudtenant_operator::api::CloudTenantStatus;
use serde_json::{Value, json};
use testkit::tools::Verdicts;

use crate::verdict::judged;

fn object(generation: i64, suspend: bool, status: &CloudTenantStatus) -> Value {
    json!({
        "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant",
        "metadata": { "name": "shop", "namespace": "shop", "generation": generation },
        "spec": { "projectID": "p1", "cloudCredentialsRef": { "secretName": "cloud" }, "suspend": suspend },
        "status": status,
    })
}

/// What the tools say, which is what docs/gitops.md says that they do.
pub fn said(generation: i64, suspend: bool, status: &CloudTenantStatus) -> Verdicts {
    judged(&object(generation, suspend, status))
}

/// `Terminating`, `InProgress`, `Failed` or `Current`.
pub fn kstatus(deleted: bool, generation: i64, status: &CloudTenantStatus) -> String {
    let mut object = object(generation, false, status);
    if deleted {
        object["metadata"]["deletionTimestamp"] = json!("2026-11-22T04:00:00Z");
    }
    judged(&object).kstatus
}

#[test]
fn nobody_has_visited_it_and_somebody_deletes_it() {
    let status = |text: &str| serde_json::from_str(text).unwrap();
    assert_eq!(kstatus(false, 1, &status(r#"{"observedGeneration": -1}"#)), "InProgress");
    let healthy = r#"{"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True", "reason": "Healthy",
        "message": "Well.", "lastTransitionTime": "2026-11-22T04:00:00Z"}]}"#;
    assert_eq!(kstatus(true, 1, &status(healthy)), "Terminating");
}
