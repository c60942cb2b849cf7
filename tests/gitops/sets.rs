//! What kstatus, Flux and Argo CD say of CloudTenantSets, under each of their reasons.

use std::{collections::BTreeMap, sync::LazyLock};

use cloudtenant_operator::api::{
    Reason,
    reason::Class,
    set::{self, SetReason},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use testkit::tools::{Judge, Verdicts};

use crate::verdict::{EXPRESSIONS, Row, TABLE, expected_by, expressions_for, parts, path, read, table};

/// The directory with Argo CD's scripts.
pub const ARGO: &str = "integrations/argocd/resource_customizations/cloudtenant.dev/CloudTenantSet";

/// The rows of the reasons that only sets have. The others mean what they mean for CloudTenants.
static OWN: LazyLock<BTreeMap<String, Row>> = LazyLock::new(|| table(parts(&read("docs/gitops.md"))[1]));

/// When the projects were last listed.
const LISTED: &str = "2028-02-29T23:59:59Z";

fn row(reason: &str) -> Option<&'static Row> {
    OWN.get(reason).or_else(|| TABLE.get(reason))
}

/// All reasons that a set can have: its own, and those of what can be wrong for CloudTenants too.
fn every_reason() -> Vec<SetReason> {
    let shared = Reason::ALL.iter().filter(|reason| !matches!(reason.class(), Class::Well | Class::Bad));
    SetReason::OWN.into_iter().chain(shared.map(|reason| SetReason::Shared(*reason))).collect()
}

/// A set whose Ready has this reason, as the operator would write it.
fn object(reason: SetReason, is_stalled: bool) -> Value {
    let condition = |type_: &str, status: &str, reason: SetReason| {
        json!({
            "type": type_, "status": status, "reason": reason.as_str(), "message": "Do something.",
            "observedGeneration": 3, "lastTransitionTime": "2026-11-22T04:00:00Z",
        })
    };
    let listed = match reason {
        SetReason::Shared(_) => condition("ProjectsListed", "Unknown", reason),
        _ => condition("ProjectsListed", "True", SetReason::Listed),
    };
    let mut conditions = vec![condition("Ready", reason.condition_status(), reason), listed];
    conditions.extend(is_stalled.then(|| condition("Stalled", "True", reason)));
    json!({
        "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenantSet",
        "metadata": { "name": "all", "namespace": "fleet", "generation": 3 },
        "spec": { "cloudCredentialsRef": { "secretName": "cloud" }, "interval": "10m", "suspend": false },
        "status": { "observedGeneration": 3, "observedAt": LISTED, "conditions": conditions },
    })
}

fn judge() -> Judge {
    let expressions = expressions_for("CloudTenantSet", &read(EXPRESSIONS));
    Judge::start(&path(ARGO).join("health.lua"), &expressions).unwrap()
}

/// The longest age of a list while the operator runs, in seconds: docs/gitops.md.
fn longest(object: &Value) -> i64 {
    let interval: SignedDuration = object["spec"]["interval"].as_str().unwrap().parse().unwrap();
    interval.as_secs().max(600) + 2 * (interval.as_secs() + 600)
}

/// What is said of a set at an age of its list, which has to be what the tables say.
fn judged(judge: &mut Judge, object: &Value, age: i64) -> Verdicts {
    let listed = object["status"]["conditions"].as_array().into_iter().flatten();
    let is_known = listed.into_iter().any(|one| one["type"] == "ProjectsListed" && one["status"] != "Unknown");
    let at = LISTED.parse::<Timestamp>().unwrap().as_second() + age;
    let said = judge.verdicts(object, at).unwrap();
    let expected = expected_by(row, object, is_known && age > longest(object)).unwrap();
    assert_eq!([&said.kstatus, &said.argo.status, &said.flux], expected.each_ref(), "{object:#}");
    said
}

#[test]
fn the_table_has_every_reason_of_sets_alone() {
    for (word, row) in OWN.iter() {
        let reason = SetReason::OWN.into_iter().find(|reason| reason.as_str() == word);
        let reason = reason.unwrap_or_else(|| panic!("docs/gitops.md: no reason of sets is called {word}"));
        assert_eq!(row.ready, reason.condition_status(), "{word}");
        assert_eq!((row.stalls, row.kstatus.is_none()), (reason.is_stalled(), reason.is_stalled()), "{word}");
    }
    assert_eq!(OWN.len(), SetReason::OWN.len());
}

#[test]
fn every_reason_of_sets() {
    let mut judge = judge();
    for reason in every_reason() {
        if !reason.is_stalled() || reason.may_still_arrive() {
            judged(&mut judge, &object(reason, false), 0);
        }
        if reason.is_stalled() {
            judged(&mut judge, &object(reason, true), 0);
        }
    }
}

#[test]
fn what_stands_above_the_conditions_of_sets() {
    let mut judge = judge();
    let crd = serde_json::to_value(set::crd()).unwrap();
    let fresh = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["default"];
    let with = |reason: SetReason, pointer: &str, name: &str, value: Value| {
        let mut object = object(reason, reason.is_stalled());
        object.pointer_mut(pointer).unwrap()[name] = value;
        object
    };
    for (name, object, words) in [
        (
            "deleted",
            with(SetReason::Synced, "/metadata", "deletionTimestamp", json!("2026-11-22T04:00:00Z")),
            ["Terminating", "Progressing", "Current"],
        ),
        (
            "suspended",
            with(SetReason::CreateForbidden, "/spec", "suspend", json!(true)),
            ["Failed", "Suspended", "Failed"],
        ),
        (
            "changed",
            with(SetReason::CreateForbidden, "/metadata", "generation", json!(4)),
            ["InProgress", "Progressing", "InProgress"],
        ),
        ("new", with(SetReason::Synced, "", "status", fresh.clone()), ["InProgress", "Progressing", "InProgress"]),
        ("held", object(SetReason::PruneHeld, false), ["InProgress", "Degraded", "Failed"]),
        ("forbidden", object(SetReason::CreateForbidden, true), ["Failed", "Degraded", "Failed"]),
        ("in sync", object(SetReason::Synced, false), ["Current", "Healthy", "Current"]),
    ] {
        let said = judged(&mut judge, &object, 0);
        assert_eq!([said.kstatus, said.argo.status, said.flux], words, "{name}");
    }
}

#[test]
fn argo_cd_sees_that_a_list_is_too_old() {
    let mut judge = judge();
    for interval in ["1m", "10m", "1h30m", "24h"] {
        let mut listed = object(SetReason::Synced, false);
        listed["spec"]["interval"] = json!(interval);
        let longest = longest(&listed);
        assert_eq!(judged(&mut judge, &listed, longest).argo.status, "Healthy", "{interval}");
        let said = judged(&mut judge, &listed, longest + 1);
        assert_eq!(said.argo.status, "Degraded", "{interval}");
        assert!(said.argo.message.contains("no longer serves this CloudTenantSet"), "{}", said.argo.message);
        // An Unknown condition has no list that could be too old.
        let mut unknown = object(SetReason::Shared(Reason::Timeout), false);
        unknown["spec"]["interval"] = json!(interval);
        assert_eq!(judged(&mut judge, &unknown, 30 * longest).argo.status, "Progressing", "{interval}");
    }
}
