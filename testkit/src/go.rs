//! Builds programs from Go modules, each once, also where several processes want the same.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::Path,
    process::{Child, Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};

/// One building: what is built, in people's words, and what to do where there is no Go.
pub(crate) struct Build<'a> {
    pub what: &'a str,
    pub without_go: &'a str,
    /// The module's directory.
    pub module: &'a Path,
    pub packages: &'a [&'a str],
    /// For the linker, beside those that leave out what debuggers want.
    pub ldflags: &'a str,
}

impl Build<'_> {
    /// Builds into a directory. Blocks, for minutes.
    pub(crate) fn install(&self, directory: &Path) -> Result<()> {
        let log = directory.join("go-install.log");
        let output = File::create(&log)?;
        let mut go = Command::new("go")
            .args(["install", "-trimpath", "-ldflags", format!("-s -w {}", self.ldflags).trim_end()])
            .args(self.packages)
            .current_dir(self.module)
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-buildvcs=false")
            .env("GOWORK", "off")
            .env("GOBIN", directory)
            // go install refuses GOBIN when it cross-compiles.
            .env_remove("GOOS")
            .env_remove("GOARCH")
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => anyhow!("{}", self.without_go),
                _ => anyhow!(error).context("run go"),
            })?;
        say(&format!("building {} from Go modules, once", self.what));
        let started = Instant::now();
        let status = wait_with_progress(&mut go, started)?;
        if !status.success() {
            let log = fs::read_to_string(&log).unwrap_or_default();
            bail!("go install of {} failed, {status}:\n{log}", self.what);
        }
        say(&format!("built in {} s", started.elapsed().as_secs()));
        Ok(())
    }
}

/// Locks a file, and says so where another process has it. Several test binaries may want the same program.
pub(crate) fn lock(file: &Path, what: &str) -> Result<File> {
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
pub(crate) fn emptied(directory: &Path) -> Result<()> {
    remove_if_present(directory)?;
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))
}

pub(crate) fn remove_if_present(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

fn wait_with_progress(child: &mut Child, started: Instant) -> Result<ExitStatus> {
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

/// Writes to the real standard error: what goes through `eprintln!` is captured by the test harness,
/// and three silent minutes look like a hang.
pub(crate) fn say(message: &str) {
    // Nobody to tell if standard error is closed.
    let _ = writeln!(io::stderr(), "testkit: {message}");
}
