//! Pure: what there is to tell when one status follows another.
//!
//! Everything is read from the difference of the stored data, host by host, so that False → Unknown → False and
//! a restart of the operator tell nothing twice.

mod engines;

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::{CloudTenantStatus, Reason, condition_type as ty, reason::Class},
    condition,
    observation::ProbeKind,
    status::{about, caches, condition_of, is_counted, observed_at},
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
    /// Cache instances are in error.
    CachesUnhealthy: Warning,
    /// Cache instances failed to be created.
    CacheCreateFailed: Warning,
    /// No cache instance is in error any more.
    CachesRecovered: Normal,
    /// Keystone refuses the credential.
    AuthenticationFailed: Warning,
    /// Probes could not see.
    ObservationFailed: Warning,
    /// Probes can see again.
    ObservationRecovered: Normal,
    /// The credential ends within seven days.
    CredentialsExpiring: Warning,
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
        let key = [uid, &self.reason.to_string(), &self.about, &self.left].join("\n");
        // An event's name may have 253 characters.
        let prefix: String = tenant.chars().take(230).collect();
        format!("{}.{:016x}", prefix.trim_end_matches(['.', '-']), fnv1a(key.as_bytes()))
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
    notices.extend(caches_transition(target, stored, &old, new));
    notices.extend(observation_transitions(target, stored, &old, new));
    notices.extend(credentials_transition(stored, new));
    notices
}

fn caches_transition(
    target: &Target,
    stored: &CloudTenantStatus,
    old: &CloudTenantStatus,
    new: &CloudTenantStatus,
) -> Option<Notice> {
    let healthy = Reason::AllCachesHealthy;
    let before = old.caches.as_ref().map_or(healthy, |block| caches::reason(block, &target.caches));
    let now = caches::reason(new.caches.as_ref()?, &target.caches);
    if before == now {
        return None;
    }
    let (reason, note) = match now {
        Reason::CacheErrors => (EventReason::CachesUnhealthy, "Cache instances are in error."),
        Reason::CacheCreateFailed => (EventReason::CacheCreateFailed, "Cache instances failed to be created."),
        _ => (EventReason::CachesRecovered, "No cache instance is in error any more."),
    };
    Some(notice(reason, "", note.to_owned(), stored, &[ProbeKind::Caches]))
}

/// Its name goes by the end alone: the same end is told once.
fn credentials_transition(old: &CloudTenantStatus, new: &CloudTenantStatus) -> Option<Notice> {
    let ends = |status: &CloudTenantStatus| Some(status.source.as_ref()?.credentials_expire_at.as_ref()?.0);
    let end = ends(new).filter(|end| ends(old) != Some(*end))?;
    let note = format!("The credential in clouds.yaml ends at {end}: replace it before.");
    Some(Notice { reason: EventReason::CredentialsExpiring, about: end.to_string(), note, left: String::new() })
}

/// One notice for each write, naming the probes. A refused login says what all the failures are that follow from it.
fn observation_transitions(
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
        // The way to the engines may need the main credential, too: what is said of them then says nothing of theirs.
        if !main_is && (main_was || !any_refused(old, &own)) {
            let note = "Keystone refuses the credential for engines: correct it in the Secret.".to_owned();
            notices.push(notice(EventReason::AuthenticationFailed, "engines", note, stored, &own));
        }
        explained.extend(own);
    }
    let fails_anew = |kind: &ProbeKind| failing(target, new, *kind).is_some() && failing(target, old, *kind).is_none();
    let failed = ProbeKind::ALL.into_iter().filter(|kind| fails_anew(kind) && !explained.contains(kind));
    let failed: Vec<_> = failed.collect();
    if let Some(first) = failed.first() {
        let reason = failing(target, new, *first).map_or("", Reason::as_str);
        let note = format!("Could not see {}: {reason}.", names(&failed));
        notices.push(notice(EventReason::ObservationFailed, &names(&failed), note, stored, &failed));
    }
    let sees_again = |kind: &ProbeKind| {
        let seen = condition::reason(&new.conditions, condition_of(*kind));
        let verdict = |reason: Reason| match reason {
            Reason::NoEnginesListed => true,
            // After a failure it says that something bad was seen and is not believed yet.
            Reason::Progressing => true,
            other => matches!(other.class(), Class::Well | Class::Bad),
        };
        failing(target, old, *kind).is_some() && seen.is_some_and(verdict)
    };
    let recovered: Vec<_> = ProbeKind::ALL.into_iter().filter(sees_again).collect();
    if !recovered.is_empty() {
        let note = format!("Can see {} again.", names(&recovered));
        notices.push(notice(EventReason::ObservationRecovered, &names(&recovered), note, stored, &recovered));
    }
    notices
}

/// Why the probe cannot see, where it cannot. What may still arrive counts only once it takes a person, and a spec that
/// cannot be read is no matter of the cloud's.
fn failing(target: &Target, status: &CloudTenantStatus, kind: ProbeKind) -> Option<Reason> {
    let reason_of = |kind| condition::reason(&status.conditions, condition_of(kind));
    let reason = reason_of(kind)?;
    let stalled = condition::find(&status.conditions, ty::STALLED).is_some();
    // The engines' own entry makes nothing Stalled where engines do not count for Ready: no later moment would tell it.
    let waits = ProbeKind::ALL.into_iter().filter(|kind| is_counted(target, *kind));
    let waits = waits.filter_map(reason_of).any(Reason::may_still_arrive);
    let fails = match reason.class() {
        Class::Passing => true,
        Class::Stalled => reason != Reason::InvalidSpec && (stalled || !waits || !reason.may_still_arrive()),
        Class::Well | Class::Bad | Class::NotAsked => false,
    };
    fails.then_some(reason)
}

fn names(kinds: &[ProbeKind]) -> String {
    kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn notice(reason: EventReason, about: &str, note: String, stored: &CloudTenantStatus, kinds: &[ProbeKind]) -> Notice {
    let text = |time: &Time| time.0.to_string();
    let left = kinds.iter().map(|kind| {
        let since = condition::find(&stored.conditions, condition_of(*kind));
        let observed = observed_at(stored, *kind);
        format!(
            "{}/{}",
            since.map(|condition| text(&condition.last_transition_time)).unwrap_or_default(),
            observed.map(|at| at.to_string()).unwrap_or_default()
        )
    });
    Notice { reason, about: about.to_owned(), note, left: left.collect::<Vec<_>>().join(",") }
}
