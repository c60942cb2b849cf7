//! What a Keystone thinks of a credential: accounts get locked after some refusals, and one credential may have a
//! session for each region and interface.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::CloudConfig;

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

/// So many refused credentials that nobody uses any more are remembered.
const MOST_REFUSED: usize = 10_000;

/// All credentials in use, and those that were refused a short while ago.
#[derive(Default)]
pub(super) struct Credentials {
    all: Mutex<HashMap<Key, Arc<Credential>>>,
    hashers: [RandomState; 2],
}

/// A hash of the address and of what is sent there: a password that was refused may be long, and is not kept for that.
type Key = [u64; 2];

impl Credentials {
    /// Forgets those that nobody uses any more.
    pub(super) fn sweep(&self, now: Instant) {
        sweep(&mut self.lock(), now);
    }

    /// The one that this entry logs in with, the same for all its uses.
    pub(super) fn of(&self, config: &CloudConfig, now: Instant) -> Arc<Credential> {
        let key = self.hashers.each_ref().map(|hasher| hasher.hash_one((&config.auth_url, &config.auth)));
        let mut all = self.lock();
        sweep(&mut all, now);
        all.entry(key).or_default().clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Credential>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sweep(all: &mut HashMap<Key, Arc<Credential>>, now: Instant) {
    let mut refused = 0;
    all.retain(|_, credential| {
        let in_use = Arc::strong_count(credential) > 1;
        refused += usize::from(!in_use);
        in_use || credential.refuses(now) && refused <= MOST_REFUSED
    });
}
