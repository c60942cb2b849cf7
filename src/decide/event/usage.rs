//! The event of a decrease of the usage.

use super::{EventReason, Notice, notice};
use crate::{
    api::{CloudTenantStatus, UsageFigures},
    observation::ProbeKind,
};

/// The figures have three decimals, and Nova's sums of floats differ in their last digits.
const NOISE: f64 = 1e-6;
const ROUNDING: f64 = 0.01;

pub(super) fn transition(
    stored: &CloudTenantStatus,
    old: &CloudTenantStatus,
    new: &CloudTenantStatus,
) -> Option<Notice> {
    let (before, now) = (&old.usage.as_ref()?.figures, &new.usage.as_ref()?.figures);
    let start = now.start.as_ref()?;
    // A shorter window contains less usage, for example after the clock stepped back. So does a truncated answer.
    let whole = before.complete == now.complete && now.complete != Some(false);
    let comparable = whole && before.start.as_ref() == Some(start) && before.end <= now.end;
    let fell: Vec<_> = figures(before, now).into_iter().filter(|(_, before, now)| is_less(before, now)).collect();
    if !comparable || fell.is_empty() {
        return None;
    }
    let fell: Vec<_> = fell.iter().map(|(unit, before, now)| format!("from {before} to {now} {unit}")).collect();
    let note = format!(
        "The usage since {} fell {}: Nova counts a server that was resized, rebuilt, rescued or evacuated from that time \
         on, and drops servers whose records were archived; figures before that are lost.",
        start.0,
        fell.join(" and ")
    );
    Some(notice(EventReason::UsageFell, "", note, stored, &[ProbeKind::Usage]))
}

fn figures<'a>(before: &'a UsageFigures, now: &'a UsageFigures) -> [(&'static str, &'a str, &'a str); 2] {
    [("server-hours", &before.server_hours, &now.server_hours), ("vCPU-hours", &before.vcpu_hours, &now.vcpu_hours)]
}

fn is_less(before: &str, now: &str) -> bool {
    match (before.parse::<f64>(), now.parse::<f64>()) {
        (Ok(before), Ok(now)) => before - now > ROUNDING.max(before * NOISE),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{UsageStatus, time};

    /// Each line: the usage before and after, as `start end complete server-hours vCPU-hours` | whether it decreased.
    #[test]
    fn a_decrease_of_comparable_figures_has_an_event() {
        let status = |[start, end, complete, servers, vcpus]: [&str; 5]| {
            let at = |hour: &str| Some(time(format!("2026-11-01T{hour}:00:00Z").parse().unwrap()));
            let figures = UsageFigures {
                start: at(start),
                end: at(end),
                complete: complete.parse().ok(),
                server_hours: servers.to_owned(),
                vcpu_hours: vcpus.to_owned(),
                ..UsageFigures::default()
            };
            let usage = UsageStatus { figures, ..UsageStatus::default() };
            CloudTenantStatus { usage: Some(usage), ..CloudTenantStatus::default() }
        };
        for (name, before, now, fell) in [
            ("more", "00 10 true 5 10", "00 11 true 6 12", false),
            ("the same", "00 10 true 5 10", "00 11 true 5 10", false),
            ("vCPU-hours", "00 10 true 5 10", "00 11 true 5 9.5", true),
            ("server-hours alone", "00 10 true 5 10", "00 11 true 4 10", true),
            ("to nothing", "00 10 true 5 10", "00 11 true 0 0", true),
            ("less than rounding", "00 10 true 5 10", "00 11 true 4.995 9.995", false),
            ("noise of large floats", "00 10 true 5 90000000", "00 11 true 5 89999999.5", false),
            ("another period", "00 10 true 5 10", "01 11 true 1 2", false),
            ("a shorter window", "00 10 true 5 10", "00 09 true 4 8", false),
            ("an answer that is cut", "00 10 true 5 10", "00 11 false 4 8", false),
            ("one that no longer is", "00 10 false 5 10", "00 11 true 4 8", false),
            ("two that are cut, perhaps elsewhere", "00 10 false 5 10", "00 11 false 4 8", false),
            ("both unpaged", "00 10 - 5 10", "00 11 - 4 8", true),
            ("figures that cannot be read", "00 10 true x x", "00 11 true 4 8", false),
        ] {
            let words = |text: &'static str| -> [&str; 5] { text.split(' ').collect::<Vec<_>>().try_into().unwrap() };
            let (before, now) = (status(words(before)), status(words(now)));
            assert_eq!(transition(&before, &before, &now).is_some(), fell, "{name}");
        }
        let (before, now) = (status(["00", "10", "true", "5", "10.25"]), status(["00", "11", "true", "5", "3"]));
        let note = transition(&before, &before, &now).unwrap().note;
        assert!(note.contains("since 2026-11-01T00:00:00Z fell from 10.25 to 3 vCPU-hours: "), "{note}");
    }
}
