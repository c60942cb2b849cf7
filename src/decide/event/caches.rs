//! The event of an increase of the cache instances in error.

use super::{EventReason, Notice, window};
use crate::{
    api::{CloudTenantStatus, Reason},
    decide::status::{
        caches::{errors, message},
        last_verdict, observed_verdict,
    },
    observation::ProbeKind,
    target::Target,
};

/// Length in seconds of the window in which an increase of the errors has at most one event.
const INCREASE_WINDOW: i64 = 600;

/// The event's name depends only on the time. Instances that fail one by one cause at most one event in ten minutes.
pub(super) fn increase(target: &Target, old: &CloudTenantStatus, new: &CloudTenantStatus) -> Option<Notice> {
    let errors_last = last_verdict(target, old, ProbeKind::Caches) == Some(Reason::CacheErrors);
    if !errors_last || observed_verdict(new, ProbeKind::Caches) != Some(Reason::CacheErrors) {
        return None;
    }
    let (before, now) = (old.caches.as_ref()?, new.caches.as_ref()?);
    if errors(now) <= errors(before) {
        return None;
    }
    let note = format!("More cache instances are in error than before. {}", message(now, &target.caches));
    let about = window(now.observed_at.as_ref()?.0, INCREASE_WINDOW);
    Some(Notice { reason: EventReason::CacheErrorsIncreased, about, note, left: String::new() })
}
