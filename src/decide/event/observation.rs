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
        let mut notice = notice(EventReason::ObservationFailed, &names(&failed), note, stored, &failed);
        notice.left.push_str(&while_unknown(target, stored, new, &failed));
        notices.push(notice);
    }
    let recovers = |kind: &ProbeKind| {
        let seen = condition::reason(&new.conditions, kind.condition_type());
        let verdict = |reason: Reason| match reason {
            Reason::NoEnginesListed => true,
            // After a failure, this reason means that the probe works again and its verdict is below failureThreshold.
            Reason::Progressing => true,
            other => matches!(other.class(), Class::Well | Class::Bad),
        };
        let has_come = || is_left_over(target, new, *kind) && failing(target, new, *kind).is_none();
        failing(target, old, *kind).is_some() && (seen.is_some_and(verdict) || has_come())
    };
    let recovered: Vec<_> = ProbeKind::ALL.into_iter().filter(recovers).collect();
    if !recovered.is_empty() {
        let note = format!("Can observe {} again.", names(&recovered));
        let mut notice = notice(EventReason::ObservationRecovered, &names(&recovered), note, stored, &recovered);
        notice.left.push_str(&while_unknown(target, stored, stored, &recovered));
        notices.push(notice);
    }
    notices
}

/// Tells failures, and their ends, apart while the condition is Unknown all the time, so that its time stays: by the spec of
/// the last status, and by whether a Secret or an entry is missing in the status `of` the failure. A failure of the same
/// kind under the same spec is no news.
fn while_unknown(target: &Target, stored: &CloudTenantStatus, of: &CloudTenantStatus, failed: &[ProbeKind]) -> String {
    let mut conditions = failed.iter().filter_map(|kind| condition::find(&stored.conditions, kind.condition_type()));
    let Some(unknown) = conditions.find(|condition| condition.status == "Unknown") else {
        return String::new();
    };
    let is_missing = failed.iter().filter_map(|kind| failing(target, of, *kind)).any(Reason::may_still_arrive);
    let generation = unknown.observed_generation.unwrap_or_default();
    format!("/{generation}{}", if is_missing { "/missing" } else { "" })
}

/// Returns why the probe fails. A Secret or an entry that may still arrive counts only once the condition Stalled is
/// set. An invalid spec or a refused status is not the cloud's failure.
fn failing(target: &Target, status: &CloudTenantStatus, kind: ProbeKind) -> Option<Reason> {
    let reason_of = |kind: ProbeKind| condition::reason(&status.conditions, kind.condition_type());
    let reason = reason_of(kind)?;
    let stalled_by = condition::reason(&status.conditions, ty::STALLED);
    if is_left_over(target, status, kind) && !stalled_by.is_some_and(Reason::may_still_arrive) {
        return None;
    }
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

/// Whether the probe's condition still has the reason of a missing Secret or entry, and another probe that needs the same
/// one shows that it has come. The probe's own result follows.
fn is_left_over(target: &Target, status: &CloudTenantStatus, kind: ProbeKind) -> bool {
    let reason_of = |kind: ProbeKind| condition::reason(&status.conditions, kind.condition_type());
    let has_own = |kind: ProbeKind| kind == ProbeKind::Engines && target.engines.cloud_name.is_some();
    let has_come = |reason: Reason| reason.class() != Class::NotAsked && !reason.may_still_arrive();
    reason_of(kind).is_some_and(Reason::may_still_arrive)
        && !has_own(kind)
        && ProbeKind::ALL.into_iter().filter(|other| !has_own(*other)).filter_map(reason_of).any(has_come)
}

fn names(kinds: &[ProbeKind]) -> String {
    kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
