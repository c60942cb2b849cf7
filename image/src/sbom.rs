//! The software bill of materials: what is linked into the binary, as CycloneDX 1.6.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    archive::{digest, hexadecimal},
    commit::Commit,
    compile::{PROGRAM, Project, Target, cargo, output},
};

/// A crate, as `name version`: cargo links two versions of one crate, but never one twice.
type Crate = (String, String);

/// The same document for the same commit, target and binary.
pub fn document(project: &Project, target: &Target, program: &[u8], commit: &Commit) -> Result<Vec<u8>> {
    let tree = output(cargo().current_dir(&project.root).args([
        "tree",
        "--locked",
        "--package",
        PROGRAM,
        "--target",
        &target.triple,
        // What only runs while it is compiled is not in it: build scripts' dependencies and macros.
        "--edges=normal,no-proc-macro",
        "--prefix=depth",
        "--format= {p}",
    ]))?;
    let graph = graph(&tree)?;
    let checksums = checksums(&std::fs::read_to_string(project.root.join("Cargo.lock"))?);
    let own = (project.name.clone(), project.version.clone());
    let mut components = Vec::new();
    for name in graph.keys().filter(|name| **name != own) {
        let package =
            project.packages.iter().find(|package| package["name"] == *name.0 && package["version"] == *name.1);
        components.push(component(name, package, checksums.get(name)));
    }
    components.extend(runtime(target)?);
    let dependencies: Vec<_> = graph
        .iter()
        .map(|(name, needs)| json!({"ref": purl(name), "dependsOn": needs.iter().map(purl).collect::<Vec<_>>()}))
        .collect();
    let document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial_number(&[program, format!("{graph:?}").as_bytes()].concat()),
        "version": 1,
        "metadata": {
            "timestamp": Timestamp::from_second(commit.time)?.to_string(),
            "component": {
                "type": "application",
                "bom-ref": purl(&own),
                "name": own.0,
                "version": own.1,
                "description": project.description,
                "purl": purl(&own),
                "licenses": [{"expression": project.license}],
                "hashes": [{"alg": "SHA-256", "content": digest(program).trim_start_matches("sha256:")}],
                "properties": [
                    {"name": "cloudtenant:target", "value": target.triple},
                    {"name": "cloudtenant:revision", "value": commit.revision.as_deref().unwrap_or("unknown")},
                ],
            },
        },
        "components": components,
        "dependencies": dependencies,
    });
    let mut text = serde_json::to_vec_pretty(&document)?;
    text.push(b'\n');
    Ok(text)
}

fn component(name: &Crate, package: Option<&Value>, checksum: Option<&String>) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": purl(name),
        "name": name.0,
        "version": name.1,
        "purl": purl(name),
    });
    let text = |field: &str| package.and_then(|package| package[field].as_str());
    if let Some(license) = text("license") {
        // An older way to write `OR`.
        component["licenses"] = json!([{"expression": license.replace('/', " OR ").replace("  ", " ")}]);
    }
    if let Some(repository) = text("repository") {
        component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    if let Some(checksum) = checksum {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    component
}

/// What the compilers link besides: Rust's standard library, and the C library, since the binary is static.
fn runtime(target: &Target) -> Result<Vec<Value>> {
    let rust = output(std::process::Command::new("rustc").arg("--version"))?;
    let mut components = vec![json!({
        "type": "library",
        "bom-ref": "rust-std",
        "name": "rust-std",
        "version": rust.split_whitespace().nth(1).context("rustc tells no version")?,
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
    })];
    // Of the machine that compiles; where it does not tell, the entry has no version.
    if target.triple.ends_with("-gnu") {
        let mut glibc = json!({
            "type": "library",
            "bom-ref": "glibc",
            "name": "glibc",
            "licenses": [{"expression": "LGPL-2.1-or-later"}],
        });
        let told = output(std::process::Command::new("getconf").arg("GNU_LIBC_VERSION")).unwrap_or_default();
        if let Some(version) = told.split_whitespace().nth(1) {
            glibc["version"] = json!(version);
        }
        components.push(glibc);
    }
    Ok(components)
}

/// Reads `cargo tree`, whose lines are a depth, a name, a version, and remarks.
fn graph(tree: &str) -> Result<BTreeMap<Crate, BTreeSet<Crate>>> {
    let mut graph: BTreeMap<Crate, BTreeSet<Crate>> = BTreeMap::new();
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

/// The lock file has a checksum for every crate that comes from a registry.
fn checksums(lock: &str) -> BTreeMap<Crate, String> {
    let packages = lock.split("[[package]]").skip(1);
    let value = |package: &str, key: &str| {
        package.lines().find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(" = ")?.trim_matches('"').to_owned()))
    };
    let checksum = |package| Some(((value(package, "name")?, value(package, "version")?), value(package, "checksum")?));
    packages.filter_map(checksum).collect()
}

fn purl((name, version): &Crate) -> String {
    // The only character of a version that has a meaning in a purl.
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

/// A UUID that is made of the contents, of version 8: one that has a scheme of its own.
fn serial_number(contents: &[u8]) -> String {
    let digest = digest(contents);
    let digest = digest.trim_start_matches("sha256:");
    let mut bytes: Vec<u8> =
        (0..16).filter_map(|at| u8::from_str_radix(digest.get(at * 2..at * 2 + 2)?, 16).ok()).collect();
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hexadecimal(&bytes);
    format!("urn:uuid:{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

#[cfg(test)]
#[path = "sbom_tests.rs"]
mod tests;
