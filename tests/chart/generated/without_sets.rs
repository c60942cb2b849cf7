//! Without the opt-in to CloudTenantSets nothing of them is installed: what the chart and deploy/ make is, byte for byte,
//! what they made before there were any. tests/chart/without_sets/ has that.
//!
//! A later change of the chart's defaults belongs into these files; nothing of CloudTenantSets ever does.

use super::hold;
use crate::{
    helm::{cases, render_case, root},
    manifests::kustomization,
};

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
        for word in ["CloudTenantSet", "cloudtenantset", "tenant-set", "TENANT_SET", "ValidatingAdmissionPolicy"] {
            assert!(!made.contains(word), "{name}: {word}");
        }
        hold(&format!("tests/chart/without_sets/{name}.yaml"), &without_the_definition(&made));
    }
}
