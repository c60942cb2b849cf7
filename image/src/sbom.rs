//! The software bill of materials: what is linked into the binary, as CycloneDX 1.6.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    archive::{digest, hexadecimal},
    commit::Commit,
    compile::{Project, Target, output},
    linked::{self, Crate, Linked},
};

/// What the binary consists of.
pub struct Bill<'a> {
    project: &'a Project,
    target: &'a Target,
    linked: Linked,
    /// As CycloneDX writes them: the linked crates, and what the compilers add.
    pub components: Vec<Value>,
}

impl<'a> Bill<'a> {
    pub fn read(project: &'a Project, target: &'a Target) -> Result<Self> {
        let linked = linked::crates(project, target)?;
        let checksums = checksums(&std::fs::read_to_string(project.root.join("Cargo.lock"))?);
        let own = project.own();
        let third_party = linked.keys().filter(|name| **name != own);
        let mut components: Vec<_> =
            third_party.map(|name| component(name, project.package(name), checksums.get(name))).collect();
        components.extend(runtime(target)?);
        Ok(Self { project, target, linked, components })
    }

    /// The same document for the same commit, target and binary.
    pub fn document(&self, program: &[u8], commit: &Commit) -> Result<Vec<u8>> {
        let Self { project, target, linked, components } = self;
        let own = project.own();
        let dependencies: Vec<_> = linked
            .iter()
            .map(|(name, needs)| json!({"ref": purl(name), "dependsOn": needs.iter().map(purl).collect::<Vec<_>>()}))
            .collect();
        let document = json!({
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": serial_number(&[program, format!("{linked:?}").as_bytes()].concat()),
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
