//! The notices that the licences of linked software ask for: which software is in the binary, and its licence texts.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::compile::{Project, output};

/// Directory in the image. OpenShift's certification looks there.
pub const DIRECTORY: &str = "licenses/";
/// Beginnings of file names, in lower case.
const NAMES: [&str; 6] = ["license", "licence", "copying", "copyright", "notice", "unlicense"];
/// Endings of files that have such a name and are something else.
const SOURCES: [&str; 6] = ["rs", "c", "h", "py", "pl", "in"];
/// glibc is linked statically, and its licence belongs to what is delivered.
const LGPL: &str = include_str!("../licenses/LGPL-2.1.txt");
/// Debian's and Ubuntu's list of the other licences in glibc. Other distributions have no such file.
const GLIBC_COPYRIGHT: &str = "/usr/share/doc/libc6-dev/copyright";

/// A file of the image.
pub struct Notice {
    /// Below [`DIRECTORY`].
    pub name: &'static str,
    pub text: Vec<u8>,
}

/// Returns the files for these components of the SBOM.
///
/// # Errors
/// A component has no licence text: what is delivered must have all.
pub fn notices(project: &Project, components: &[Value]) -> Result<Vec<Notice>> {
    let own = fs::read_to_string(project.root.join("LICENSE")).context("read LICENSE")?;
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]).current_dir(&project.root))?;
    let library = Path::new(sysroot.trim()).join("share/doc/rust/COPYRIGHT-library.html");
    let library = fs::read(&library).with_context(|| {
        format!("read the notices of Rust's standard library, {}: use a toolchain of rustup", library.display())
    })?;
    let third_party = third_party(project, components, &own)?.into_bytes();
    Ok(vec![
        Notice { name: "LICENSE", text: own.into_bytes() },
        Notice { name: "THIRD-PARTY.txt", text: third_party },
        Notice { name: "rust-std.html", text: library },
    ])
}

fn third_party(project: &Project, components: &[Value], apache: &str) -> Result<String> {
    let mut list = format!(
        "Third-party software in the image of {} {}\n\n\
         The list names each component with its licence and the numbers of its texts. The texts follow the list.\n\n",
        project.name, project.version
    );
    let mut texts = Texts::default();
    for component in components.iter().chain(&[roots(project)?]) {
        let field = |name: &str| component[name].as_str().unwrap_or_default();
        let licence = component["licenses"][0]["expression"].as_str().unwrap_or("see the texts");
        let found = texts_of(project, component, licence, apache)?;
        let numbers: Vec<_> = found.into_iter().map(|text| texts.number(text).to_string()).collect();
        // Writing to a String cannot fail.
        let _ = write!(list, "{} {}: {licence}", field("name"), field("version"));
        if let Some(url) = component["externalReferences"][0]["url"].as_str() {
            let _ = write!(list, ", {url}");
        }
        let _ = writeln!(list, " [{}]", numbers.join(", "));
    }
    for (number, text) in (1_usize..).zip(&texts.all) {
        let _ = write!(list, "\n{}\n[{number}]\n\n{}\n", "-".repeat(80), text.trim_end());
    }
    Ok(list)
}

/// The image has Mozilla's roots as a file, so the SBOM of the binary does not list them.
fn roots(project: &Project) -> Result<Value> {
    let package = project.packages.iter().find(|package| package["name"] == "webpki-root-certs");
    let package = package.context("there is no package webpki-root-certs")?;
    Ok(serde_json::json!({
        "name": package["name"],
        "version": package["version"],
        "licenses": [{"expression": package["license"]}],
        "externalReferences": [{"url": package["repository"]}],
    }))
}

fn texts_of(project: &Project, component: &Value, licence: &str, apache: &str) -> Result<Vec<String>> {
    let (name, version) = (component["name"].as_str().unwrap_or_default(), component["version"].as_str());
    match name {
        "rust-std" => return Ok(vec!["See rust-std.html beside this file.".to_owned()]),
        "glibc" => {
            let others = fs::read(GLIBC_COPYRIGHT).map(|text| String::from_utf8_lossy(&text).into_owned());
            return Ok([LGPL.to_owned()].into_iter().chain(others.ok()).collect());
        }
        _ => {}
    }
    let key = (name.to_owned(), version.unwrap_or_default().to_owned());
    let package = project.package(&key).with_context(|| format!("cargo does not know {name}"))?;
    let manifest = package["manifest_path"].as_str().context("a package without a manifest")?;
    let directory = Path::new(manifest).parent().context("a manifest without a directory")?;
    let mut files = Vec::new();
    collect(directory, false, &mut files)?;
    if let Some(file) = package["license_file"].as_str() {
        files.push(directory.join(file));
    }
    files.sort();
    files.dedup();
    if files.is_empty() {
        // Apache-2.0 has one text, without names. Others, such as MIT's, name who holds the copyright.
        let offered = licence.split(" OR ").any(|one| one.trim() == "Apache-2.0");
        ensure!(offered, "the crate {name} has no licence file: its licence {licence} asks for one");
        return Ok(vec![apache.to_owned()]);
    }
    files.iter().map(|file| read(file)).collect()
}

/// Finds the licence files of a crate, those of the sources that it includes among them.
fn collect(directory: &Path, all: bool, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = entry.file_name().to_string_lossy().to_lowercase();
        if kind.is_dir() {
            collect(&path, all || matches!(name.trim_start_matches('.'), "licenses" | "licences"), files)?;
        } else if kind.is_file() && (all || is_licence(&name)) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_licence(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    NAMES.iter().any(|beginning| name.starts_with(beginning)) && !SOURCES.contains(&ending)
}

fn read(file: &Path) -> Result<String> {
    let text = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    Ok(String::from_utf8_lossy(&text).replace("\r\n", "\n"))
}

/// Texts that differ in more than their spaces.
#[derive(Default)]
struct Texts {
    all: Vec<String>,
    numbers: BTreeMap<String, usize>,
}

impl Texts {
    fn number(&mut self, text: String) -> usize {
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        *self.numbers.entry(words).or_insert_with(|| {
            self.all.push(text);
            self.all.len()
        })
    }
}

#[cfg(test)]
#[path = "notices_tests.rs"]
mod tests;
