//! The workflows of the code host cannot be run here, but they are linted.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{fs, path::Path, process::Command};

use testkit::tools;

fn lint(file: &Path) -> (bool, String) {
    // Neither shellcheck nor pyflakes: whether they are there depends on the machine.
    let arguments = ["-shellcheck=", "-pyflakes=", "-no-color"];
    let said = Command::new(tools::actionlint().unwrap()).args(arguments).arg(file).output().unwrap();
    (said.status.success(), String::from_utf8([said.stdout, said.stderr].concat()).unwrap())
}

#[test]
fn every_workflow_is_well_formed() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.github/workflows");
    let files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    for file in files {
        let (well, said) = lint(&file);
        assert!(well, "{said}");
    }
}
