//! What was asked of the services.

use std::{collections::BTreeMap, sync::Arc};

use axum::{extract::Request, http::header};
use jiff::Timestamp;
use tokio::sync::Notify;

use crate::cloud::{answer, service::Service};

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
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `X-Project-Id` header.
    pub project: Option<String>,
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
            authorization: header(header::AUTHORIZATION.as_str()),
            project: header("x-project-id"),
            accept: header(header::ACCEPT.as_str()),
            accept_encoding: header(header::ACCEPT_ENCODING.as_str()),
            microversion: header("openstack-api-version").or_else(|| header("x-openstack-nova-api-version")),
            at,
        }
    }
}

#[derive(Default)]
pub(super) struct RequestLog {
    pub(super) seen: BTreeMap<Service, Vec<RequestSeen>>,
    pub(super) in_flight: BTreeMap<Service, usize>,
    pub(super) peak: BTreeMap<Service, usize>,
    /// Told of every request.
    pub(super) more: Arc<Notify>,
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
