//! Both builds at the same time, and what a person sees meanwhile.

use std::{
    collections::VecDeque,
    env,
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    ops::ControlFlow,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Error, Result, bail};
use programs::{assets::Assets, progress::Progress};

/// Lines of cargo's output that are shown if it fails.
const KEPT: usize = 200;

/// The state that the two builds share with the line on the screen.
pub struct Builds<'a> {
    workspace: &'a Path,
    target: &'a Path,
    rust: Mutex<String>,
    kubernetes: Mutex<String>,
    cargo: Mutex<Option<Child>>,
    /// What ended the builds.
    failure: Mutex<Option<Error>>,
}

impl<'a> Builds<'a> {
    pub fn new(workspace: &'a Path, target: &'a Path) -> Self {
        let [rust, kubernetes] = [(); 2].map(|()| Mutex::new(String::new()));
        Self { workspace, target, rust, kubernetes, cargo: Mutex::new(None), failure: Mutex::new(None) }
    }

    /// Compiles the demo, and finds or builds the programs. If one of the two fails, the other one is ended.
    pub fn run(&self) -> Result<Assets> {
        thread::scope(|scope| {
            let rust = scope.spawn(|| self.fail_all_if_it_fails(self.compile()));
            let kubernetes = scope.spawn(|| self.fail_all_if_it_fails(self.assets()));
            let mut progress = Progress::new();
            while !(rust.is_finished() && kubernetes.is_finished()) {
                thread::sleep(Duration::from_millis(200));
                let state = [lock(&self.rust).clone(), lock(&self.kubernetes).clone()];
                progress.show(&state.into_iter().filter(|state| !state.is_empty()).collect::<Vec<_>>().join(", "));
            }
            progress.clear();
            let (Ok(_), Ok(assets)) = (rust.join(), kubernetes.join()) else { bail!("a build panicked") };
            if let Some(failure) = lock(&self.failure).take() {
                return Err(failure);
            }
            assets.context("the programs were not built")
        })
    }

    fn fail_all_if_it_fails<T>(&self, result: Result<T>) -> Option<T> {
        result
            .map_err(|error| {
                lock(&self.failure).get_or_insert(error);
                if let Some(cargo) = lock(&self.cargo).as_mut() {
                    // It may have ended meanwhile.
                    let _ = cargo.kill();
                }
            })
            .ok()
    }

    fn assets(&self) -> Result<Assets> {
        Assets::any_or_build(&mut |state| {
            *lock(&self.kubernetes) = format!("Kubernetes: {state}");
            if lock(&self.failure).is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    }

    fn compile(&self) -> Result<()> {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for (variable, _) in env::vars_os().filter(|(variable, _)| describes_this_package(variable)) {
            command.env_remove(variable);
        }
        let mut cargo = command
            .args(["build", "--package", "cloudtenant-operator", "--example", "tour", "--color=never", "--target-dir"])
            .arg(self.target)
            .current_dir(self.workspace)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("run cargo")?;
        let errors = cargo.stderr.take().context("cargo has no standard error")?;
        *lock(&self.cargo) = Some(cargo);
        let (mut log, mut crates) = (VecDeque::new(), 0_usize);
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            if let Some(name) = line.trim_start().strip_prefix("Compiling ") {
                crates += 1;
                *lock(&self.rust) = format!("Rust: {crates} crates, {}", name.split(' ').next().unwrap_or_default());
            } else {
                log.push_back(line);
                if log.len() > KEPT {
                    log.pop_front();
                }
            }
        }
        let status = lock(&self.cargo).take().context("cargo has no process")?.wait()?;
        lock(&self.rust).clear();
        if !status.success() {
            bail!("cargo build of the demo failed, {status}:\n{}", log.make_contiguous().join("\n"));
        }
        Ok(())
    }
}

/// `cargo run` sets these for this program. Crates such as ring are compiled again where they have other values.
fn describes_this_package(variable: &OsStr) -> bool {
    let variable = variable.to_string_lossy();
    ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|beginning| variable.starts_with(beginning))
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
