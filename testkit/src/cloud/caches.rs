//! Which cache instances a tenant has, and how DCS counts them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The states that the document's example counts.
const STATES: [&str; 14] = [
    "paying",
    "migrating",
    "error",
    "restarting",
    "createfailed",
    "flushing",
    "closed",
    "extending",
    "creating",
    "starting",
    "closing",
    "running",
    "upgrading",
    "restoring",
];

/// Instances by state; the names are as in the API, without `_count`.
pub type Counts = BTreeMap<String, u64>;

/// A tenant's cache instances.
#[derive(Debug, Clone, Default)]
pub struct CacheCounts {
    /// Those of every kind.
    pub all: Counts,
    /// Redis instances, where the region has them.
    pub redis: Option<Counts>,
    /// Memcached instances, where the region has them.
    pub memcached: Option<Counts>,
}

impl CacheCounts {
    /// Redis instances alone in these states, none in the others that the document names.
    #[must_use]
    pub fn redis(counts: &[(&str, u64)]) -> Self {
        let mut all: Counts = STATES.iter().map(|state| ((*state).to_owned(), 0)).collect();
        all.extend(counts.iter().map(|(state, count)| ((*state).to_owned(), *count)));
        Self { redis: Some(all.clone()), all, memcached: None }
    }

    pub(super) fn body(&self, with_failures: bool) -> Value {
        let mut body = counted(&self.all, with_failures);
        for (kind, counts) in [("redis", &self.redis), ("memcached", &self.memcached)] {
            if let Some(counts) = counts {
                body.insert(kind.to_owned(), counted(counts, with_failures).into());
            }
        }
        body.into()
    }
}

/// `createfailed_count` is there only for those who ask for it.
fn counted(counts: &Counts, with_failures: bool) -> Map<String, Value> {
    counts
        .iter()
        .filter(|(state, _)| with_failures || *state != "createfailed")
        .map(|(state, count)| (format!("{state}_count"), json!(count)))
        .collect()
}

/// The cache instances of all tenants, and how DCS deviates from its document.
#[derive(Default)]
pub(super) struct Dcs {
    pub(super) caches: BTreeMap<String, CacheCounts>,
    pub(super) stray_brace: bool,
    pub(super) trusts_foreign_tokens: bool,
    pub(super) accepts_signatures_alone: bool,
}
