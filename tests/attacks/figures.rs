//! What an attack cost, and what it may cost.

use std::{fmt, time::Duration};

use testkit::cloud::Service;

use crate::{health::Seen, honest::Latest, process::Memory, scene::Bounds};

/// What an attack cost.
#[derive(Debug)]
pub struct Figures {
    pub name: String,
    /// The memory limit, and how it was enforced.
    pub limit: String,
    /// The limit in bytes, where the kernel does not enforce it.
    pub compared: Option<u64>,
    pub alive: bool,
    pub kills: u64,
    pub seconds: f64,
    /// The time of processors that the operator used, in seconds.
    pub processor: f64,
    pub before: Memory,
    pub seen: Seen,
    /// Memory of its own in the end, in bytes.
    pub left: u64,
    /// Bytes that the program had allocated before and in the end, if the build has such a metric.
    pub allocated_before: Option<u64>,
    pub allocated: Option<u64>,
    /// When that was, since the attacker's objects were deleted.
    pub after: Duration,
    pub latest: Latest,
    /// Number of honest tenants.
    pub honest: usize,
    /// Calls to the honest clouds, by service.
    pub calls: [usize; Service::ALL.len()],
    /// Statuses of honest tenants that were read, and what was wrong.
    pub statuses: usize,
    pub wrong: Vec<String>,
    /// On the attacker's objects.
    pub events: usize,
    pub writes: f64,
    /// Of `/metrics` while the attack lasted, in bytes.
    pub scrape: usize,
    /// Lines of the log with a Secret's bytes, and all.
    pub leaks: usize,
    pub lines: usize,
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl Figures {
    /// Asserts the bounds. `kept` is the most memory of its own that the process may have in the end, in bytes.
    pub fn check(&self, bounds: &Bounds, kept: u64) {
        let Self { seen, latest, .. } = self;
        assert!(self.alive && self.kills == 0, "killed {} times", self.kills);
        // A group's limit is not for pages of the program that another group uses, too.
        let is_below = self.compared.is_none_or(|limit| seen.memory.peak <= limit);
        assert!(is_below, "a peak of {} bytes", seen.memory.peak);
        assert!(self.left <= kept, "{} bytes are left, {} before", self.left, self.before.own);
        if let Some((before, after)) = self.allocated_before.zip(self.allocated) {
            assert!(after <= before + bounds.stays, "{after} bytes are still allocated, {before} before");
        }
        assert!(seen.missing == 0 && seen.slow <= bounds.slow, "/healthz: {seen:?}");
        assert!(latest.ratio <= bounds.late, "a call came late: {latest:?}");
        assert!(self.wrong.is_empty(), "{} statuses were wrong: {:#?}", self.wrong.len(), self.wrong);
        assert_eq!(self.leaks, 0, "a Secret's bytes are in the log");
    }

    /// The same figures as rows of a table in Markdown.
    pub fn table(&self) -> String {
        let Self { seen, latest, .. } = self;
        let allocated = |bytes: Option<u64>| bytes.map_or("unknown".to_owned(), |bytes| format!("{:.1}", mib(bytes)));
        let rows = [
            ("Length", format!("{:.0} s", self.seconds)),
            ("Memory limit", self.limit.clone()),
            ("Times that the process was killed", self.kills.to_string()),
            (
                "Memory at most, of its own and with the pages of the program",
                format!("{:.0} MiB (`RssAnon`), {:.0} MiB (`VmHWM`)", mib(seen.own), mib(seen.memory.peak)),
            ),
            (
                "Allocated before, at most, and after the objects were gone",
                format!(
                    "{}, {:.1} and {} MiB after {:.0} s",
                    allocated(self.allocated_before),
                    mib(seen.allocated),
                    allocated(self.allocated),
                    self.after.as_secs_f64()
                ),
            ),
            ("CPU", format!("{:.0} s", self.processor)),
            ("`/healthz`", format!("{} requests, {:.2} s at most", seen.requests, seen.slowest.as_secs_f64())),
            (
                "Latest call of an honest tenant",
                format!(
                    "{:.2} × its interval ({:.1} s, {}), of {} calls",
                    latest.ratio,
                    latest.gap.as_secs_f64(),
                    latest.of,
                    latest.calls
                ),
            ),
            ("Statuses of honest tenants", format!("{} read, {} wrong", self.statuses, self.wrong.len())),
            ("Events on the attacker's objects", self.events.to_string()),
            ("Writes of statuses", format!("{:.0}", self.writes)),
            ("A scrape", format!("{} KiB", self.scrape >> 10)),
            ("Lines of the log, with a Secret's bytes", format!("{}, {}", self.lines, self.leaks)),
        ];
        rows.iter().map(|(name, value)| format!("| {name} | {value} |\n")).collect()
    }
}

/// One line.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, limit, kills, seconds, processor, seen, latest, honest, calls, statuses, .. } = self;
        let alive = if self.alive { "alive" } else { "DEAD" };
        let kib = |bytes: Option<u64>| bytes.unwrap_or_default() >> 10;
        write!(f, "{name}: limit {limit}; {alive} in {seconds:.0} s; killed {kills} times; ")?;
        write!(
            f,
            "memory {:.1} MiB before, peak {:.1} MiB (VmHWM), {:.1} MiB of its own, {:.1} MiB {:.0} s after; ",
            mib(self.before.own),
            mib(seen.memory.peak),
            mib(seen.own),
            mib(self.left),
            self.after.as_secs_f64()
        )?;
        write!(
            f,
            "allocated {} KiB before, {} at most, {} after; {processor:.1} s of CPU; ",
            kib(self.allocated_before),
            seen.allocated >> 10,
            kib(self.allocated)
        )?;
        write!(f, "/healthz at most {:.2} s, {} without answer; ", seen.slowest.as_secs_f64(), seen.missing)?;
        write!(
            f,
            "{honest} honest tenants, a call at most {:.1} s after the one before ({:.2} × its interval, {}), \
             their clouds' calls {calls:?}, {statuses} statuses, {} wrong; ",
            latest.gap.as_secs_f64(),
            latest.ratio,
            latest.of,
            self.wrong.len()
        )?;
        write!(
            f,
            "{} events, {} writes; a scrape of {} bytes; {} lines of the log with a Secret's bytes, {} in all",
            self.events, self.writes, self.scrape, self.leaks, self.lines
        )
    }
}
