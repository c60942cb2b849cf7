//! Heat's engines: their processes, the rows that they report in, and the queue that hands them requests.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    SimulatedCloud,
    state::{self, Clock},
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
        Some(whole_second(state::shift(reported, passed)))
    }

    fn stop_beating(&mut self, now: Timestamp) {
        self.reported = self.updated(now);
        self.beating = false;
    }

    /// As the answering engine computes it: from its own clock and the row's interval.
    fn is_up(&self, now: Timestamp, intervals: u64) -> bool {
        let last = self.updated(now).unwrap_or_else(|| whole_second(self.created));
        let limit = state::signed(Duration::from_secs(self.report_interval * intervals));
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
    down_after: u64,
    rpc_timeout: Duration,
    broker_drop_after: Duration,
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

    fn start(&mut self, host: &str, workers: usize, now: Timestamp) {
        // A starting engine deletes its host's rows that have not been reported for three intervals.
        let old = state::signed(Duration::from_secs(3 * self.report_interval));
        self.rows
            .retain(|row| row.host != host || row.updated(now).is_none_or(|updated| now.duration_since(updated) < old));
        self.started += 1;
        let id = self.started;
        self.processes.push(Process { id, host: host.to_owned(), workers, hung_since: None });
        self.rows.extend((0..workers).map(|_| Row {
            id: state::new_uuid(),
            engine_id: state::new_uuid(),
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
    fn kill(&mut self, host: &str, now: Timestamp) -> (Vec<usize>, usize) {
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

    fn hang(&mut self, host: &str, now: Timestamp) {
        for process in self.processes.iter_mut().filter(|process| process.host == host) {
            process.hung_since = Some(now);
            for row in self.rows.iter_mut().filter(|row| row.process == process.id) {
                row.stop_beating(now);
            }
        }
    }

    fn resume(&mut self, host: &str, now: Timestamp) {
        for process in self.processes.iter_mut().filter(|process| process.host == host) {
            process.hung_since = None;
            for row in self.rows.iter_mut().filter(|row| row.process == process.id) {
                row.reported = Some(now);
                row.beating = true;
            }
        }
    }

    /// Hands a request to the next consumer. The broker knows of a hang only once it has dropped the connection.
    pub(super) fn hand_out(&mut self, clock: &Clock) -> Handed {
        let now = clock.now();
        let patience = state::signed(self.broker_drop_after);
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
        let told = |time: Timestamp| state::zoneless(whole_second(clock.tell(time)));
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

impl SimulatedCloud {
    fn engines<T>(&self, change: impl FnOnce(&mut Engines, Timestamp) -> T) -> T {
        let mut state = self.shared.lock();
        let now = state.clock.now();
        change(&mut state.engines, now)
    }

    /// Starts an engine on a host. The cloud begins with one each on `engine-1.lab` and `engine-2.lab`.
    pub fn add_engine(&self, host: &str, workers: usize) {
        self.engines(|engines, now| engines.start(host, workers, now));
    }

    /// Ends an engine without a farewell: its rows stay, and read `up` for up to two intervals.
    pub fn kill_engine(&self, host: &str) {
        self.engines(|engines, now| engines.kill(host, now));
    }

    /// Starts a host's engine again, killing it first if it runs: new rows, and those of the one killed are ghosts.
    ///
    /// Ghosts of the host not reported for three intervals go at this moment.
    pub fn restart_engine(&self, host: &str) {
        self.engines(|engines, now| {
            let (_, running) = engines.kill(host, now);
            let workers = if running > 0 { running } else { engines.last_workers(host) };
            engines.start(host, workers, now);
        });
    }

    /// Ends an engine gracefully: its rows go, ghosts stay.
    pub fn stop_engine(&self, host: &str) {
        self.engines(|engines, now| {
            let (ids, _) = engines.kill(host, now);
            engines.rows.retain(|row| !ids.contains(&row.process));
        });
    }

    /// Lets an engine hang: no reports, and the requests handed to it go unanswered until the broker drops it.
    pub fn hang_engine(&self, host: &str) {
        self.engines(|engines, now| engines.hang(host, now));
    }

    /// Lets a hung engine go on.
    pub fn resume_engine(&self, host: &str) {
        self.engines(|engines, now| engines.resume(host, now));
    }

    /// Adds a row that was never reported: `updated_at` is null. No process takes requests for it.
    pub fn add_unreported_engine(&self, host: &str) {
        self.engines(|engines, now| {
            engines.start(host, 1, now);
            engines.kill(host, now);
            let newest = engines.started;
            for row in engines.rows.iter_mut().filter(|row| row.process == newest) {
                row.reported = None;
            }
        });
    }

    /// Removes every engine and row.
    pub fn clear_engines(&self) {
        self.engines(|engines, _| {
            engines.rows.clear();
            engines.processes.clear();
        });
    }

    /// Deletes the rows that are down, as `heat-manage service clean` does.
    pub fn clean_services(&self) {
        self.engines(|engines, now| {
            let intervals = engines.down_after;
            engines.rows.retain(|row| row.is_up(now, intervals));
        });
    }

    /// How often engines report; 60 s at first. The rows of dead engines keep theirs.
    pub fn set_report_interval(&self, seconds: u64) {
        self.engines(|engines, now| {
            engines.report_interval = seconds;
            for row in engines.rows.iter_mut().filter(|row| row.beating) {
                row.reported = row.updated(now);
                row.report_interval = seconds;
            }
        });
    }

    /// After how many intervals without a report a row is down: 2, before Heat 13 it was 1.
    pub fn set_down_after_intervals(&self, intervals: u64) {
        self.engines(|engines, _| engines.down_after = intervals);
    }

    /// How long heat-api waits for an engine, by real time; 60 s at first.
    pub fn set_rpc_timeout(&self, timeout: Duration) {
        self.engines(|engines, _| engines.rpc_timeout = timeout);
    }

    /// After how long the message broker drops an engine that hangs, by the cloud's clock; 170 s at first.
    pub fn set_broker_drop_after(&self, time: Duration) {
        self.engines(|engines, _| engines.broker_drop_after = time);
    }
}
