//! The message on cache instances: the number of each kind in each state.
//!
//! Numbers are in steps, so that the message does not change with every instance.

use super::{CREATE_FAILED, ERROR, count, reason};
use crate::{
    api::{CachesStatus, Reason},
    target::CachesTarget,
};

/// Number of kinds or states that a message names. The message says only that there are others.
const NAMED: usize = 5;

/// Returns the condition's message.
pub(crate) fn message(block: &CachesStatus, rules: &CachesTarget) -> String {
    let mut message = match reason(block, rules) {
        Reason::CacheErrors => {
            let told = instances(block, ERROR, ["is", "are"]);
            format!("{told} in error{}: look at them in the DCS console.", missing(block, rules, false))
        }
        Reason::CacheCreateFailed => format!(
            "{} to be created{}: delete them, or set probes.caches.includeFailure to false.",
            instances(block, CREATE_FAILED, ["failed", "failed"]),
            missing(block, rules, false)
        ),
        Reason::CacheStateUnhealthy => {
            let states = rules.unhealthy_states.iter().map(|state| state.as_str());
            let states = states.filter(|state| count(block, state) > Some(0));
            let told = states.map(|state| format!("{} {state}", instances(block, state, ["is", "are"])));
            let told = list(told.collect());
            let missing = missing(block, rules, false);
            format!("{told}{missing}: look at them in the DCS console, or change probes.caches.unhealthyStates.")
        }
        _ => healthy(block, rules),
    };
    // A number in steps may begin with a word.
    if let Some(first) = message.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    message
}

/// Formats `2 redis instances are` or `1 memcached instance and more than 3 redis instances are`. If the region does
/// not report kinds, the result is `2 cache instances are`.
fn instances(block: &CachesStatus, name: &str, [one, several]: [&str; 2]) -> String {
    let all = count(block, name).unwrap_or_default();
    let by_kind = block.by_kind.iter().map(|kind| (kind.kind.as_str(), kind.counts.get(name).unwrap_or_default()));
    let mut kinds: Vec<_> = by_kind.filter(|(_, count)| *count > 0).collect();
    kinds.sort_unstable();
    if kinds.iter().fold(0_i64, |sum, (_, count)| sum.saturating_add(*count)) < all {
        kinds = vec![("cache", all)];
    }
    let told = kinds.iter().map(|(kind, count)| {
        let noun = if *count == 1 { "instance" } else { "instances" };
        format!("{} {kind} {noun}", step(*count))
    });
    format!("{} {}", list(told.collect()), if all == 1 { one } else { several })
}

/// The message while nothing is unhealthy. It names states other than running, and states that the region does not
/// report.
fn healthy(block: &CachesStatus, rules: &CachesTarget) -> String {
    let wanted = &rules.unhealthy_states;
    let mut message =
        if wanted.is_empty() { "No cache instance is in error" } else { "No cache instance is unhealthy" }.to_owned();
    let names = block.all.counts().into_iter().chain(block.by_kind.iter().flat_map(|kind| kind.counts.counts()));
    let mut states: Vec<_> =
        names.filter(|(name, count)| *count > 0 && *name != "running").map(|(name, _)| name).collect();
    states.sort_unstable();
    states.dedup();
    let others: Vec<_> = states
        .into_iter()
        .map(|name| (name, count(block, name).unwrap_or_default()))
        .map(|(name, count)| format!("{} {}", step(count), if name == CREATE_FAILED { "createFailed" } else { name }))
        .collect();
    if !others.is_empty() {
        let running = count(block, "running").unwrap_or_default();
        message.push_str(if running > 0 { "; in other states: " } else { "; none runs, in other states: " });
        message.push_str(&list(others));
    }
    message + &missing(block, rules, true) + "."
}

/// Formats `; the region does not report frozen` for the missing counts of `unhealthyStates`. If `error` is set, it
/// includes the state error.
fn missing(block: &CachesStatus, rules: &CachesTarget, error: bool) -> String {
    let states = rules.unhealthy_states.iter().map(|state| state.as_str());
    let asked = error.then_some(ERROR).into_iter().chain(states);
    let missing: Vec<_> = asked.filter(|name| count(block, name).is_none()).map(str::to_owned).collect();
    if missing.is_empty() { String::new() } else { format!("; the region does not report {}", list(missing)) }
}

/// Formats `a`, `a and b` or `a, b and c`. After five words, it adds `and others`.
fn list(mut words: Vec<String>) -> String {
    if words.len() > NAMED {
        words.truncate(NAMED);
        words.push("others".to_owned());
    }
    let last = words.pop().unwrap_or_default();
    if words.is_empty() { last } else { format!("{} and {last}", words.join(", ")) }
}

/// Formats a number in steps: 1, 2, 3, then more than 3, 10, 30, 100, 300.
pub(crate) fn step(count: i64) -> String {
    match [300, 100, 30, 10, 3].into_iter().find(|step| count > *step) {
        Some(step) => format!("more than {step}"),
        None => count.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{CacheCounts, CacheState, KindCounts};

    fn rules(states: &[CacheState]) -> CachesTarget {
        let unhealthy_states = states.to_vec();
        CachesTarget { include_failure: true, unhealthy_states }
    }

    /// Parses `error=1 running=2`. Kinds have the form `redis: error=1`; `;` separates the parts.
    fn block(text: &str) -> CachesStatus {
        let mut block = CachesStatus::default();
        for part in text.split(';').map(str::trim) {
            let (kind, words) = part.split_once(':').map_or((None, part), |(kind, words)| (Some(kind), words));
            let mut counts = CacheCounts::default();
            for word in words.split_whitespace() {
                let (name, count) = word.split_once('=').unwrap();
                assert!(counts.set(name, count.parse().unwrap()), "{name}");
            }
            match kind {
                Some(kind) => block.by_kind.push(KindCounts { kind: kind.to_owned(), counts }),
                None => block.all = counts,
            }
        }
        block
    }

    #[test]
    fn numbers_in_steps() {
        for (count, text) in [
            (0, "0"),
            (1, "1"),
            (3, "3"),
            (4, "more than 3"),
            (10, "more than 3"),
            (11, "more than 10"),
            (30, "more than 10"),
            (31, "more than 30"),
            (101, "more than 100"),
            (300, "more than 100"),
            (301, "more than 300"),
            (i64::MAX, "more than 300"),
        ] {
            assert_eq!(step(count), text);
        }
    }

    /// Each line: counts | message.
    #[test]
    fn the_message_for_each_kind() {
        let look = "look at them in the DCS console.";
        let delete = "delete them, or set probes.caches.includeFailure to false.";
        for (counts, message_) in [
            ("error=1; redis: error=1", format!("1 redis instance is in error: {look}")),
            ("error=2; redis: error=2", format!("2 redis instances are in error: {look}")),
            ("; redis: error=2", format!("2 redis instances are in error: {look}")),
            ("error=2", format!("2 cache instances are in error: {look}")),
            ("error=1", format!("1 cache instance is in error: {look}")),
            ("error=4; redis: error=4", format!("More than 3 redis instances are in error: {look}")),
            ("error=3; redis: error=1", format!("3 cache instances are in error: {look}")),
            (
                "error=3; redis: error=2; memcached: error=1; other: error=0",
                format!("1 memcached instance and 2 redis instances are in error: {look}"),
            ),
            (
                "; a: error=1; b: error=1; c: error=1; d: error=1; e: error=1; f: error=1",
                "1 a instance, 1 b instance, 1 c instance, 1 d instance, 1 e instance and others are in error: "
                    .to_owned()
                    + look,
            ),
            ("create_failed=1; redis: create_failed=1", format!("1 redis instance failed to be created: {delete}")),
            (
                "create_failed=12; redis: create_failed=12",
                format!("More than 10 redis instances failed to be created: {delete}"),
            ),
        ] {
            assert_eq!(message(&block(counts), &rules(&[])), message_, "{counts}");
        }
    }

    #[test]
    fn states_that_the_spec_calls_unhealthy() {
        let end = ": look at them in the DCS console, or change probes.caches.unhealthyStates.";
        let states = [CacheState::Closed, CacheState::Frozen];
        for (counts, told) in [
            ("error=0 frozen=3; redis: frozen=3", "3 redis instances are frozen; the region does not report closed"),
            ("error=0 closed=1 frozen=5", "1 cache instance is closed and more than 3 cache instances are frozen"),
        ] {
            assert_eq!(message(&block(counts), &rules(&states)), format!("{told}{end}"), "{counts}");
        }
    }

    #[test]
    fn the_message_for_healthy_caches() {
        let frozen = &[CacheState::Freezing, CacheState::Frozen][..];
        for (counts, states, told) in [
            ("error=0 running=1", &[][..], "No cache instance is in error."),
            ("error=0 running=0", &[], "No cache instance is in error."),
            ("error=0 running=0 frozen=3", &[], "No cache instance is in error; none runs, in other states: 3 frozen."),
            ("; redis: error=0 frozen=3", &[], "No cache instance is in error; none runs, in other states: 3 frozen."),
            (
                "error=0 running=9 frozen=4 closed=1",
                &[],
                "No cache instance is in error; in other states: 1 closed and more than 3 frozen.",
            ),
            ("running=1", &[], "No cache instance is in error; the region does not report error."),
            (
                "error=1",
                &[CacheState::Frozen],
                "1 cache instance is in error; the region does not report frozen: look at them in the DCS console.",
            ),
            ("error=0 running=1 freezing=0 frozen=0", frozen, "No cache instance is unhealthy."),
            (
                "error=0 running=1",
                frozen,
                "No cache instance is unhealthy; the region does not report freezing and frozen.",
            ),
            (
                "error=0 running=0 closed=2 frozen=0",
                frozen,
                "No cache instance is unhealthy; none runs, in other states: 2 closed; the region does not report freezing.",
            ),
        ] {
            assert_eq!(message(&block(counts), &rules(states)), told, "{counts}");
        }
    }
}
