//! The workflows of the code host cannot be run here, but they are linted, and what they use is pinned.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use testkit::tools;

fn lint(file: &Path) -> (bool, String) {
    // Neither shellcheck nor pyflakes: whether they are there depends on the machine.
    let arguments = ["-shellcheck=", "-pyflakes=", "-no-color"];
    let said = Command::new(tools::actionlint().unwrap()).args(arguments).arg(file).output().unwrap();
    (said.status.success(), String::from_utf8([said.stdout, said.stderr].concat()).unwrap())
}

fn workflows() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.github/workflows");
    let files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    files
}

#[test]
fn every_workflow_is_well_formed() {
    for file in workflows() {
        let (well, said) = lint(&file);
        assert!(well, "{said}");
    }
}

fn is_hexadecimal(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// `owner/name@COMMIT # vVERSION`: a tag can be moved to another commit.
fn is_pinned(action: &str) -> bool {
    let pinned = action.split_once(" # v").and_then(|(action, version)| Some((action.split_once('@')?.1, version)));
    pinned.is_some_and(|(commit, version)| is_hexadecimal(commit, 40) && version.split('.').count() == 3)
}

#[test]
fn every_action_is_pinned_by_its_commit() {
    for file in workflows() {
        for line in fs::read_to_string(&file).unwrap().lines() {
            let Some((_, action)) = line.split_once("uses: ") else { continue };
            assert!(is_pinned(action), "{}: {action}", file.display());
        }
    }
    assert!(!is_pinned("actions/checkout@v4"));
    assert!(!is_pinned("actions/checkout@d23441a48e516b6c34aea4fa41551a30e30af803"));
}

#[test]
fn every_base_image_is_pinned_by_its_digest() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Containerfile");
    let text = fs::read_to_string(file).unwrap();
    let bases = text.lines().filter_map(|line| line.strip_prefix("FROM "));
    let bases: Vec<_> = bases.filter(|base| !base.starts_with("scratch")).collect();
    assert!(!bases.is_empty());
    for base in bases {
        let digest = base.split_once("@sha256:").map(|(_, rest)| rest.split(' ').next().unwrap());
        assert!(digest.is_some_and(|digest| is_hexadecimal(digest, 64)), "{base}");
    }
}
