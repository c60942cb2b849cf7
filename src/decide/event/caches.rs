//! Events of the project's cache instances.

use super::{EventReason, Notice, notice, window};
use crate::{
    api::{CloudTenantStatus, Reason, condition_type as ty, reason::Class},
    decide::{
        condition,
        status::caches::{errors, message, reason},
    },
    observation::ProbeKind,
    target::Target,
};

/// Length in seconds of the window in which an increase of the errors has at most one event.
const INCREASE_WINDOW: i64 = 600;

pub(super) fn transition(
    target: &Target,
    stored: &CloudTenantStatus,
    old: &CloudTenantStatus,
    new: &CloudTenantStatus,
) -> Option<Notice> {
    let rules = &target.caches;
    let block = new.caches.as_ref()?;
    let now = verdict(new)?;
    // For an Unknown condition, compare with the stored counts. Otherwise use the condition: the spec may have changed
    // since.
    let counted = || old.caches.as_ref().map(|block| reason(block, rules));
    let before = verdict(old).or_else(counted).unwrap_or(Reason::AllCachesHealthy);
    let event = match now {
        Reason::CacheErrors if before == now => return increase(target, old, new),
        _ if before == now => return None,
        Reason::CacheErrors | Reason::CacheStateUnhealthy => EventReason::CachesUnhealthy,
        Reason::CacheCreateFailed => EventReason::CacheCreateFailed,
        _ => EventReason::CachesRecovered,
    };
    Some(notice(event, "", message(block, rules), stored, &[ProbeKind::Caches]))
}

/// Returns the condition's reason if it is a verdict.
fn verdict(status: &CloudTenantStatus) -> Option<Reason> {
    let reason = condition::reason(&status.conditions, ty::CACHES_HEALTHY);
    reason.filter(|reason| matches!(reason.class(), Class::Well | Class::Bad))
}

/// The event's name depends only on the time. Instances that fail one by one cause at most one event in ten minutes.
fn increase(target: &Target, old: &CloudTenantStatus, new: &CloudTenantStatus) -> Option<Notice> {
    let (before, now) = (old.caches.as_ref()?, new.caches.as_ref()?);
    if errors(now) <= errors(before) {
        return None;
    }
    let note = format!("More cache instances are in error than before. {}", message(now, &target.caches));
    let about = window(now.observed_at.as_ref()?.0, INCREASE_WINDOW);
    Some(Notice { reason: EventReason::CacheErrorsIncreased, about, note, left: String::new() })
}
