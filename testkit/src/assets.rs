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

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use crate::go;

/// The version of Kubernetes that `testkit/kubernetes/go.mod` pins.
pub const KUBERNETES_VERSION: &str = "1.36.3";

/// The oldest version of Kubernetes that the operator supports. `testkit/kubernetes/oldest/go.mod` pins it.
pub const OLDEST_VERSION: &str = "1.31.14";

/// The newest version of Kubernetes that the tests have run on. `testkit/kubernetes/newest/go.mod` pins it.
pub const NEWEST_VERSION: &str = "1.37.2";

const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";

/// Chooses the version of kube-apiserver.
const VERSION_VARIABLE: &str = "KUBERNETES";

/// What `go install` calls each binary (the last part of its package's path), and what we call it.
const BINARIES: [(&str, &str); 3] = [("server", "etcd"), ("kube-apiserver", "kube-apiserver"), ("kubectl", "kubectl")];

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
        if let Some(directory) = env::var_os(ASSETS_VARIABLE).filter(|value| !value.is_empty()) {
            return Self::in_directory(Path::new(&directory)).context(ASSETS_VARIABLE);
        }
        let store = store()?;
        let directory = version_directory(&store.join("k8s"), KUBERNETES_VERSION);
        Self::in_directory(&directory).or_else(|_| build_once(&store, &directory))
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
    let _lock = go::lock(&store.join(".testkit.lock"), NAME)?;
    if program.is_file() {
        return Ok(program);
    }
    let staging = store.join(".testkit-staging");
    go::emptied(&staging)?;
    let build = go::Build {
        what: &format!("{NAME} {version} (this takes about five minutes)"),
        without_go: &format!("there is no {NAME} {version}, and no go to build it with: install Go 1.26 or newer"),
        module: &Path::new(env!("CARGO_MANIFEST_DIR")).join("kubernetes").join(module),
        packages: &["tool"],
        ldflags: &version_flags(version),
    };
    let built = build.install(&staging).and_then(|()| {
        fs::rename(staging.join(NAME), &program).with_context(|| format!("install {}", program.display()))
    });
    go::remove_if_present(&staging)?;
    built.map(|()| program)
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
    fs::create_dir_all(store).with_context(|| format!("create {}", store.display()))?;
    let _lock = go::lock(&store.join(".testkit.lock"), "Kubernetes' binaries")?;
    if let Ok(assets) = Assets::in_directory(directory) {
        return Ok(assets);
    }
    let staging = store.join(".testkit-staging");
    go::emptied(&staging)?;
    let built = build(&staging).and_then(|()| install(&staging, directory));
    go::remove_if_present(&staging)?;
    built?;
    Assets::in_directory(directory)
}

fn build(staging: &Path) -> Result<()> {
    let build = go::Build {
        what: &format!("etcd, kube-apiserver and kubectl {KUBERNETES_VERSION} (this takes about three minutes)"),
        without_go: &format!(
            "there are no Kubernetes binaries, and no go to build them with: install Go 1.26 or newer, \
             or set {ASSETS_VARIABLE} to a directory with etcd, kube-apiserver and kubectl"
        ),
        module: &Path::new(env!("CARGO_MANIFEST_DIR")).join("kubernetes"),
        packages: &["tool"],
        ldflags: &version_flags(KUBERNETES_VERSION),
    };
    build.install(staging)
}

/// Without a version, Kubernetes' programs would call themselves v0.0.0-master.
pub(crate) fn version_flags(of: &str) -> String {
    let version = "k8s.io/component-base/version";
    let mut parts = of.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("-X {version}.gitVersion=v{of} -X {version}.gitMajor={major} -X {version}.gitMinor={minor}")
}

/// One rename for each binary, so that a file that is there is complete, even in a directory that
/// held some of them before.
fn install(staging: &Path, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    for (built, name) in BINARIES {
        fs::rename(staging.join(built), directory.join(name))
            .with_context(|| format!("install {name} into {}", directory.display()))?;
    }
    Ok(())
}
