//! The closed set of reasons that the conditions of a set carry.

use std::fmt;

use crate::api::{Reason, reason::Class};

/// Why a condition of a set is what it is. `docs/tenant-sets.md` says of each what it means and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SetReason {
    /// The operator has listed the projects.
    Listed,
    /// The CloudTenants are those that the projects and the template require.
    Synced,
    /// CloudTenants whose projects are gone are not deleted, because the list may be wrong.
    PruneHeld,
    /// The set has as many CloudTenants as it may have.
    LimitReached,
    /// A quota of the namespace refuses further CloudTenants.
    QuotaExceeded,
    /// The Kubernetes API refuses CloudTenants of this set.
    CreateForbidden,
    /// Somebody else has changed fields that the template states.
    FieldConflict,
    /// The operator serves as many sets as it may.
    NotServed,
    /// What is wrong is wrong for CloudTenants too.
    Shared(Reason),
}

/// What a reason says about the condition that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetClass {
    /// The condition is True.
    Well,
    /// The condition is False. A controller or a person has to change something, and the operator goes on.
    Bad,
    /// The condition is False, and the set is Stalled.
    BadAndStalled,
    /// The condition is Unknown, with the class that the reason has for CloudTenants.
    Unknown(Class),
}

impl SetReason {
    /// The reasons that only sets have.
    pub const OWN: [Self; 8] = [
        Self::Listed,
        Self::Synced,
        Self::PruneHeld,
        Self::LimitReached,
        Self::QuotaExceeded,
        Self::CreateForbidden,
        Self::FieldConflict,
        Self::NotServed,
    ];

    /// The word that stands in the condition.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Listed => "Listed",
            Self::Synced => "Synced",
            Self::PruneHeld => "PruneHeld",
            Self::LimitReached => "LimitReached",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::CreateForbidden => "CreateForbidden",
            Self::FieldConflict => "FieldConflict",
            Self::NotServed => "NotServed",
            Self::Shared(reason) => reason.as_str(),
        }
    }

    /// What the reason says about its condition.
    #[must_use]
    pub const fn class(self) -> SetClass {
        match self {
            Self::Listed | Self::Synced => SetClass::Well,
            Self::PruneHeld | Self::LimitReached | Self::QuotaExceeded | Self::FieldConflict => SetClass::Bad,
            Self::CreateForbidden | Self::NotServed => SetClass::BadAndStalled,
            Self::Shared(reason) => SetClass::Unknown(reason.class()),
        }
    }

    /// The condition's status under this reason.
    #[must_use]
    pub const fn condition_status(self) -> &'static str {
        match self.class() {
            SetClass::Well => "True",
            SetClass::Bad | SetClass::BadAndStalled => "False",
            SetClass::Unknown(_) => "Unknown",
        }
    }

    /// Whether a person must act before the operator can go on.
    #[must_use]
    pub const fn is_stalled(self) -> bool {
        matches!(self.class(), SetClass::BadAndStalled | SetClass::Unknown(Class::Stalled))
    }

    /// Whether a Secret or an entry is missing that may still be applied.
    #[must_use]
    pub const fn may_still_arrive(self) -> bool {
        matches!(self, Self::Shared(reason) if reason.may_still_arrive())
    }

    /// Whether the reason concerns the set itself and says nothing about the projects and the CloudTenants.
    #[must_use]
    pub const fn is_about_object(self) -> bool {
        match self {
            Self::Shared(reason) => reason.is_about_object(),
            Self::NotServed => true,
            Self::Listed
            | Self::Synced
            | Self::PruneHeld
            | Self::LimitReached
            | Self::QuotaExceeded
            | Self::CreateForbidden
            | Self::FieldConflict => false,
        }
    }

    /// The reason with this word, where there is one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let own = Self::OWN.into_iter().find(|reason| reason.as_str() == word);
        own.or_else(|| Reason::parse(word).map(Self::Shared))
    }
}

impl fmt::Display for SetReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_and_is_no_reason_of_cloud_tenants() {
        for reason in SetReason::OWN {
            assert_eq!(SetReason::parse(reason.as_str()), Some(reason));
            assert_eq!(Reason::parse(reason.as_str()), None, "{reason}");
        }
        assert_eq!(SetReason::parse("Forbidden"), Some(SetReason::Shared(Reason::Forbidden)));
        assert_eq!(SetReason::parse("Unheard"), None);
    }
}
