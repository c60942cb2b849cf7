//! What the client reports to its caller while it works. The caller counts it, in metrics or not at all.

use std::time::Duration;

use super::Service;

/// The caller's counters. Outcomes are `ok` or an [`Error::kind`](super::Error::kind), so they are a closed set.
pub trait Counters: Send + Sync {
    /// A request to a service ended, after `took`.
    fn cloud_request(&self, service: Service, outcome: &'static str, took: Duration);

    /// A login ended.
    fn cloud_login(&self, outcome: &'static str);

    /// A login panicked. The process goes on.
    fn login_panicked(&self);

    /// A service's clock was this many seconds ahead of ours when it answered; negative where it was behind. `cloud` is
    /// Keystone's host.
    fn clock_ahead(&self, cloud: &str, service: Service, seconds: f64);
}

/// Counts nothing, for a caller without metrics.
#[derive(Debug, Clone, Copy)]
pub struct NoCounters;

impl Counters for NoCounters {
    fn cloud_request(&self, _: Service, _: &'static str, _: Duration) {}

    fn cloud_login(&self, _: &'static str) {}

    fn login_panicked(&self) {}

    fn clock_ahead(&self, _: &str, _: Service, _: f64) {}
}
