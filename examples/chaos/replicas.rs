//! The operator's replicas.

use std::{fs, path::PathBuf, process::Command, time::Instant};

use anyhow::{Context as _, Result, ensure};
use testkit::{
    control_plane::ControlPlane,
    operator::{Account, Operator},
};

use crate::oracle::Oracle;

/// The operator's ServiceAccount.
pub const ACCOUNT: Account<'_> = Account { namespace: "cloudtenant-system", name: "cloudtenant-operator" };

struct Replica {
    name: String,
    operator: Operator,
    started: Instant,
    /// Memory in bytes and file descriptors after a minute.
    first_minute: Option<(u64, usize)>,
}

/// All that run.
pub struct Replicas {
    program: PathBuf,
    namespace: String,
    started: usize,
    running: Vec<Replica>,
}

/// Sends a signal to a process.
///
/// # Errors
/// There is no such process.
pub fn signal(pid: u32, name: &str) -> Result<()> {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status()?;
    ensure!(sent.success(), "no process {pid} for {name}");
    Ok(())
}

impl Replica {
    fn usage(&self) -> Result<(u64, usize)> {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.operator.pid()))?.count();
        Ok((self.operator.memory()?, descriptors))
    }
}

impl Replicas {
    /// None yet.
    pub const fn new(program: PathBuf, namespace: String) -> Self {
        Self { program, namespace, started: 0, running: Vec::new() }
    }

    /// Starts one more.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(&mut self, control_plane: &ControlPlane) -> Result<()> {
        self.started += 1;
        let name = format!("replica-{}", self.started);
        let environment = [
            ("WATCH_NAMESPACE", self.namespace.as_str()),
            ("POD_NAMESPACE", ACCOUNT.namespace),
            ("POD_NAME", &name),
            ("LEADER_ELECTION", "true"),
        ];
        let operator = Operator::start(control_plane, &self.program, ACCOUNT, &environment).await?;
        self.running.push(Replica { name, operator, started: Instant::now(), first_minute: None });
        Ok(())
    }

    /// The process of the replica of this name, or of any.
    ///
    /// # Errors
    /// None runs.
    pub fn pid(&self, name: &str) -> Result<u32> {
        let found = self.running.iter().find(|replica| replica.name == name).or_else(|| self.running.first());
        Ok(found.context("no replica runs")?.operator.pid())
    }

    /// Whether this replica runs: a killed one holds the Lease until it ends.
    pub fn runs(&self, name: &str) -> bool {
        self.running.iter().any(|replica| replica.name == name)
    }

    /// Ends the process with SIGKILL or SIGTERM, and looks for secrets in its log.
    ///
    /// # Errors
    /// It does not end, or ends with an error after SIGTERM.
    pub async fn end(&mut self, pid: u32, kill: bool, oracle: &mut Option<String>) -> Result<()> {
        let Some(index) = self.running.iter().position(|replica| replica.operator.pid() == pid) else { return Ok(()) };
        let replica = self.running.remove(index);
        *oracle = Some(replica.operator.log());
        if kill {
            signal(pid, "-KILL")?;
            drop(replica);
        } else {
            let (status, _) = replica.operator.terminate().await?;
            ensure!(status.success(), "SIGTERM ended {} with {status}", replica.name);
        }
        Ok(())
    }

    /// Notes memory and connections after a minute.
    ///
    /// # Errors
    /// A replica has ended by itself.
    pub fn measure(&mut self) -> Result<()> {
        for replica in &mut self.running {
            let usage = replica.usage().with_context(|| {
                let log = replica.operator.log();
                let lines: Vec<_> = log.lines().rev().take(20).collect();
                format!("{} has ended by itself: {}", replica.name, lines.join("\n"))
            })?;
            if replica.started.elapsed().as_secs() >= 60 {
                replica.first_minute.get_or_insert(usage);
            }
        }
        Ok(())
    }

    /// What the replicas use now beside what they used after a minute, and what is wrong with that.
    ///
    /// # Errors
    /// A replica has ended.
    pub fn judge(&self, oracle: &mut Oracle) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for replica in &self.running {
            oracle.holds_no_secret("a log", &replica.operator.log());
            let (memory, descriptors) = replica.usage()?;
            let age = replica.started.elapsed().as_secs();
            let Some((before, fewer)) = replica.first_minute else { continue };
            let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            lines.push(format!(
                "{} after {age} s: {:.1} MiB and {descriptors} descriptors, after a minute {:.1} MiB and {fewer}",
                replica.name,
                mebibytes(memory),
                mebibytes(before)
            ));
            if age > 120 && (memory > before + before / 2 || descriptors > fewer + 16) {
                oracle.wrong.get_or_insert_with(|| format!("more memory or descriptors: {}", lines.concat()));
            }
        }
        Ok(lines)
    }
}
