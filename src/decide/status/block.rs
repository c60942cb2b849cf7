//! The time at which the data of a probe were observed.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::{CachesStatus, CloudTenantStatus, EnginesStatus, UsageStatus},
    observation::ProbeKind,
};

/// The data block of a probe.
pub(super) trait Block: Clone {
    /// Time of the last verdict.
    fn observed_at(&self) -> Option<Time>;

    /// Returns the same data with the time of a later verdict.
    fn observed(self, at: Option<Time>) -> Self;
}

macro_rules! blocks {
    ($($block:ty),*) => { $(
        impl Block for $block {
            fn observed_at(&self) -> Option<Time> {
                self.observed_at.clone()
            }

            fn observed(self, observed_at: Option<Time>) -> Self {
                Self { observed_at, ..self }
            }
        }
    )* };
}

blocks!(EnginesStatus, CachesStatus, UsageStatus);

/// Returns the time at which this probe's block was observed.
pub(crate) fn observed_at(status: &CloudTenantStatus, kind: ProbeKind) -> Option<Timestamp> {
    let at = match kind {
        ProbeKind::Engines => status.engines.as_ref()?.observed_at(),
        ProbeKind::Caches => status.caches.as_ref()?.observed_at(),
        ProbeKind::Usage => status.usage.as_ref()?.observed_at(),
    };
    at.map(|at| at.0)
}
