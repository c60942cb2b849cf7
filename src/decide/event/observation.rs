//! Events of probes that fail or succeed again.

use super::{EventReason, Notice, notice};
use crate::{
    api::{CloudTenantStatus, Reason, condition_type as ty, reason::Class},
    decide::condition,
    observation::ProbeKind,
    target::Target,
};

/// Returns one notice per write and kind of event, which names the probes. A refused login explains the failures that
/// follow from it, so these have no event of their own.
pub(super) fn transitions(
    target: &Target,
    stored: &CloudTenantStatus,
    old: &CloudTenantStatus,
    new: &CloudTenantStatus,
) -> Vec<Notice> {
    let mut notices = Vec::new();
    let refused = |status, kind: &ProbeKind| failing(target, status, *kind) == Some(Reason::AuthenticationFailed);
    let own = target.engines.cloud_name.is_some();
    let (main, own) = ProbeKind::ALL.into_iter().partition::<Vec<_>, _>(|kind| !own || *kind != ProbeKind::Engines);
    let any_refused = |status, kinds: &[ProbeKind]| kinds.iter().any(|kind| refused(status, kind));
    let (main_was, main_is) = (any_refused(old, &main), any_refused(new, &main));
    let mut explained = Vec::new();
    if main_is {
        if !main_was {
            let kinds: Vec<_> = main.iter().copied().filter(|kind| refused(new, kind)).collect();
            let note = "Keystone refuses the credential: correct it in the Secret.".to_owned();
            notices.push(notice(EventReason::AuthenticationFailed, "", note, stored, &kinds));
        }
        explained.extend(main);
    }
    if any_refused(new, &own) {
        // A login for the engines may need the main credential too. While that is refused, nothing is known about the
        // engines' own.
        if !main_is && (main_was || !any_refused(old, &own)) {
            let note = "Keystone refuses the credential for engines: correct it in the Secret.".to_owned();
            notices.push(notice(EventReason::AuthenticationFailed, "engines", note, stored, &own));
        }
        explained.extend(own);
    }
    let starts_to_fail =
        |kind: &ProbeKind| failing(target, new, *kind).is_some() && failing(target, old, *kind).is_none();
    let failed = ProbeKind::ALL.into_iter().filter(|kind| starts_to_fail(kind) && !explained.contains(kind));
    let failed: Vec<_> = failed.collect();
    if let Some(first) = failed.first() {
        let reason = failing(target, new, *first).map_or("", Reason::as_str);
        let note = format!("Could not observe {}: {reason}.", names(&failed));
        notices.push(notice(EventReason::ObservationFailed, &names(&failed), note, stored, &failed));
    }
    let recovers = |kind: &ProbeKind| {
        let seen = condition::reason(&new.conditions, kind.condition_type());
        let verdict = |reason: Reason| match reason {
            Reason::NoEnginesListed => true,
            // After a failure, this reason means that the probe works again and its verdict is below failureThreshold.
            Reason::Progressing => true,
            other => matches!(other.class(), Class::Well | Class::Bad),
        };
        failing(target, old, *kind).is_some() && seen.is_some_and(verdict)
    };
    let recovered: Vec<_> = ProbeKind::ALL.into_iter().filter(recovers).collect();
    if !recovered.is_empty() {
        let note = format!("Can observe {} again.", names(&recovered));
        notices.push(notice(EventReason::ObservationRecovered, &names(&recovered), note, stored, &recovered));
    }
    notices
}

/// Returns why the probe fails. A Secret or an entry that may still arrive counts only once the condition Stalled is
/// set. An invalid spec or a refused status is not the cloud's failure.
fn failing(target: &Target, status: &CloudTenantStatus, kind: ProbeKind) -> Option<Reason> {
    let reason_of = |kind: ProbeKind| condition::reason(&status.conditions, kind.condition_type());
    let reason = reason_of(kind)?;
    let stalled = condition::find(&status.conditions, ty::STALLED).is_some();
    // The engines' own entry causes no Stalled condition if engines do not count for Ready, so its event must not wait.
    let waits = ProbeKind::ALL.into_iter().filter(|kind| target.counts_for_ready(*kind));
    let waits = waits.filter_map(reason_of).any(Reason::may_still_arrive);
    let fails = match reason.class() {
        Class::Passing => true,
        Class::Stalled => !reason.is_about_object() && (stalled || !waits || !reason.may_still_arrive()),
        Class::Well | Class::Bad | Class::NotAsked => false,
    };
    fails.then_some(reason)
}

fn names(kinds: &[ProbeKind]) -> String {
    kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
