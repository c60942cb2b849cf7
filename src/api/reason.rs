//! The closed set of reasons that conditions carry, and which of them need a person.

use std::fmt;

/// What a reason says about the condition that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Observed and healthy: the condition is True.
    Well,
    /// Observed and unhealthy: the condition is False.
    Bad,
    /// Not probed, or no result yet: the condition is Unknown.
    NotAsked,
    /// The probe failed and may recover by itself: Unknown, so that kstatus waits.
    Passing,
    /// The probe failed and a person must act: Unknown, and `Stalled`.
    Stalled,
}

macro_rules! reasons {
    ($($class:ident { $($(#[$doc:meta])* $name:ident),* $(,)? })*) => {
        /// Why a condition is what it is. `docs/reasons.md` says of each what it means and what to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($($(#[$doc])* $name,)*)* }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &'static [Reason] = &[$($(Reason::$name,)*)*];

            /// The word that stands in the condition.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($(Reason::$name => stringify!($name),)*)* }
            }

            /// What the reason says about its condition.
            #[must_use]
            pub const fn class(self) -> Class {
                match self { $($(Reason::$name => Class::$class,)*)* }
            }
        }
    };
}

reasons! {
    Well {
        /// Every counted condition is True.
        Healthy,
        /// All counted probes returned a result, and not all are healthy; only with `readyWhen: Observed`.
        Observed,
        /// Every engine that counts reports in time.
        AllEnginesUp,
        /// No cache instance is in error.
        AllCachesHealthy,
        /// The usage is complete.
        Reported,
        /// Nova truncated its answer: the usage is a lower bound.
        ReportedIncomplete,
        /// Nova cannot page: the operator cannot know whether the answer is complete.
        ReportedUnpaged,
    }
    Bad {
        /// Some engines have stopped reporting.
        EnginesDown,
        /// No engine answered a request in time.
        EngineUnresponsive,
        /// No engine answers any more.
        AllEnginesDown,
        /// Cache instances are in error.
        CacheErrors,
        /// Cache instances failed to be created.
        CacheCreateFailed,
        /// Cache instances are in a state that the spec declares unhealthy.
        CacheStateUnhealthy,
    }
    NotAsked {
        /// Not observed yet.
        Progressing,
        /// The spec disables this probe.
        ProbeDisabled,
        /// The cloud's catalogue does not offer the service.
        ServiceNotOffered,
        /// Heat lists no engine that counts.
        NoEnginesListed,
    }
    Passing {
        /// No answer in time.
        Timeout,
        /// No connection, or the connection broke.
        ConnectionFailed,
        /// The host name does not resolve.
        DNSFailed,
        /// The cloud limits the rate of requests.
        RateLimited,
        /// The service, or a proxy in front of it, is not available.
        ServiceUnavailable,
        /// The service failed.
        ServerError,
        /// The answer does not match the service's documentation.
        UnexpectedAnswer,
        /// The last verdict is too old.
        ObservationStale,
    }
    Stalled {
        /// The spec cannot be read.
        InvalidSpec,
        /// The API server refuses the status that the operator writes.
        StatusRefused,
        /// The Secret does not exist.
        SecretNotFound,
        /// The Secret lacks the key `clouds.yaml`.
        SecretKeyMissing,
        /// clouds.yaml has no such entry.
        CloudNotFound,
        /// The entry in clouds.yaml cannot be used.
        InvalidCloudConfig,
        /// Keystone refuses the credential.
        AuthenticationFailed,
        /// The service refuses the request for lack of rights.
        Forbidden,
        /// The service refuses a token that Keystone has just issued.
        TokenRejected,
        /// The service's certificate is not trusted.
        CertificateUntrusted,
        /// The catalogue has other regions, not this one.
        RegionNotFound,
        /// The service is not at the catalogue's address.
        EndpointNotFound,
        /// Keystone does not know the project that is observed.
        ProjectNotFound,
        /// The operator does not call the address.
        AddressRefused,
        /// Every probe is disabled or not offered.
        NothingObserved,
    }
}

impl Reason {
    /// The reason with this word, where there is one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
    }

    /// The condition's status under this reason.
    #[must_use]
    pub const fn condition_status(self) -> &'static str {
        match self.class() {
            Class::Well => "True",
            Class::Bad => "False",
            Class::NotAsked | Class::Passing | Class::Stalled => "Unknown",
        }
    }

    /// Whether the reason concerns the CloudTenant object itself and says nothing about the cloud.
    #[must_use]
    pub const fn is_about_object(self) -> bool {
        matches!(self, Self::InvalidSpec | Self::StatusRefused)
    }

    /// Whether a Secret or an entry is missing that may still be applied, since manifests arrive in any order.
    #[must_use]
    pub const fn may_still_arrive(self) -> bool {
        matches!(self, Self::SecretNotFound | Self::SecretKeyMissing | Self::CloudNotFound)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_camel_case_and_reads_back() {
        for reason in Reason::ALL {
            let word = reason.as_str();
            assert!(word.starts_with(char::is_uppercase) && word.chars().all(char::is_alphanumeric), "{word}");
            assert_eq!(Reason::parse(word), Some(*reason));
        }
    }
}
