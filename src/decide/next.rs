//! Computes when the next pass starts.

use std::time::Duration;

use jiff::Timestamp;

use super::{Memory, age, memory::has_own_query};
use crate::{
    api::{CloudTenantStatus, Reason, condition_type as ty, reason::Class},
    decide::{
        condition,
        schedule::{backoff, shortened},
    },
    observation::{ByProbe, ProbeKind},
    target::Target,
};

/// A missing Secret is read again after SECRET_RETRY. After SECRET_GRACE the operator no longer expects it to arrive.
const SECRET_RETRY: Duration = Duration::from_secs(5);
/// The time that the operator expects a missing Secret to arrive.
pub const SECRET_GRACE: Duration = Duration::from_secs(120);

/// Longest wait until the operator reads the Secret again while a user has to act.
pub const STALLED_RETRY: Duration = Duration::from_secs(30);

/// Wait until the operator reads the Secret again, once, after a refused login: a user may have just corrected it.
const REFUSED_RETRY: Duration = Duration::from_secs(5);

/// Shortest wait between two passes.
pub(super) const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// Whether a missing Secret, or the engines' missing entry, has exceeded its grace period, so that a user has to act.
pub(super) fn has_waited(memory: &Memory, now: Timestamp) -> bool {
    memory.missing.or(memory.engines.missing).is_some_and(|missing| age(missing.since, now) >= SECRET_GRACE)
}

/// Whether a probe's condition has this reason.
pub(super) fn has(status: &CloudTenantStatus, reason: Reason) -> bool {
    let reasons = ProbeKind::ALL.map(|kind| condition::reason(&status.conditions, kind.condition_type()));
    reasons.contains(&Some(reason))
}

/// Whether a login is refused now and was not refused before.
pub(super) fn is_refused_now(old: &CloudTenantStatus, new: &CloudTenantStatus) -> bool {
    has(new, Reason::AuthenticationFailed) && !has(old, Reason::AuthenticationFailed)
}

/// Whether a user has to act, for the CloudTenant or for a probe that does not count for Ready.
fn needs_user(status: &CloudTenantStatus) -> bool {
    let mut probes = ProbeKind::ALL.into_iter().map(ProbeKind::condition_type);
    let is_stalled = |reason: Reason| reason.class() == Class::Stalled;
    condition::find(&status.conditions, ty::STALLED).is_some()
        || probes.any(|type_| condition::reason(&status.conditions, type_).is_some_and(is_stalled))
}

/// Returns the shortest wait, or nothing while the tenant is suspended. A query under way starts the next pass itself.
pub(super) fn pass(
    target: &Target,
    memory: &Memory,
    is_running: ByProbe<bool>,
    (old, new): (&CloudTenantStatus, &CloudTenantStatus),
    now: Timestamp,
) -> Option<Duration> {
    if target.suspend {
        return None;
    }
    let until = |next: Timestamp| Duration::try_from(next.duration_since(now)).unwrap_or_default();
    let mut wait = shortened(target.interval, memory.share);
    for kind in ProbeKind::ALL {
        if has_own_query(target, kind) && !is_running[kind] {
            wait = wait.min(until(memory.probes[kind].turn.next));
        }
    }
    if let Some(missing) = memory.missing {
        let is_arriving = age(missing.since, now) < SECRET_GRACE;
        wait = if is_arriving { SECRET_RETRY } else { backoff(missing.times).min(STALLED_RETRY) };
    } else if is_refused_now(old, new) {
        wait = REFUSED_RETRY;
    } else if memory.engines.missing.is_some_and(|missing| age(missing.since, now) < SECRET_GRACE) {
        wait = wait.min(SECRET_RETRY);
    } else if needs_user(new) {
        wait = wait.min(STALLED_RETRY);
    }
    Some(wait.max(SHORTEST_WAIT))
}
