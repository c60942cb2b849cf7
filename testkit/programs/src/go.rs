//! Builds programs from Go modules, each once, also where several processes want the same.

use std::{
    fs::{self, File, TryLockError},
    io::{self, BufRead as _, BufReader},
    ops::ControlFlow,
    path::Path,
    process::{ChildStderr, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::progress::{self, Progress};

/// Receives the state of a build, about once in a second. `Break` ends the build.
pub type Report<'a> = &'a mut dyn FnMut(&str) -> ControlFlow<()>;

/// One building: what is built, in people's words, and what to do where there is no Go.
pub struct Build<'a> {
    /// In people's words.
    pub what: &'a str,
    /// The error where there is no Go.
    pub without_go: &'a str,
    /// The module's directory.
    pub module: &'a Path,
    /// What `go install` is given.
    pub packages: &'a [&'a str],
    /// For the linker, beside those that leave out what debuggers want.
    pub ldflags: &'a str,
}

impl Build<'_> {
    /// Builds into a directory and shows the progress on standard error. Blocks, for minutes.
    ///
    /// # Errors
    /// There is no Go, or the module does not build: the error has the compiler's output.
    pub fn install(&self, directory: &Path) -> Result<()> {
        say(&format!("building {} from Go modules, once", self.what));
        let started = Instant::now();
        let mut progress = Progress::new();
        self.install_and_report(directory, &mut |state| {
            progress.show(state);
            ControlFlow::Continue(())
        })?;
        progress.clear();
        say(&format!("built in {} s", started.elapsed().as_secs()));
        Ok(())
    }

    /// As [`Build::install`], and leaves to `report` what is shown.
    ///
    /// # Errors
    /// As [`Build::install`]; or `report` ended the build.
    pub fn install_and_report(&self, directory: &Path, report: Report<'_>) -> Result<()> {
        let mut go = Command::new("go")
            .args(["install", "-v", "-trimpath", "-ldflags", format!("-s -w {}", self.ldflags).trim_end()])
            .args(self.packages)
            .current_dir(self.module)
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-buildvcs=false")
            .env("GOWORK", "off")
            .env("GOBIN", directory)
            // go install refuses GOBIN when it cross-compiles.
            .env_remove("GOOS")
            .env_remove("GOARCH")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => anyhow!("{}", self.without_go),
                _ => anyhow!(error).context("run go"),
            })?;
        let errors = go.stderr.take().context("go has no standard error")?;
        let outcome = follow(errors, report);
        if outcome.is_err() {
            // It may have ended meanwhile.
            let _ = go.kill();
        }
        let status = go.wait()?;
        let log = outcome?;
        if !status.success() {
            bail!("go install of {} failed, {status}:\n{}", self.what, log.join("\n"));
        }
        Ok(())
    }
}

/// Reads what `go install -v` writes until its end. Returns the lines that are not the name of a package.
fn follow(errors: ChildStderr, report: Report<'_>) -> Result<Vec<String>> {
    const EVERY: Duration = Duration::from_secs(1);
    const KEPT: usize = 1000;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let (mut log, mut packages, mut next) = (Vec::new(), 0_usize, Instant::now());
    loop {
        match lines.recv_timeout(EVERY) {
            Ok(line) if is_package(&line) => packages += 1,
            Ok(line) => {
                if log.len() < KEPT {
                    log.push(line);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(log),
        }
        if Instant::now() >= next {
            next = Instant::now() + EVERY;
            if report(&format!("{packages} Go packages compiled")).is_break() {
                bail!("the build was ended");
            }
        }
    }
}

/// `go install -v` writes each package's path on a line. Messages have spaces, and a `#` before the path.
fn is_package(line: &str) -> bool {
    !line.is_empty() && !line.contains([' ', '\t', ':'])
}

/// Locks a file, and says so where another process has it. Several test binaries may want the same program.
///
/// # Errors
/// The file cannot be made or locked.
pub fn lock(file: &Path, what: &str) -> Result<File> {
    let lock = File::create(file).with_context(|| format!("create {}", file.display()))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            say(&format!("waiting for another process that is building {what}"));
            lock.lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    Ok(lock)
}

/// An empty directory. What is there was left behind by a process that was killed, so it wants the [`lock`].
///
/// # Errors
/// The directory cannot be emptied or made.
pub fn emptied(directory: &Path) -> Result<()> {
    remove_if_present(directory)?;
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))
}

/// Removes a directory with what is in it.
///
/// # Errors
/// It is there and cannot be removed.
pub fn remove_if_present(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a line for people, also during tests.
pub fn say(message: &str) {
    progress::write(&format!("testkit: {message}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_go_are_no_packages() {
        assert!(is_package("k8s.io/kubernetes/cmd/kube-apiserver"));
        assert!(is_package("internal/goarch"));
        for message in ["# k8s.io/api/core/v1", "go: downloading k8s.io/api v0.36.3", "./main.go:3:1: expected", ""] {
            assert!(!is_package(message), "{message}");
        }
    }
}
