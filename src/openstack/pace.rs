//! The budget of requests a second for each host of a cloud.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The default number of requests a second to one host. It bears the first pass of 10,000 CloudTenants in a minute.
const PER_SECOND: u32 = 1000;

/// Requests may come this much earlier than evenly spread ones would.
const BURST: Duration = Duration::from_millis(100);

/// The number of hosts that are remembered. Hosts without a request in the last second are forgotten first.
const MOST_HOSTS: usize = 4096;

/// When the next request to each host is due, if requests were evenly spread.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: u32,
    due: Mutex<HashMap<String, Instant>>,
}

impl Default for Pace {
    fn default() -> Self {
        Self::new(PER_SECOND)
    }
}

impl Pace {
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second: per_second.max(1), due: Mutex::default() }
    }

    /// Waits until a request to this host is within the budget. A request that is given up before does not count.
    pub(super) async fn wait(&self, host: &str) {
        let wait = self.claim(host, Instant::now());
        if !wait.is_zero() {
            let mut claim = Claim { pace: self, host, is_used: false };
            tokio::time::sleep(wait).await;
            claim.is_used = true;
        }
    }

    /// Forgets hosts whose budget is not in use.
    pub(super) fn sweep(&self, now: Instant) {
        self.lock().retain(|_, due| *due > now);
    }

    fn gap(&self) -> Duration {
        Duration::from_secs(1) / self.per_second
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims the next request to this host. Returns the wait until it may be sent.
    fn claim(&self, host: &str, now: Instant) -> Duration {
        let mut due = self.lock();
        if due.len() >= MOST_HOSTS && !due.contains_key(host) {
            due.retain(|_, due| *due > now);
            if due.len() >= MOST_HOSTS {
                return Duration::ZERO;
            }
        }
        let next = due.get(host).copied().unwrap_or(now).max(now);
        due.insert(host.to_owned(), next + self.gap());
        next.saturating_duration_since(now).saturating_sub(BURST)
    }
}

/// The place of a request that waits.
struct Claim<'a> {
    pace: &'a Pace,
    host: &'a str,
    is_used: bool,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.is_used
            && let Some(due) = self.pace.lock().get_mut(self.host)
        {
            *due = due.checked_sub(self.pace.gap()).unwrap_or(*due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line has the requests a second that are allowed, how many come at once, and when the last one may be sent.
    #[test]
    fn requests_to_a_host_are_spread() {
        let start = Instant::now();
        for (per_second, requests, last) in
            [(10, 1, 0), (10, 2, 0), (10, 3, 100), (10, 12, 1000), (1000, 101, 0), (1000, 1101, 1000)]
        {
            let pace = Pace::new(per_second);
            let waits: Vec<_> = (0..requests).map(|_| pace.claim("h", start)).collect();
            assert_eq!(waits.last().unwrap().as_millis(), last, "{requests} at {per_second}");
            assert_eq!(pace.claim("other", start), Duration::ZERO, "another host");
            let later = start + Duration::from_secs(5);
            assert_eq!(pace.claim("h", later), Duration::ZERO, "{requests} at {per_second}: nothing is saved up");
            assert_eq!(pace.due.lock().unwrap()["h"], later + Duration::from_secs(1) / per_second);
        }
    }

    #[tokio::test]
    async fn requests_that_are_given_up_do_not_count() {
        let pace = Pace::new(1);
        for _ in 0..50 {
            let _ = tokio::time::timeout(Duration::from_millis(1), pace.wait("h")).await;
        }
        assert!(pace.claim("h", Instant::now()) < Duration::from_secs(2));
        pace.sweep(Instant::now() + Duration::from_secs(5));
        assert!(pace.lock().is_empty());
    }

    #[test]
    fn the_number_of_hosts_is_bounded() {
        let (pace, start) = (Pace::new(1), Instant::now());
        for number in 0..2 * MOST_HOSTS {
            pace.claim(&number.to_string(), start);
        }
        assert_eq!(pace.due.lock().unwrap().len(), MOST_HOSTS);
        pace.claim("new", start + Duration::from_secs(2));
        assert_eq!(pace.due.lock().unwrap().len(), 1);
    }
}
