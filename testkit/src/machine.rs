//! The wall clock and the DNS of one process. A preloaded library changes them, so the program must be linked
//! dynamically, and this needs a C compiler.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

const LIBRARY: &str = include_str!("machine.c");

/// What a process believes about its machine.
pub struct Machine {
    directory: TempDir,
}

impl Machine {
    /// A machine whose clock is right and whose DNS works.
    ///
    /// # Errors
    /// The library does not compile.
    pub fn new() -> Result<Self> {
        let machine = Self { directory: tempfile::Builder::new().prefix("testkit-machine-").tempdir()? };
        let source = machine.file("machine.c");
        fs::write(&source, LIBRARY)?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(machine.file("machine.so")).arg(source);
        ensure!(compiler.status().context("run cc")?.success(), "the library for a process's clock does not compile");
        machine.set(0, true)?;
        Ok(machine)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The variables of a process on this machine.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let path = |name| self.file(name).display().to_string();
        [("LD_PRELOAD", path("machine.so")), ("MACHINE", path("machine"))]
    }

    /// The clock is ahead by so many seconds, and DNS works or does not. This holds at once.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set(&self, seconds: i64, dns: bool) -> Result<()> {
        let next = self.file("next");
        fs::write(&next, format!("{seconds} {}\n", u8::from(dns)))?;
        Ok(fs::rename(next, self.file("machine"))?)
    }
}
