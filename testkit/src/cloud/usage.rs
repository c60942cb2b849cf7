//! What servers a tenant has, and what Nova makes of them for a window of time.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::{Value, json};

use crate::cloud::{clock, ids};

/// A server of a tenant.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its id; Nova pages in the order of ids.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its flavor's name.
    pub flavor: String,
    /// `active`, `stopped`, …; `terminated` is told of every server with an end.
    pub state: String,
    /// Processors.
    pub vcpus: u64,
    /// Memory.
    pub memory_mb: u64,
    /// Root and ephemeral disk.
    pub local_gb: u64,
    /// When it was launched. One that never was does not count.
    pub launched_at: Option<Timestamp>,
    /// When it was deleted.
    pub terminated_at: Option<Timestamp>,
    /// Leaves processors, memory and disk out of its row, as for a server deleted while Nova counts.
    pub without_resources: bool,
}

impl Server {
    /// An active server of 2 processors, 8192 MB and 50 GB.
    #[must_use]
    pub fn new(name: &str, launched_at: Timestamp) -> Self {
        Self {
            id: ids::new_uuid(),
            name: name.to_owned(),
            flavor: "s3.large.4".to_owned(),
            state: "active".to_owned(),
            vcpus: 2,
            memory_mb: 8192,
            local_gb: 50,
            launched_at: Some(launched_at),
            terminated_at: None,
            without_resources: false,
        }
    }

    /// Whether it existed at some time between the start and the stop.
    ///
    /// With a start in the future the servers of now are still found: the two ends are looked at apart.
    fn is_in(&self, window: &Window) -> bool {
        self.launched_at.is_some_and(|launched| launched < window.stop)
            && self.terminated_at.is_none_or(|terminated| terminated > window.start)
    }

    /// The hours within the window, below zero for a start in the future.
    fn hours(&self, window: &Window) -> f64 {
        let start = self.launched_at.map_or(window.start, |launched| launched.max(window.start));
        let stop = self.terminated_at.map_or(window.stop, |terminated| terminated.min(window.stop));
        // Python's total_seconds: whole microseconds by a million.
        #[expect(clippy::cast_precision_loss, reason = "the same loss as in Nova")]
        let seconds = stop.duration_since(start).as_micros() as f64 / 1e6;
        seconds / 3600.0
    }

    /// The row of the answer. Unlike `hours`, `uptime` is not clipped to the window.
    fn row(&self, tenant: &str, hours: f64, now: Timestamp) -> Value {
        let until = self.terminated_at.unwrap_or(now);
        let uptime = self.launched_at.map_or(0, |launched| until.duration_since(launched).as_secs());
        let mut row = json!({
            "hours": hours,
            "flavor": self.flavor,
            "instance_id": self.id,
            "name": self.name,
            "tenant_id": tenant,
            "started_at": self.launched_at.map(clock::zoneless),
            "ended_at": self.terminated_at.map(clock::zoneless),
            "state": if self.terminated_at.is_some() { "terminated" } else { &self.state },
            "uptime": uptime,
        });
        if !self.without_resources {
            row["memory_mb"] = json!(self.memory_mb);
            row["local_gb"] = json!(self.local_gb);
            row["vcpus"] = json!(self.vcpus);
        }
        row
    }
}

/// The servers of all tenants, and how Nova is configured.
pub(super) struct Nova {
    pub(super) servers: BTreeMap<String, Vec<Server>>,
    pub(super) max_limit: usize,
    pub(super) microversions: bool,
    pub(super) link_host: Option<String>,
}

impl Nova {
    pub(super) fn new() -> Self {
        Self { servers: BTreeMap::new(), max_limit: 1000, microversions: true, link_host: None }
    }
}

/// The time that usage is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) start: Timestamp,
    pub(super) stop: Timestamp,
}

impl Window {
    /// The window that Nova reads from a query, or what it says against it.
    ///
    /// What is missing is "now", read twice: a window of microseconds without both, an error with an end alone.
    pub(super) fn parse(start: Option<&str>, end: Option<&str>, now: Timestamp) -> Result<Self, &'static str> {
        let start = start.map_or(Ok(now), instant)?;
        let later = clock::shift(now, jiff::SignedDuration::from_micros(5));
        let stop = end.map_or(Ok(later), instant)?;
        if start >= stop {
            return Err("Invalid start time. The start time cannot occur after the end time.");
        }
        // A stop in the future is cut to now; a start is not.
        Ok(Self { start, stop: stop.min(later) })
    }
}

/// Reads `2026-11-22T05:09:43`, with a fraction, and with a space for the T only with one; nothing else.
fn instant(text: &str) -> Result<Timestamp, &'static str> {
    const INVALID: &str = "Invalid datetime string: Datetime is in invalid format";
    let formats = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%f"];
    let parsed = formats.iter().find_map(|format| DateTime::strptime(format, text).ok());
    let zoned = parsed.and_then(|civil| civil.to_zoned(TimeZone::UTC).ok());
    zoned.map(|zoned| zoned.timestamp()).ok_or(INVALID)
}

/// One page of a tenant's servers.
pub(super) struct Page<'a> {
    servers: Vec<&'a Server>,
}

impl<'a> Page<'a> {
    /// The servers of the window after the marker, at most `limit`; none where nobody knows the marker.
    pub(super) fn of(servers: &'a [Server], window: &Window, limit: usize, marker: Option<&str>) -> Option<Self> {
        if marker.is_some_and(|marker| !servers.iter().any(|server| server.id == marker)) {
            return None;
        }
        let mut servers: Vec<&Server> = servers
            .iter()
            .filter(|server| server.is_in(window) && marker.is_none_or(|marker| server.id.as_str() > marker))
            .collect();
        servers.sort_by(|a, b| a.id.cmp(&b.id));
        servers.truncate(limit);
        Some(Self { servers })
    }

    pub(super) fn len(&self) -> usize {
        self.servers.len()
    }

    /// The id of the last server, which the next page starts after.
    pub(super) fn last(&self) -> Option<&str> {
        Some(&self.servers.last()?.id)
    }

    /// The usage with totals of this page alone; empty for a page without servers.
    pub(super) fn usage(&self, tenant: &str, window: &Window, now: Timestamp) -> Value {
        if self.servers.is_empty() {
            return json!({});
        }
        let (mut hours, mut disk, mut processors, mut memory) = (0.0, 0.0, 0.0, 0.0);
        let mut rows = Vec::new();
        for server in &self.servers {
            let of_server = server.hours(window);
            hours += of_server;
            if !server.without_resources {
                disk += times(server.local_gb, of_server);
                processors += times(server.vcpus, of_server);
                memory += times(server.memory_mb, of_server);
            }
            rows.push(server.row(tenant, of_server, now));
        }
        json!({
            "tenant_id": tenant,
            "server_usages": rows,
            "total_local_gb_usage": disk,
            "total_vcpus_usage": processors,
            "total_memory_mb_usage": memory,
            "total_hours": hours,
            "start": clock::zoneless(window.start),
            "stop": clock::zoneless(window.stop),
        })
    }
}

fn times(amount: u64, hours: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "amounts are small")]
    let amount = amount as f64;
    amount * hours
}
