#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::json;

use super::*;
use crate::{compile::Target, sbom::Bill};

fn text_of(notices: &[Notice], name: &str) -> String {
    let notice = notices.iter().find(|notice| notice.name == name).unwrap();
    String::from_utf8(notice.text.clone()).unwrap()
}

#[test]
fn every_component_of_the_sbom_has_a_notice_with_its_texts() {
    let (project, target) = (Project::read().unwrap(), Target::new(Some("x86_64-unknown-linux-gnu")).unwrap());
    let components = Bill::read(&project, &target).unwrap().components;
    let files = notices(&project, &components).unwrap();
    let text = text_of(&files, "THIRD-PARTY.txt");
    let (list, texts) = text.split_once(&"-".repeat(80)).unwrap();
    for component in &components {
        let field = |name: &str| component[name].as_str().unwrap_or_default();
        let licence = component["licenses"][0]["expression"].as_str().unwrap();
        let beginning = format!("{} {}: {licence}", field("name"), field("version"));
        let line = list.lines().find(|line| line.starts_with(&beginning)).expect(&beginning);
        let numbers = line.rsplit_once('[').unwrap().1.trim_end_matches(']').split(", ");
        for number in numbers {
            assert!(texts.contains(&format!("\n[{number}]\n\n")), "{line}: there is no text {number}");
        }
    }
    for (included, phrase) in [
        ("jemalloc, in tikv-jemalloc-sys", "Jason Evans"),
        ("BoringSSL, in ring", "Neither the name of Google Inc."),
        ("fiat-crypto, in ring", "fiat-crypto authors"),
        ("glibc", "GNU LESSER GENERAL PUBLIC LICENSE"),
        ("Mozilla's roots", "Community Data License Agreement"),
        ("kube, which has no licence file", "Apache License"),
    ] {
        assert!(texts.contains(phrase), "{included}: {phrase} is missing");
    }
    assert!(text_of(&files, "LICENSE").contains("Apache License"));
    assert!(text_of(&files, "rust-std.html").contains("The Rust Standard Library"));
    assert!(text.len() < 1_000_000, "{} bytes: are texts repeated?", text.len());
}

#[test]
fn names_of_licence_files() {
    for name in ["license", "license-mit", "licence.md", "copying.lesser", "copyright.txt", "notice", "unlicense"] {
        assert!(is_licence(name), "{name}");
    }
    for name in ["license.rs", "copyright.py", "readme.md", "relicense", "notice.h"] {
        assert!(!is_licence(name), "{name}");
    }
}

/// A licence that names who holds the copyright cannot be replaced by a text from elsewhere.
#[test]
fn a_crate_without_its_licence_text_fails_the_build() {
    let mut project = Project::read().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let manifest = directory.path().join("Cargo.toml");
    project.packages.push(json!({"name": "bare", "version": "1.0.0", "manifest_path": manifest}));
    let component = json!({"name": "bare", "version": "1.0.0"});
    let error = texts_of(&project, &component, "MIT", "apache").unwrap_err().to_string();
    assert_eq!(error, "the crate bare has no licence file: its licence MIT asks for one");
    assert_eq!(texts_of(&project, &component, "MIT OR Apache-2.0", "apache").unwrap(), ["apache"]);
    fs::write(directory.path().join("COPYING"), "ours\r\n").unwrap();
    assert_eq!(texts_of(&project, &component, "MIT", "apache").unwrap(), ["ours\n"]);
}
