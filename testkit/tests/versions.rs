//! The modules of Kubernetes' programs have to be changed together.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{fs, path::Path};

use testkit::assets::KUBERNETES_VERSION;

#[test]
fn the_node_has_the_version_of_the_control_plane() {
    for module in ["kubernetes", "tools/node"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(module).join("go.mod");
        let text = fs::read_to_string(file).unwrap();
        let line = format!("k8s.io/kubernetes v{KUBERNETES_VERSION} ");
        assert!(text.contains(&line), "{module}/go.mod does not pin {line}");
    }
}
