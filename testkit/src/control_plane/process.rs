//! The processes of a control plane, and how they end.
//!
//! They must not outlive the process that started them, whatever happens to it: tests panic, are
//! killed, and keep control planes in a `static`, which is never dropped. `PR_SET_PDEATHSIG` will not
//! do, even where it exists: it fires when the *thread* that started the child ends, and every test
//! has a thread of its own. So each runs below a small shell that watches a pipe, `supervise.sh`.

use std::{
    fmt,
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::Component;

const SUPERVISE: &str = include_str!("supervise.sh");
const LOG_LINES_IN_ERRORS: usize = 20;

/// Whether a process's end is also the end of the control plane's directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnKill {
    RemoveDirectory,
    KeepDirectory,
}

/// A running program; killed when dropped.
pub(super) struct Process {
    component: Component,
    program: PathBuf,
    args: Vec<String>,
    directory: PathBuf,
    on_kill: OnKill,
    supervisor: Child,
}

impl Process {
    pub(super) fn spawn(
        component: Component,
        program: &Path,
        args: &[String],
        directory: &Path,
        on_kill: OnKill,
    ) -> Result<Self> {
        let log = File::create(log_file(directory, component))?;
        let remove = match on_kill {
            OnKill::RemoveDirectory => directory,
            OnKill::KeepDirectory => Path::new(""),
        };
        let supervisor = supervised(&pid_file(directory, component), remove, program)
            .args(args)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        Ok(Self {
            component,
            program: program.to_owned(),
            args: args.to_owned(),
            directory: directory.to_owned(),
            on_kill,
            supervisor,
        })
    }

    /// Kills the program with SIGKILL, and waits until it has ended. Its directory stays.
    pub(super) fn kill(&mut self) -> Result<()> {
        let killed = Command::new("kill").args(["-KILL", &self.pid()?.to_string()]).status()?;
        ensure!(killed.success(), "{} has ended before", self.component);
        // `wait` would close it, and that removes the directory.
        let open = self.supervisor.stdin.take();
        self.supervisor.wait()?;
        drop(open);
        Ok(())
    }

    /// Starts the program again after [`Self::kill`], with the same arguments and a new log.
    pub(super) fn start_again(&mut self) -> Result<()> {
        *self = Self::spawn(self.component, &self.program, &self.args, &self.directory, self.on_kill)?;
        Ok(())
    }

    /// Fails if the program has ended.
    pub(super) fn check_running(&mut self) -> Result<(), Exited> {
        match self.supervisor.try_wait() {
            Ok(Some(status)) => Err(Exited { component: self.component, status, log: self.log() }),
            // A child that cannot be asked is not known to have ended; readiness has its own deadline.
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// The program's own process id, not its supervisor's.
    pub(super) fn pid(&self) -> Result<u32> {
        let file = pid_file(&self.directory, self.component);
        let pid = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        Ok(pid.trim().parse()?)
    }

    pub(super) fn log(&self) -> String {
        let file = log_file(&self.directory, self.component);
        fs::read(&file).map_or_else(
            |error| format!("cannot read {}: {error}", file.display()),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }
}

/// Runs a program so that it is killed when the child's standard input closes, and the directory removed with it.
/// Arguments are the program's own.
pub(crate) fn supervised(pid_file: &Path, remove: &Path, program: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", SUPERVISE, "supervise.sh"])
        .args([pid_file, remove, program])
        .stdin(Stdio::piped())
        // Out of the terminal's reach: an interrupt is for the tests; the pipe does the rest.
        .process_group(0);
    command
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        // It ends within milliseconds; should it not, there is nothing more to be done about it.
        let _ = self.supervisor.wait();
    }
}

/// A program of the control plane that ended when it should have been serving.
#[derive(Debug)]
pub(super) struct Exited {
    component: Component,
    status: ExitStatus,
    log: String,
}

impl Exited {
    /// Whether somebody else took the port between our choosing it and the program's binding it.
    pub(super) fn for_want_of_its_port(&self) -> bool {
        self.log.contains("address already in use")
    }
}

impl fmt::Display for Exited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.log.lines().collect();
        let last = lines.len().saturating_sub(LOG_LINES_IN_ERRORS);
        let tail = lines.get(last..).unwrap_or_default().join("\n");
        write!(f, "{} ended, {}:\n{tail}", self.component, self.status)
    }
}

impl std::error::Error for Exited {}

fn log_file(directory: &Path, component: Component) -> PathBuf {
    directory.join(format!("{component}.log"))
}

fn pid_file(directory: &Path, component: Component) -> PathBuf {
    directory.join(format!("{component}.pid"))
}
