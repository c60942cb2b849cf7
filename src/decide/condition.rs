//! Builds conditions, as pure functions. A condition's transition time changes only with its status.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::{
    api::{self, Reason, bound},
    words::escaped,
};

/// Returns the condition of this type.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Returns the reason of the condition of this type. `None` if the condition is absent or its reason is foreign.
#[must_use]
pub fn reason(conditions: &[Condition], type_: &str) -> Option<Reason> {
    find(conditions, type_).and_then(|condition| Reason::parse(&condition.reason))
}

/// Builds the condition that replaces the one of the same type in `old`.
#[must_use]
pub fn next(
    old: &[Condition],
    type_: &str,
    status: &str,
    reason: Reason,
    message: &str,
    generation: i64,
    now: Timestamp,
) -> Condition {
    named(old, type_, status, reason.as_str(), message, generation, now)
}

/// [`next`] for a kind of object with reasons of its own.
#[must_use]
pub fn named(
    old: &[Condition],
    type_: &str,
    status: &str,
    reason: &str,
    message: &str,
    generation: i64,
    now: Timestamp,
) -> Condition {
    let since = find(old, type_).filter(|before| before.status == status);
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: shorten(message),
        observed_generation: Some(generation),
        last_transition_time: since.map_or_else(|| api::time(now), |before| before.last_transition_time.clone()),
    }
}

/// Escapes a message, and truncates it if it is longer than [`bound::MESSAGE`] characters.
fn shorten(message: &str) -> String {
    let message = escaped(message, usize::MAX);
    match message.char_indices().nth(bound::MESSAGE) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_moves_only_with_the_status() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let first = next(&[], "Ready", "Unknown", Reason::Progressing, "a", 1, at(10));
        let same = next(std::slice::from_ref(&first), "Ready", "Unknown", Reason::Timeout, "b", 2, at(20));
        let other = next(std::slice::from_ref(&same), "Ready", "True", Reason::Healthy, "c", 2, at(30));
        let second = |condition: &Condition| condition.last_transition_time.0.as_second();
        assert_eq!((second(&first), second(&same), second(&other)), (10, 10, 30));
        assert_eq!((same.reason.as_str(), same.observed_generation), ("Timeout", Some(2)));
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        assert_eq!(shorten("short"), "short");
        assert_eq!(shorten(&"ü".repeat(2000)).chars().count(), 1001);
    }
}
