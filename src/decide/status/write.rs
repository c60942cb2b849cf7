//! Decides whether a status is worth a write. A changed time alone is not, until it is old.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::observed_at;
use crate::{
    api::{self, CloudTenantStatus, condition_type},
    observation::{ProbeKind, engine_answers::age},
    target::Target,
};

/// Longest age of `observedAt` while the probe runs, unless its interval is longer.
const HEARTBEAT: Duration = Duration::from_secs(600);

/// Whether the statuses differ in more than times.
#[must_use]
pub fn differs(old: &CloudTenantStatus, new: &CloudTenantStatus) -> bool {
    timeless(old) != timeless(new)
}

/// Whether a stored `observedAt` is so old that it has to be written again.
#[must_use]
pub fn is_heartbeat_due(target: &Target, old: &CloudTenantStatus, new: &CloudTenantStatus) -> bool {
    ProbeKind::ALL.into_iter().any(|kind| match (observed_at(old, kind), observed_at(new, kind)) {
        // The stored time may also be later, if the clock was corrected.
        (Some(old), Some(new)) => age(old, new).max(age(new, old)) >= HEARTBEAT.max(target.interval_of(kind)),
        _ => false,
    })
}

fn timeless(status: &CloudTenantStatus) -> CloudTenantStatus {
    let mut status = status.clone();
    let order = |type_: &str| condition_type::ALL.iter().position(|ours| *ours == type_);
    status.conditions.retain(|condition| order(&condition.type_).is_some());
    status.conditions.sort_by_key(|condition| order(&condition.type_));
    for condition in &mut status.conditions {
        condition.last_transition_time = api::time(Timestamp::UNIX_EPOCH);
    }
    let forget = |time: &mut Option<Time>| *time = None;
    forget(&mut status.observed_at);
    for kind in ProbeKind::ALL {
        if let Some(mut block) = status.take_block(kind) {
            forget(block.observed_at_mut());
            status.set_block(block);
        }
    }
    if let Some(engines) = &mut status.engines {
        engines.hosts.iter_mut().for_each(|host| forget(&mut host.last_heartbeat));
        engines.down_engines.iter_mut().for_each(|engine| forget(&mut engine.last_heartbeat));
        forget(&mut engines.answering_since);
    }
    if let Some(usage) = &mut status.usage {
        forget(&mut usage.figures.end);
    }
    status
}
