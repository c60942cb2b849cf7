//! The verdict on the project's cache instances.

mod message;

use jiff::Timestamp;
pub(crate) use message::message;

use crate::{
    api::{CachesStatus, KindCounts, Reason, time},
    decide::status::Judged,
    observation::Caches,
    target::CachesTarget,
};

/// Judges these counts.
#[must_use]
pub fn judge(seen: &Caches, rules: &CachesTarget, now: Timestamp) -> Judged<CachesStatus> {
    let by_kind = seen.kinds.iter();
    let block = CachesStatus {
        observed_at: Some(time(now)),
        all: seen.all.clone(),
        by_kind: by_kind.map(|(kind, counts)| KindCounts { kind: kind.clone(), counts: counts.clone() }).collect(),
    };
    let reason = reason(&block, rules);
    Judged { reason, message: message(&block, rules), figures: running(&block), block }
}

/// Describes how many instances run, and of which kinds if there are several.
fn running(block: &CachesStatus) -> String {
    let Some(all) = block.all.running else { return "the region does not count running instances".to_owned() };
    let kinds = block.by_kind.iter().filter_map(|kind| Some(format!("{} {}", kind.counts.running?, kind.kind)));
    let kinds: Vec<_> = kinds.collect();
    if kinds.len() < 2 { format!("{all} running") } else { format!("{all} running ({})", kinds.join(", ")) }
}

/// Returns the reason for these counts. It also applies to a stored block, so that Unknown between two verdicts repeats
/// no event.
#[must_use]
pub fn reason(block: &CachesStatus, rules: &CachesTarget) -> Reason {
    if count(block, ERROR) > Some(0) {
        Reason::CacheErrors
    } else if rules.include_failure && count(block, CREATE_FAILED) > Some(0) {
        Reason::CacheCreateFailed
    } else if rules.unhealthy_states.iter().any(|state| count(block, state.as_str()) > Some(0)) {
        Reason::CacheStateUnhealthy
    } else {
        Reason::AllCachesHealthy
    }
}

const ERROR: &str = "error";
const CREATE_FAILED: &str = "create_failed";

/// Number of instances in error.
#[must_use]
pub fn errors(block: &CachesStatus) -> i64 {
    count(block, ERROR).unwrap_or_default()
}

/// Number of instances in a state, whose name is in snake case: the larger of the total and the sum over the kinds.
/// `None` if the region sends no such count.
fn count(block: &CachesStatus, name: &str) -> Option<i64> {
    let of_kinds = block.by_kind.iter().filter_map(|kind| kind.counts.get(name)).reduce(i64::saturating_add);
    block.all.get(name).max(of_kinds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{CacheCounts, CacheState};

    fn counts(error: Option<i64>, create_failed: Option<i64>) -> CacheCounts {
        CacheCounts { running: Some(3), error, create_failed, ..CacheCounts::default() }
    }

    fn rules(include_failure: bool, unhealthy_states: &[CacheState]) -> CachesTarget {
        let unhealthy_states = unhealthy_states.to_vec();
        CachesTarget { include_failure, unhealthy_states }
    }

    #[test]
    fn any_error_in_all_or_in_a_kind_is_unhealthy() {
        use Reason::{AllCachesHealthy, CacheCreateFailed, CacheErrors};
        let none = || counts(None, None);
        for (name, all, redis, include, reason) in [
            ("nothing sent", none(), none(), true, AllCachesHealthy),
            ("zeros", counts(Some(0), Some(0)), counts(Some(0), Some(0)), true, AllCachesHealthy),
            ("an error over all", counts(Some(1), None), none(), true, CacheErrors),
            ("an error in a kind alone", none(), counts(Some(1), None), true, CacheErrors),
            ("a failed creation", counts(None, Some(1)), none(), true, CacheCreateFailed),
            ("a failed creation in a kind", none(), counts(None, Some(1)), true, CacheCreateFailed),
            ("a failed creation, not included", counts(None, Some(1)), none(), false, AllCachesHealthy),
            ("both", counts(Some(1), Some(1)), none(), true, CacheErrors),
        ] {
            let seen = Caches { all, kinds: [("redis".to_owned(), redis)].into() };
            assert_eq!(judge(&seen, &rules(include, &[]), Timestamp::UNIX_EPOCH).reason, reason, "{name}");
        }
    }

    #[test]
    fn states_that_the_spec_calls_unhealthy() {
        use Reason::{AllCachesHealthy, CacheCreateFailed, CacheErrors, CacheStateUnhealthy};
        let frozen = || CacheCounts { frozen: Some(3), running: Some(0), ..CacheCounts::default() };
        let both = |error, create_failed| CacheCounts { frozen: Some(3), ..counts(error, create_failed) };
        let none = CacheCounts::default;
        for (name, all, redis, states, reason) in [
            ("by default no state is", frozen(), none(), &[][..], AllCachesHealthy),
            ("one that is wanted", frozen(), none(), &[CacheState::Frozen], CacheStateUnhealthy),
            ("in a kind alone", none(), frozen(), &[CacheState::Closed, CacheState::Frozen], CacheStateUnhealthy),
            ("another one", frozen(), none(), &[CacheState::Closed], AllCachesHealthy),
            ("errors go first", both(Some(1), Some(1)), none(), &[CacheState::Frozen], CacheErrors),
            ("then failed creations", both(Some(0), Some(1)), none(), &[CacheState::Frozen], CacheCreateFailed),
            ("not sent", none(), counts(None, None), &[CacheState::Frozen], AllCachesHealthy),
        ] {
            let seen = Caches { all, kinds: [("redis".to_owned(), redis)].into() };
            assert_eq!(judge(&seen, &rules(true, states), Timestamp::UNIX_EPOCH).reason, reason, "{name}");
        }
    }
}
