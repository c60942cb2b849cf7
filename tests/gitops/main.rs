//! What is under `integrations/`, by the tools' own libraries and a real API server; docs/gitops.md has the table.
//!
//! Every checker is also given something wrong, which it has to refuse.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod argo;
mod flux;
mod kube_state_metrics;
mod sets;
mod verdict;

use cloudtenant_operator::api::{self, Reason, reason::Class};
use serde_json::{Value, json};
use testkit::tools::Judge;
use verdict::{ARGO, EXPRESSIONS, TABLE, expected, expressions, judge, judged, judged_at, path, read};

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

/// A CloudTenant with one verdict of a probe, and this on top of its spec.
fn observed(type_: &str, block: &str, status: &str, spec: &Value) -> Value {
    let mut object = tenant(Reason::Healthy, false);
    let condition = json!({
        "type": type_, "status": status, "reason": "Any", "message": "Do something.",
        "observedGeneration": 3, "lastTransitionTime": "2026-11-22T04:00:00Z",
    });
    object["status"]["conditions"].as_array_mut().unwrap().push(condition);
    object["status"][block] = json!({ "observedAt": OBSERVED });
    object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    object
}

/// The last second of a leap day.
const OBSERVED: &str = "2028-02-29T23:59:59Z";

/// A status that nobody renews is Degraded for Argo CD after H + S. kstatus and Flux have no clock.
#[test]
fn only_argo_cd_sees_that_a_status_is_too_old() {
    let at: jiff::Timestamp = OBSERVED.parse().unwrap();
    for (name, type_, block, spec, longest) in [
        ("engines", "EnginesHealthy", "engines", json!({}), 23 * 60),
        ("caches", "CachesHealthy", "caches", json!({}), 23 * 60),
        ("usage", "UsageReported", "usage", json!({}), 3 * 3600 + 180),
        ("Heat has 75 s", "EnginesHealthy", "engines", json!({ "interval": "10s", "timeout": "1s" }), 600 + 170),
        ("shortest", "CachesHealthy", "caches", json!({ "interval": "10s", "timeout": "1s" }), 622),
        ("compound", "CachesHealthy", "caches", json!({ "interval": "1h30m", "timeout": "1m30s" }), 3 * 5400 + 180),
        ("longest", "CachesHealthy", "caches", json!({ "interval": "24h", "timeout": "10m" }), 3 * 86400 + 1200),
        ("parts", "CachesHealthy", "caches", json!({ "interval": "0.5h", "timeout": "1500ms" }), 3 * 1800 + 3),
        (
            "usage' own interval",
            "UsageReported",
            "usage",
            json!({ "interval": "24h", "probes": { "usage": { "interval": "1m" } } }),
            600 + 300,
        ),
    ] {
        let object = observed(type_, block, "True", &spec);
        let fresh = judged_at(&object, at.as_second() + longest);
        assert_eq!([fresh.kstatus, fresh.argo.status, fresh.flux], ["Current", "Healthy", "Current"], "{name}");
        let stale = judged_at(&object, at.as_second() + longest + 1);
        assert_eq!([stale.kstatus, stale.argo.status, stale.flux], ["Current", "Degraded", "Current"], "{name}");
        let begins = format!("The verdict on {block} is ");
        let rest = stale.argo.message.strip_prefix(&begins).unwrap_or_else(|| panic!("{name}: {}", stale.argo.message));
        assert!(rest.contains(" old, from 2028-02-29T23:59:59Z: the operator no longer observes"), "{name}: {rest}");

        // No verdict that could be too old, or nobody is expected to observe.
        let unknown = observed(type_, block, "Unknown", &spec);
        assert_eq!(judged_at(&unknown, at.as_second() + 30 * longest).argo.status, "Healthy", "{name}");
        let suspended = with(object.clone(), "/spec", "suspend", json!(true));
        assert_eq!(judged_at(&suspended, at.as_second() + 30 * longest).argo.status, "Suspended", "{name}");
    }
    let object = observed("CachesHealthy", "caches", "True", &json!({}));
    for (age, words) in [
        (1381, "20 minutes"),
        (7199, "110 minutes"),
        (7200, "2 hours"),
        (172_799, "47 hours"),
        (172_800, "2 days"),
        (2_592_000, "30 days"),
        (9_999_999, "more than 30 days"),
    ] {
        let message = judged_at(&object, at.as_second() + age).argo.message;
        assert!(message.starts_with(&format!("The verdict on caches is {words} old, ")), "{age}: {message}");
    }
    let row = "| older than the operator lets a verdict become, and not suspended | by its conditions | Degraded |";
    assert!(read("docs/gitops.md").contains(row), "docs/gitops.md: {row}");
}

#[test]
fn the_script_knows_the_calendar() {
    let mut object = observed("CachesHealthy", "caches", "True", &json!({}));
    for date in ["1970-01-01", "1999-12-31", "2000-02-29", "2000-03-01", "2026-11-27", "2100-02-28", "2100-03-01"] {
        let observed = format!("{date}T12:34:56Z");
        object["status"]["caches"]["observedAt"] = json!(observed);
        let at: jiff::Timestamp = observed.parse().unwrap();
        for (age, status) in [(1380, "Healthy"), (1381, "Degraded")] {
            assert_eq!(judged_at(&object, at.as_second() + age).argo.status, status, "{date}");
        }
    }
    // Times that are none, and durations that are none, are not too old.
    for odd in ["", "yesterday", "2026-11-27", "2026-11-27T00:00:00+01:00"] {
        object["status"]["caches"]["observedAt"] = json!(odd);
        let health = path(ARGO).join("health.lua");
        let mut judge = Judge::start(&health, &expressions(&read(EXPRESSIONS))).unwrap();
        assert_eq!(judge.verdicts(&object, i64::from(i32::MAX)).unwrap().argo.status, "Healthy", "{odd}");
    }
}

/// Wrong statuses, a wrong script and wrong expressions are seen.
#[test]
fn what_is_wrong_is_seen() {
    let (health, right) = (path(ARGO).join("health.lua"), expressions(&read(EXPRESSIONS)));
    let mut by_the_right = Judge::start(&health, &right).unwrap();
    let mut wrong = |object: &Value| judge(&mut by_the_right, object, 0).unwrap_err();
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
    let told = expected(&sick, 0).unwrap();
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
        let error = judge(&mut Judge::start(&file, &right).unwrap(), &sick, 0).unwrap_err();
        assert!(error.contains(message), "{to}: {error}");
    }

    for (current, failed, message) in [
        ("status.conditions.exists(c, c.type == 'Ready')", "false", "\"Current\""),
        ("status.conditions.exists(c, c.kind == 'Ready')", "false", "no such key"),
        ("status.conditions.exists(c, ", "false", "parse the expression Current"),
        ("'yes'", "false", "boolean"),
    ] {
        let expressions = json!({ "current": current, "failed": failed });
        let error = judge(&mut Judge::start(&health, &expressions).unwrap(), &sick, 0).unwrap_err();
        assert!(error.contains(message), "{current}: {error}");
    }
}
