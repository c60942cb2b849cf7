//! Who sees that the operator is gone: Argo CD's script and the alerts do, kstatus and Flux do not.

use std::{fs, process::Command};

use cloudtenant_operator::api::CloudTenant;
use jiff::Timestamp;
use serde_json::{Value, json};
use testkit::tools;

use crate::{
    alerts::{self, yaml},
    lab::{self, Lab},
    prometheus::{Labels, Prometheus, file, promtool},
    verdict::judged_at,
};

const EXPORTED: &str = "integrations/kube-state-metrics/custom-resource-state.yaml";
const ALERTS: &str = "integrations/kube-state-metrics/alerts.yaml";

/// The series that kube-state-metrics makes of an object, by its configuration: name, labels and value.
fn exported(object: &Value) -> Vec<(String, String, f64)> {
    let config = yaml(&fs::read_to_string(file(EXPORTED)).unwrap());
    let resource = &config["spec"]["resources"][0];
    let at = |value: &Value, path: &Value| {
        let names = path.as_array().into_iter().flatten().map(|name| name.as_str().unwrap());
        names.fold(value.clone(), |value, name| value[name].clone())
    };
    let labels = |value: &Value, paths: &Value| {
        let pairs = paths.as_object().into_iter().flatten();
        let known = pairs.filter_map(|(name, path)| Some(format!("{name}=\"{}\"", at(value, path).as_str()?)));
        known.collect::<Vec<_>>()
    };
    let number = |value: &Value| match value {
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::String(text) => {
            text.parse::<Timestamp>().map_or_else(|_| text.parse().ok(), |time| Some(time.as_second() as f64))
        }
        value => value.as_f64(),
    };
    let mut series = Vec::new();
    for metric in resource["metrics"].as_array().unwrap() {
        let name = format!("{}_{}", resource["metricNamePrefix"].as_str().unwrap(), metric["name"].as_str().unwrap());
        let (values, info) = match metric["each"]["type"].as_str().unwrap() {
            "Info" => (&metric["each"]["info"], true),
            _ => (&metric["each"]["gauge"], false),
        };
        let found = at(object, &values["path"]);
        for found in found.as_array().cloned().unwrap_or_else(|| vec![found]) {
            let value = if info { Some(1.0) } else { number(&at(&found, &values["valueFrom"])) };
            let all = [labels(object, &resource["labelsFromPath"]), labels(&found, &values["labelsFromPath"])];
            series.extend(value.map(|value| (name.clone(), all.concat().join(", "), value)));
        }
    }
    series
}

/// The alert on these series from the moment of the kill on.
fn status_is_stale(object: &Value, killed: Timestamp) -> Option<(bool, String)> {
    let programs = tools::prometheus().unwrap()?;
    // promtool's clock begins at 0.
    let series = exported(object).into_iter().map(|(name, labels, value)| {
        let value = if name.ends_with("_timestamp_seconds") { value - killed.as_second() as f64 } else { value };
        json!({ "series": format!("{name}{{{labels}}}"), "values": format!("{value}x100") })
    });
    let namespace = &object["metadata"]["namespace"];
    let count = |at: &str, expected: &[Value]| {
        json!({
            "expr": "ALERTS{alertname=\"CloudTenantStatusStale\", alertstate=\"firing\"}", "eval_time": at,
            "exp_samples": expected,
        })
    };
    let labels = format!(
        "ALERTS{{alertname=\"CloudTenantStatusStale\", alertstate=\"firing\", namespace={namespace}, severity=\"critical\"}}"
    );
    let tests = json!({
        "rule_files": [file(ALERTS)], "evaluation_interval": "1m",
        "tests": [{
            "interval": "1m", "input_series": series.collect::<Vec<_>>(),
            // The interval of 10s counts as 5m and the deadline of 5s as 90s: 23 minutes, and five for the alert.
            "promql_expr_test": [count("20m", &[]), count("30m", &[json!({ "labels": labels, "value": 1 })])],
        }],
    });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tests.json");
    fs::write(&path, tests.to_string()).unwrap();
    Some(promtool(&programs, &["test", "rules", &path.display().to_string()], ""))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_a_killed_operator_left_is_seen_to_be_old() {
    let lab = Lab::start("killed").await;
    lab.apply("web-shop", &json!({})).await;
    let tenant = lab.until_ready("web-shop").await;
    let programs = tools::prometheus().unwrap();
    let mut prometheus = None;
    if let Some(programs) = &programs {
        let rules = file(alerts::RULES);
        let started = Prometheus::start(programs, &[lab.operator.address()], &rules, Labels::Honoured).await;
        let synced = started.until("cloudtenant_synced == 1", |series| !series.is_empty()).await.unwrap();
        assert_eq!(synced.len(), 1);
        let down = "ALERTS{alertname=\"CloudTenantOperatorDown\"}";
        // Rules that were evaluated before the first scrape had no data.
        assert_eq!(started.until(down, <[_]>::is_empty).await, Ok(Vec::new()));
        prometheus = Some((started, down));
    }
    let kill = Command::new("kill").args(["-KILL", &lab.operator.pid().to_string()]).status().unwrap();
    assert!(kill.success());
    let killed = Timestamp::now();

    // Nobody changes the status: the object is the same as long as the operator is gone.
    let object = serde_json::to_value(lab.get(&tenant.metadata.name.clone().unwrap()).await).unwrap();
    let words = |minutes: i64| {
        let said = judged_at(&object, killed.as_second() + minutes * 60);
        (said.kstatus, said.argo.status, said.flux, said.argo.message)
    };
    let (kstatus, argo, flux, _) = words(0);
    assert_eq!([kstatus, argo, flux], ["Current", "Healthy", "Current"]);
    // H + S is 10 minutes and 30 s for the caches.
    let (kstatus, argo, flux, message) = words(12);
    assert_eq!([kstatus, argo, flux], ["Current", "Degraded", "Current"]);
    assert!(message.contains("is 10 minutes old") && message.contains("no longer observes"), "{message}");
    if let Some((passed, said)) = status_is_stale(&object, killed) {
        assert!(passed, "{said}");
    }

    // The alert that stands in for kstatus is on its way; after five minutes it fires.
    if let Some((prometheus, down)) = prometheus {
        let pending = prometheus.until(down, |series| !series.is_empty()).await.unwrap();
        assert_eq!(pending.len(), 1, "{pending:?}");
        assert_eq!(pending[0]["metric"]["alertstate"], "pending");
    }
    let now: CloudTenant = lab.get("web-shop").await;
    assert_eq!(lab::status(&now, "Ready"), Some("True"), "kubectl get shows it so still");
}
