//! The operator's process in a Pod, as the machine sees it.

use std::{fs, process::Command};

use anyhow::{Context as _, Result};

use crate::calls::call;

/// A process of the machine.
pub struct Process(String);

impl Process {
    /// The operator's process in this Pod: the chart tells it its Pod's name.
    pub fn of_pod(pod: &str) -> Result<Self> {
        let name = format!("POD_NAME={pod}");
        let processes = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let of_pod = |id: &String| {
            let read = |file: &str| fs::read_to_string(format!("/proc/{id}/{file}")).unwrap_or_default();
            let mut arguments = read("cmdline");
            arguments.truncate(arguments.find("\0run\0").unwrap_or(0));
            arguments == "/cloudtenant-operator" && read("environ").split('\0').any(|variable| variable == name)
        };
        processes.filter(|id| id.bytes().all(|byte| byte.is_ascii_digit())).find(of_pod).map(Self).context(name)
    }

    pub fn kill(&self) -> Result<()> {
        call(Command::new("kill").args(["-KILL", &self.0])).map(drop)
    }

    /// In MiB: what is in memory, the program's own pages included.
    pub fn memory(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }
}
