//! What Helm's own checks and the chart's own tests say.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;
use testkit::tools;

use crate::helm::{by_identity, cases, chart, helm, objects, read, render, render_case, run};

fn lint(chart: &Path, values: Option<&Path>) -> Result<String, String> {
    let mut args = vec!["lint", "--strict", chart.to_str().unwrap()];
    args.extend(values.iter().flat_map(|path| ["--values", path.to_str().unwrap()]));
    helm(&args, "")
}

/// A copy of the chart, to break.
fn copy() -> TempDir {
    fn copy_into(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
            let target = to.join(entry.file_name().unwrap());
            if entry.is_dir() {
                copy_into(&entry, &target);
            } else {
                fs::copy(&entry, &target).unwrap();
            }
        }
    }
    let directory = tempfile::tempdir().unwrap();
    copy_into(&chart(), &directory.path().join("cloudtenant-operator"));
    directory
}

#[test]
fn helm_lint_finds_nothing() {
    for (name, path) in cases() {
        lint(&chart(), Some(&path)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

fn unittest(chart: &Path) -> Result<String, String> {
    run(&tools::helm_unittest().unwrap(), &["--strict", chart.to_str().unwrap()], "")
}

#[test]
fn the_charts_own_tests_pass() {
    let said = unittest(&chart()).unwrap_or_else(|error| panic!("{error}"));
    assert!(!said.contains("Tests:       0"), "{said}");
}

#[test]
fn the_charts_own_tests_fail_on_another_chart() {
    let directory = copy();
    let chart = directory.path().join("cloudtenant-operator");
    let template = chart.join("templates/_pod.tpl");
    let text = fs::read_to_string(&template).unwrap();
    fs::write(&template, text.replace("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false")).unwrap();
    let error = unittest(&chart).unwrap_err();
    assert!(error.contains("readOnlyRootFilesystem"), "{error}");
}

/// For whoever uses the chart as a part of their own.
#[test]
fn helm_packages_what_is_needed_and_no_tests() {
    let directory = tempfile::tempdir().unwrap();
    let into = directory.path().to_str().unwrap();
    helm(&["package", chart().to_str().unwrap(), "--destination", into], "").unwrap();
    let package = directory.path().join("cloudtenant-operator-0.1.0.tgz");
    let package = package.to_str().unwrap();
    let rendered = helm(&["template", "x", package], "").unwrap();
    assert!(rendered.contains("kind: CustomResourceDefinition"));
    let readme = helm(&["show", "readme", package], "").unwrap();
    assert!(readme.contains("## Values"));
    let list = run(Path::new("tar"), &["--list", "--gzip", "--file", package], "").unwrap();
    assert!(list.contains("templates/tests/verify.yaml"), "{list}");
    assert!(!list.contains("_test.yaml") && !list.contains("/ci/"), "{list}");
}

/// A second release must not stand in the first one's place.
#[test]
fn the_release_packages_the_chart_under_its_own_version() {
    const COMMAND: &str = "helm package ";
    let workflow = read(".github/workflows/release.yml");
    let [command] = workflow.lines().filter_map(|line| line.trim().strip_prefix(COMMAND)).collect::<Vec<_>>()[..]
    else {
        panic!("release.yml packages one chart")
    };
    let directory = tempfile::tempdir().unwrap();
    let into = directory.path().to_str().unwrap();
    let chart = chart();
    let words = command.split(' ').map(|word| match word {
        "charts/cloudtenant-operator" => chart.to_str().unwrap(),
        "\"$VERSION\"" => "7.8.9",
        "out" => into,
        word => word,
    });
    helm(&["package"].into_iter().chain(words).collect::<Vec<_>>(), "").unwrap();
    let package = directory.path().join("cloudtenant-operator-7.8.9.tgz");
    let told = helm(&["show", "chart", package.to_str().unwrap()], "").unwrap();
    let told: Value = serde_saphyr::from_str(&told).unwrap();
    assert_eq!((&told["version"], &told["appVersion"]), (&"7.8.9".into(), &"7.8.9".into()));
}

#[test]
fn every_object_has_the_labels_of_the_chart() {
    for (name, path) in cases() {
        for (identity, object) in by_identity(objects(&render_case(&path))) {
            let labels = &object["metadata"]["labels"];
            // The test's Pod must not be selected as the operator's.
            let own = if identity.ends_with("-test") { "cloudtenant-operator-test" } else { "cloudtenant-operator" };
            assert_eq!(labels["app.kubernetes.io/name"], own, "{name}: {identity}");
            assert_eq!(labels["app.kubernetes.io/instance"], "cloudtenant-operator", "{name}: {identity}");
            assert_eq!(labels["app.kubernetes.io/version"], "0.1.0", "{name}: {identity}");
            assert_eq!(labels["app.kubernetes.io/managed-by"], "Helm", "{name}: {identity}");
            assert_eq!(labels["app.kubernetes.io/part-of"], "cloudtenant-operator", "{name}: {identity}");
            assert_eq!(labels["helm.sh/chart"], "cloudtenant-operator-0.1.0", "{name}: {identity}");
            assert_eq!(labels.get("team").is_some(), name == "everything", "{name}: {identity}");
        }
    }
}

#[test]
#[should_panic(expected = "duplicate mapping key: release")]
fn a_key_that_is_there_twice_is_found() {
    objects("metadata:\n  labels:\n    release: one\n    release: one\n");
}

/// Prometheus selects by a label that all objects may have, too.
#[test]
fn a_label_for_all_objects_may_be_one_for_some() {
    const VALUES: &str = "{
        commonLabels: { release: all, team: cloud },
        podLabels: { release: pods },
        monitoring: {
            MONITOR: { enabled: true, labels: { release: prometheus, team: '' } },
            prometheusRule: { enabled: true, labels: { release: prometheus, team: '' } },
            dashboard: { enabled: true, labels: { release: prometheus, team: '' } },
        },
    }";
    let mut seen = 0;
    for monitor in ["serviceMonitor", "podMonitor"] {
        for (identity, object) in by_identity(objects(&render(&VALUES.replace("MONITOR", monitor)).unwrap())) {
            let alone = ["Monitor", "PrometheusRule", "-dashboard"].iter().any(|part| identity.contains(part));
            let wanted = if alone { ("prometheus", "") } else { ("all", "cloud") };
            let labels = &object["metadata"]["labels"];
            assert_eq!(
                (labels["release"].as_str(), labels["team"].as_str()),
                (Some(wanted.0), Some(wanted.1)),
                "{identity}"
            );
            seen += usize::from(alone);
        }
    }
    assert_eq!(seen, 6);
}

#[test]
fn every_version_is_the_same() {
    let chart: Value = serde_saphyr::from_str(&read("charts/cloudtenant-operator/Chart.yaml")).unwrap();
    for version in ["version", "appVersion"] {
        assert_eq!(chart[version], env!("CARGO_PKG_VERSION"), "{version}");
    }
    let image = format!("ghcr.io/cloudtenant/cloudtenant-operator:{}", env!("CARGO_PKG_VERSION"));
    assert!(chart["annotations"]["artifacthub.io/images"].as_str().unwrap().contains(&image));
    assert!(render("").unwrap().contains(&format!("image: {image}\n")));
}

/// Alerts and dashboards have templates of their own, which are not Helm's.
#[test]
fn alerts_and_dashboard_go_through_as_they_are() {
    const VALUES: &str = "{ monitoring: { prometheusRule: { enabled: true }, dashboard: { enabled: true } }, tenantSets: { enabled: true } }";
    let directory = copy();
    let chart = directory.path().join("cloudtenant-operator");
    let go_through = || {
        let rendered = helm(&["template", "x", chart.to_str().unwrap(), "--values", "-"], VALUES).unwrap();
        let rendered = objects(&rendered);
        let of_kind = |kind: &str| rendered.iter().find(|object| object["kind"] == kind).unwrap();
        let alerts = fs::read_to_string(chart.join("files/alerts.yaml")).unwrap();
        assert_eq!(of_kind("PrometheusRule")["spec"], objects(&alerts)[0]);
        let dashboard = fs::read_to_string(chart.join("files/dashboard.json")).unwrap();
        let shown = of_kind("ConfigMap")["data"]["x-cloudtenant-operator.json"].as_str().unwrap();
        assert_eq!(shown.trim(), dashboard.trim());
        serde_json::from_str::<Value>(shown).unwrap();
    };
    go_through();
    let alerts = "groups: [{ name: a, rules: [{ alert: A, expr: up, annotations: { b: '{{ $labels.name }}' } }] }]\n";
    fs::write(chart.join("files/alerts.yaml"), alerts).unwrap();
    fs::write(chart.join("files/dashboard.json"), "{ \"legendFormat\": \"{{name}} {{`\" }\n").unwrap();
    go_through();
}
