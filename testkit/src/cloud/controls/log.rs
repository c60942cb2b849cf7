//! What was asked of the services.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time;

use crate::cloud::{SimulatedCloud, log::RequestSeen, service::Service};

impl SimulatedCloud {
    /// The requests that a service has seen, oldest first.
    #[must_use]
    pub fn requests(&self, service: Service) -> Vec<RequestSeen> {
        self.shared.lock().log.seen.get(&service).cloned().unwrap_or_default()
    }

    /// How many requests a service has seen.
    #[must_use]
    pub fn count(&self, service: Service) -> usize {
        self.shared.lock().log.seen.get(&service).map_or(0, Vec::len)
    }

    /// Waits until a service has seen so many requests.
    ///
    /// # Errors
    /// It has not within the time.
    pub async fn until_count(&self, service: Service, count: usize, timeout: Duration) -> Result<()> {
        let more = self.shared.lock().log.more.clone();
        let seen = async {
            loop {
                let next = more.notified();
                if self.count(service) >= count {
                    return;
                }
                next.await;
            }
        };
        if time::timeout(timeout, seen).await.is_err() {
            bail!("{service:?} has seen {} requests, not {count}, within {timeout:?}", self.count(service));
        }
        Ok(())
    }

    /// How many requests of a service are waiting for their answer.
    #[must_use]
    pub fn in_flight(&self, service: Service) -> usize {
        self.shared.lock().log.in_flight.get(&service).copied().unwrap_or_default()
    }

    /// The most requests of a service that ever waited at once.
    #[must_use]
    pub fn peak_in_flight(&self, service: Service) -> usize {
        self.shared.lock().log.peak.get(&service).copied().unwrap_or_default()
    }

    /// Forgets the requests seen so far, and the peaks.
    pub fn clear_requests(&self) {
        let mut state = self.shared.lock();
        state.log.seen.clear();
        state.log.peak = state.log.in_flight.clone();
    }
}
