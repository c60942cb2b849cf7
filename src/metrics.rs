//! The metrics for Prometheus. Labels have closed sets of values, with these exceptions. Series per tenant have the
//! tenant's namespace and name, the hosts of down engines and, optionally, the project's ID. Series of clocks have the
//! cloud's host.

mod allocated;
mod clocks;
mod credentials;
mod kept;
mod panics;
mod process;
mod sets;
mod tenants;
mod terms;
mod text;

use std::{collections::HashSet, fmt, time::Duration};

use clocks::Clocks;
pub use credentials::CredentialKind;
use credentials::Ends;
use jiff::Timestamp;
use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode, encode_registry},
    },
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use sets::OfSets;
use tenants::OfTenants;
pub use tenants::ProjectLabel;
use terms::Terms;

use crate::{
    budget::Budget,
    decide::event::EventReason,
    openstack::{Counters, Service},
    panics::Part,
    shard::Shard,
    watched::roster::{Roster, Sets},
};

/// Bounds in seconds. Heat answers "all engines are down" after 60 s, and `spec.timeout` is 90 s by default and at most
/// 600 s. Therefore one bound is just above each of the first two, and one lies between 95 and 600.
const BUCKETS: [f64; 13] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 65.0, 95.0, 300.0];

/// The process' metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<ServiceLabels, Histogram>,
    logins: Family<OutcomeLabels, Counter>,
    clocks: Clocks,
    passes: Family<OutcomeLabels, Counter>,
    writes: Family<OutcomeLabels, Counter>,
    events: Family<EventLabels, Counter>,
    terms: Terms,
    ends: Ends,
    kept: kept::Kept,
    allocated: allocated::Allocated,
    sets: OfSets,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    service: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabels {
    service: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    reason: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// The prefix of the operator's own metrics.
const PREFIX: &str = "cloudtenant";

/// A text format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics text 1.0.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Plain,
}

/// The result of creating an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The event was created.
    Ok,
    /// The event was not created. The next pass tries again.
    Retried,
    /// The event was given up.
    Error,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Creates metrics without tenants.
    #[must_use]
    pub fn new() -> Self {
        Self::with_tenants(Roster::default(), ProjectLabel::Off)
    }

    /// Creates metrics with series of these tenants.
    #[must_use]
    pub fn with_tenants(tenants: Roster, project: ProjectLabel) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(process::Process));
        let own = registry.sub_registry_with_prefix(PREFIX);
        own.register_collector(Box::new(panics::Caught));
        let kept = kept::Kept::default();
        own.register_collector(Box::new(kept.clone()));
        let allocated = allocated::Allocated::default();
        own.register_collector(Box::new(allocated.clone()));
        let ends = Ends::default();
        own.register_collector(Box::new(credentials::Expiries::new(tenants.clone(), project, ends.clone())));
        for family in OfTenants::all(&tenants, project) {
            own.register_collector(Box::new(family));
        }
        let sets = OfSets::default();
        own.register_collector(Box::new(sets.clone()));
        let requests = Family::default();
        let durations = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> _);
        let logins = Family::default();
        own.register("cloud_requests", "Requests to services of the cloud, by service and outcome", requests.clone());
        own.register(
            "cloud_request_duration_seconds",
            "Time to a complete answer of a service of the cloud, or to its failure",
            durations.clone(),
        );
        own.register("cloud_logins", "Logins with Keystone, by outcome", logins.clone());
        let clocks = Clocks::default();
        own.register_collector(Box::new(clocks.clone()));
        let passes = Family::default();
        own.register("reconciles", "Passes over a CloudTenant, by outcome", passes.clone());
        let writes = Family::default();
        own.register("status_writes", "Writes of a status to the API server, by outcome", writes.clone());
        let events = Family::<EventLabels, Counter>::default();
        // These series start from 0, so that the first event is an increase.
        for reason in EventReason::ALL {
            drop(events.get_or_create(&EventLabels { reason: reason.to_string(), outcome: "error" }));
        }
        own.register(
            "events",
            "Events, by reason and outcome: created, to be tried again, or given up",
            events.clone(),
        );
        let terms = Terms::new(own);
        let build = Family::<BuildLabels, Gauge>::default();
        build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        own.register("build_info", "The program's version, always 1", build);
        Self {
            registry,
            requests,
            durations,
            logins,
            clocks,
            passes,
            writes,
            events,
            terms,
            ends,
            kept,
            allocated,
            sets,
        }
    }

    /// Drops the clocks of all clouds except those at these hosts of Keystone, which the CloudTenants of a shard use,
    /// and those that other shards use.
    pub fn retain_clouds(&self, shard: Shard, hosts: HashSet<String>) {
        self.terms.use_clouds(shard, hosts);
        self.clocks.retain(self.terms.uses());
    }

    /// Records the expiry of a credential of the tenant with this UID. `None` means that it has none or that Keystone
    /// does not report it. Only a leader records it, because an answer may arrive after the term.
    pub fn credential_ends(&self, uid: &str, credential: CredentialKind, end: Option<Timestamp>) {
        if self.terms.leads() {
            self.ends.note(uid, credential, end);
        }
    }

    /// Drops the recorded expiries of all tenants of a shard except these, by UID.
    pub fn retain(&self, shard: Shard, alive: impl Fn(&str) -> bool) {
        self.ends.retain(|uid| alive(uid) || !shard.owns(uid));
    }

    /// Exports series for all shards, of which this process has one. The only shard has none.
    pub fn show_shards(&self, shard: Shard) {
        self.terms.show_shards(shard);
    }

    /// Exports the use of this budget.
    pub fn show_budget(&self, budget: Budget) {
        self.kept.set(budget);
    }

    /// Exports series of these CloudTenantSets.
    pub fn show_sets(&self, sets: Sets) {
        self.sets.set(sets);
    }

    /// Exports what this function returns: the bytes that the program has allocated, if its allocator counts them.
    pub fn show_allocated(&self, read: fn() -> Option<u64>) {
        self.allocated.set(read);
    }

    /// Counts a pass.
    pub fn reconciled(&self, ok: bool) {
        self.passes.get_or_create(&OutcomeLabels { outcome: outcome(ok) }).inc();
    }

    /// Counts a write of a status.
    pub fn status_written(&self, ok: bool) {
        self.writes.get_or_create(&OutcomeLabels { outcome: outcome(ok) }).inc();
    }

    /// Counts an event, or an attempt to create it.
    pub fn event(&self, reason: EventReason, told: Told) {
        let outcome = match told {
            Told::Ok => "ok",
            Told::Retried => "retried",
            Told::Error => "error",
        };
        self.events.get_or_create(&EventLabels { reason: reason.to_string(), outcome }).inc();
    }

    /// Records whether this process serves a shard, as its leader.
    pub fn leads(&self, shard: Shard, leads: bool) {
        if leads {
            return self.terms.begin(shard);
        }
        self.terms.end(shard);
        // There are no further updates, so the last values would stay forever.
        self.clocks.retain(self.terms.uses());
        self.retain(shard, |_| false);
    }

    /// Records whether this process serves a shard and knows its tenants.
    pub fn synced(&self, shard: Shard, synced: bool) {
        self.terms.sync(shard, synced);
    }

    /// Records whether the tenants of a namespace are known. The namespaces come from the operator's configuration.
    pub fn watched(&self, shard: Shard, namespace: &str, watched: bool) {
        self.terms.watch(shard, namespace, watched);
    }

    /// Writes all metrics in this format, piece by piece: ten thousand tenants have 70 MB of text, which a scrape must
    /// not hold at once.
    ///
    /// # Errors
    /// Only those of `to`.
    pub fn write(&self, format: Format, to: &mut impl fmt::Write) -> fmt::Result {
        match format {
            Format::OpenMetrics => encode(to, &self.registry),
            Format::Plain => encode_registry(&mut text::Plain::new(to), &self.registry),
        }
    }

    /// Encodes all metrics as OpenMetrics text 1.0.0.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(Format::OpenMetrics, &mut text);
        text
    }
}

impl Counters for Metrics {
    fn cloud_request(&self, service: Service, outcome: &'static str, took: Duration) {
        let service = service.as_str();
        self.requests.get_or_create(&RequestLabels { service, outcome }).inc();
        self.durations.get_or_create(&ServiceLabels { service }).observe(took.as_secs_f64());
    }

    fn cloud_login(&self, outcome: &'static str) {
        self.logins.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    fn login_panicked(&self) {
        Part::Login.count_one();
    }

    fn clock_ahead(&self, cloud: &str, service: Service, seconds: f64) {
        // Only a leader records it, because an answer may arrive after the term.
        if self.terms.leads() {
            self.clocks.note(cloud, service.as_str(), seconds);
        }
    }
}

const fn outcome(ok: bool) -> &'static str {
    if ok { "ok" } else { "error" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Limits;

    #[test]
    fn names_and_labels() {
        let metrics = Metrics::new();
        metrics.cloud_request(Service::Compute, "ok", Duration::from_millis(20));
        metrics.cloud_login("login_refused");
        let budget = Budget::new(Limits { namespace: 2000, all: 3000 });
        metrics.show_budget(budget.clone());
        let _kept = (budget.reserve("a", 1000), budget.reserve("b", 1500));
        let text = metrics.encode();
        for line in [
            r#"cloudtenant_cloud_requests_total{service="compute",outcome="ok"} 1"#,
            r#"cloudtenant_cloud_request_duration_seconds_bucket{le="0.025",service="compute"} 1"#,
            r#"cloudtenant_cloud_logins_total{outcome="login_refused"} 1"#,
            r#"cloudtenant_events_total{reason="EngineDown",outcome="error"} 0"#,
            r#"cloudtenant_panics_total{where="login"} 0"#,
            r#"cloudtenant_kept_bytes{scope="all"} 2500"#,
            r#"cloudtenant_kept_bytes{scope="namespace"} 1500"#,
            r#"cloudtenant_kept_limit_bytes{scope="all"} 3000"#,
            r#"cloudtenant_kept_limit_bytes{scope="namespace"} 2000"#,
            "# EOF",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn allocated_bytes_are_exported_where_the_allocator_counts_them() {
        let line = |read: Option<allocated::Read>| {
            let metrics = Metrics::new();
            read.into_iter().for_each(|read| metrics.show_allocated(read));
            let text = metrics.encode();
            text.lines().find(|line| line.starts_with("cloudtenant_allocated_bytes")).map(str::to_owned)
        };
        assert_eq!(line(None), None);
        assert_eq!(line(Some(|| None)), None, "another allocator");
        assert_eq!(line(Some(|| Some(7_000_000))).as_deref(), Some("cloudtenant_allocated_bytes 7000000"));
    }

    #[test]
    fn only_a_leader_has_clocks() {
        let metrics = Metrics::new();
        let series = "cloudtenant_cloud_clock_ahead_seconds{cloud=\"k:5000\",service=\"compute\"} 2.5\n";
        let known = || metrics.encode().contains(series);
        let answered = || metrics.clock_ahead("k:5000", Service::Compute, 2.5);
        metrics.leads(Shard::default(), true);
        assert!(!known(), "nobody has answered");
        answered();
        assert!(known());
        metrics.leads(Shard::default(), false);
        assert!(!known(), "it leads no more");
        answered();
        assert!(!known(), "an answer that came late");
        metrics.leads(Shard::default(), true);
        assert!(!known(), "it leads again, and nobody has answered");
    }

    #[test]
    fn calls_that_end_by_a_timeout_have_buckets() {
        for (seconds, bucket) in [(60.2, "65.0"), (75.0, "95.0"), (90.0, "95.0"), (120.0, "300.0"), (600.0, "+Inf")] {
            let metrics = Metrics::new();
            metrics.cloud_request(Service::Orchestration, "timeout", Duration::from_secs_f64(seconds));
            let text = metrics.encode();
            let name = "cloudtenant_cloud_request_duration_seconds_bucket{le=\"";
            let first = text.lines().filter_map(|line| line.strip_prefix(name)).find(|line| line.ends_with(" 1"));
            assert_eq!(first.and_then(|line| line.split('"').next()), Some(bucket), "{seconds}");
        }
    }
}
