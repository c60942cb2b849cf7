//! What is under `integrations/`, by the tools' own libraries and a real API server; docs/gitops.md has the table.
//!
//! Every checker is also given something wrong, which it has to refuse.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod argo;
mod flux;
mod kube_state_metrics;
mod verdict;

use cloudtenant_operator::api::{self, Reason, reason::Class};
use serde_json::{Value, json};
use testkit::tools::Judge;
use verdict::{ARGO, EXPRESSIONS, TABLE, expected, expressions, judge, judged, path, read};

/// A CloudTenant whose Ready has this reason, as the operator would write it.
fn tenant(reason: Reason, stalled: bool) -> Value {
    let condition = |type_: &str, status: &str| {
        json!({
            "type": type_, "status": status, "reason": reason.as_str(), "message": "Do something.",
            "observedGeneration": 3, "lastTransitionTime": "2026-11-22T04:00:00Z",
        })
    };
    let mut conditions = vec![condition("Ready", reason.condition_status())];
    conditions.extend(stalled.then(|| condition("Stalled", "True")));
    json!({
        "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant",
        "metadata": { "name": "shop", "namespace": "shop", "generation": 3 },
        "spec": { "projectID": "p1", "cloudCredentialsRef": { "secretName": "cloud" }, "suspend": false },
        "status": { "observedGeneration": 3, "conditions": conditions },
    })
}

/// A patch on top.
fn with(mut object: Value, pointer: &str, name: &str, value: Value) -> Value {
    object.pointer_mut(pointer).unwrap()[name] = value;
    object
}

#[test]
fn the_table_has_every_reason_and_its_class() {
    for (word, row) in TABLE.iter() {
        let reason = Reason::parse(word).unwrap_or_else(|| panic!("docs/gitops.md: no reason is called {word}"));
        assert_eq!(row.ready, reason.condition_status(), "{word}");
        assert_eq!(row.stalls, reason.class() == Class::Stalled, "{word}");
        assert_eq!(row.kstatus.is_some(), !row.stalls || reason.may_still_arrive(), "{word}");
    }
    let missing: Vec<_> = Reason::ALL.iter().filter(|reason| !TABLE.contains_key(reason.as_str())).collect();
    assert!(missing.is_empty(), "docs/gitops.md has no row for {missing:?}");
}

#[test]
fn every_reason() {
    for reason in Reason::ALL {
        let stalls = reason.class() == Class::Stalled;
        if !stalls || reason.may_still_arrive() {
            judged(&tenant(*reason, false));
        }
        if stalls {
            judged(&tenant(*reason, true));
        }
    }
}

#[test]
fn what_stands_above_the_conditions() {
    let mut reconciling = tenant(Reason::Healthy, false);
    let condition = json!({ "type": "Reconciling", "status": "True", "reason": "Progressing", "message": "Wait." });
    reconciling["status"]["conditions"].as_array_mut().unwrap().push(condition);
    let crd = serde_json::to_value(api::crd()).unwrap();
    let fresh = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["default"];
    let page = read("docs/gitops.md");
    for (name, object, words) in [
        (
            "deleted",
            with(tenant(Reason::Healthy, false), "/metadata", "deletionTimestamp", json!("2026-11-22T04:00:00Z")),
            ["Terminating", "Progressing", "Current"],
        ),
        (
            "`spec.suspend` is true",
            with(tenant(Reason::EnginesDown, false), "/spec", "suspend", json!(true)),
            ["InProgress", "Suspended", "Failed"],
        ),
        (
            "`spec.suspend` is true",
            with(tenant(Reason::Forbidden, true), "/spec", "suspend", json!(true)),
            ["Failed", "Suspended", "Failed"],
        ),
        (
            "no pass over this generation yet",
            with(tenant(Reason::Forbidden, true), "/metadata", "generation", json!(4)),
            ["InProgress", "Progressing", "InProgress"],
        ),
        (
            "no pass over this generation yet",
            with(tenant(Reason::Healthy, false), "", "status", fresh.clone()),
            ["InProgress", "Progressing", "InProgress"],
        ),
        ("`Reconciling`: the first pass has not ended", reconciling, ["InProgress", "Progressing", "InProgress"]),
        (
            "`Stalled`: a person must act, whatever `Ready` says",
            tenant(Reason::Forbidden, true),
            ["Failed", "Degraded", "Failed"],
        ),
        ("`Ready` is True", tenant(Reason::Healthy, false), ["Current", "Healthy", "Current"]),
        ("`Ready` is False", tenant(Reason::EnginesDown, false), ["InProgress", "Degraded", "Failed"]),
        ("`Ready` is Unknown", tenant(Reason::Timeout, false), ["InProgress", "Progressing", "InProgress"]),
    ] {
        let said = judged(&object);
        assert_eq!([said.kstatus, said.argo.status, said.flux], words, "{name}");
        let kstatus = if words[1] == "Suspended" { "by its conditions" } else { words[0] };
        let row = format!("| {name} | {kstatus} | {} |", words[1]);
        assert!(page.contains(&row), "docs/gitops.md: {row}");
    }
}

/// Wrong statuses, a wrong script and wrong expressions are seen.
#[test]
fn what_is_wrong_is_seen() {
    let (health, right) = (path(ARGO).join("health.lua"), expressions(&read(EXPRESSIONS)));
    let mut by_the_right = Judge::start(&health, &right).unwrap();
    let mut wrong = |object: &Value| judge(&mut by_the_right, object).unwrap_err();
    let unstalled = tenant(Reason::Forbidden, false);
    assert!(wrong(&unstalled).contains("without Stalled"));
    let no_ready = with(tenant(Reason::Healthy, false), "/status", "conditions", json!([]));
    assert!(wrong(&no_ready).contains("no Ready"));
    let other = with(tenant(Reason::EnginesDown, false), "/status/conditions/0", "status", json!("True"));
    assert!(wrong(&other).contains("Ready is not False"));
    assert!(wrong(&tenant(Reason::EnginesDown, true)).contains("makes nothing Stalled"));
    let nonsense = with(tenant(Reason::Healthy, false), "/status", "observedGeneration", json!("3"));
    assert!(wrong(&nonsense).contains("observedGeneration"), "kstatus itself refuses it");

    let sick = tenant(Reason::EnginesDown, false);
    let told = expected(&sick).unwrap();
    assert_eq!(told, ["InProgress", "Degraded", "Failed"]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("health.lua");
    let script = read(&format!("{ARGO}/health.lua"));
    for (from, to, message) in [
        ("\"Degraded\", ready", "\"Healthy\", ready", "\"Healthy\""),
        ("\"Degraded\", ready", "\"Sick\", ready", "no health status"),
        ("ready.status == \"False\"", "ready.status:find(\"False\")", "health.lua"),
        ("ready.status == \"False\"", "io.open(\"/etc/passwd\")", "health.lua"),
        ("local ready =", "while true do end local ready =", "deadline"),
    ] {
        assert!(script.contains(from), "{from}");
        std::fs::write(&file, script.replace(from, to)).unwrap();
        let error = judge(&mut Judge::start(&file, &right).unwrap(), &sick).unwrap_err();
        assert!(error.contains(message), "{to}: {error}");
    }

    for (current, failed, message) in [
        ("status.conditions.exists(c, c.type == 'Ready')", "false", "\"Current\""),
        ("status.conditions.exists(c, c.kind == 'Ready')", "false", "no such key"),
        ("status.conditions.exists(c, ", "false", "parse the expression Current"),
        ("'yes'", "false", "boolean"),
    ] {
        let expressions = json!({ "current": current, "failed": failed });
        let error = judge(&mut Judge::start(&health, &expressions).unwrap(), &sick).unwrap_err();
        assert!(error.contains(message), "{current}: {error}");
    }
}
