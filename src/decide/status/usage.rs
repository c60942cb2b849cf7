//! The usage in the status. It is never unhealthy, only complete or incomplete.

use jiff::Timestamp;

use crate::{
    api::{self, PreviousUsage, Reason, UsageFigures, UsageStatus, time},
    decide::status::Judged,
    observation::{FlavorUsage, Periods, Previous, Usage},
};

/// Builds the block. `periods` has the closed period only if `old` did not have it.
#[must_use]
pub fn judge(periods: &Periods, old: Option<&UsageStatus>, now: Timestamp) -> Judged<UsageStatus> {
    let seen = &periods.current;
    let (reason, message) = match seen.complete {
        Some(true) => (Reason::Reported, "The usage of the current period is complete."),
        Some(false) => (
            Reason::ReportedIncomplete,
            "Nova truncated its answer, so the usage is a lower bound: complete usage needs microversion 2.40 of Nova.",
        ),
        None => (
            Reason::ReportedUnpaged,
            "Nova cannot page, so the usage may lack servers: complete usage needs microversion 2.40 of Nova.",
        ),
    };
    let block = UsageStatus {
        observed_at: Some(time(now)),
        active_servers: seen.active_servers,
        figures: figures(seen),
        previous: match &periods.previous {
            Previous::Kept => old.and_then(|old| old.previous.clone()),
            // The stored figures belong to an earlier period.
            Previous::OtherWindow => None,
            Previous::Read(usage) => Some(PreviousUsage { figures: figures(usage) }),
        },
    };
    let figures = format!("{} servers, {} vCPU-hours", block.figures.servers, block.figures.vcpu_hours);
    Judged { reason, message: message.to_owned(), figures, block }
}

fn figures(seen: &Usage) -> UsageFigures {
    UsageFigures {
        start: Some(time(seen.start)),
        end: Some(time(seen.end)),
        complete: seen.complete,
        servers: seen.servers,
        server_hours: decimal(seen.server_hours),
        vcpu_hours: decimal(seen.vcpu_hours),
        memory_mb_hours: decimal(seen.memory_mb_hours),
        disk_gb_hours: decimal(seen.disk_gb_hours),
        by_flavor: seen.by_flavor.iter().map(flavor).collect(),
        flavors_omitted: Some(seen.flavors_omitted).filter(|omitted| *omitted > 0),
    }
}

fn flavor(used: &FlavorUsage) -> api::FlavorUsage {
    api::FlavorUsage {
        flavor: used.flavor.clone(),
        servers: used.servers,
        server_hours: decimal(used.server_hours),
        vcpu_hours: decimal(used.vcpu_hours),
        memory_mb_hours: decimal(used.memory_mb_hours),
        disk_gb_hours: decimal(used.disk_gb_hours),
    }
}

/// Formats a plain decimal with at most three places, because Nova's floats carry noise and exponents.
fn decimal(hours: f64) -> String {
    let text = format!("{hours:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_plain_decimals_with_three_places() {
        for (hours, text) in [
            (731.557_777_777_777_8, "731.558"),
            (0.0, "0"),
            (-0.0, "0"),
            (1.5, "1.5"),
            (100.0, "100"),
            (1.666_666_7e-9, "0"),
            (2_838_221.937_777_778, "2838221.938"),
            (1e15, "1000000000000000"),
        ] {
            assert_eq!(decimal(hours), text);
        }
    }
}
