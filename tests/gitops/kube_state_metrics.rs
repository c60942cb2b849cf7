//! kube-state-metrics: the file has the form that it reads, and every path leads to a field of the schema. A path that
//! leads nowhere is a metric that never comes, and nobody is told.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use cloudtenant_operator::api::{self, set};
use serde::Deserialize;
use serde_json::{Value, json};
use testkit::tools;

use crate::verdict::{path, read};

const FILE: &str = "integrations/kube-state-metrics/custom-resource-state.yaml";
const SETS: &str = "integrations/kube-state-metrics/tenant-sets.yaml";
const ALERTS: &str = "integrations/kube-state-metrics/alerts.yaml";

type Labels = BTreeMap<String, Vec<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    kind: String,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Resource {
    group_version_kind: BTreeMap<String, String>,
    metric_name_prefix: String,
    #[serde(rename = "errorLogV")]
    _error_log_v: u8,
    labels_from_path: Labels,
    metrics: Vec<Metric>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metric {
    name: String,
    help: String,
    each: Each,
}

/// Of a metric's kinds, those that are used.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, tag = "type")]
enum Each {
    Info { info: Values },
    Gauge { gauge: Values },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Values {
    #[serde(default)]
    path: Vec<String>,
    #[serde(default)]
    labels_from_path: Labels,
    #[serde(default)]
    value_from: Vec<String>,
}

/// The schema at a path, below a list's items if it leads to a list.
fn lead(schema: &Value, path: &[String]) -> Result<Value, String> {
    let mut at = schema;
    for name in path {
        at = at["properties"].get(name).ok_or_else(|| format!("{path:?} leads nowhere: {name}"))?;
    }
    Ok(at.get("items").unwrap_or(at).clone())
}

/// The names of the metrics of CloudTenants.
fn check(text: &str) -> Result<Vec<String>, String> {
    check_kind(text, "CloudTenant", &serde_json::to_value(api::crd()).unwrap())
}

/// The names of the metrics of a kind.
fn check_kind(text: &str, kind: &str, crd: &Value) -> Result<Vec<String>, String> {
    let config: Config = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let [resource] = config.spec.resources.as_slice() else { return Err("one kind is enough".to_owned()) };
    let named = ["group", "version", "kind"].map(|key| resource.group_version_kind[key].as_str());
    if config.kind != "CustomResourceStateMetrics" || named != ["cloudtenant.dev", "v1alpha1", kind] {
        return Err(format!("{} of {named:?}", config.kind));
    }
    let mut schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    // What every object has.
    let metadata = r#"{"properties": {"name": {"type": "string"}, "namespace": {"type": "string"},
        "generation": {"type": "integer"}}}"#;
    schema["properties"]["metadata"] = serde_json::from_str(metadata).unwrap();
    for path in resource.labels_from_path.values() {
        lead(&schema, path)?;
    }
    let mut names = Vec::new();
    for metric in &resource.metrics {
        let name = format!("{}_{}", resource.metric_name_prefix, metric.name);
        let snake = |c: char| c.is_ascii_lowercase() || c == '_';
        if names.contains(&name) || !name.chars().all(snake) || !metric.help.ends_with('.') {
            return Err(format!("{name}: {}", metric.help));
        }
        let (Each::Info { info: values } | Each::Gauge { gauge: values }) = &metric.each;
        let at = lead(&schema, &values.path)?;
        for path in values.labels_from_path.values() {
            lead(&at, path)?;
        }
        if let Each::Gauge { gauge } = &metric.each {
            let value = lead(&at, &gauge.value_from)?;
            // Times and decimals are strings; it reads both.
            if !["integer", "boolean", "string"].contains(&value["type"].as_str().unwrap_or_default()) {
                return Err(format!("{name} has no value: {}", value["type"]));
            }
        }
        names.push(name);
    }
    Ok(names)
}

#[test]
fn every_path_leads_to_a_field() {
    assert_eq!(check(&read(FILE)).unwrap().len(), 21);
    let crd = serde_json::to_value(set::crd()).unwrap();
    let of_sets = check_kind(&read(SETS), "CloudTenantSet", &crd).unwrap();
    assert_eq!(of_sets.len(), 13);
    assert!(of_sets.iter().all(|name| name.starts_with("kube_cloudtenantset_")));
    assert!(read("docs/gitops.md").contains("(../integrations/kube-state-metrics/tenant-sets.yaml)"));
    let wrong = read(SETS).replace("path: [status, held]", "path: [status, kept]");
    assert!(check_kind(&wrong, "CloudTenantSet", &crd).unwrap_err().contains("kept"));
}

#[test]
fn what_leads_nowhere_is_refused() {
    let right = read(FILE);
    for (from, to, message) in [
        ("kind: CustomResourceStateMetrics", "kind: Metrics", "Metrics of"),
        ("group: cloudtenant.dev", "group: example.com", "example.com"),
        ("path: [status, engines, up]", "path: [status, engines, alive]", "alive"),
        ("path: [status, engines, up]", "path: [status, engines]", "no value"),
        ("type: [type]", "type: [kind]", "kind"),
        ("valueFrom: [lastTransitionTime]", "valueFrom: [since]", "since"),
        ("valueFrom: [lastTransitionTime]", "value: [lastTransitionTime]", "value"),
        ("name: [metadata, name]", "name: [metadata, title]", "title"),
        ("type: Gauge", "type: Counter", "Counter"),
        ("name: engines_down", "name: engines_up", "engines_up"),
    ] {
        assert!(right.contains(from), "{from}");
        let error = check(&right.replacen(from, to, 1)).unwrap_err();
        assert!(error.contains(message), "{to}: {error}");
    }
}

/// The queries on docs/gitops.md.
fn queries() -> Vec<String> {
    let page = read("docs/gitops.md");
    let block = page.split("```promql\n").nth(1).unwrap().split("```").next().unwrap();
    block.lines().map(str::to_owned).collect()
}

#[test]
fn the_queries_on_the_page_are_of_metrics_that_there_are() {
    let names = check(&read(FILE)).unwrap();
    for query in queries() {
        let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let used: Vec<_> = words.filter(|word| word.starts_with("kube_")).collect();
        assert!(used.len() == 2 && used.iter().all(|word| names.iter().any(|name| name == word)), "{query}");
    }
}

/// Four CloudTenants: one that is well, one that has changed, one that nobody looks at, and that one suspended.
#[test]
fn the_queries_on_the_page_find_what_they_are_for() {
    let Some(programs) = tools::prometheus().unwrap() else { return };
    let series = |metric: &str, name: &str, value: u32| {
        json!({
            "series": format!(
                "kube_cloudtenant_{metric}{{namespace=\"shop\", name=\"{name}\", customresource_kind=\"CloudTenant\"}}"
            ),
            "values": format!("{value}x120"),
        })
    };
    let found = |query: &str, metric: &str, name: &str, value: u32| {
        let labels = format!("{metric}{{customresource_kind=\"CloudTenant\", name=\"{name}\", namespace=\"shop\"}}");
        json!({ "expr": query, "eval_time": "2h", "exp_samples": [{ "labels": labels, "value": value }] })
    };
    let mut input = Vec::new();
    for (name, generation, observed, engines_observed, suspended) in
        [("well", 3, 3, 3700, 0), ("changed", 4, 3, 7200, 0), ("stale", 3, 3, 3500, 0), ("suspended", 3, 3, 3500, 1)]
    {
        input.push(series("generation", name, generation));
        input.push(series("observed_generation", name, observed));
        input.push(series("engines_observed_timestamp_seconds", name, engines_observed));
        input.push(series("suspended", name, suspended));
    }
    let [unseen, stale] = &queries()[..] else { panic!("two queries") };
    let tests = json!({ "tests": [{
        "interval": "1m",
        "input_series": input,
        "promql_expr_test": [
            found(unseen, "kube_cloudtenant_observed_generation", "changed", 3),
            found(stale, "", "stale", 3700),
        ],
    }]});
    let (passed, said) = promtool_tests(&programs.promtool, &tests);
    assert!(passed, "{said}");
}

/// Whether promtool's tests pass, and all that it prints.
fn promtool_tests(promtool: &Path, tests: &Value) -> (bool, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tests.yaml");
    // JSON is YAML.
    fs::write(&file, tests.to_string()).unwrap();
    let output = Command::new(promtool).args(["test", "rules"]).arg(&file).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

#[test]
fn the_alerts_are_of_metrics_that_exist_and_of_records_before_them() {
    let mut names = check(&read(FILE)).unwrap();
    let rules: Value = serde_saphyr::from_str(&read(ALERTS)).unwrap();
    for rule in rules["groups"][0]["rules"].as_array().unwrap() {
        let expr = rule["expr"].as_str().unwrap();
        let words = expr.split(|c: char| !c.is_ascii_alphanumeric() && !['_', ':'].contains(&c));
        for word in words.filter(|word| word.starts_with("kube_")) {
            assert!(names.iter().any(|name| name == word), "{word} in {expr}");
        }
        names.extend(rule["record"].as_str().map(str::to_owned));
    }
}

/// A limit below the real duration would be an alert without a cause.
#[test]
fn durations_are_rounded_up_and_never_down() {
    let Some(programs) = tools::prometheus().unwrap() else { return };
    let rows = [
        ("interval", "10s", 300),
        ("interval", "5m", 300),
        ("interval", "4m59s", 300),
        ("interval", "300s", 300),
        ("interval", "5m1s", 900),
        ("interval", "301s", 900),
        ("interval", "4m99s", 86_400),
        ("interval", "15m", 900),
        ("interval", "900s", 900),
        ("interval", "901s", 1800),
        ("interval", "15m30s", 1800),
        ("interval", "30m", 1800),
        ("interval", "1800s", 1800),
        ("interval", "1801s", 3600),
        ("interval", "31m", 3600),
        ("interval", "1h", 3600),
        ("interval", "60m", 3600),
        ("interval", "3600s", 3600),
        ("interval", "3601s", 86_400),
        ("interval", "61m", 21_600),
        ("interval", "1h30m", 21_600),
        ("interval", "6h", 21_600),
        ("interval", "360m", 21_600),
        ("interval", "361m", 86_400),
        ("interval", "6h1s", 86_400),
        ("interval", "24h", 86_400),
        ("interval", "0.1h", 86_400),
        ("interval", "90000ms", 86_400),
        ("usage_interval", "1m", 3600),
        ("usage_interval", "1h", 3600),
        ("usage_interval", "1h1m", 21_600),
        ("usage_interval", "6h", 21_600),
        ("usage_interval", "24h", 86_400),
        ("timeout", "1s", 90),
        ("timeout", "90s", 90),
        ("timeout", "1m30s", 90),
        ("timeout", "91s", 600),
        ("timeout", "1m31s", 600),
        ("timeout", "2m", 600),
        ("timeout", "10m", 600),
    ];
    let (mut input, mut found) = (Vec::new(), Vec::new());
    for (number, (label, duration, limit)) in rows.iter().enumerate() {
        input.push(json!({
            "series": format!("kube_cloudtenant_schedule{{namespace=\"shop\", name=\"t{number}\", {label}=\"{duration}\"}}"),
            "values": "1x2",
        }));
        let record = format!("kube_cloudtenant:{label}_limit:seconds");
        found.push(json!({
            "expr": format!("{record}{{name=\"t{number}\"}}"), "eval_time": "1m",
            "exp_samples": [{ "labels": format!("{record}{{namespace=\"shop\", name=\"t{number}\"}}"), "value": limit }],
        }));
    }
    let tests = json!({
        "rule_files": [path(ALERTS)], "evaluation_interval": "1m",
        "tests": [{ "interval": "1m", "input_series": input, "promql_expr_test": found }],
    });
    let (passed, said) = promtool_tests(&programs.promtool, &tests);
    assert!(passed, "{said}");
}

/// Four minutes of verdicts, then none: CloudTenants of the defaults, one with a long interval, one that is suspended,
/// one with Unknown conditions, and one that is still observed.
#[test]
fn a_status_that_nobody_renews_raises_the_alert() {
    let Some(programs) = tools::prometheus().unwrap() else { return };
    let mut input = Vec::new();
    for (name, namespace, interval, engines, usage, suspended, status) in [
        ("shop", "a", "5m", "240x400", "240x400", 0, "True"),
        ("slow", "b", "1h", "240x400", "240x400", 0, "False"),
        ("usage", "c", "5m", "0+60x400", "240x400", 0, "True"),
        ("suspended", "d", "5m", "240x400", "240x400", 1, "True"),
        ("unknown", "e", "5m", "240x400", "240x400", 0, "Unknown"),
        ("observed", "f", "5m", "0+60x400", "0+60x400", 0, "True"),
    ] {
        let labels = format!("namespace=\"{namespace}\", name=\"{name}\"");
        let mut series = |metric: &str, more: &str, values: &str| {
            let series = format!("kube_cloudtenant_{metric}{{{labels}{more}}}");
            input.push(json!({ "series": series, "values": values }));
        };
        let schedule = format!(", interval=\"{interval}\", timeout=\"90s\", usage_interval=\"1h\"");
        series("schedule", &schedule, "1x400");
        series("suspended", "", &format!("{suspended}x400"));
        for (type_, metric, values) in [
            ("EnginesHealthy", "engines", engines),
            ("CachesHealthy", "caches", engines),
            ("UsageReported", "usage", usage),
        ] {
            series("status_condition", &format!(", type=\"{type_}\", status=\"{status}\""), "1x400");
            series(&format!("{metric}_observed_timestamp_seconds"), "", values);
        }
    }
    let rules: Value = serde_saphyr::from_str(&read(ALERTS)).unwrap();
    let rule = rules["groups"][0]["rules"].as_array().unwrap().last().unwrap();
    let firing = |at: &str, namespaces: &[&str]| {
        let alert = |namespace: &&str| {
            let text = |name: &str| rule["annotations"][name].as_str().unwrap();
            json!({
                "exp_labels": { "severity": "critical", "namespace": namespace },
                "exp_annotations": {
                    "summary": text("summary").replace("{{ $labels.namespace }}", namespace),
                    "description": text("description").replace("{{ $value }}", "1"),
                    "runbook_url": text("runbook_url"),
                },
            })
        };
        let alerts: Vec<_> = namespaces.iter().map(alert).collect();
        json!({ "eval_time": at, "alertname": "CloudTenantStatusStale", "exp_alerts": alerts })
    };
    let tests = json!({
        "rule_files": [path(ALERTS)], "evaluation_interval": "1m",
        "tests": [{
            "interval": "1m", "input_series": input,
            "alert_rule_test": [
                // 4 + 23 minutes, and then five minutes for the alert itself.
                firing("32m", &[]), firing("33m", &["a"]),
                // 4 minutes + 3 h 3 min: the interval of one hour, and the usage.
                firing("192m", &["a"]), firing("193m", &["a", "b", "c"]), firing("6h", &["a", "b", "c"]),
            ],
        }],
    });
    let (passed, said) = promtool_tests(&programs.promtool, &tests);
    assert!(passed, "{said}");
    for (meaning, that, this) in [
        ("Unknown conditions count", ", status!=\"Unknown\"", ""),
        ("suspended CloudTenants count", "kube_cloudtenant_suspended == 1", "kube_cloudtenant_suspended == 2"),
        (
            "H is always ten minutes",
            "clamp_min(kube_cloudtenant:usage_interval_limit:seconds",
            "clamp_max(kube_cloudtenant:usage_interval_limit:seconds",
        ),
        ("S has no deadline", " + kube_cloudtenant:timeout_limit:seconds)", ")"),
        ("an alert at once", "for: 5m\n        keep", "for: 0m\n        keep"),
    ] {
        let rules = read(ALERTS);
        assert!(rules.contains(that), "{that}");
        let directory = tempfile::tempdir().unwrap();
        let changed = directory.path().join("alerts.yaml");
        fs::write(&changed, rules.replace(that, this)).unwrap();
        let mut tests = tests.clone();
        tests["rule_files"] = json!([changed]);
        let (passed, _) = promtool_tests(&programs.promtool, &tests);
        assert!(!passed, "no test notices: {meaning}");
    }
}
