//! Computes when the next pass over a set starts, unless a change starts one sooner.

use std::time::Duration;

use super::{Listed, SetPass, tenants};
use crate::{
    api::Reason,
    decide::schedule::{FIRST_RETRY, backoff, shortened},
};

/// The shortest wait after a refused login, which may lock the account.
const AFTER_REFUSAL: Duration = Duration::from_secs(300);

/// The wait for a Secret that may still be applied, and for an older set.
const SHORT_WAIT: Duration = Duration::from_secs(5);

/// The first wait until the operator counts again how many of new CloudTenants are Ready. Each further wait is twice as
/// long.
const RECOUNT: Duration = Duration::from_secs(60);

/// Longest wait after the pace allows the next write.
const AFTER_PACE: Duration = Duration::from_secs(1);

/// What the next pass has to wait for, and what it must not wait longer for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waits {
    /// The time until the pace allows the next write.
    pub pace: Option<Duration>,
    /// The time until Keystone wants the next call.
    pub retry_after: Option<Duration>,
    /// The longest time until something else than the projects is read again.
    pub longest: Option<Duration>,
}

/// The time until the next pass, unless a change starts one sooner.
#[must_use]
pub fn next(pass: &SetPass<'_>) -> Option<Duration> {
    let interval = pass.target.interval;
    if pass.target.suspend {
        return None;
    }
    let wait = match pass.listed {
        Listed::Failed(failure, _) if failure.reason.may_still_arrive() && !pass.waited => SHORT_WAIT,
        Listed::Failed(failure, times) => {
            let is_refused = failure.reason == Reason::AuthenticationFailed;
            let shortest = if is_refused { AFTER_REFUSAL } else { FIRST_RETRY };
            backoff(*times).min(interval).max(shortest).max(failure.retry_after.unwrap_or_default())
        }
        Listed::Yes { .. } if pass.plan.waits_for_sets => SHORT_WAIT,
        Listed::Yes { .. } if pass.written.is_unfinished || pass.pruned.pending > 0 => {
            let failing = pass.written.failing.as_ref().filter(|_| pass.written.is_unfinished);
            failing.map_or(FIRST_RETRY, |(_, times)| backoff(*times).min(interval))
        }
        // New CloudTenants become Ready after the pass that has created them.
        Listed::Yes { .. } if pass.plan.ready < tenants(pass) => {
            RECOUNT.saturating_mul(1 << pass.recounts.min(12)).min(interval)
        }
        Listed::Yes { .. } => interval,
    };
    Some(wait)
}

/// The time until the next pass of one of many sets. `share`, from 0 to 1, is the set's own: it shortens the time by up to
/// a tenth, so that the sets do not all list at once. A time that the pace or Keystone demands is never shortened.
#[must_use]
pub fn scheduled(pass: &SetPass<'_>, waits: Waits, share: f64) -> Option<Duration> {
    let wait = next(pass)?;
    let wait = waits.longest.map_or(wait, |longest| wait.min(longest));
    // A pass for writes that failed before does not come sooner than others.
    let pace = waits.pace.filter(|_| pass.written.is_unfinished);
    let wait = match (pace, pass.listed) {
        (Some(pace), Listed::Yes { .. }) => wait.clamp(pace, pace.saturating_add(AFTER_PACE)),
        (Some(pace), Listed::Failed(..)) => wait.max(pace),
        (None, _) => wait,
    };
    Some(shortened(wait, share).max(pace.unwrap_or_default()).max(waits.retry_after.unwrap_or_default()))
}
