//! Why the CloudTenants of a set's namespace cannot be read, and what the set then says.

use crate::api::{Reason, set::SetReason};

/// Why the Kubernetes API's list of the namespace's CloudTenants cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// 403: the operator lacks the right.
    Forbidden,
    /// There are more than the operator reads.
    TooMany,
    /// There was no answer in time.
    Timeout,
    /// Another error, or no connection.
    Unavailable,
    /// The answer is not a list.
    Unexpected,
}

impl Unread {
    /// Whether it may pass at once.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        match self {
            Self::Timeout | Self::Unavailable => true,
            Self::Forbidden | Self::TooMany | Self::Unexpected => false,
        }
    }

    /// The reason, and a sentence.
    pub(super) const fn says(self) -> (SetReason, &'static str) {
        match self {
            Self::Forbidden => (
                SetReason::CreateForbidden,
                "The Kubernetes API does not allow the operator to list the CloudTenants of the namespace: check its \
                 rights.",
            ),
            Self::TooMany => (
                SetReason::LimitReached,
                "The namespace has more CloudTenants than the operator reads, so it writes none of this set: delete \
                 CloudTenants, or distribute them over namespaces.",
            ),
            Self::Timeout => (
                SetReason::Shared(Reason::Timeout),
                "The Kubernetes API did not list the CloudTenants of the namespace in time: check the API server.",
            ),
            Self::Unavailable => (
                SetReason::Shared(Reason::ServiceUnavailable),
                "The Kubernetes API did not list the CloudTenants of the namespace: check the API server.",
            ),
            Self::Unexpected => (
                SetReason::Shared(Reason::UnexpectedAnswer),
                "The operator cannot read the Kubernetes API's list of the CloudTenants of the namespace: check its log.",
            ),
        }
    }
}
