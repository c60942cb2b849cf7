//! The closed set of reasons that conditions carry, and which of them need a person.

use std::fmt;

/// What a reason says about the condition that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Seen, and well: the condition is True.
    Well,
    /// Seen, and bad: the condition is False.
    Bad,
    /// Not asked, or nothing to say yet: Unknown, and nobody's fault.
    NotAsked,
    /// Could not see, and it may pass by itself: Unknown, so that kstatus waits.
    Passing,
    /// Could not see, and a person must act: Unknown, and `Stalled`.
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
        /// Everything could be looked at, and not all of it is well; only with `readyWhen: Observed`.
        Observed,
        /// Every engine that counts reports in time.
        AllEnginesUp,
        /// No cache instance is in error.
        AllCachesHealthy,
        /// The usage is complete.
        Reported,
        /// Nova cut its answer: the usage is a lower bound.
        ReportedIncomplete,
        /// Nova cannot page: nobody can know whether the answer was cut.
        ReportedUnpaged,
    }
    Bad {
        /// Some engines have stopped reporting.
        EnginesDown,
        /// Heat had a request that no engine answered in time.
        EngineUnresponsive,
        /// No engine answers any more.
        AllEnginesDown,
        /// Cache instances are in error.
        CacheErrors,
        /// Cache instances failed to be created.
        CacheCreateFailed,
        /// Cache instances are in a state that the spec calls unhealthy.
        CacheStateUnhealthy,
    }
    NotAsked {
        /// Never looked at yet.
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
        /// No connection, or it broke.
        ConnectionFailed,
        /// The host name does not resolve.
        DNSFailed,
        /// The cloud asks for fewer requests.
        RateLimited,
        /// The service, or a proxy before it, is not available.
        ServiceUnavailable,
        /// The service failed.
        ServerError,
        /// The answer is not what the service's document says.
        UnexpectedAnswer,
        /// The last verdict is too old to be believed.
        ObservationStale,
    }
    Stalled {
        /// The spec cannot be read.
        InvalidSpec,
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
        /// The service refuses what the credential asks.
        Forbidden,
        /// The service refuses a token that Keystone has just issued.
        TokenRejected,
        /// The service's certificate is not trusted.
        CertificateUntrusted,
        /// The catalogue has other regions, not this one.
        RegionNotFound,
        /// The service is not where the catalogue says.
        EndpointNotFound,
        /// Keystone does not know the project that is observed.
        ProjectNotFound,
        /// An address that the operator does not go to.
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

    /// Whether this is a Secret or an entry that a folder applied in any order may still bring.
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
