//! The closed set of event reasons.

use std::fmt;

use super::Reason;

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident: $type_:ident),* $(,)?) => {
        /// The closed set of event reasons. `docs/reasons.md` says for each what to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventReason { $($(#[$doc])* $name,)* }

        impl EventReason {
            /// All event reasons.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the event type: `Warning` or `Normal`.
            #[must_use]
            pub const fn type_(self) -> &'static str {
                match self { $(Self::$name => stringify!($type_),)* }
            }
        }
    };
}

events! {
    /// The engines of a host have stopped reporting.
    EngineDown: Warning,
    /// The engines of a host report again, or the engines answer all requests again.
    EngineRecovered: Normal,
    /// No engine answered a request.
    EngineUnresponsive: Warning,
    /// No engine answers any longer.
    AllEnginesDown: Warning,
    /// The engines of a host no longer count.
    EngineForgotten: Normal,
    /// Cache instances are in error, or in a state that the spec lists as unhealthy.
    CachesUnhealthy: Warning,
    /// More cache instances are in error than before.
    CacheErrorsIncreased: Warning,
    /// The creation of cache instances failed.
    CacheCreateFailed: Warning,
    /// No cache instance is unhealthy any longer.
    CachesRecovered: Normal,
    /// The usage of a period has decreased.
    UsageFell: Warning,
    /// Keystone refuses the credential.
    AuthenticationFailed: Warning,
    /// Probes have failed.
    ObservationFailed: Warning,
    /// Probes succeed again.
    ObservationRecovered: Normal,
    /// The credential expires within seven days.
    CredentialsExpiring: Warning,
    /// The operator left out events of a tenant because there were too many.
    EventsSuppressed: Warning,
    /// A set has made CloudTenants.
    TenantsCreated: Normal,
    /// A set has deleted CloudTenants whose projects are gone.
    TenantsPruned: Normal,
    /// A set does not delete CloudTenants whose projects seem to be gone.
    PruneHeld: Warning,
    /// The projects of a set cannot be listed.
    ListingFailed: Warning,
    /// The projects of a set can be listed again.
    ListingRecovered: Normal,
}

impl fmt::Display for EventReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl EventReason {
    /// The event of a probe whose verdict has changed to this reason. Engines have an event for each host instead.
    #[must_use]
    pub const fn of_verdict(reason: Reason) -> Option<Self> {
        match reason {
            Reason::CacheErrors | Reason::CacheStateUnhealthy => Some(Self::CachesUnhealthy),
            Reason::CacheCreateFailed => Some(Self::CacheCreateFailed),
            Reason::AllCachesHealthy => Some(Self::CachesRecovered),
            _ => None,
        }
    }
}
