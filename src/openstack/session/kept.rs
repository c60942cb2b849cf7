//! The memory that a session takes, and the end of a session.

use std::{any::Any, sync::Arc};

use super::{PoisonError, Session};

/// In bytes: the estimated size of the answer about one project.
const PROJECT: usize = 256;

impl Session {
    /// In bytes: the size that counts for a session from its start. It covers semaphores, clocks, locks, the session's
    /// part of the map of clouds, and an ordinary token with its catalogue. An ordinary session therefore never grows.
    pub const ORDINARY_BYTES: usize = 6 << 10;

    /// The memory that the session takes, in bytes (estimated): its token with the catalogue, and the answers about
    /// projects and domains.
    pub fn kept_bytes(&self) -> usize {
        let token = self.tokens.held().map_or(0, |token| token.kept_bytes());
        let projects = self.projects.lock().unwrap_or_else(PoisonError::into_inner).len();
        let domains = self.domains.lock().unwrap_or_else(PoisonError::into_inner).kept_bytes();
        (Self::ORDINARY_BYTES / 2 + token).max(Self::ORDINARY_BYTES) + projects.saturating_sub(1) * PROJECT + domains
    }

    /// Records that tenants of this namespace use the session. The brake on logins counts refusals by namespace; a
    /// session without a namespace has no brake.
    pub fn used_by(&self, namespace: &str) {
        self.tokens.note_use(namespace, true);
    }

    /// Records that no tenant of this namespace uses the session any more.
    pub fn left_by(&self, namespace: &str) {
        self.tokens.note_use(namespace, false);
    }

    /// Ends the session. A login that was already sent holds `account` until it has ended.
    pub fn abandon(&self, account: Arc<dyn Any + Send + Sync>) {
        self.tokens.abandon(account);
    }
}
