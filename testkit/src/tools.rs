//! Programs that tests run and that are built from pinned Go modules below `testkit/tools`, once: Helm, and others.

mod gitops;

use std::{
    env, fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
pub use gitops::{Health, Judge, Verdicts, gitops};
use programs::{
    assets::{KUBERNETES_VERSION, version_flags},
    go::{self, say},
};

/// Helm.
///
/// # Errors
/// It cannot be built.
pub fn helm() -> Result<PathBuf> {
    go_tool("helm", &["tool"], "helm")
}

/// What makes a node of a machine, beside what [`crate::assets::Assets`] has: the directory of `kubelet`, `kube-proxy`,
/// `kube-controller-manager` and `kube-scheduler`, of the same version.
///
/// # Errors
/// They cannot be built.
pub fn node() -> Result<PathBuf> {
    let kubelet = go_tool_linked("node", &["tool"], "kubelet", &version_flags(KUBERNETES_VERSION))?;
    Ok(kubelet.parent().context("kubelet is in no directory")?.to_owned())
}

/// CoreDNS, with the plugins that a node needs.
///
/// # Errors
/// It cannot be built.
pub fn coredns() -> Result<PathBuf> {
    go_tool("coredns", &["."], "coredns")
}

/// What checks workflows of the code host.
///
/// # Errors
/// It cannot be built.
pub fn actionlint() -> Result<PathBuf> {
    go_tool("actionlint", &["tool"], "actionlint")
}

/// helm-unittest, which runs the tests that are part of a chart.
///
/// # Errors
/// It cannot be built.
pub fn helm_unittest() -> Result<PathBuf> {
    go_tool("helm-unittest", &["tool"], "helm-unittest")
}

/// The program that reads a Grafana dashboard with Grafana's own types.
///
/// # Errors
/// It cannot be built.
pub fn grafana_dashboard() -> Result<PathBuf> {
    go_tool("grafana", &["."], "grafana")
}

/// Prometheus and its tool, as Debian's package `prometheus` has them: their modules are too many to build here.
#[derive(Debug, Clone)]
pub struct PrometheusPrograms {
    /// The server.
    pub prometheus: PathBuf,
    /// `promtool`.
    pub promtool: PathBuf,
}

/// Prometheus' programs from `PATH`. `None` where they are not installed, and says so: the caller skips its test.
///
/// # Errors
/// They are not installed and `CI` is `true`, where nothing may be skipped.
pub fn prometheus() -> Result<Option<PrometheusPrograms>> {
    if let (Some(prometheus), Some(promtool)) = (on_path("prometheus"), on_path("promtool")) {
        return Ok(Some(PrometheusPrograms { prometheus, promtool }));
    }
    let missing = "prometheus and promtool are not installed (Debian: apt-get install prometheus)";
    ensure!(env::var_os("CI").is_none_or(|ci| ci != "true"), missing);
    say(&format!("SKIPPED: {missing}"));
    Ok(None)
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// Builds the packages of the module `testkit/tools/MODULE`, unless that has been done for the very same files, and
/// returns the program. Blocks, for minutes where nothing is cached. The programs are kept below the user's cache
/// directory.
///
/// # Errors
/// There is no Go, or the module does not build: the error has the compiler's output.
pub fn go_tool(module: &str, packages: &[&str], program: &str) -> Result<PathBuf> {
    go_tool_linked(module, packages, program, "")
}

/// As [`go_tool`], with flags for the linker.
///
/// # Errors
/// As [`go_tool`].
pub fn go_tool_linked(module: &str, packages: &[&str], program: &str, ldflags: &str) -> Result<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(module);
    let cache = cache()?;
    let directory = cache.join(format!("{module}-{:016x}", digest(&sources, ldflags)?));
    let built = directory.join(program);
    if built.is_file() {
        return Ok(built);
    }
    fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
    let _lock = go::lock(&cache.join(format!(".{module}.lock")), module)?;
    if !built.is_file() {
        let staging = cache.join(format!(".{module}"));
        go::emptied(&staging)?;
        let what = sources.display().to_string();
        let without_go = &format!("no go to build {what} with: install Go 1.26 or newer");
        go::Build { what: &what, without_go, module: &sources, packages, ldflags }.install(&staging)?;
        go::remove_if_present(&directory)?;
        fs::rename(&staging, &directory)?;
    }
    ensure!(built.is_file(), "{} makes no {program}", sources.display());
    Ok(built)
}

/// The user's cache directory, `XDG_CACHE_HOME` or `~/.cache`, and ours in it.
fn cache() -> Result<PathBuf> {
    let caches = match env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(caches) => caches.into(),
        None => env::home_dir().context("no home directory: set XDG_CACHE_HOME")?.join(".cache"),
    };
    Ok(caches.join("cloudtenant-operator/tools"))
}

/// Changes with any file of the module, and with the linker's flags.
fn digest(module: &Path, ldflags: &str) -> Result<u64> {
    let mut files: Vec<_> = fs::read_dir(module)
        .with_context(|| format!("read {}", module.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    files.sort();
    let mut hasher = DefaultHasher::new();
    ldflags.hash(&mut hasher);
    for file in files.iter().filter(|file| file.is_file()) {
        (file.file_name(), fs::read(file)?).hash(&mut hasher);
    }
    Ok(hasher.finish())
}
