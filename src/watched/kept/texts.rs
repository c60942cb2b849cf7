//! The texts of a CloudTenant's spec and of the parts of its status, a line for each.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    api::{CacheCounts, CachesStatus, CloudTenantStatus, UsageFigures, UsageStatus},
    watched::object::Watched,
};

/// A part of the object that can be read alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The source and the fields about the whole status.
    Source = 1,
    /// The conditions.
    Conditions,
    /// The engines.
    Engines,
    /// The caches, without their kinds.
    Caches,
    /// The caches of each kind, with [`Self::Caches`].
    CacheKinds,
    /// The usage, without flavors and the previous period.
    Usage,
    /// The usage by flavor and of the previous period, with [`Self::Usage`].
    UsageDetails,
}

impl Part {
    /// All of them.
    pub(super) const ALL: [Self; 7] = [
        Self::Source,
        Self::Conditions,
        Self::Engines,
        Self::Caches,
        Self::CacheKinds,
        Self::Usage,
        Self::UsageDetails,
    ];
}

/// The lines of an object's texts: the spec, or the reason why it is unreadable, and each [`Part`] at its number. They
/// are empty for a missing status.
pub(super) type Lines<'a> = [&'a str; 1 + Part::ALL.len()];

/// Splits the texts.
pub(super) fn lines(texts: &[u8]) -> Lines<'_> {
    let mut lines = Lines::default();
    // std finds a character in a `str` faster than a byte in a slice, and serde_json then checks no string again.
    let texts = str::from_utf8(texts).unwrap_or_default();
    for (line, text) in lines.iter_mut().zip(texts.split('\n')) {
        *line = text;
    }
    lines
}

/// Returns these parts of the status. `None` if the object has no status.
pub(super) fn status_in(lines: &Lines<'_>, parts: &[Part]) -> Option<CloudTenantStatus> {
    let mut status = CloudTenantStatus::default();
    if lines[Part::Source as usize].is_empty() {
        return None;
    }
    for part in parts {
        let text = lines[*part as usize];
        match part {
            Part::Source => {
                let (generation, handled, observed, source) = value(text).unwrap_or_default();
                status.observed_generation = generation;
                status.last_handled_reconcile_at = handled;
                status.observed_at = observed;
                status.source = source;
            }
            Part::Conditions => status.conditions = value(text).unwrap_or_default(),
            Part::Engines => status.engines = value(text),
            Part::Caches => status.caches = value(text),
            Part::CacheKinds => {
                if let Some(caches) = &mut status.caches {
                    caches.by_kind = value(text).unwrap_or_default();
                }
            }
            Part::Usage => status.usage = value(text),
            Part::UsageDetails => {
                if let Some(usage) = &mut status.usage {
                    (usage.figures.by_flavor, usage.previous) = value(text).unwrap_or_default();
                }
            }
        }
    }
    Some(status)
}

/// Returns the texts of the spec and of each [`Part`], a line for each. JSON of serde has no line breaks. The spec of an
/// unreadable object is the reason why, and the lines of a missing status are empty.
pub(super) fn texts(watched: &Watched) -> Vec<u8> {
    let mut texts = Vec::with_capacity(4 << 10);
    let status = match &watched.0 {
        Ok(tenant) => {
            add(&mut texts, &tenant.spec);
            tenant.status.as_ref()
        }
        Err(unreadable) => {
            add(&mut texts, &unreadable.why);
            Some(&unreadable.status)
        }
    };
    if let Some(status) = status {
        // Without `..`, so that no field is forgotten, also below.
        let CloudTenantStatus {
            observed_generation,
            last_handled_reconcile_at,
            conditions,
            observed_at,
            source,
            engines,
            caches,
            usage,
        } = status;
        add(&mut texts, &(observed_generation, last_handled_reconcile_at, observed_at, source));
        add(&mut texts, conditions);
        add(&mut texts, engines);
        add(&mut texts, &caches.as_ref().map(CachesLine::of));
        add(&mut texts, &caches.as_ref().map(|caches| &caches.by_kind));
        add(&mut texts, &usage.as_ref().map(UsageLine::of));
        add(&mut texts, &usage.as_ref().map(|usage| (&usage.figures.by_flavor, &usage.previous)));
    }
    texts
}

/// Adds a line. Writing to memory does not fail, and the API's types have no keys that are not text.
fn add(texts: &mut Vec<u8>, value: &impl Serialize) {
    let _ = serde_json::to_writer(&mut *texts, value);
    texts.push(b'\n');
}

/// Returns what a line has. `None` if it has nothing.
pub(super) fn value<T: DeserializeOwned>(text: &str) -> Option<T> {
    // Nobody would read the error.
    if text == "null" { None } else { serde_json::from_str(text).ok() }
}

/// A [`CachesStatus`] without its kinds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CachesLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_at: &'a Option<Time>,
    all: &'a CacheCounts,
}

impl<'a> CachesLine<'a> {
    const fn of(caches: &'a CachesStatus) -> Self {
        let CachesStatus { observed_at, all, by_kind: _ } = caches;
        Self { observed_at, all }
    }
}

/// A [`UsageStatus`] without flavors and the previous period.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UsageLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_at: &'a Option<Time>,
    active_servers: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: &'a Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: &'a Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<bool>,
    servers: u64,
    server_hours: &'a str,
    vcpu_hours: &'a str,
    #[serde(rename = "memoryMBHours")]
    memory_mb_hours: &'a str,
    #[serde(rename = "diskGBHours")]
    disk_gb_hours: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    flavors_omitted: Option<u32>,
}

impl<'a> UsageLine<'a> {
    fn of(usage: &'a UsageStatus) -> Self {
        let UsageStatus { observed_at, active_servers, figures, previous: _ } = usage;
        let UsageFigures {
            start,
            end,
            complete,
            servers,
            server_hours,
            vcpu_hours,
            memory_mb_hours,
            disk_gb_hours,
            by_flavor: _,
            flavors_omitted,
        } = figures;
        Self {
            observed_at,
            active_servers: *active_servers,
            start,
            end,
            complete: *complete,
            servers: *servers,
            server_hours,
            vcpu_hours,
            memory_mb_hours,
            disk_gb_hours,
            flavors_omitted: *flavors_omitted,
        }
    }
}
