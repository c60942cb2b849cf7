//! Plain data: the result of a probe, or the reason why it failed.

pub mod engine_answers;
pub mod engine_list;
pub mod projects;
pub mod setback;

use std::{collections::BTreeMap, time::Duration};

use engine_answers::EngineAnswer;
pub use engine_answers::{EngineAnswers, EngineList, EngineRow};
use jiff::Timestamp;

pub use crate::api::{ByProbe, ProbeKind};
use crate::api::{CacheCounts, Reason};

/// Why a probe failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeFailure {
    /// The reason for the probe's condition.
    pub reason: Reason,
    /// One sentence that says what to do. It must stay the same from pass to pass.
    pub message: String,
    /// The cloud's Retry-After.
    pub retry_after: Option<Duration>,
    /// A single failure is not yet a verdict, because it may be temporary.
    pub transient: bool,
}

impl ProbeFailure {
    /// The failure after a panic of the operator while it processed the answer.
    #[must_use]
    pub fn broke_off() -> Self {
        Self {
            reason: Reason::UnexpectedAnswer,
            message: "The operator failed while it read the answer: check its log.".to_owned(),
            retry_after: None,
            transient: false,
        }
    }
}

/// A service that the cloud offers only in other regions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// The service's common name.
    pub service: &'static str,
    /// The region whose endpoints are used.
    pub region: String,
    /// The regions that offer the service, formatted for a sentence.
    pub offered_in: String,
}

/// The result of one query.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<T> {
    /// The service answered.
    Seen(T),
    /// The catalogue does not offer the service, or only in other regions.
    NotOffered(Option<Elsewhere>),
    /// The query failed.
    Failed(ProbeFailure),
}

impl<T> Outcome<T> {
    /// Applies `change` to the data of a successful query.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::Seen(seen) => Outcome::Seen(change(seen)),
            Self::NotOffered(elsewhere) => Outcome::NotOffered(elsewhere),
            Self::Failed(failure) => Outcome::Failed(failure),
        }
    }
}

/// What a successful query returned.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Heat's answer. Passes read the [answers](EngineAnswers) that all tenants of a credential share instead.
    Engines(EngineAnswer),
    /// DCS instances.
    Caches(Caches),
    /// Nova's usage.
    Usage(Periods),
}

/// The counts of the project's cache instances from DCS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caches {
    /// Over all kinds.
    pub all: CacheCounts,
    /// By kind.
    pub kinds: BTreeMap<String, CacheCounts>,
}

/// The usage of the current period, and of the closed one if it was requested.
#[derive(Debug, Clone, PartialEq)]
pub struct Periods {
    /// The period until now.
    pub current: Usage,
    /// The previous period as a whole.
    pub previous: Previous,
}

/// The result for the closed period.
#[derive(Debug, Clone, PartialEq)]
pub enum Previous {
    /// It was not requested, because the status has it.
    Kept,
    /// Nova answered for another window than the requested one, so nothing is known.
    OtherWindow,
    /// The usage from Nova.
    Read(Usage),
}

/// The usage of the project's servers in a time window, summed over all pages.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// The window as Nova echoed it.
    pub start: Timestamp,
    /// The window as Nova echoed it.
    pub end: Timestamp,
    /// Whether the sums are complete. `None` if Nova cannot page, because then this is unknown.
    pub complete: Option<bool>,
    /// Number of servers that existed in the window.
    pub servers: u64,
    /// Number of servers that still exist.
    pub active_servers: u64,
    /// Hours.
    pub server_hours: f64,
    /// vCPUs × hours.
    pub vcpu_hours: f64,
    /// MB × hours.
    pub memory_mb_hours: f64,
    /// GB × hours.
    pub disk_gb_hours: f64,
    /// The flavors with the highest usage, in the status' order.
    pub by_flavor: Vec<FlavorUsage>,
    /// Number of flavors beyond those.
    pub flavors_omitted: u32,
}

/// The usage of one flavor's servers. Each figure covers the servers whose records have the necessary data.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FlavorUsage {
    /// The flavor's name, or `(none)`.
    pub flavor: String,
    /// Number of servers that existed in the window.
    pub servers: u64,
    /// Hours.
    pub server_hours: f64,
    /// vCPUs × hours.
    pub vcpu_hours: f64,
    /// MB × hours.
    pub memory_mb_hours: f64,
    /// GB × hours.
    pub disk_gb_hours: f64,
}
