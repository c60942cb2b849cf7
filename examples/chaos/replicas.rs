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
    machine::Machine,
    operator::{Account, Operator},
};

use crate::{
    kubernetes::{Shared, locked},
    oracle::Oracle,
    random::Random,
};

/// What a clock can be ahead by, in seconds.
const CLOCKS: [i64; 5] = [0, 3600, -3600, 7200, -7200];

const MINUTE: Duration = Duration::from_secs(60);

/// The operator's ServiceAccount.
pub const ACCOUNT: Account<'_> = Account { namespace: "cloudtenant-system", name: "cloudtenant-operator" };

/// One of `count` shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    pub index: usize,
    /// 1 means that there are no shards.
    pub count: usize,
}

impl Shard {
    /// All of so many.
    pub fn all(count: usize) -> impl Iterator<Item = Self> {
        (0..count).map(move |index| Self { index, count })
    }

    /// The name of its Lease, by docs/installation.md.
    pub fn lease(self) -> String {
        let Self { index, count } = self;
        if count == 1 { ACCOUNT.name.to_owned() } else { format!("{}-shard-{index}-of-{count}", ACCOUNT.name) }
    }
}

struct Replica {
    name: String,
    shard: Shard,
    operator: Operator,
    machine: Machine,
    /// How far its clock is ahead, in seconds.
    ahead: i64,
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

    /// Starts one more, of this shard.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(&mut self, control_plane: &ControlPlane, shard: Shard) -> Result<()> {
        self.started += 1;
        let name = format!("replica-{}", self.started);
        let machine = Machine::new()?;
        let (machine_environment, own) = (machine.environment(), format!("{}/{}", shard.index, shard.count));
        let mut environment = vec![
            ("WATCH_NAMESPACE", self.namespace.as_str()),
            ("POD_NAMESPACE", ACCOUNT.namespace),
            ("POD_NAME", &name),
            ("LEADER_ELECTION", "true"),
            ("SHARD", &own),
        ];
        environment.extend(machine_environment.iter().map(|(name, value)| (*name, value.as_str())));
        let operator = Operator::start(control_plane, &self.program, ACCOUNT, &environment).await?;
        let minute = (Instant::now(), Usage { memory: u64::MAX, descriptors: usize::MAX });
        self.running.push(Replica {
            name,
            shard,
            operator,
            machine,
            ahead: 0,
            leads: false,
            minute,
            first: None,
            last: Usage::default(),
        });
        Ok(())
    }

    /// Sets the clock of the replica of this name, or of any, to another time. Returns what was done.
    ///
    /// # Errors
    /// The file of its clock cannot be written.
    pub fn set_clock(&mut self, name: &str, random: &mut Random) -> Result<String> {
        let index = self.running.iter().position(|replica| replica.name == name).unwrap_or_default();
        let replica = self.running.get_mut(index).context("no replica runs")?;
        let others: Vec<_> = CLOCKS.into_iter().filter(|ahead| *ahead != replica.ahead).collect();
        replica.ahead = random.one_of(&others).copied().unwrap_or_default();
        replica.machine.set(replica.ahead, true)?;
        Ok(format!("the clock of {} is ahead by {} s", replica.name, replica.ahead))
    }

    /// The process of the replica of this name, or of any.
    ///
    /// # Errors
    /// None runs.
    pub fn pid(&self, name: &str) -> Result<u32> {
        let found = self.running.iter().find(|replica| replica.name == name).or_else(|| self.running.first());
        Ok(found.context("no replica runs")?.operator.pid())
    }

    /// Whether this replica runs and is of this shard: a killed one holds the Lease until it ends, and one of another
    /// shard gives the Lease back.
    pub fn runs(&self, name: &str, shard: Shard) -> bool {
        self.running.iter().any(|replica| replica.name == name && replica.shard == shard)
    }

    /// Ends the process with SIGKILL or SIGTERM, and judges it before. Returns its shard.
    ///
    /// # Errors
    /// It does not end, or ends with an error after SIGTERM.
    pub async fn end(&mut self, pid: u32, kill: bool, shared: &Shared) -> Result<Shard> {
        let index = self.running.iter().position(|replica| replica.operator.pid() == pid);
        let replica = self.running.remove(index.with_context(|| format!("no replica has the pid {pid}"))?);
        let shard = replica.shard;
        self.ended.extend(replica.judge(&mut locked(shared)));
        if kill {
            signal(pid, "-KILL")?;
            drop(replica);
        } else {
            let (status, _) = replica.operator.terminate().await?;
            ensure!(status.success(), "SIGTERM ended {} with {status}", replica.name);
        }
        Ok(shard)
    }

    /// Measures all. `leaders` are the holders of the Leases, where they are known.
    ///
    /// # Errors
    /// A replica has ended by itself.
    pub fn measure(&mut self, leaders: Option<&[String]>) -> Result<()> {
        for replica in &mut self.running {
            let usage = replica.usage().with_context(|| {
                let log = replica.operator.log();
                let lines: Vec<_> = log.lines().rev().take(20).collect();
                format!("{} has ended by itself: {}", replica.name, lines.join("\n"))
            })?;
            let leads = leaders.map_or(replica.leads, |leaders| leaders.contains(&replica.name));
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
