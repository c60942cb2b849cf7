//! Compiles the operator so that the bytes depend on the sources and the toolchain, and on no directory or processor.

use std::{
    collections::BTreeSet,
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::linked::Crate;

/// The binary, and the package that has it.
pub const PROGRAM: &str = "cloudtenant-operator";
/// The profile of `Cargo.toml` that is only for what is delivered.
const PROFILE: &str = "dist";

/// What is compiled for.
pub struct Target {
    /// As Rust names it.
    pub triple: String,
    /// As Go and OCI name it.
    pub architecture: &'static str,
}

impl Target {
    pub fn new(triple: Option<&str>) -> Result<Self> {
        let triple = triple.map_or_else(|| format!("{}-unknown-linux-gnu", env::consts::ARCH), str::to_owned);
        let architecture = match triple.split('-').next() {
            Some("x86_64") => "amd64",
            Some("aarch64") => "arm64",
            _ => bail!("no image for {triple}: there are x86_64-unknown-linux-gnu and aarch64-unknown-linux-gnu"),
        };
        ensure!(triple.contains("-linux-"), "no image for {triple}: images are for Linux");
        Ok(Self { triple, architecture })
    }
}

/// The workspace, as cargo tells of it.
pub struct Project {
    pub name: String,
    pub version: String,
    pub description: String,
    pub license: String,
    pub root: PathBuf,
    /// Every package, of the lock file too.
    pub packages: Vec<Value>,
    target_directory: PathBuf,
}

impl Project {
    pub fn read() -> Result<Self> {
        let text = output(cargo().args(["metadata", "--format-version=1", "--locked"]))?;
        let mut metadata: Value = serde_json::from_str(&text)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let packages = metadata["packages"].as_array_mut().map(std::mem::take).context("cargo tells of no packages")?;
        let own = packages.iter().find(|package| package["name"] == PROGRAM).context("no such package")?;
        Ok(Self {
            name: text(&own["name"]),
            version: text(&own["version"]),
            description: text(&own["description"]),
            license: text(&own["license"]),
            root: text(&metadata["workspace_root"]).into(),
            target_directory: text(&metadata["target_directory"]).into(),
            packages,
        })
    }

    /// The operator itself.
    pub fn own(&self) -> Crate {
        (self.name.clone(), self.version.clone())
    }

    /// What cargo says about a crate.
    pub fn package(&self, (name, version): &Crate) -> Option<&Value> {
        self.packages.iter().find(|package| package["name"] == **name && package["version"] == **version)
    }

    /// Returns the binary.
    pub fn compile(&self, target: &Target) -> Result<PathBuf> {
        let prefixes = self.prefixes()?;
        let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
        flags.extend(prefixes.iter().map(|(from, to)| format!("--remap-path-prefix={from}={to}")));
        let c_flags: Vec<_> = prefixes.iter().map(|(from, to)| format!("-ffile-prefix-map={from}={to}")).collect();
        let mut cargo = cargo();
        cargo
            .args([
                "build",
                "--profile",
                PROFILE,
                "--locked",
                "--package",
                PROGRAM,
                "--bin",
                PROGRAM,
                "--target",
                &target.triple,
            ])
            .current_dir(&self.root)
            // What somebody has set for other builds does not count here.
            .env_remove("RUSTFLAGS")
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            .env("CARGO_INCREMENTAL", "0")
            .env("CFLAGS", c_flags.join(" "))
            .env("ZERO_AR_DATE", "1");
        for (variable, value) in jemalloc(target) {
            cargo.env(variable, value);
        }
        let status = cargo.stdin(Stdio::null()).status().context("run cargo")?;
        ensure!(status.success(), "cargo failed, {status}");
        Ok(self.target_directory.join(&target.triple).join(PROFILE).join(PROGRAM))
    }

    /// What directories are called in the binary. A later one is preferred to an earlier one.
    fn prefixes(&self) -> Result<Vec<(String, &'static str)>> {
        let mut prefixes = vec![(utf8(&self.root)?, "/source"), (utf8(&self.target_directory)?, "/target")];
        // Not only the registry below cargo's home: where crates come from a mirror, its directory has another name.
        let parent =
            |package: &Value| Some(Path::new(package["manifest_path"].as_str()?).parent()?.parent()?.to_owned());
        let outside = self.packages.iter().filter(|package| !package["source"].is_null());
        for directory in outside.filter_map(parent).collect::<BTreeSet<_>>() {
            prefixes.push((utf8(&directory)?, "/crates"));
        }
        // The standard library's own sources have this name in it, except where they are installed too.
        let toolchain = output(Command::new("rustc").args(["--print", "sysroot"]).current_dir(&self.root))?;
        let version = output(Command::new("rustc").arg("-vV").current_dir(&self.root))?;
        let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: ")).unwrap_or("unknown");
        prefixes.push((toolchain.trim().to_owned(), "/toolchain"));
        let sources = format!("{}/lib/rustlib/src/rust", toolchain.trim());
        // Leaked: one string for each build.
        prefixes.push((sources, String::leak(format!("/rustc/{commit}"))));
        Ok(prefixes)
    }
}

/// jemalloc otherwise asks the machine that builds it: the size of a page and the processor's bits of address.
fn jemalloc(target: &Target) -> [(&'static str, &'static str); 3] {
    // Kernels for arm64 have pages of 4, 16 or 64 KiB. What is built for larger ones runs on all.
    let page = if target.architecture == "arm64" { "16" } else { "12" };
    let hugepage = if target.architecture == "arm64" { "29" } else { "21" };
    [
        ("JEMALLOC_SYS_WITH_LG_PAGE", page),
        ("JEMALLOC_SYS_WITH_LG_HUGEPAGE", hugepage),
        ("JEMALLOC_SYS_WITH_LG_VADDR", "48"),
    ]
}

/// The cargo that runs this, or the one on the path.
pub fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

pub fn output(command: &mut Command) -> Result<String> {
    let said = command.stdin(Stdio::null()).output().with_context(|| format!("run {command:?}"))?;
    ensure!(said.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said.stderr).trim());
    Ok(String::from_utf8(said.stdout)?)
}

fn utf8(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
}
