//! What Linux says of a process.

use std::fs;

/// A process' memory now.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// The most that it ever had in main storage, in bytes, the pages of its program included.
    pub peak: u64,
    /// What is in main storage and not in a file, in bytes.
    pub own: u64,
}

/// `None` where the process has ended.
pub fn memory(pid: u32) -> Option<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    };
    Some(Memory { peak: kib("VmHWM:")? << 10, own: kib("RssAnon:")? << 10 })
}

/// The processor time that it has used, in seconds; 0 where it has ended.
pub fn processor(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = |field: usize| fields.split_whitespace().nth(field).and_then(|ticks| ticks.parse::<f64>().ok());
    ticks(11).zip(ticks(12)).map_or(0.0, |(user, system)| (user + system) / 100.0)
}
