//! Computes the events for the change from one status to the next, as pure functions.
//!
//! The input is the difference of the stored data, host by host. Therefore False → Unknown → False, or a restart of the
//! operator, repeats no event.

mod caches;
mod engine_hosts;
pub mod limit;
mod observation;
mod usage;
mod verdict;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub use crate::api::EventReason;
use crate::{
    api::CloudTenantStatus,
    decide::{
        condition,
        status::{about, observed_at},
    },
    observation::ProbeKind,
    target::Target,
};

/// An event that the operator has yet to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The event's reason.
    pub reason: EventReason,
    /// The subject: a host, a list of probes, or empty.
    pub about: String,
    /// The message for people.
    pub note: String,
    /// The previous state, identified by the times that are stored with it.
    pub left: String,
}

impl Notice {
    /// Returns the event's name. The same transition of the same object always has the same name, so that it is
    /// recorded once.
    #[must_use]
    pub fn name(&self, tenant: &str, uid: &str) -> String {
        // An event's name has at most 253 characters.
        let prefix: String = tenant.chars().take(230).collect();
        format!("{}.{:016x}", prefix.trim_end_matches(['.', '-']), self.hash(uid))
    }

    /// Returns the part of the name that identifies this transition.
    fn hash(&self, uid: &str) -> u64 {
        fnv1a([uid, &self.reason.to_string(), &self.about, &self.left].join("\n").as_bytes())
    }
}

/// FNV-1a. Unlike the hasher of the standard library, it is the same in every version.
#[must_use]
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Returns the events for this change. Their names depend on `stored`, so that each change to another cloud and back
/// has its own events. The data of another cloud are not part of the comparison.
#[must_use]
pub fn transitions(target: &Target, stored: &CloudTenantStatus, new: &CloudTenantStatus) -> Vec<Notice> {
    let old = about(stored, new.source.as_ref());
    let mut notices = engine_hosts::transitions(stored, &old, new);
    notices.extend(verdict::transitions(target, stored, &old, new));
    notices.extend(caches::increase(target, &old, new));
    notices.extend(usage::transition(stored, &old, new));
    notices.extend(observation::transitions(target, stored, &old, new));
    notices.extend(credentials_transition(stored, new));
    notices
}

/// Gives a transition the name that it had in an earlier pass whose status was not written: its event may exist. A late
/// write of a still earlier pass may have changed the stored times since.
#[must_use]
pub fn named_as_before(unwritten: &[Notice], mut notices: Vec<Notice>) -> Vec<Notice> {
    for notice in &mut notices {
        let same = |before: &&Notice| before.reason == notice.reason && before.about == notice.about;
        if let Some(before) = unwritten.iter().find(same) {
            notice.left.clone_from(&before.left);
        }
    }
    notices
}

/// The event's name depends only on the expiry time, so that each expiry time has one event.
fn credentials_transition(old: &CloudTenantStatus, new: &CloudTenantStatus) -> Option<Notice> {
    let ends = |status: &CloudTenantStatus| Some(status.source.as_ref()?.credentials_expire_at.as_ref()?.0);
    let end = ends(new).filter(|end| ends(old) != Some(*end))?;
    let note = format!("The credential in clouds.yaml expires at {end}: replace it before then.");
    Some(Notice { reason: EventReason::CredentialsExpiring, about: end.to_string(), note, left: String::new() })
}

fn notice(reason: EventReason, about: &str, note: String, stored: &CloudTenantStatus, kinds: &[ProbeKind]) -> Notice {
    let text = |time: &Time| time.0.to_string();
    let left = kinds.iter().map(|kind| {
        let since = condition::find(&stored.conditions, kind.condition_type());
        let observed = observed_at(stored, *kind);
        format!(
            "{kind}/{}/{}",
            since.map(|condition| text(&condition.last_transition_time)).unwrap_or_default(),
            observed.map(|at| at.to_string()).unwrap_or_default()
        )
    });
    Notice { reason, about: about.to_owned(), note, left: left.collect::<Vec<_>>().join(",") }
}

/// Returns the start of the UTC time window of this length that contains the time. An event named after a window occurs
/// at most once in it.
fn window(at: Timestamp, seconds: i64) -> String {
    let begins = at.as_second() - at.as_second().rem_euclid(seconds);
    Timestamp::from_second(begins).unwrap_or(at).to_string()
}
