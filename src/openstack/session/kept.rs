//! What a session keeps, and its end.

use std::{any::Any, sync::Arc};

use super::{PoisonError, Session};

/// One project that Keystone was asked for.
const PROJECT: usize = 256;

impl Session {
    /// What a session is counted as from the start: its semaphores, clocks and locks, and its part of the map of clouds.
    /// An ordinary token with its catalogue fits in, so an ordinary session never grows.
    pub const ORDINARY_BYTES: usize = 6 << 10;

    /// How many bytes the session keeps, about: its token with the catalogue, and what Keystone said of projects.
    pub fn kept_bytes(&self) -> usize {
        let token = self.tokens.held().map_or(0, |token| token.kept_bytes());
        let projects = self.projects.lock().unwrap_or_else(PoisonError::into_inner).len();
        (Self::ORDINARY_BYTES / 2 + token).max(Self::ORDINARY_BYTES) + projects.saturating_sub(1) * PROJECT
    }

    /// Nobody uses the session any more. A login that was sent already keeps `account` until it has ended.
    pub fn abandon(&self, account: Arc<dyn Any + Send + Sync>) {
        self.tokens.abandon(account);
    }
}
