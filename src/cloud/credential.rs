//! What a Keystone thinks of a credential: accounts get locked after some refusals, and one credential may have a
//! session for each region and interface.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use url::Url;

use super::CloudConfig;
use super::config::Auth;

/// A refused login is not repeated for so long.
pub(super) const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// What is sent to a Keystone to log in, the scope included: a wrong project is refused like a wrong password, and
/// says nothing of the same user's other projects.
#[derive(Default)]
pub(super) struct Credential {
    turn: tokio::sync::Mutex<()>,
    refused: Mutex<Option<Instant>>,
}

impl Credential {
    /// Waits for a turn to log in: one at a time, so that the others learn of a refusal.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Notes how a login ended; only Keystone's own word counts.
    pub(super) fn note(&self, accepted: bool, now: Instant) {
        *self.refused() = (!accepted).then_some(now);
    }

    /// Whether it was refused less than five minutes ago.
    pub(super) fn refuses(&self, now: Instant) -> bool {
        self.refused().is_some_and(|at| now.saturating_duration_since(at) < FIVE_MINUTES)
    }

    fn refused(&self) -> MutexGuard<'_, Option<Instant>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All credentials in use, and those that were refused a short while ago.
#[derive(Default)]
pub(super) struct Credentials(Mutex<All>);

type All = HashMap<(Url, Auth), Arc<Credential>>;

impl Credentials {
    /// Forgets those that nobody uses any more.
    pub(super) fn sweep(&self, now: Instant) {
        self.lock().retain(|_, credential| Arc::strong_count(credential) > 1 || credential.refuses(now));
    }

    /// The one that this entry logs in with, the same for all its uses.
    pub(super) fn of(&self, config: &CloudConfig, now: Instant) -> Arc<Credential> {
        self.sweep(now);
        let mut all = self.lock();
        all.entry((config.auth_url.clone(), config.auth.clone())).or_default().clone()
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
