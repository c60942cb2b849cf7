//! Plain data: what a probe saw, or why it could not see.

pub mod engine_list;
pub mod engines;
pub mod setback;

use std::{
    collections::BTreeMap,
    fmt,
    ops::{Index, IndexMut},
    time::Duration,
};

use jiff::Timestamp;

pub use engines::{EngineAnswers, EngineList, EngineRow};

use crate::api::{CacheCounts, ProbeName, Reason};

/// The three probes, in the order in which `Ready` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProbeKind {
    /// Heat's orchestration engines.
    Engines,
    /// DCS instances.
    Caches,
    /// Nova's usage.
    Usage,
}

impl ProbeKind {
    /// All probes.
    pub const ALL: [Self; 3] = [Self::Engines, Self::Caches, Self::Usage];

    /// As the spec and metrics name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Engines => "engines",
            Self::Caches => "caches",
            Self::Usage => "usage",
        }
    }
}

impl From<ProbeName> for ProbeKind {
    fn from(name: ProbeName) -> Self {
        match name {
            ProbeName::Engines => Self::Engines,
            ProbeName::Caches => Self::Caches,
            ProbeName::Usage => Self::Usage,
        }
    }
}

impl fmt::Display for ProbeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One value for each probe, indexed by its kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByProbe<T>([T; ProbeKind::ALL.len()]);

impl<T> ByProbe<T> {
    /// The value that `of` gives for each kind.
    pub fn new(of: impl FnMut(ProbeKind) -> T) -> Self {
        Self(ProbeKind::ALL.map(of))
    }

    /// Each kind with its value, in the order of [`ProbeKind::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (ProbeKind, &T)> {
        ProbeKind::ALL.into_iter().zip(&self.0)
    }
}

impl<T> Index<ProbeKind> for ByProbe<T> {
    type Output = T;

    fn index(&self, kind: ProbeKind) -> &T {
        &self.0[kind as usize]
    }
}

impl<T> IndexMut<ProbeKind> for ByProbe<T> {
    fn index_mut(&mut self, kind: ProbeKind) -> &mut T {
        &mut self.0[kind as usize]
    }
}

/// Why a probe could not see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeFailure {
    /// The reason that its condition gets.
    pub reason: Reason,
    /// One sentence of what to do; nothing in it changes from one pass to the next.
    pub message: String,
    /// How long the cloud asked to be left alone.
    pub retry_after: Option<Duration>,
    /// A single one is no verdict: it may well pass by itself.
    pub transient: bool,
}

impl ProbeFailure {
    /// The operator panicked while it read the answer.
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

/// The regions of a service that the cloud's own region does not offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// The service, by the name that people know.
    pub service: &'static str,
    /// The region whose endpoints are used.
    pub region: String,
    /// The regions that offer the service, as a sentence lists them.
    pub offered_in: String,
}

/// How one look at a service ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<T> {
    /// The service answered.
    Seen(T),
    /// The cloud's catalogue has no such service, or only in other regions.
    NotOffered(Option<Elsewhere>),
    /// Could not see.
    Failed(ProbeFailure),
}

impl<T> Outcome<T> {
    /// The same end of a look at something else.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::Seen(seen) => Outcome::Seen(change(seen)),
            Self::NotOffered(elsewhere) => Outcome::NotOffered(elsewhere),
            Self::Failed(failure) => Outcome::Failed(failure),
        }
    }
}

/// The project's cache instances as DCS counts them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caches {
    /// Over all kinds.
    pub all: CacheCounts,
    /// By kind.
    pub kinds: BTreeMap<String, CacheCounts>,
}

/// The current period, and the closed one before where it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Periods {
    /// Up to now.
    pub current: Usage,
    /// The whole of the period before.
    pub previous: Previous,
}

/// What came of the closed period.
#[derive(Debug, Clone, PartialEq)]
pub enum Previous {
    /// Not asked for: the status has it.
    Kept,
    /// Nova answered for another window than the one that it was asked for, so nothing is known.
    OtherWindow,
    /// As Nova counts it.
    Read(Usage),
}

/// What the project's servers have used in a window of time, summed over all pages.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// The window as Nova echoed it.
    pub start: Timestamp,
    /// The window as Nova echoed it.
    pub end: Timestamp,
    /// `None`: Nova cannot page, and nobody can know.
    pub complete: Option<bool>,
    /// Servers that existed in the window.
    pub servers: u64,
    /// Those that still exist.
    pub active_servers: u64,
    /// Hours.
    pub server_hours: f64,
    /// vCPUs × hours.
    pub vcpu_hours: f64,
    /// MB × hours.
    pub memory_mb_hours: f64,
    /// GB × hours.
    pub disk_gb_hours: f64,
    /// The flavors that used most, sorted as the status has them.
    pub by_flavor: Vec<FlavorUsage>,
    /// Flavors beyond those.
    pub flavors_omitted: u32,
}

/// What the servers of one flavor have used. A figure counts the servers whose rows have what it takes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FlavorUsage {
    /// The flavor's name, or `(none)`.
    pub flavor: String,
    /// Servers that existed in the window.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_value() {
        let mut names = ByProbe::new(|kind| kind.as_str().to_owned());
        assert!(names.iter().all(|(kind, name)| name == kind.as_str() && names[kind] == *name));
        names[ProbeKind::Caches].push('!');
        let named: Vec<_> = names.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(named, ["engines", "caches!", "usage"]);
    }
}
