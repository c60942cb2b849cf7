#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use super::*;

fn of_this_workspace(program: &[u8]) -> (Vec<u8>, Value) {
    let commit = Commit { revision: Some("abc".into()), time: 7 };
    let target = Target::new(Some("x86_64-unknown-linux-gnu")).unwrap();
    let project = Project::read().unwrap();
    let text = Bill::read(&project, &target).unwrap().document(program, &commit).unwrap();
    let value = serde_json::from_slice(&text).unwrap();
    (text, value)
}

#[test]
fn the_document_has_what_is_linked_and_nothing_else() {
    let (text, document) = of_this_workspace(b"program");
    assert_eq!(text, of_this_workspace(b"program").0, "the same for the same");
    assert_ne!(text, of_this_workspace(b"another").0);
    let components = document["components"].as_array().unwrap();
    let names: BTreeSet<_> = components.iter().map(|component| component["name"].as_str().unwrap()).collect();
    for linked in ["kube-client", "reqwest", "ring", "rustls", "tikv-jemalloc-sys", "tokio", "rust-std", "glibc"] {
        assert!(names.contains(linked), "{linked} is linked");
    }
    for not_linked in ["testkit", "image", "proptest", "insta", "serde_derive", "syn", "cc", "windows-sys"] {
        assert!(!names.contains(not_linked), "{not_linked} is not linked");
    }
    for component in components {
        assert!(component["licenses"][0]["expression"].is_string(), "{component} has no licence");
        let checked = component["hashes"][0]["content"].as_str().is_some_and(|checksum| checksum.len() == 64);
        assert!(checked || component["purl"].is_null(), "{component} has no checksum");
    }
    let references: BTreeSet<_> =
        components.iter().map(|component| &component["bom-ref"]).map(Value::to_string).collect();
    assert_eq!(references.len(), components.len(), "a reference is of one");
    let own = document["metadata"]["component"]["bom-ref"].to_string();
    for dependency in document["dependencies"].as_array().unwrap() {
        for reference in [&dependency["ref"]].into_iter().chain(dependency["dependsOn"].as_array().unwrap()) {
            let reference = reference.to_string();
            assert!(references.contains(&reference) || reference == own, "{reference} is nowhere");
        }
    }
}
