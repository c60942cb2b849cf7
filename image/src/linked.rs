//! The crates that are linked into the operator, as `cargo tree` lists them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};

use crate::compile::{PROGRAM, Project, Target, cargo, output};

/// A crate's name and version: cargo links two versions of one crate, but never one twice.
pub type Crate = (String, String);
/// Each linked crate, the operator included, with the crates that it needs.
pub type Linked = BTreeMap<Crate, BTreeSet<Crate>>;

/// Macros and the dependencies of build scripts are not in it: they run only during the build.
pub fn crates(project: &Project, target: &Target) -> Result<Linked> {
    graph(&output(cargo().current_dir(&project.root).args([
        "tree",
        "--locked",
        "--package",
        PROGRAM,
        "--target",
        &target.triple,
        "--edges=normal,no-proc-macro",
        "--prefix=depth",
        "--format= {p}",
    ]))?)
}

/// Reads `cargo tree`, whose lines are a depth, a name, a version, and remarks.
fn graph(tree: &str) -> Result<Linked> {
    let mut graph = Linked::new();
    let mut path: Vec<Crate> = Vec::new();
    for line in tree.lines().filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let mut word = || words.next().with_context(|| format!("cargo tree: {line}"));
        let depth: usize = word()?.parse().with_context(|| format!("cargo tree: {line}"))?;
        let name = (word()?.to_owned(), word()?.trim_start_matches('v').to_owned());
        path.truncate(depth);
        if let Some(parent) = path.last() {
            graph.entry(parent.clone()).or_default().insert(name.clone());
        }
        graph.entry(name.clone()).or_default();
        path.push(name);
    }
    Ok(graph)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_tree_becomes_a_graph_and_a_repeated_branch_is_one() {
        let graph =
            graph("0 top v1.0.0 (/source)\n1 left v2.0.0\n2 both v3.0.0\n1 right v4.0.0\n2 both v3.0.0 (*)\n").unwrap();
        let name = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        assert_eq!(graph[&name("top", "1.0.0")], [name("left", "2.0.0"), name("right", "4.0.0")].into());
        assert_eq!(graph[&name("right", "4.0.0")], [name("both", "3.0.0")].into());
        assert_eq!(graph.len(), 4);
        assert!(super::graph("what is this").is_err());
    }
}
