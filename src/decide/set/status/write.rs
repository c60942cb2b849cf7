//! Decides whether a set's status is worth a write. A changed time alone is not, until it is old.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    api::{
        self,
        set::{CloudTenantSetStatus, condition_type as ty},
    },
    observation::engine_answers::age,
};

/// Longest age of `observedAt` while the operator lists projects, unless the interval is longer.
const HEARTBEAT: Duration = Duration::from_secs(600);

/// Whether the statuses differ in more than times. The ledger of deletions is written before them.
#[must_use]
pub fn differs(old: &CloudTenantSetStatus, new: &CloudTenantSetStatus) -> bool {
    timeless(old) != timeless(new)
}

fn timeless(status: &CloudTenantSetStatus) -> CloudTenantSetStatus {
    let mut status = status.clone();
    let order = |type_: &str| ty::ALL.iter().position(|ours| *ours == type_);
    status.conditions.retain(|condition| order(&condition.type_).is_some());
    status.conditions.sort_by_key(|condition| order(&condition.type_));
    for condition in &mut status.conditions {
        condition.last_transition_time = api::time(Timestamp::UNIX_EPOCH);
    }
    status.observed_at = None;
    // Hours that leave the ledger are no reason to write.
    if let Some(pruning) = &mut status.pruning {
        pruning.deleted.clear();
    }
    status
}

/// Whether a stored `observedAt` is so old that it has to be written again.
#[must_use]
pub fn is_heartbeat_due(interval: Duration, old: &CloudTenantSetStatus, new: &CloudTenantSetStatus) -> bool {
    match (&old.observed_at, &new.observed_at) {
        // The stored time may also be later, if the clock was corrected.
        (Some(old), Some(new)) => age(old.0, new.0).max(age(new.0, old.0)) >= HEARTBEAT.max(interval),
        (old, new) => old.is_some() != new.is_some(),
    }
}
