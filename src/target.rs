//! Validates a `CloudTenantSpec` and converts it into the input of the probes, as pure functions.

use std::time::Duration;

use crate::api::{
    ByProbe, CacheState, CloudTenantSpec, CredentialScope, GoDuration, Period, Policy, ProbeKind, ProbeRules, ReadyWhen,
};

/// Shortest deadline of the engines' call. Heat reports that no engine answers only after its RPC timeout of 60 s.
pub const ENGINES_DEADLINE: Duration = Duration::from_secs(75);

/// Number of calls whose deadlines bound one query of the usage, however many pages it has.
const USAGE_CALLS: u32 = 10;

/// The validated spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The project to observe.
    pub project_id: String,
    /// The clouds.yaml Secret in the tenant's namespace.
    pub secret_name: String,
    /// The entry in clouds.yaml.
    pub cloud_name: String,
    /// What caches and usage log in for. The engines always use the entry as it is written.
    pub scope: CredentialScope,
    /// Overrides the entry's region.
    pub region: Option<String>,
    /// The interval of engines and caches.
    pub interval: Duration,
    /// The deadline of one call.
    pub timeout: Duration,
    /// The operator sends no query.
    pub suspend: bool,
    /// Ready is True whenever the probes succeed, even if they report unhealthy services.
    pub ready_when_observed: bool,
    /// The probes that count for Ready. Empty means all.
    pub ready_on: Vec<ProbeKind>,
    /// The rules that every probe has.
    pub probes: ByProbe<ProbeRules>,
    /// Heat's engines.
    pub engines: EnginesTarget,
    /// DCS instances.
    pub caches: CachesTarget,
    /// Nova's usage.
    pub usage: UsageTarget,
}

/// The rules for engines alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnginesTarget {
    /// Silence after which an engine no longer counts.
    pub forget_after: Duration,
    /// Hosts whose engines do not count.
    pub ignore_hosts: Vec<String>,
    /// Another entry of clouds.yaml for the engines alone.
    pub cloud_name: Option<String>,
}

/// The rules for caches alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachesTarget {
    /// Whether instances whose creation failed count.
    pub include_failure: bool,
    /// Unhealthy states besides `error`, sorted and without duplicates.
    pub unhealthy_states: Vec<CacheState>,
}

/// The rules for the usage alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageTarget {
    /// The interval of queries.
    pub interval: Duration,
    /// The period that the usage covers.
    pub period: Period,
}

/// An unusable field of an object that is older than the schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {problem}: correct the field.")]
pub struct InvalidSpec {
    /// The field's path.
    pub field: &'static str,
    /// What is wrong with the field.
    pub problem: &'static str,
}

impl Target {
    /// Validates a spec.
    ///
    /// # Errors
    /// The first unusable field. The schema refuses such objects, so this affects only objects that were stored before
    /// it.
    pub fn new(spec: &CloudTenantSpec) -> Result<Self, InvalidSpec> {
        let project_id = spec.project_id.clone();
        let ok = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let starts_well = project_id.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !starts_well || project_id.len() > 64 || !project_id.chars().all(ok) {
            return Err(InvalidSpec { field: "spec.projectID", problem: "not a project ID" });
        }
        let secs = Duration::from_secs;
        let day = secs(24 * 3600);
        let probes = &spec.probes;
        Ok(Self {
            project_id,
            secret_name: spec.cloud_credentials_ref.secret_name.clone(),
            cloud_name: spec.cloud_credentials_ref.cloud_name.clone(),
            scope: spec.cloud_credentials_ref.scope.unwrap_or_default(),
            region: spec.region.clone(),
            interval: within("spec.interval", &spec.interval, secs(10), day)?,
            timeout: within("spec.timeout", &spec.timeout, secs(1), secs(600))?,
            suspend: spec.suspend,
            ready_when_observed: spec.ready_when == ReadyWhen::Observed,
            ready_on: spec.ready_on.clone(),
            probes: ByProbe::from_fn(|kind| probes.rules(kind)),
            engines: EnginesTarget {
                ignore_hosts: probes.engines.ignore_hosts.clone(),
                cloud_name: probes.engines.cloud_name.clone(),
                forget_after: within(
                    "spec.probes.engines.forgetAfter",
                    &probes.engines.forget_after,
                    secs(60),
                    day * 365,
                )?,
            },
            caches: CachesTarget {
                include_failure: probes.caches.include_failure,
                unhealthy_states: sorted(&probes.caches.unhealthy_states),
            },
            usage: UsageTarget {
                interval: within("spec.probes.usage.interval", &probes.usage.interval, secs(60), day)?,
                period: probes.usage.period.unwrap_or_default(),
            },
        })
    }

    /// Whether caches and usage log in for the observed project.
    #[must_use]
    pub fn logs_in_for_project(&self) -> bool {
        self.scope == CredentialScope::ObservedProject
    }

    /// The probe's policy.
    #[must_use]
    pub fn policy(&self, kind: ProbeKind) -> Policy {
        self.probes[kind].policy
    }

    /// Whether the spec enables this probe.
    #[must_use]
    pub fn is_enabled(&self, kind: ProbeKind) -> bool {
        self.policy(kind) != Policy::Disabled
    }

    /// Whether this probe counts for `Ready` according to the spec.
    #[must_use]
    pub fn counts_for_ready(&self, kind: ProbeKind) -> bool {
        self.ready_on.is_empty() || self.ready_on.contains(&kind)
    }

    /// The probe's interval.
    #[must_use]
    pub fn interval_of(&self, kind: ProbeKind) -> Duration {
        if kind == ProbeKind::Usage { self.usage.interval } else { self.interval }
    }

    /// The time for which a verdict of this probe is valid: twice the sum of interval and call deadline.
    #[must_use]
    pub fn valid_for(&self, kind: ProbeKind) -> Duration {
        let deadline = if kind == ProbeKind::Engines { self.engines_deadline() } else { self.timeout };
        (self.interval_of(kind) + deadline) * 2
    }

    /// The deadline of the engines' call.
    #[must_use]
    pub fn engines_deadline(&self) -> Duration {
        self.timeout.max(ENGINES_DEADLINE)
    }

    /// The deadline of one query of the usage with all pages of both periods. It equals ten call deadlines, but ends
    /// before the next query is due.
    #[must_use]
    pub fn usage_deadline(&self) -> Duration {
        (self.timeout * USAGE_CALLS).min(self.usage.interval).max(self.timeout)
    }
}

fn sorted(states: &[CacheState]) -> Vec<CacheState> {
    let mut states = states.to_vec();
    states.sort_by_key(|state| state.as_str());
    states.dedup();
    states
}

fn within(field: &'static str, text: &GoDuration, min: Duration, max: Duration) -> Result<Duration, InvalidSpec> {
    let length = text.parse().ok_or(InvalidSpec { field, problem: "not a duration such as 90s or 5m" })?;
    if (min..=max).contains(&length) { Ok(length) } else { Err(InvalidSpec { field, problem: "out of its range" }) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn target(extra: &Value) -> Result<Target, String> {
        let mut spec = json!({ "projectID": "p1", "cloudCredentialsRef": { "secretName": "cloud" } });
        for (key, value) in extra.as_object().unwrap() {
            spec[key] = value.clone();
        }
        Target::new(&serde_json::from_value(spec).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_minimal_spec_gets_the_defaults() {
        let target = target(&json!({})).unwrap();
        assert_eq!((target.cloud_name.as_str(), target.scope), ("openstack", CredentialScope::Entry));
        assert_eq!(target.interval, Duration::from_secs(300));
        assert_eq!(target.timeout, Duration::from_secs(90));
        assert_eq!(target.engines.forget_after, Duration::from_secs(86_400));
        assert_eq!(target.usage.interval, Duration::from_secs(3600));
        assert_eq!(ProbeKind::ALL.map(|kind| target.policy(kind)), [Policy::Auto; ProbeKind::ALL.len()]);
        assert_eq!([ProbeKind::Engines, ProbeKind::Caches].map(|kind| target.probes[kind].failure_threshold), [1, 1]);
        assert_eq!((target.usage.period, target.ready_when_observed), (Period::Month, false));
        assert!(target.caches.include_failure && !target.suspend && target.ready_on.is_empty());
    }

    #[test]
    fn the_engines_deadline_is_never_below_heats_own() {
        for (timeout, deadline) in [("1s", 75), ("90s", 90), ("10m", 600)] {
            let target = target(&json!({ "timeout": timeout })).unwrap();
            assert_eq!(target.engines_deadline(), Duration::from_secs(deadline), "{timeout}");
        }
    }

    #[test]
    fn a_query_of_the_usage_ends_before_the_next_one_is_due() {
        for (timeout, interval, deadline) in
            [("90s", "1h", 900), ("1s", "1h", 10), ("10m", "24h", 6000), ("90s", "5m", 300), ("10m", "1m", 600)]
        {
            let target = target(&json!({ "timeout": timeout, "probes": { "usage": { "interval": interval } } }));
            assert_eq!(target.unwrap().usage_deadline(), Duration::from_secs(deadline), "{timeout} {interval}");
        }
    }

    /// Each line: probe | policy | whether it counts | interval | validity of its verdict.
    #[test]
    fn the_settings_of_each_probe() {
        let target = target(&json!({
            "interval": "2m", "timeout": "10s", "readyOn": ["Caches"],
            "probes": { "engines": { "policy": "Required" }, "caches": { "policy": "Disabled" } },
        }));
        let target = target.unwrap();
        for (kind, policy, counts, interval, valid) in [
            (ProbeKind::Engines, Policy::Required, false, 120, 2 * (120 + 75)),
            (ProbeKind::Caches, Policy::Disabled, true, 120, 2 * (120 + 10)),
            (ProbeKind::Usage, Policy::Auto, false, 3600, 2 * (3600 + 10)),
        ] {
            assert_eq!(target.policy(kind), policy, "{kind}");
            assert_eq!(target.is_enabled(kind), policy != Policy::Disabled, "{kind}");
            assert_eq!(target.counts_for_ready(kind), counts, "{kind}");
            assert_eq!(target.interval_of(kind), Duration::from_secs(interval), "{kind}");
            assert_eq!(target.valid_for(kind), Duration::from_secs(valid), "{kind}");
        }
        let all = Target { ready_on: Vec::new(), ..target };
        assert!(ProbeKind::ALL.into_iter().all(|kind| all.counts_for_ready(kind)));
    }

    #[test]
    fn the_scope_of_the_login() {
        for (scope, expected) in [
            (json!(null), CredentialScope::Entry),
            (json!("Entry"), CredentialScope::Entry),
            (json!("ObservedProject"), CredentialScope::ObservedProject),
        ] {
            let target = target(&json!({ "cloudCredentialsRef": { "secretName": "cloud", "scope": scope } }));
            assert_eq!(target.unwrap().scope, expected, "{scope}");
        }
    }

    #[test]
    fn unhealthy_states_are_sorted() {
        let target = |states: Value| target(&json!({ "probes": { "caches": { "unhealthyStates": states } } })).unwrap();
        let of = |states: Value| target(states).caches.unhealthy_states;
        assert_eq!(of(json!([])), []);
        assert_eq!(of(json!(["frozen", "closed", "frozen"])), [CacheState::Closed, CacheState::Frozen]);
    }

    #[test]
    fn fields_that_the_schema_refuses_are_named() {
        for (extra, message) in [
            (json!({ "projectID": "../x" }), "spec.projectID is not a project ID: correct the field."),
            (json!({ "interval": "soon" }), "spec.interval is not a duration such as 90s or 5m: correct the field."),
            (json!({ "interval": "1s" }), "spec.interval is out of its range: correct the field."),
            (json!({ "timeout": "11m" }), "spec.timeout is out of its range: correct the field."),
            (
                json!({ "probes": { "usage": { "interval": "25h" } } }),
                "spec.probes.usage.interval is out of its range: correct the field.",
            ),
        ] {
            assert_eq!(target(&extra).unwrap_err(), message);
        }
    }
}
