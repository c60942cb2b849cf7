//! Without the opt-in to CloudTenantSets nothing of them is installed: what the chart and deploy/ make is, byte for byte,
//! what they made before there were any. tests/chart/without_sets/ has that.
//!
//! A later change of the chart's defaults belongs into these files; nothing of CloudTenantSets ever does.

use super::hold;
use crate::{
    helm::{cases, objects, read, render, render_case, root},
    manifests::kustomization,
};

/// What no object has that is about something else.
const WORDS: [&str; 6] =
    ["CloudTenantSet", "cloudtenantset", "cloudtenant_set_", "tenant-set", "TENANT_SET", "ValidatingAdmissionPolicy"];

/// Without the definition of CloudTenants, which is held to the generated one.
fn without_the_definition(yaml: &str) -> String {
    let documents: Vec<_> = yaml.split("---\n").collect();
    let is_definition = |document: &&&str| document.contains("\nkind: CustomResourceDefinition\n");
    assert_eq!(documents.iter().filter(is_definition).count(), 1);
    documents.iter().filter(|document| !is_definition(document)).copied().collect::<Vec<_>>().join("---\n")
}

#[test]
fn nothing_of_sets_is_installed_without_the_opt_in() {
    for (name, made) in [
        ("default", render_case(&cases()["default"])),
        ("namespaces", render_case(&cases()["namespaces"])),
        ("deploy", kustomization(&root().join("deploy"))),
    ] {
        for word in WORDS {
            assert!(!made.contains(word), "{name}: {word}");
        }
        hold(&format!("tests/chart/without_sets/{name}.yaml"), &without_the_definition(&made));
    }
}

/// The file has alerts on sets, for those who have no use for the chart. The chart has them with the opt-in.
#[test]
fn there_are_no_alerts_on_sets_without_the_opt_in() {
    let rules = |more: &str| {
        let values = format!(
            "{{ monitoring: {{ prometheusRule: {{ enabled: true }}, dashboard: {{ enabled: true }} }}{more} }}"
        );
        render(&values).unwrap()
    };
    let without = rules("");
    for word in WORDS {
        assert!(!without.contains(word), "{word}");
    }
    let of_kind = |yaml: &str| objects(yaml).into_iter().find(|object| object["kind"] == "PrometheusRule").unwrap();
    let mut all = objects(&read("charts/cloudtenant-operator/files/alerts.yaml")).remove(0);
    assert_eq!(of_kind(&rules(", tenantSets: { enabled: true }"))["spec"], all);
    all["groups"].as_array_mut().unwrap().retain(|group| group["name"] != "cloudtenant-sets");
    assert_eq!(of_kind(&without)["spec"], all);
}
