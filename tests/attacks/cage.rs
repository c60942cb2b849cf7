//! The chart's memory limit for one process: by a control group where one can be made, else by the process' peak.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread::sleep,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

const VALUES: &str = include_str!("../../charts/cloudtenant-operator/values.yaml");

/// The chart's default for `resources.limits.memory`, in bytes.
pub fn limit() -> u64 {
    let values: Value = serde_saphyr::from_str(VALUES).unwrap();
    let limit = values["resources"]["limits"]["memory"].as_str().unwrap();
    limit.strip_suffix("Mi").unwrap().parse::<u64>().unwrap() << 20
}

pub struct Cage {
    group: Result<Group, io::Error>,
    directory: TempDir,
}

impl Cage {
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("attacks-").tempdir().unwrap();
        Self { group: Group::make(limit()), directory }
    }

    /// A program that runs `program` with the limit.
    pub fn around(&self, program: &Path) -> PathBuf {
        let Ok(group) = &self.group else {
            return program.to_owned();
        };
        let script = self.directory.path().join("limited");
        let procs = group.path.join("cgroup.procs");
        let text = format!("#!/bin/sh\necho $$ >'{}' && exec '{}' \"$@\"\n", procs.display(), program.display());
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        script
    }

    /// How often the kernel has ended a process for want of memory. Without a group it ends none.
    pub fn kills(&self) -> u64 {
        self.group.as_ref().map_or(0, Group::kills)
    }

    /// Whether the kernel enforces the limit.
    pub const fn is_enforced(&self) -> bool {
        self.group.is_ok()
    }

    /// Which kind of limit it is.
    pub fn describe(&self) -> String {
        let limit = limit() >> 20;
        match &self.group {
            Ok(group) => format!("{limit} MiB, {}", group.version.name()),
            Err(error) => format!("{limit} MiB, compared with VmHWM (no control group: {error})"),
        }
    }
}

#[derive(Clone, Copy)]
enum Version {
    One,
    Two,
}

impl Version {
    const fn name(self) -> &'static str {
        match self {
            Self::One => "control group v1",
            Self::Two => "control group v2",
        }
    }

    /// The files with the limit, with the limit of memory and swap or swap alone, and with the count of kills.
    const fn files(self) -> [&'static str; 3] {
        match self {
            Self::One => ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.oom_control"],
            Self::Two => ["memory.max", "memory.swap.max", "memory.events"],
        }
    }
}

/// A control group without swap; removed when dropped.
struct Group {
    version: Version,
    path: PathBuf,
}

impl Group {
    fn make(limit: u64) -> io::Result<Self> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let one = Path::new("/sys/fs/cgroup/memory");
        let (version, root) = match one.join("memory.limit_in_bytes").exists() {
            true => (Version::One, one),
            false => (Version::Two, Path::new("/sys/fs/cgroup")),
        };
        if matches!(version, Version::Two) {
            fs::write(root.join("cgroup.subtree_control"), "+memory")?;
        }
        let path = root.join(format!("cloudtenant-attacks-{}-{}", std::process::id(), MADE.fetch_add(1, Relaxed)));
        fs::create_dir(&path)?;
        let group = Self { version, path };
        let [most, swap, _] = version.files();
        fs::write(group.path.join(most), limit.to_string())?;
        // Without this file the kernel does not count swap. By version 1 it limits the sum.
        let swap = group.path.join(swap);
        if swap.exists() {
            fs::write(swap, if matches!(version, Version::One) { limit } else { 0 }.to_string())?;
        }
        Ok(group)
    }

    fn kills(&self) -> u64 {
        let [_, _, events] = self.version.files();
        let events = fs::read_to_string(self.path.join(events)).unwrap();
        events.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that has ended leaves its group a moment later.
        for _ in 0..50 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            sleep(Duration::from_millis(20));
        }
    }
}
