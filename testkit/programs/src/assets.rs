//! Finds Kubernetes' own binaries, and builds them from Go modules where there are none.
//!
//! The places are those of the `envtest` family of tools, so that whoever has used `setup-envtest`
//! has them already:
//!
//! 1. the directory that `KUBEBUILDER_ASSETS` names;
//! 2. `setup-envtest`'s store, below the user's data directory;
//! 3. the same store, filled by `go install` from the pinned modules in `testkit/kubernetes`.
//!
//! With `KUBERNETES=oldest` or `KUBERNETES=newest`, kube-apiserver is of the oldest or newest version that the operator
//! supports. It is built into the same store. etcd and kubectl stay those of the usual version.
//!
//! Tests need the pinned version. The demo also takes others, and programs of `PATH`: [`Assets::any_or_build`].

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{found, go};

/// The version of Kubernetes that `testkit/kubernetes/go.mod` pins.
pub const KUBERNETES_VERSION: &str = "1.36.3";

/// The oldest version of Kubernetes that the operator supports. `testkit/kubernetes/oldest/go.mod` pins it.
pub const OLDEST_VERSION: &str = "1.31.14";

/// The newest version of Kubernetes that the tests have run on. `testkit/kubernetes/newest/go.mod` pins it.
pub const NEWEST_VERSION: &str = "1.37.2";

/// Chooses the version of kube-apiserver.
const VERSION_VARIABLE: &str = "KUBERNETES";

const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";

/// What `go install` calls each binary (the last part of its package's path), and what we call it.
const BINARIES: [(&str, &str); 3] = [("server", "etcd"), ("kube-apiserver", "kube-apiserver"), ("kubectl", "kubectl")];
/// The packages, in the same order.
const PACKAGES: [&str; 3] =
    ["go.etcd.io/etcd/server/v3", "k8s.io/kubernetes/cmd/kube-apiserver", "k8s.io/kubernetes/cmd/kubectl"];

/// The binaries that make a control plane.
#[derive(Clone, Debug)]
pub struct Assets {
    /// The store behind the API server.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// The command-line client.
    pub kubectl: PathBuf,
}

impl Assets {
    /// Finds the binaries, or builds them. Blocks: for minutes, if it has to build.
    ///
    /// # Errors
    /// `KUBEBUILDER_ASSETS` is set and its directory lacks a binary; or there are no binaries and they
    /// cannot be built.
    pub fn find_or_build() -> Result<Self> {
        let assets = Self::usual()?;
        match env::var(VERSION_VARIABLE).as_deref().unwrap_or_default() {
            "" => Ok(assets),
            "oldest" => Ok(Self { kube_apiserver: api_server("oldest", OLDEST_VERSION)?, ..assets }),
            "newest" => Ok(Self { kube_apiserver: api_server("newest", NEWEST_VERSION)?, ..assets }),
            other => bail!("{VERSION_VARIABLE} is {other:?}: set it to oldest or newest, or unset it"),
        }
    }

    /// The binaries of the usual version.
    fn usual() -> Result<Self> {
        if let Some(assets) = Self::of_variable() {
            return assets;
        }
        let store = store()?;
        let directory = pinned(&store);
        Self::in_directory(&directory).or_else(|_| build_once(&store, &directory))
    }

    /// Finds the binaries without building any: the pinned version, another one of `setup-envtest`'s store, or programs
    /// of `PATH` whose version the operator supports. Each is `None` where it would have to be built.
    ///
    /// # Errors
    /// `KUBEBUILDER_ASSETS` is set and its directory lacks a binary.
    pub fn find_any() -> Result<[Option<PathBuf>; 3]> {
        if let Some(assets) = Self::of_variable() {
            return Ok(assets?.into_paths().map(Some));
        }
        let store = store()?;
        let pinned = pinned(&store);
        let others = found::directories(&store.join("k8s"), &format!("-{}-{}", go_os(), go_arch()));
        for directory in [pinned.clone()].iter().chain(&others) {
            if let Ok(assets) = Self::in_directory(directory) {
                return Ok(assets.into_paths().map(Some));
            }
        }
        Ok(BINARIES.map(|(_, name)| {
            let built = pinned.join(name);
            if built.is_file() { Some(built) } else { found::on_path(name) }
        }))
    }

    /// [`Assets::find_any`], and builds only what is missing.
    ///
    /// # Errors
    /// As [`Assets::find_or_build`]; or `report` ended the build.
    pub fn any_or_build(report: go::Report<'_>) -> Result<Self> {
        let found = Self::find_any()?;
        if let [Some(etcd), Some(kube_apiserver), Some(kubectl)] = found {
            return Ok(Self { etcd, kube_apiserver, kubectl });
        }
        let store = store()?;
        let directory = pinned(&store);
        let missing: Vec<_> = (0..BINARIES.len()).filter(|at| found[*at].is_none()).collect();
        build_missing(&store, &directory, &missing, report)?;
        let [etcd, kube_apiserver, kubectl] = Self::find_any()?;
        let lost = || format!("the programs in {} have gone", directory.display());
        Ok(Self {
            etcd: etcd.with_context(lost)?,
            kube_apiserver: kube_apiserver.with_context(lost)?,
            kubectl: kubectl.with_context(lost)?,
        })
    }

    fn of_variable() -> Option<Result<Self>> {
        let directory = env::var_os(ASSETS_VARIABLE).filter(|value| !value.is_empty())?;
        Some(Self::in_directory(Path::new(&directory)).context(ASSETS_VARIABLE))
    }

    fn into_paths(self) -> [PathBuf; 3] {
        [self.etcd, self.kube_apiserver, self.kubectl]
    }

    /// The binaries of one directory.
    ///
    /// # Errors
    /// The directory lacks some: the error names them.
    pub fn in_directory(directory: &Path) -> Result<Self> {
        let missing: Vec<_> =
            BINARIES.iter().map(|(_, name)| *name).filter(|name| !directory.join(name).is_file()).collect();
        ensure!(missing.is_empty(), "{} lacks {}", directory.display(), missing.join(", "));
        Ok(Self {
            etcd: directory.join("etcd"),
            kube_apiserver: directory.join("kube-apiserver"),
            kubectl: directory.join("kubectl"),
        })
    }
}

/// `setup-envtest`'s store. As with that tool, `XDG_DATA_HOME` means nothing on macOS.
fn store() -> Result<PathBuf> {
    let home = || env::home_dir().context("no home directory: set KUBEBUILDER_ASSETS");
    let data = if cfg!(target_os = "macos") {
        home()?.join("Library/Application Support")
    } else {
        match env::var_os("XDG_DATA_HOME").filter(|value| !value.is_empty()) {
            Some(data) => data.into(),
            None => home()?.join(".local/share"),
        }
    };
    Ok(data.join("kubebuilder-envtest"))
}

/// The directory of the pinned version.
fn pinned(store: &Path) -> PathBuf {
    version_directory(&store.join("k8s"), KUBERNETES_VERSION)
}

fn version_directory(parent: &Path, version: &str) -> PathBuf {
    parent.join(format!("{version}-{}-{}", go_os(), go_arch()))
}

/// kube-apiserver of this version, from the store or built from the module of this name. A directory with that alone
/// must not be in `setup-envtest`'s own part of the store, because the tool expects all three binaries there.
fn api_server(module: &str, version: &str) -> Result<PathBuf> {
    const NAME: &str = "kube-apiserver";
    let store = store()?;
    let installed = version_directory(&store.join("k8s"), version).join(NAME);
    if installed.is_file() {
        return Ok(installed);
    }
    let directory = version_directory(&store.join("testkit"), version);
    let program = directory.join(NAME);
    if program.is_file() {
        return Ok(program);
    }
    fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    let _lock = locked(&store)?;
    if program.is_file() {
        return Ok(program);
    }
    let staging = store.join(".testkit-staging");
    go::emptied(&staging)?;
    let build = go::Build {
        what: &format!("{NAME} {version} (this takes about five minutes)"),
        without_go: &format!("there is no {NAME} {version}, and no go to build it with: install Go 1.26 or newer"),
        module: &modules().join(module),
        packages: &["tool"],
        ldflags: &version_flags(version),
    };
    let built = build.install(&staging).and_then(|()| {
        fs::rename(staging.join(NAME), &program).with_context(|| format!("install {}", program.display()))
    });
    go::remove_if_present(&staging)?;
    built.map(|()| program)
}

/// The directory of the Go modules that pin Kubernetes.
fn modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../kubernetes")
}

fn go_os() -> &'static str {
    match env::consts::OS {
        "macos" => "darwin",
        other => other,
    }
}

fn go_arch() -> &'static str {
    match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Builds under a lock: cargo may run several test binaries that all find the store empty.
fn build_once(store: &Path, directory: &Path) -> Result<Assets> {
    let _lock = locked(store)?;
    let missing = missing(directory, &[0, 1, 2]);
    if !missing.is_empty() {
        let what = format!("{} {KUBERNETES_VERSION} (this takes some minutes)", names(&missing));
        build(store, directory, &what, &missing, |build, staging| build.install(staging))?;
    }
    Assets::in_directory(directory)
}

/// Builds those of `wanted` that no other process has built meanwhile.
fn build_missing(store: &Path, directory: &Path, wanted: &[usize], report: go::Report<'_>) -> Result<()> {
    let _lock = locked(store)?;
    let missing = missing(directory, wanted);
    if missing.is_empty() {
        return Ok(());
    }
    build(store, directory, &names(&missing), &missing, |build, staging| build.install_and_report(staging, report))
}

/// Those of [`BINARIES`] that the directory lacks.
fn missing(directory: &Path, wanted: &[usize]) -> Vec<usize> {
    wanted.iter().copied().filter(|at| !directory.join(BINARIES[*at].1).is_file()).collect()
}

fn names(binaries: &[usize]) -> String {
    binaries.iter().map(|at| BINARIES[*at].1).collect::<Vec<_>>().join(", ")
}

fn locked(store: &Path) -> Result<fs::File> {
    fs::create_dir_all(store).with_context(|| format!("create {}", store.display()))?;
    go::lock(&store.join(".testkit.lock"), "Kubernetes' binaries")
}

/// Builds these of [`BINARIES`] into the store's directory.
fn build(
    store: &Path,
    directory: &Path,
    what: &str,
    binaries: &[usize],
    run: impl FnOnce(&go::Build<'_>, &Path) -> Result<()>,
) -> Result<()> {
    let staging = store.join(".testkit-staging");
    go::emptied(&staging)?;
    let build = go::Build {
        what,
        without_go: &format!(
            "there are no Kubernetes binaries, and no go to build them with: install Go 1.26 or newer, \
             or set {ASSETS_VARIABLE} to a directory with etcd, kube-apiserver and kubectl"
        ),
        module: &modules(),
        packages: &binaries.iter().map(|at| PACKAGES[*at]).collect::<Vec<_>>(),
        ldflags: &version_flags(KUBERNETES_VERSION),
    };
    let built = run(&build, &staging).and_then(|()| install(&staging, directory, binaries));
    go::remove_if_present(&staging)?;
    built
}

/// Without a version, Kubernetes' programs would call themselves v0.0.0-master.
#[must_use]
pub fn version_flags(of: &str) -> String {
    let version = "k8s.io/component-base/version";
    let mut parts = of.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("-X {version}.gitVersion=v{of} -X {version}.gitMajor={major} -X {version}.gitMinor={minor}")
}

/// One rename for each binary, so that a file that is there is complete, even in a directory that
/// held some of them before.
fn install(staging: &Path, directory: &Path, binaries: &[usize]) -> Result<()> {
    fs::create_dir_all(directory)?;
    for (built, name) in binaries.iter().map(|at| BINARIES[*at]) {
        fs::rename(staging.join(built), directory.join(name))
            .with_context(|| format!("install {name} into {}", directory.display()))?;
    }
    Ok(())
}
