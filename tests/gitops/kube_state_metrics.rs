//! kube-state-metrics: the file has the form that it reads, and every path leads to a field of the schema. A path that
//! leads nowhere is a metric that never comes, and nobody is told.

use std::{collections::BTreeMap, fs, process::Command};

use cloudtenant_operator::api;
use serde::Deserialize;
use serde_json::{Value, json};
use testkit::tools;

use crate::verdict::read;

const FILE: &str = "integrations/kube-state-metrics/custom-resource-state.yaml";

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

/// The names of the metrics.
fn check(text: &str) -> Result<Vec<String>, String> {
    let config: Config = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let [resource] = config.spec.resources.as_slice() else { return Err("one kind is enough".to_owned()) };
    let named = ["group", "version", "kind"].map(|key| resource.group_version_kind[key].as_str());
    if config.kind != "CustomResourceStateMetrics" || named != ["cloudtenant.dev", "v1alpha1", "CloudTenant"] {
        return Err(format!("{} of {named:?}", config.kind));
    }
    let crd = serde_json::to_value(api::crd()).unwrap();
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
    assert_eq!(check(&read(FILE)).unwrap().len(), 20);
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
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tests.yaml");
    fs::write(&file, tests.to_string()).unwrap();
    let output = Command::new(&programs.promtool).args(["test", "rules"]).arg(&file).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
}
