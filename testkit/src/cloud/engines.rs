//! Heat's engines: their processes, the rows that they report in, and the queue that hands them requests.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::cloud::{
    clock::{self, Clock},
    ids,
};

/// One worker's row in Heat's database. It outlives a worker that was killed.
struct Row {
    id: String,
    engine_id: String,
    host: String,
    process: usize,
    report_interval: u64,
    created: Timestamp,
    /// The report from which later ones are counted; none before the first.
    reported: Option<Timestamp>,
    beating: bool,
}

impl Row {
    /// The last report, as Heat's database keeps it: without a fraction.
    ///
    /// Reports are counted when someone asks, not made.
    fn updated(&self, now: Timestamp) -> Option<Timestamp> {
        let reported = self.reported?;
        if !self.beating {
            return Some(whole_second(reported));
        }
        let interval = i64::try_from(self.report_interval.max(1)).unwrap_or(i64::MAX);
        let beats = now.duration_since(reported).as_secs().max(0) / interval;
        let passed = SignedDuration::from_secs(beats.saturating_mul(interval));
        Some(whole_second(clock::shift(reported, passed)))
    }

    fn stop_beating(&mut self, now: Timestamp) {
        self.reported = self.updated(now);
        self.beating = false;
    }

    /// As the answering engine computes it: from its own clock and the row's interval.
    fn is_up(&self, now: Timestamp, intervals: u64) -> bool {
        let last = self.updated(now).unwrap_or_else(|| whole_second(self.created));
        let limit = clock::signed(Duration::from_secs(self.report_interval * intervals));
        now.duration_since(last) <= limit
    }
}

/// One engine process with its workers, each a consumer of the queue.
struct Process {
    id: usize,
    host: String,
    workers: usize,
    hung_since: Option<Timestamp>,
}

/// What became of a request that heat-api put into the queue.
pub(super) enum Handed {
    /// An engine answered with this list.
    Answered(Value),
    /// Nobody took it, or one who hangs.
    Silence(Duration),
}

pub(super) struct Engines {
    rows: Vec<Row>,
    processes: Vec<Process>,
    started: usize,
    handed_out: usize,
    report_interval: u64,
    pub(super) down_after: u64,
    pub(super) rpc_timeout: Duration,
    pub(super) broker_drop_after: Duration,
}

impl Engines {
    pub(super) fn new(now: Timestamp) -> Self {
        let mut engines = Self {
            rows: Vec::new(),
            processes: Vec::new(),
            started: 0,
            handed_out: 0,
            report_interval: 60,
            down_after: 2,
            rpc_timeout: Duration::from_secs(60),
            broker_drop_after: Duration::from_secs(170),
        };
        engines.start("engine-1.lab", 1, now);
        engines.start("engine-2.lab", 1, now);
        engines
    }

    pub(super) fn start(&mut self, host: &str, workers: usize, now: Timestamp) {
        // A starting engine deletes its host's rows that have not been reported for three intervals.
        let old = clock::signed(Duration::from_secs(3 * self.report_interval));
        self.rows
            .retain(|row| row.host != host || row.updated(now).is_none_or(|updated| now.duration_since(updated) < old));
        self.started += 1;
        let id = self.started;
        self.processes.push(Process { id, host: host.to_owned(), workers, hung_since: None });
        self.rows.extend((0..workers).map(|_| Row {
            id: ids::new_uuid(),
            engine_id: ids::new_uuid(),
            host: host.to_owned(),
            process: id,
            report_interval: self.report_interval,
            created: now,
            reported: Some(now),
            beating: true,
        }));
        self.rows.sort_by(|a, b| a.id.cmp(&b.id));
    }

    /// Ends a host's processes; their rows stay. Gives the ids and the workers there were.
    pub(super) fn kill(&mut self, host: &str, now: Timestamp) -> (Vec<usize>, usize) {
        let (dead, alive) = self.processes.drain(..).partition::<Vec<_>, _>(|process| process.host == host);
        self.processes = alive;
        let ids: Vec<usize> = dead.iter().map(|process| process.id).collect();
        for row in self.rows.iter_mut().filter(|row| ids.contains(&row.process)) {
            row.stop_beating(now);
        }
        (ids, dead.iter().map(|process| process.workers).sum())
    }

    /// How many workers the host's newest rows tell of, for one that is started again after its death.
    fn last_workers(&self, host: &str) -> usize {
        let of_host = || self.rows.iter().filter(|row| row.host == host);
        let newest = of_host().map(|row| row.process).max();
        of_host().filter(|row| Some(row.process) == newest).count().max(1)
    }

    pub(super) fn hang(&mut self, host: &str, now: Timestamp) {
        for process in self.processes.iter_mut().filter(|process| process.host == host) {
            process.hung_since = Some(now);
            for row in self.rows.iter_mut().filter(|row| row.process == process.id) {
                row.stop_beating(now);
            }
        }
    }

    pub(super) fn resume(&mut self, host: &str, now: Timestamp) {
        for process in self.processes.iter_mut().filter(|process| process.host == host) {
            process.hung_since = None;
            for row in self.rows.iter_mut().filter(|row| row.process == process.id) {
                row.reported = Some(now);
                row.beating = true;
            }
        }
    }

    /// Kills a host's engine, if it runs, and starts it with as many workers as before.
    pub(super) fn restart(&mut self, host: &str, now: Timestamp) {
        let (_, running) = self.kill(host, now);
        let workers = if running > 0 { running } else { self.last_workers(host) };
        self.start(host, workers, now);
    }

    /// Ends a host's processes, and deletes their rows.
    pub(super) fn stop(&mut self, host: &str, now: Timestamp) {
        let (ids, _) = self.kill(host, now);
        self.rows.retain(|row| !ids.contains(&row.process));
    }

    pub(super) fn add_unreported(&mut self, host: &str, now: Timestamp) {
        self.start(host, 1, now);
        self.kill(host, now);
        let newest = self.started;
        for row in self.rows.iter_mut().filter(|row| row.process == newest) {
            row.reported = None;
        }
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.processes.clear();
    }

    /// Deletes the rows that are down.
    pub(super) fn clean(&mut self, now: Timestamp) {
        let intervals = self.down_after;
        self.rows.retain(|row| row.is_up(now, intervals));
    }

    pub(super) fn set_report_interval(&mut self, seconds: u64, now: Timestamp) {
        self.report_interval = seconds;
        for row in self.rows.iter_mut().filter(|row| row.beating) {
            row.reported = row.updated(now);
            row.report_interval = seconds;
        }
    }

    /// Hands a request to the next consumer. The broker knows of a hang only once it has dropped the connection.
    pub(super) fn hand_out(&mut self, clock: &Clock) -> Handed {
        let now = clock.now();
        let patience = clock::signed(self.broker_drop_after);
        let connected =
            |process: &&Process| process.hung_since.is_none_or(|since| now.duration_since(since) < patience);
        let consumers: Vec<&Process> = self
            .processes
            .iter()
            .filter(connected)
            .flat_map(|process| std::iter::repeat_n(process, process.workers))
            .collect();
        if consumers.is_empty() {
            return Handed::Silence(self.rpc_timeout);
        }
        let consumer = consumers[self.handed_out % consumers.len()];
        self.handed_out += 1;
        if consumer.hung_since.is_some() {
            Handed::Silence(self.rpc_timeout)
        } else {
            Handed::Answered(self.listing(clock))
        }
    }

    fn listing(&self, clock: &Clock) -> Value {
        let now = clock.now();
        let told = |time: Timestamp| clock::zoneless(whole_second(clock.tell(time)));
        let row = |row: &Row| {
            json!({
                "id": row.id,
                "binary": "heat-engine",
                "engine_id": row.engine_id,
                "host": row.host,
                "hostname": row.host.split('.').next(),
                "topic": "engine",
                "report_interval": row.report_interval,
                "created_at": told(row.created),
                "updated_at": row.updated(now).map(told),
                "deleted_at": null,
                "status": if row.is_up(now, self.down_after) { "up" } else { "down" },
            })
        };
        json!({"services": self.rows.iter().map(row).collect::<Vec<_>>()})
    }
}

fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
