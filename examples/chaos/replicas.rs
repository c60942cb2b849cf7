//! The operator's replicas.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use testkit::{
    control_plane::ControlPlane,
    operator::{Account, Operator},
};

use crate::{
    kubernetes::{Shared, locked},
    oracle::Oracle,
};

const MINUTE: Duration = Duration::from_secs(60);

/// The operator's ServiceAccount.
pub const ACCOUNT: Account<'_> = Account { namespace: "cloudtenant-system", name: "cloudtenant-operator" };

struct Replica {
    name: String,
    operator: Operator,
    /// A standby uses less than a leader.
    leads: bool,
    /// The lowest of the minute under way, and when that began. During a fault, connections come and go.
    minute: (Instant, Usage),
    /// The lowest of its first minute as the leader, and when that ended.
    first: Option<(Usage, Instant)>,
    /// The lowest of its last whole minute.
    last: Usage,
}

#[derive(Clone, Copy, Default)]
struct Usage {
    /// In bytes.
    memory: u64,
    descriptors: usize,
}

impl Usage {
    fn lowest(self, other: Self) -> Self {
        Self { memory: self.memory.min(other.memory), descriptors: self.descriptors.min(other.descriptors) }
    }
}

/// All that run.
pub struct Replicas {
    program: PathBuf,
    namespace: String,
    started: usize,
    running: Vec<Replica>,
    /// What those used that have ended.
    ended: Vec<String>,
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
    fn usage(&self) -> Result<Usage> {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.operator.pid()))?.count();
        Ok(Usage { memory: self.operator.memory()?, descriptors })
    }

    /// What it uses now beside what it used after its first minute as the leader, and what is wrong with that.
    fn judge(&self, oracle: &mut Oracle) -> Option<String> {
        oracle.holds_no_secret("a log", &self.operator.log());
        let ((first, since), last) = (self.first?, self.last);
        let seconds = since.elapsed().as_secs();
        let mebibytes = |usage: Usage| usage.memory as f64 / f64::from(1 << 20);
        let line = format!(
            "{}: {:.1} MiB and {} descriptors in its first minute as the leader, {:.1} MiB and {} in the last minute, \
             {seconds} s later",
            self.name,
            mebibytes(first),
            first.descriptors,
            mebibytes(last),
            last.descriptors
        );
        if last.memory > first.memory + first.memory / 2 || last.descriptors > first.descriptors + 40 {
            oracle.wrong.get_or_insert_with(|| format!("more memory or descriptors: {line}"));
        }
        Some(line)
    }
}

impl Replicas {
    /// None yet.
    pub const fn new(program: PathBuf, namespace: String) -> Self {
        Self { program, namespace, started: 0, running: Vec::new(), ended: Vec::new() }
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
        let minute = (Instant::now(), Usage { memory: u64::MAX, descriptors: usize::MAX });
        self.running.push(Replica { name, operator, leads: false, minute, first: None, last: Usage::default() });
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

    /// Ends the process with SIGKILL or SIGTERM, and judges it before.
    ///
    /// # Errors
    /// It does not end, or ends with an error after SIGTERM.
    pub async fn end(&mut self, pid: u32, kill: bool, shared: &Shared) -> Result<()> {
        let Some(index) = self.running.iter().position(|replica| replica.operator.pid() == pid) else { return Ok(()) };
        let replica = self.running.remove(index);
        self.ended.extend(replica.judge(&mut locked(shared)));
        if kill {
            signal(pid, "-KILL")?;
            drop(replica);
        } else {
            let (status, _) = replica.operator.terminate().await?;
            ensure!(status.success(), "SIGTERM ended {} with {status}", replica.name);
        }
        Ok(())
    }

    /// Measures all. `leader` is the holder of the Lease, where that is known.
    ///
    /// # Errors
    /// A replica has ended by itself.
    pub fn measure(&mut self, leader: Option<&str>) -> Result<()> {
        for replica in &mut self.running {
            let usage = replica.usage().with_context(|| {
                let log = replica.operator.log();
                let lines: Vec<_> = log.lines().rev().take(20).collect();
                format!("{} has ended by itself: {}", replica.name, lines.join("\n"))
            })?;
            let leads = leader.map_or(replica.leads, |leader| leader == replica.name);
            if leads != replica.leads {
                (replica.leads, replica.minute) = (leads, (Instant::now(), usage));
            }
            replica.minute.1 = replica.minute.1.lowest(usage);
            if replica.minute.0.elapsed() >= MINUTE {
                replica.last = replica.minute.1;
                if leads {
                    replica.first.get_or_insert((replica.last, Instant::now()));
                }
                replica.minute = (Instant::now(), usage);
            }
        }
        Ok(())
    }

    /// What each replica used, and what is wrong with that.
    pub fn judge(&self, oracle: &mut Oracle) -> Vec<String> {
        let running: Vec<_> = self.running.iter().filter_map(|replica| replica.judge(oracle)).collect();
        self.ended.iter().cloned().chain(running).collect()
    }
}
