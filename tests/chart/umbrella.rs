//! The chart as people run it: part of an umbrella chart, under other names and versions, and on an OpenShift.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use crate::helm::{chart, helm, objects, read};

/// An umbrella chart with this dependency in its Chart.yaml, and with these values.
fn umbrella(dependency: &str, values: &str, arguments: &[&str]) -> Result<Vec<Value>, String> {
    let directory = tempfile::tempdir().unwrap();
    let charts = directory.path().join("charts");
    fs::create_dir(&charts).unwrap();
    std::os::unix::fs::symlink(chart(), charts.join("cloudtenant-operator")).unwrap();
    let metadata = format!(
        "{{ apiVersion: v2, name: platform, version: 1.0.0, dependencies: [{{ name: cloudtenant-operator, version: '*', {dependency} }}] }}"
    );
    fs::write(directory.path().join("Chart.yaml"), metadata).unwrap();
    let mut all = vec!["template", "platform", directory.path().to_str().unwrap(), "--values", "-"];
    all.extend(arguments);
    helm(&all, values).map(|rendered| objects(&rendered))
}

fn deployment(objects: &[Value]) -> &Value {
    objects.iter().find(|object| object["kind"] == "Deployment").unwrap()
}

/// The Deployment's Pods, and the test's Pod.
fn pods(objects: &[Value]) -> [&Value; 2] {
    let test = objects.iter().find(|object| object["kind"] == "Pod").unwrap();
    [&deployment(objects)["spec"]["template"]["spec"], &test["spec"]]
}

#[test]
fn openshift_chooses_the_user_also_in_an_umbrella_chart() {
    const OPENSHIFT: &[&str] = &["--api-versions", "security.openshift.io/v1"];
    let value = |value: &str| format!("compatibility: {{ openshift: {{ adaptSecurityContext: {value} }} }}");
    for (values, arguments, omitted) in [
        (String::new(), &[][..], false),
        (String::new(), OPENSHIFT, true),
        (format!("global: {{ {} }}", value("auto")), &[], false),
        (format!("global: {{ {} }}", value("auto")), OPENSHIFT, true),
        (format!("global: {{ {} }}", value("force")), &[], true),
        (format!("global: {{ {} }}", value("disabled")), OPENSHIFT, false),
        (format!("global: {{ {} }}", value("null")), &[], false),
        ("global: { compatibility: null }".into(), OPENSHIFT, true),
        // For this chart alone.
        (format!("cloudtenant-operator: {{ global: {{ {} }} }}", value("force")), &[], true),
    ] {
        let rendered = umbrella("", &values, arguments).unwrap_or_else(|error| panic!("{values}: {error}"));
        for pod in pods(&rendered) {
            let context = &pod["securityContext"];
            assert_eq!(context["runAsNonRoot"], true, "{values}");
            for (name, user) in [("runAsUser", 65532), ("runAsGroup", 65532)] {
                assert_eq!(context[name], if omitted { Value::Null } else { user.into() }, "{values} {arguments:?}");
            }
        }
    }
    let error = umbrella("", "global: { compatibility: { openshift: { adaptSecurityContext: yes-please } } }", &[]);
    assert!(error.map(drop).unwrap_err().contains("adaptSecurityContext"));
}

#[test]
fn anchors_stand_under_keys_of_their_own() {
    for key in ["x-labels", "x-", ".labels", "."] {
        let section = format!("{{ {key}: &labels {{ team: cloud }}, commonLabels: *labels }}");
        for (place, rendered) in [
            ("alone", helm(&["template", "x", chart().to_str().unwrap(), "--values", "-"], &section)),
            (
                "in an umbrella",
                umbrella("", &format!("cloudtenant-operator: {section}"), &[])
                    .map(|all| all.iter().map(Value::to_string).collect()),
            ),
        ] {
            let rendered = rendered.unwrap_or_else(|error| panic!("{key}, {place}: {error}"));
            assert!(rendered.contains("team"), "{key}, {place}");
        }
    }
    for key in ["xlabels", "anchors", "X-labels"] {
        let error = umbrella("", &format!("cloudtenant-operator: {{ {key}: 1 }}"), &[]).map(drop).unwrap_err();
        assert!(error.contains(&format!("'{key}' not allowed")), "{error}");
    }
}

#[test]
fn the_registry_of_all_charts_replaces_the_repositorys() {
    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    for (registry, image, expected) in [
        ("r.example.com", String::new(), "r.example.com/cloudtenant/cloudtenant-operator:0.1.0"),
        (
            "r.example.com:5000/mirror",
            String::new(),
            "r.example.com:5000/mirror/cloudtenant/cloudtenant-operator:0.1.0",
        ),
        ("r.example.com/", String::new(), "r.example.com/cloudtenant/cloudtenant-operator:0.1.0"),
        ("localhost", String::new(), "localhost/cloudtenant/cloudtenant-operator:0.1.0"),
        ("''", String::new(), "ghcr.io/cloudtenant/cloudtenant-operator:0.1.0"),
        ("null", String::new(), "ghcr.io/cloudtenant/cloudtenant-operator:0.1.0"),
        ("r", "repository: operator, tag: edge".into(), "r/operator:edge"),
        ("r", "repository: team/operator".into(), "r/team/operator:0.1.0"),
        ("r", "repository: localhost/operator".into(), "r/operator:0.1.0"),
        ("r", "repository: 'registry:5000/operator'".into(), "r/operator:0.1.0"),
        ("r", format!("digest: '{DIGEST}'"), &format!("r/cloudtenant/cloudtenant-operator@{DIGEST}")),
    ] {
        let values =
            format!("{{ global: {{ imageRegistry: {registry} }}, cloudtenant-operator: {{ image: {{ {image} }} }} }}");
        let rendered = umbrella("", &values, &[]).unwrap_or_else(|error| panic!("{values}: {error}"));
        for pod in pods(&rendered) {
            assert_eq!(pod["containers"][0]["image"], expected, "{values}");
        }
    }
    for wrong in ["'https://r.example.com'", "'a b'", "[r]", "5"] {
        let error = umbrella("", &format!("global: {{ imageRegistry: {wrong} }}"), &[]).map(drop).unwrap_err();
        assert!(error.contains("/global/imageRegistry"), "{wrong}: {error}");
    }
}

#[test]
fn the_pull_secrets_of_all_charts_are_added() {
    for (all, own, expected) in [
        ("[a, { name: b }]", "[{ name: c }]", &["a", "b", "c"][..]),
        ("[a]", "[]", &["a"]),
        ("[a, a, { name: a }]", "[{ name: a }]", &["a"]),
        ("null", "[{ name: c }]", &["c"]),
        ("[]", "[]", &[]),
    ] {
        let values =
            format!("{{ global: {{ imagePullSecrets: {all} }}, cloudtenant-operator: {{ imagePullSecrets: {own} }} }}");
        let rendered = umbrella("", &values, &[]).unwrap_or_else(|error| panic!("{values}: {error}"));
        for pod in pods(&rendered) {
            let names: Vec<_> = pod["imagePullSecrets"].as_array().into_iter().flatten().collect();
            let expected: Vec<_> = expected.iter().map(|name| serde_json::json!({ "name": name })).collect();
            assert_eq!(names, expected.iter().collect::<Vec<_>>(), "{values}");
        }
    }
    for wrong in ["a", "[{}]", "['A b']", "[{ name: a, key: b }]", "[1]"] {
        let error = umbrella("", &format!("global: {{ imagePullSecrets: {wrong} }}"), &[]).map(drop).unwrap_err();
        assert!(error.contains("/global/imagePullSecrets"), "{wrong}: {error}");
    }
}

fn release(name: &str, values: &str) -> Result<String, String> {
    helm(&["template", name, chart().to_str().unwrap(), "--values", "-"], values)
}

#[test]
fn a_release_name_that_no_service_can_have_is_refused_by_name() {
    for (name, problem) in [
        ("my.operator", "has a dot"),
        ("cloudtenant-operator.two", "has a dot"),
        ("1.2", "has a dot"),
        ("2nd", "begins with a digit"),
        ("2-cloudtenant-operator", "begins with a digit"),
    ] {
        let error = release(name, "").map(drop).unwrap_err();
        for part in [&format!("the release name \"{name}\" {problem}"), "fullnameOverride"] {
            assert!(error.contains(part), "{part:?} is not in\n{error}");
        }
        let rendered = objects(&release(name, "fullnameOverride: observer").unwrap());
        assert_eq!(deployment(&rendered)["metadata"]["name"], "observer");
        assert_eq!(deployment(&rendered)["metadata"]["labels"]["app.kubernetes.io/instance"], name);
    }
}

#[test]
fn an_alias_names_the_objects_or_is_refused() {
    let rendered = umbrella("alias: east", "east: { replicas: 2 }", &[]).unwrap();
    assert_eq!(deployment(&rendered)["metadata"]["name"], "platform-east");
    assert_eq!(deployment(&rendered)["spec"]["replicas"], 2);
    for alias in ["East", "east_2", "east-", "-east", &"e".repeat(63)] {
        let error = umbrella(&format!("alias: '{alias}'"), "", &[]).map(drop).unwrap_err();
        assert!(error.contains(&format!("alias \"{alias}\"")), "{alias}: {error}");
    }
    let rendered = umbrella("alias: East_2", "East_2: { fullnameOverride: observer }", &[]).unwrap();
    assert_eq!(deployment(&rendered)["metadata"]["name"], "observer");
    let rendered = umbrella(&format!("alias: {}", "e".repeat(50)), "", &[]).unwrap();
    assert_eq!(deployment(&rendered)["metadata"]["name"], format!("platform-{}", "e".repeat(50)));
}

/// The chart with other versions in its Chart.yaml.
fn of_version(directory: &TempDir, version: &str, app_version: Option<&str>) -> Result<Vec<Value>, String> {
    fn link(from: &Path, to: &Path) {
        for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
            if entry.file_name() != "Chart.yaml" {
                std::os::unix::fs::symlink(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    }
    let copy = tempfile::tempdir_in(directory.path()).unwrap();
    link(&chart(), copy.path());
    let mut metadata: Value = serde_saphyr::from_str(&read("charts/cloudtenant-operator/Chart.yaml")).unwrap();
    metadata["version"] = version.into();
    match app_version {
        Some(version) => metadata["appVersion"] = version.into(),
        None => drop(metadata.as_object_mut().unwrap().remove("appVersion")),
    }
    fs::write(copy.path().join("Chart.yaml"), metadata.to_string()).unwrap();
    helm(&["template", "x", copy.path().to_str().unwrap()], "").map(|rendered| objects(&rendered))
}

fn is_label_value(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let outer = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= 63 && text.chars().all(inner) && outer(text.chars().next()) && outer(text.chars().last())
}

fn is_tag(text: &str) -> bool {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    first && text.len() <= 128 && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

#[test]
fn every_version_that_helm_takes_gives_labels_and_a_tag() {
    let directory = tempfile::tempdir().unwrap();
    let long = format!("1.2.3-{}", "rc.1-".repeat(24));
    // One that is cut off right behind a separator: `cloudtenant-operator-` has 21 characters.
    let cut = format!("1.2.3-{}", "abcde-".repeat(20));
    let build = format!("1.2.3+{}", "a.b-".repeat(60));
    for (version, app_version, label, tag) in [
        ("0.1.0+build.5", Some("0.1.0+build.5"), "0.1.0_build.5", "0.1.0_build.5"),
        ("0.1.0-rc.1+a.b", Some("v1.2"), "v1.2", "v1.2"),
        ("v0.1.0", Some("1.0"), "1.0", "1.0"),
        ("1.2.3", None, "", "1.2.3"),
        ("1.2.3+b", None, "", "1.2.3_b"),
        ("1.2.3", Some("2026.11 (LTS)"), "2026.11__LTS", "2026.11__LTS_"),
        ("1.2.3", Some("-.edge."), "edge", "edge."),
        ("1.2.3", Some("ghcr.io/a:b@c"), "ghcr.io_a_b_c", "ghcr.io_a_b_c"),
        ("1.2.3", Some("\u{fc}ber"), "ber", "_ber"),
        ("1.2.3", Some("-.-"), "", "1.2.3"),
        (&long, Some(&long), &long[..63], &long[..126]),
        (&cut, Some(&cut), &cut[..63], &cut[..126]),
        (&build, Some(&build), build[..63].replace('+', "_").as_str(), build[..128].replace('+', "_").as_str()),
    ] {
        let told = format!("{version} {app_version:?}");
        let rendered = of_version(&directory, version, app_version).unwrap_or_else(|error| panic!("{told}: {error}"));
        for object in &rendered {
            let template = &object["spec"]["template"]["metadata"]["labels"];
            for (name, value) in
                [&object["metadata"]["labels"], template].into_iter().flat_map(Value::as_object).flatten()
            {
                assert!(is_label_value(value.as_str().unwrap()), "{told}: {name}: {value}");
            }
        }
        for pod in pods(&rendered) {
            let image = pod["containers"][0]["image"].as_str().unwrap();
            let found = image.strip_prefix("ghcr.io/cloudtenant/cloudtenant-operator:").unwrap();
            assert!(is_tag(found), "{told}: {image}");
            assert_eq!(found, tag, "{told}");
        }
        let found = &deployment(&rendered)["metadata"]["labels"]["app.kubernetes.io/version"];
        assert_eq!(found, label, "{told}");
    }
}
