//! Finds Kubernetes' own binaries, and builds them from Go modules where there are none.
//!
//! The places are those of the `envtest` family of tools, so that whoever has used `setup-envtest`
//! has them already:
//!
//! 1. the directory that `KUBEBUILDER_ASSETS` names;
//! 2. `setup-envtest`'s store, below the user's data directory;
//! 3. the same store, filled by `go install` from the pinned modules in `testkit/kubernetes`.

use std::{
    env,
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};

/// The version of Kubernetes that `testkit/kubernetes/go.mod` pins.
pub const KUBERNETES_VERSION: &str = "1.36.3";

const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";

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
        if let Some(directory) = env::var_os(ASSETS_VARIABLE).filter(|value| !value.is_empty()) {
            return Self::in_directory(Path::new(&directory)).context(ASSETS_VARIABLE);
        }
        let store = store()?;
        let directory = store.join("k8s").join(format!("{KUBERNETES_VERSION}-{}-{}", go_os(), go_arch()));
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
    let lock = File::create(store.join(".testkit.lock"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            say("waiting for another process that is building Kubernetes' binaries");
            lock.lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    if let Ok(assets) = Assets::in_directory(directory) {
        return Ok(assets);
    }
    // Under the lock nobody else builds: whatever is here was left behind by a process that was killed.
    let staging = store.join(".testkit-staging");
    remove_if_present(&staging)?;
    fs::create_dir_all(&staging)?;
    let built = build(&staging).and_then(|()| install(&staging, directory));
    remove_if_present(&staging)?;
    built?;
    Assets::in_directory(directory)
}

fn build(staging: &Path) -> Result<()> {
    let log = staging.join("go-install.log");
    let output = File::create(&log)?;
    let ldflags = format!("-s -w {}", version_flags());
    let mut go = Command::new("go")
        .args(["install", "-trimpath", "-ldflags", &ldflags, "tool"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("kubernetes"))
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-buildvcs=false")
        .env("GOWORK", "off")
        .env("GOBIN", staging)
        // go install refuses GOBIN when it cross-compiles.
        .env_remove("GOOS")
        .env_remove("GOARCH")
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => anyhow!(
                "there are no Kubernetes binaries, and no go to build them with: install Go 1.26 or newer, \
                 or set {ASSETS_VARIABLE} to a directory with etcd, kube-apiserver and kubectl"
            ),
            _ => anyhow!(error).context("run go"),
        })?;
    say(&format!(
        "building etcd, kube-apiserver and kubectl {KUBERNETES_VERSION} from Go modules; \
         this takes about three minutes, once"
    ));
    let started = Instant::now();
    let status = wait_with_progress(&mut go, started)?;
    if !status.success() {
        let log = fs::read_to_string(&log).unwrap_or_default();
        bail!("go install of Kubernetes' binaries failed, {status}:\n{log}");
    }
    say(&format!("built in {} s", started.elapsed().as_secs()));
    Ok(())
}

/// Without a version, Kubernetes' programs would call themselves v0.0.0-master.
pub(crate) fn version_flags() -> String {
    let version = "k8s.io/component-base/version";
    let mut parts = KUBERNETES_VERSION.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("-X {version}.gitVersion=v{KUBERNETES_VERSION} -X {version}.gitMajor={major} -X {version}.gitMinor={minor}")
}

pub(crate) fn wait_with_progress(child: &mut Child, started: Instant) -> Result<ExitStatus> {
    const EVERY: Duration = Duration::from_secs(10);
    let mut next = EVERY;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if started.elapsed() >= next {
            say(&format!("still building, {} s", next.as_secs()));
            next += EVERY;
        }
        thread::sleep(Duration::from_millis(200));
    }
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

pub(crate) fn remove_if_present(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// Writes to the real standard error: what goes through `eprintln!` is captured by the test harness,
/// and three silent minutes look like a hang.
pub(crate) fn say(message: &str) {
    // Nobody to tell if standard error is closed.
    let _ = writeln!(io::stderr(), "testkit: {message}");
}
