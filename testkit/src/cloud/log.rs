//! What was asked of the services.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Result, bail};
use axum::{extract::Request, http::header};
use jiff::Timestamp;
use tokio::{sync::Notify, time};

use super::{Service, SimulatedCloud, answer};

/// One request as a service saw it.
#[derive(Debug, Clone)]
pub struct RequestSeen {
    /// The method.
    pub method: String,
    /// The path without its query.
    pub path: String,
    /// The query, empty where there was none.
    pub query: String,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
    /// Whether there was an `X-Auth-Token` header.
    pub token: bool,
    /// The `Accept` header.
    pub accept: Option<String>,
    /// The `Accept-Encoding` header.
    pub accept_encoding: Option<String>,
    /// Nova's microversion, from the newer header where both were sent.
    pub microversion: Option<String>,
    /// When it came, by the cloud's clock.
    pub at: Timestamp,
}

impl RequestSeen {
    pub(super) fn of(request: &Request, at: Timestamp) -> Self {
        let header = |name: &str| answer::get(request.headers(), name).map(str::to_owned);
        Self {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            user_agent: header(header::USER_AGENT.as_str()),
            token: request.headers().contains_key("x-auth-token"),
            accept: header(header::ACCEPT.as_str()),
            accept_encoding: header(header::ACCEPT_ENCODING.as_str()),
            microversion: header("openstack-api-version").or_else(|| header("x-openstack-nova-api-version")),
            at,
        }
    }
}

#[derive(Default)]
pub(super) struct RequestLog {
    seen: BTreeMap<Service, Vec<RequestSeen>>,
    in_flight: BTreeMap<Service, usize>,
    peak: BTreeMap<Service, usize>,
    /// Told of every request.
    more: Arc<Notify>,
}

impl RequestLog {
    pub(super) fn arrived(&mut self, service: Service, seen: RequestSeen) {
        self.seen.entry(service).or_default().push(seen);
        let now = self.in_flight.entry(service).or_default();
        *now += 1;
        let peak = self.peak.entry(service).or_default();
        *peak = (*peak).max(*now);
        self.more.notify_waiters();
    }

    pub(super) fn left(&mut self, service: Service) {
        let now = self.in_flight.entry(service).or_default();
        *now = now.saturating_sub(1);
    }
}

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
