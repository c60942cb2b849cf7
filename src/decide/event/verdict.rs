//! Events of probes whose verdict changes.

use super::{EventReason, Notice, notice};
use crate::{
    api::{CloudTenantStatus, reason::Class},
    decide::{
        condition,
        status::{last_verdict, observed_verdict},
    },
    observation::ProbeKind,
    target::Target,
};

/// Returns one notice for each probe whose verdict has changed, if that reason has an event.
pub(super) fn transitions(
    target: &Target,
    stored: &CloudTenantStatus,
    old: &CloudTenantStatus,
    new: &CloudTenantStatus,
) -> Vec<Notice> {
    let changed = |kind: ProbeKind| {
        let now = observed_verdict(new, kind)?;
        let event = EventReason::of_verdict(now)?;
        match last_verdict(target, old, kind) {
            Some(before) if before == now => return None,
            // A probe that begins healthy has not recovered.
            None if now.class() == Class::Well => return None,
            _ => {}
        }
        let message = &condition::find(&new.conditions, kind.condition_type())?.message;
        Some(notice(event, "", message.clone(), stored, &[kind]))
    };
    ProbeKind::ALL.into_iter().filter_map(changed).collect()
}
