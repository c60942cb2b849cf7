//! kstatus' verdict on a resource, in its order. Flux, Helm's `--wait`, kpt and others act on it.

use cloudtenant_operator::{
    api::{CloudTenantStatus, condition_type as ty},
    condition,
};

/// `Terminating`, `InProgress`, `Failed` or `Current`.
pub fn kstatus(deleted: bool, generation: i64, status: &CloudTenantStatus) -> &'static str {
    let is = |type_, value: &str| condition::find(&status.conditions, type_).is_some_and(|found| found.status == value);
    if deleted {
        "Terminating"
    } else if status.observed_generation != Some(generation) || is(ty::RECONCILING, "True") {
        "InProgress"
    } else if is(ty::STALLED, "True") {
        "Failed"
    } else if is(ty::READY, "False") || is(ty::READY, "Unknown") {
        "InProgress"
    } else {
        "Current"
    }
}

#[test]
fn nobody_has_visited_it_and_somebody_deletes_it() {
    let status = |text: &str| serde_json::from_str(text).unwrap();
    assert_eq!(kstatus(false, 1, &status(r#"{"observedGeneration": -1}"#)), "InProgress");
    assert_eq!(kstatus(true, 1, &status(r#"{"observedGeneration": 1}"#)), "Terminating");
}
