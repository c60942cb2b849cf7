//! Heat's engines.

use std::time::Duration;

use jiff::Timestamp;

use crate::cloud::{SimulatedCloud, engines::Engines};

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
        self.engines(|engines, now| engines.restart(host, now));
    }

    /// Ends an engine gracefully: its rows go, ghosts stay.
    pub fn stop_engine(&self, host: &str) {
        self.engines(|engines, now| engines.stop(host, now));
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
        self.engines(|engines, now| engines.add_unreported(host, now));
    }

    /// Removes every engine and row.
    pub fn clear_engines(&self) {
        self.engines(|engines, _| engines.clear());
    }

    /// Deletes the rows that are down, as `heat-manage service clean` does.
    pub fn clean_services(&self) {
        self.engines(|engines, now| engines.clean(now));
    }

    /// How often engines report; 60 s at first. The rows of dead engines keep theirs.
    pub fn set_report_interval(&self, seconds: u64) {
        self.engines(|engines, now| engines.set_report_interval(seconds, now));
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
