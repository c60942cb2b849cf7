//! Alerts and dashboard where Prometheus honours the operator's labels, and where it overwrites `namespace` and
//! `service`, as OpenShift's monitoring of user workloads does.

use std::{collections::BTreeMap, fs, thread};

use serde_json::{Value, json};
use testkit::tools;

use crate::{
    alerts::{self, yaml},
    board,
    prometheus::{Labels, file, promtool},
};

/// The namespace and the Service of the operator, which Prometheus writes over the series' own.
const OPERATOR: (&str, &str) = ("system", "cloudtenant-operator");

type Text = BTreeMap<String, String>;

/// The labels of a series of the tests, as Prometheus stores them. There, none has `tenant_namespace` yet.
fn stored(labels: &mut Text, how: Labels) {
    let tenant = labels.get("namespace").filter(|_| labels.contains_key("name")).cloned();
    if let Some(own) = &tenant {
        labels.insert("tenant_namespace".into(), own.clone());
    }
    if how == Labels::Overwritten {
        // The others have the namespace of their operator already.
        let namespace = tenant.map(|own| ("namespace", own, OPERATOR.0));
        let service = labels.get("service").map(|own| ("service", own.clone(), OPERATOR.1));
        for (name, own, of_the_target) in namespace.into_iter().chain(service) {
            labels.insert(name.into(), of_the_target.into());
            labels.insert(format!("exported_{name}"), own);
        }
    }
}

/// The labels that an alert or the answer to a query then has. The operator's own have its job.
fn expected(labels: &mut Text, how: Labels) {
    if !labels.contains_key("job")
        && let Some(own) = labels.get("namespace").cloned()
    {
        if how == Labels::Overwritten {
            labels.insert("namespace".into(), OPERATOR.0.into());
        }
        labels.insert("tenant_namespace".into(), own);
    }
}

/// A series as promtool writes it, with its labels changed.
fn relabelled(series: &str, change: impl Fn(&mut Text)) -> Value {
    let (name, labels) = series.trim_end_matches('}').split_once('{').unwrap_or((series, ""));
    let pairs = labels.split("\",").filter_map(|label| label.trim().split_once("=\""));
    let mut labels = pairs.map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned())).collect();
    change(&mut labels);
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    format!("{name}{{{}}}", labels.join(", ")).into()
}

fn transformed(tests: &mut Value, how: Labels) {
    for scene in tests["tests"].as_array_mut().unwrap() {
        for input in scene["input_series"].as_array_mut().unwrap() {
            input["series"] = relabelled(input["series"].as_str().unwrap(), |labels| stored(labels, how));
        }
        for look in scene["alert_rule_test"].as_array_mut().into_iter().flatten() {
            for alert in look["exp_alerts"].as_array_mut().into_iter().flatten() {
                let mut labels = serde_json::from_value(alert["exp_labels"].clone()).unwrap();
                expected(&mut labels, how);
                alert["exp_labels"] = json!(labels);
            }
        }
        for look in scene["promql_expr_test"].as_array_mut().into_iter().flatten() {
            for sample in look["exp_samples"].as_array_mut().into_iter().flatten() {
                sample["labels"] = relabelled(sample["labels"].as_str().unwrap(), |labels| expected(labels, how));
            }
        }
    }
}

/// promtool's word on these rules with labels that are stored so, by the scenes of these files.
fn judged(rules: &str, files: &[&str], how: Labels) -> Option<(bool, String)> {
    let programs = tools::prometheus().unwrap()?;
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("alerts.yaml"), rules).unwrap();
    let tests = files.iter().map(|path| {
        let mut tests = yaml(&fs::read_to_string(file(path)).unwrap());
        tests["rule_files"] = json!(["alerts.yaml"]);
        transformed(&mut tests, how);
        let path = directory.path().join(path.rsplit_once('/').unwrap().1);
        // JSON is YAML.
        fs::write(&path, tests.to_string()).unwrap();
        path.display().to_string()
    });
    let tests: Vec<_> = tests.collect();
    let arguments: Vec<_> = ["test", "rules"].into_iter().chain(tests.iter().map(String::as_str)).collect();
    Some(promtool(&programs, &arguments, ""))
}

#[test]
fn alerts_are_right_whether_labels_are_honoured_or_overwritten() {
    let rules = fs::read_to_string(file(alerts::RULES)).unwrap();
    thread::scope(|scope| {
        for how in [Labels::Honoured, Labels::Overwritten] {
            let rules = &rules;
            scope.spawn(move || {
                let Some((passed, said)) = judged(rules, &alerts::TESTS, how) else { return };
                assert!(passed, "{how:?}: {said}");
            });
        }
    });
}

/// Without the label that nobody overwrites, two CloudTenants of the same name are one.
#[test]
fn alerts_that_read_only_the_overwritten_labels_are_wrong() {
    let rules = fs::read_to_string(file(alerts::RULES)).unwrap();
    for without in [" tenant_namespace,", "\"exported_service\""] {
        assert!(rules.contains(without));
        let this = if without.starts_with('"') { "\"exported_nothing\"" } else { "" };
        let Some((passed, _)) = judged(&rules.replace(without, this), &[alerts::TESTS[2]], Labels::Overwritten) else {
            return;
        };
        assert!(!passed, "no test notices: without {without}");
    }
}

#[test]
fn the_dashboard_is_right_whether_labels_are_honoured_or_overwritten() {
    for how in [Labels::Honoured, Labels::Overwritten] {
        let mut tests = yaml(&fs::read_to_string(file(board::TESTS)).unwrap());
        transformed(&mut tests, how);
        let Some((passed, said)) = board::judged_by(&board::dashboard(), tests) else { return };
        assert!(passed, "{how:?}: {said}");
    }
}
