//! The modules of Kubernetes' programs have to be changed together.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{fs, path::Path};

use testkit::assets::{KUBERNETES_VERSION, NEWEST_VERSION, OLDEST_VERSION};

/// Each line: the module's directory | the version that its go.mod pins.
#[test]
fn the_modules_pin_the_versions_that_the_testkit_names() {
    for (module, version) in [
        ("kubernetes", KUBERNETES_VERSION),
        ("kubernetes/oldest", OLDEST_VERSION),
        ("kubernetes/newest", NEWEST_VERSION),
        ("tools/node", KUBERNETES_VERSION),
    ] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(module).join("go.mod");
        let text = fs::read_to_string(file).unwrap();
        let pinned = format!("k8s.io/kubernetes v{version} ");
        assert!(text.contains(&pinned), "{module}/go.mod does not pin {pinned}");
        let staged = format!("k8s.io/api => k8s.io/api v0.{}\n", version.trim_start_matches("1."));
        assert!(text.contains(&staged), "{module}/go.mod does not have {staged}");
    }
}

/// The chart accepts every version that the operator supports.
#[test]
fn the_chart_names_the_oldest_version() {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/cloudtenant-operator/Chart.yaml");
    let (minor, _) = OLDEST_VERSION.rsplit_once('.').unwrap();
    let wanted = format!("kubeVersion: \">={minor}.0-0\"");
    assert!(fs::read_to_string(chart).unwrap().contains(&wanted), "{wanted}");
}
