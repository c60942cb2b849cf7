//! What the client reports to its caller during its work. The caller may export it as metrics.

use std::time::Duration;

use super::Service;

/// The caller's counters. An outcome is `ok` or an [`Error::kind`](super::Error::kind), so the set is closed.
pub trait Counters: Send + Sync {
    /// A request to a service ended, after `took`.
    fn cloud_request(&self, service: Service, outcome: &'static str, took: Duration);

    /// A login ended.
    fn cloud_login(&self, outcome: &'static str);

    /// A login panicked. The process continues.
    fn login_panicked(&self);

    /// How many seconds a service's clock was ahead of the operator's when it answered; negative if it was behind.
    /// `cloud` is Keystone's host.
    fn clock_ahead(&self, cloud: &str, service: Service, seconds: f64);
}

/// Counts nothing. For callers without metrics.
#[derive(Debug, Clone, Copy)]
pub struct NoCounters;

impl Counters for NoCounters {
    fn cloud_request(&self, _: Service, _: &'static str, _: Duration) {}

    fn cloud_login(&self, _: &'static str) {}

    fn login_panicked(&self) {}

    fn clock_ahead(&self, _: &str, _: Service, _: f64) {}
}
