//! Pure: what there is to tell when one status follows another.
//!
//! Everything is read from the difference of the stored data, host by host, so that False → Unknown → False and
//! a restart of the operator tell nothing twice.

mod caches;
mod engines;
pub mod limit;
mod observation;
mod usage;

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::CloudTenantStatus,
    decide::{
        condition,
        status::{about, condition_of, observed_at},
    },
    observation::ProbeKind,
    target::Target,
};

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident: $type_:ident),* $(,)?) => {
        /// The closed set of events. `docs/reasons.md` says of each what to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventReason { $($(#[$doc])* $name,)* }

        impl EventReason {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// `Warning` or `Normal`.
            #[must_use]
            pub const fn type_(self) -> &'static str {
                match self { $(Self::$name => stringify!($type_),)* }
            }
        }
    };
}

events! {
    /// A host's engines have stopped reporting.
    EngineDown: Warning,
    /// A host's engines report again, or every request is answered again.
    EngineRecovered: Normal,
    /// A request was not answered by any engine.
    EngineUnresponsive: Warning,
    /// No engine answers any more.
    AllEnginesDown: Warning,
    /// A host's engines no longer count.
    EngineForgotten: Normal,
    /// Cache instances are in error, or in a state that the spec calls unhealthy.
    CachesUnhealthy: Warning,
    /// More cache instances are in error than before.
    CacheErrorsIncreased: Warning,
    /// Cache instances failed to be created.
    CacheCreateFailed: Warning,
    /// No cache instance is unhealthy any more.
    CachesRecovered: Normal,
    /// The usage of a period has become less.
    UsageFell: Warning,
    /// Keystone refuses the credential.
    AuthenticationFailed: Warning,
    /// Probes could not see.
    ObservationFailed: Warning,
    /// Probes can see again.
    ObservationRecovered: Normal,
    /// The credential ends within seven days.
    CredentialsExpiring: Warning,
    /// Events of a tenant were not created, since there were too many.
    EventsSuppressed: Warning,
}

impl fmt::Display for EventReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One event to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Why.
    pub reason: EventReason,
    /// What it is about: a host, a list of probes, or nothing in particular.
    pub about: String,
    /// The sentence for people.
    pub note: String,
    /// The state that is left, by the times that are stored with it.
    pub left: String,
}

impl Notice {
    /// A name that the same transition of the same resource always gets, so that it is told exactly once.
    #[must_use]
    pub fn name(&self, tenant: &str, uid: &str) -> String {
        // An event's name may have 253 characters.
        let prefix: String = tenant.chars().take(230).collect();
        format!("{}.{:016x}", prefix.trim_end_matches(['.', '-']), self.hash(uid))
    }

    /// What makes the name this transition's own.
    fn hash(&self, uid: &str) -> u64 {
        fnv1a([uid, &self.reason.to_string(), &self.about, &self.left].join("\n").as_bytes())
    }
}

/// FNV-1a: unlike the standard library's hasher, the same in every version.
#[must_use]
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What there is to tell. Events are named after `stored`, so that turning to another cloud and back is told each
/// time; what another cloud's data said is no part of the difference.
#[must_use]
pub fn transitions(target: &Target, stored: &CloudTenantStatus, new: &CloudTenantStatus) -> Vec<Notice> {
    let old = about(stored, new.source.as_ref());
    let mut notices = engines::transitions(stored, &old, new);
    notices.extend(caches::transition(target, stored, &old, new));
    notices.extend(usage::transition(stored, &old, new));
    notices.extend(observation::transitions(target, stored, &old, new));
    notices.extend(credentials_transition(stored, new));
    notices
}

/// Its name goes by the end alone: the same end is told once.
fn credentials_transition(old: &CloudTenantStatus, new: &CloudTenantStatus) -> Option<Notice> {
    let ends = |status: &CloudTenantStatus| Some(status.source.as_ref()?.credentials_expire_at.as_ref()?.0);
    let end = ends(new).filter(|end| ends(old) != Some(*end))?;
    let note = format!("The credential in clouds.yaml expires at {end}: replace it before then.");
    Some(Notice { reason: EventReason::CredentialsExpiring, about: end.to_string(), note, left: String::new() })
}

fn notice(reason: EventReason, about: &str, note: String, stored: &CloudTenantStatus, kinds: &[ProbeKind]) -> Notice {
    let text = |time: &Time| time.0.to_string();
    let left = kinds.iter().map(|kind| {
        let since = condition::find(&stored.conditions, condition_of(*kind));
        let observed = observed_at(stored, *kind);
        format!(
            "{kind}/{}/{}",
            since.map(|condition| text(&condition.last_transition_time)).unwrap_or_default(),
            observed.map(|at| at.to_string()).unwrap_or_default()
        )
    });
    Notice { reason, about: about.to_owned(), note, left: left.collect::<Vec<_>>().join(",") }
}

/// The beginning of the window of so many seconds, by UTC, that this time is in: what is named after it is created at
/// most once in each.
fn window(at: Timestamp, seconds: i64) -> String {
    let begins = at.as_second() - at.as_second().rem_euclid(seconds);
    Timestamp::from_second(begins).unwrap_or(at).to_string()
}
