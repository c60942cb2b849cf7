//! Pure: the verdict on the project's cache instances.

use jiff::Timestamp;

use crate::{
    api::{CacheCounts, CachesStatus, KindCounts, Reason, time},
    observation::Caches,
    status::Judged,
    target::CachesTarget,
};

/// The verdict on these counts.
#[must_use]
pub fn judge(seen: &Caches, rules: &CachesTarget, now: Timestamp) -> Judged<CachesStatus> {
    let by_kind = seen.kinds.iter();
    let block = CachesStatus {
        observed_at: Some(time(now)),
        all: seen.all.clone(),
        by_kind: by_kind.map(|(kind, counts)| KindCounts { kind: kind.clone(), counts: counts.clone() }).collect(),
    };
    let reason = reason(&block, rules);
    let message = match reason {
        Reason::CacheErrors => "Cache instances are in error: look at them in the DCS console.",
        Reason::CacheCreateFailed => {
            "Cache instances failed to be created: delete them, or set probes.caches.includeFailure to false."
        }
        _ => "No cache instance is in error.",
    };
    Judged { reason, message: message.to_owned(), block }
}

/// What the counts say. It is worked out anew from a stored block too, so that Unknown between two verdicts
/// repeats no event.
#[must_use]
pub fn reason(block: &CachesStatus, rules: &CachesTarget) -> Reason {
    let any = |count: fn(&CacheCounts) -> Option<i64>| {
        let kinds = block.by_kind.iter().map(|kind| &kind.counts);
        kinds.chain([&block.all]).any(|counts| count(counts).is_some_and(|count| count > 0))
    };
    if any(|counts| counts.error) {
        Reason::CacheErrors
    } else if rules.include_failure && any(|counts| counts.create_failed) {
        Reason::CacheCreateFailed
    } else {
        Reason::AllCachesHealthy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Policy;

    fn counts(error: Option<i64>, create_failed: Option<i64>) -> CacheCounts {
        CacheCounts { running: Some(3), error, create_failed, ..CacheCounts::default() }
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
            let rules = CachesTarget { policy: Policy::Auto, failure_threshold: 1, include_failure: include };
            assert_eq!(judge(&seen, &rules, Timestamp::UNIX_EPOCH).reason, reason, "{name}");
        }
    }
}
