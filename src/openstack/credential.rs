//! What a Keystone thinks of a credential: accounts get locked after some refusals, and one credential may have a
//! session for each region and interface.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::bundle::Digest;
use super::{CloudConfig, token};

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
pub(super) struct Credentials(Mutex<All>);

#[derive(Default)]
struct All {
    /// By the digest of what a login sends, and where: a key does not hold a second copy of a password.
    known: HashMap<Digest, Arc<Credential>>,
    /// With so many of them, those that nobody uses are forgotten.
    full: usize,
}

impl Credentials {
    /// Forgets those that nobody uses any more.
    pub(super) fn sweep(&self, now: Instant) {
        self.lock().sweep(now);
    }

    /// The one that this entry logs in with, the same for all its uses.
    pub(super) fn of(&self, config: &CloudConfig, now: Instant) -> Arc<Credential> {
        let key = Digest::of(&[config.auth_url.as_str(), &token::login(&config.auth).to_string()]);
        let mut all = self.lock();
        if all.known.len() >= all.full {
            all.sweep(now);
        }
        all.known.entry(key).or_default().clone()
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    /// The next one comes when there are twice as many, so that opening many sessions takes linear time.
    fn sweep(&mut self, now: Instant) {
        let mut refused = 0;
        self.known.retain(|_, credential| {
            let in_use = Arc::strong_count(credential) > 1;
            refused += usize::from(!in_use);
            in_use || credential.refuses(now) && refused <= MOST_REFUSED
        });
        self.full = (2 * self.known.len()).max(64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(auth: &str) -> CloudConfig {
        let yaml = format!("clouds: {{c: {{auth: {{{auth}}}}}}}");
        CloudConfig::parse(&yaml, "c", None, None).unwrap()
    }

    /// Who shares a credential with `u` and the password `p` at `http://k`.
    #[test]
    fn a_credential_is_what_is_sent_and_where() {
        let (all, now) = (Credentials::default(), Instant::now());
        let own = all.of(&config("auth_url: 'http://k', username: u, password: p, user_domain_id: d"), now);
        for (auth, same) in [
            ("auth_url: 'http://k', username: u, password: p, user_domain_id: d", true),
            ("auth_url: 'http://k/v3', username: u, password: p, user_domain_id: d", true),
            ("auth_url: 'http://other', username: u, password: p, user_domain_id: d", false),
            ("auth_url: 'http://k', username: u, password: q, user_domain_id: d", false),
            ("auth_url: 'http://k', username: v, password: p, user_domain_id: d", false),
            ("auth_url: 'http://k', user_id: u, password: p", false),
            ("auth_url: 'http://k', username: u, password: p, user_domain_name: d", false),
            ("auth_url: 'http://k', username: u, password: p, user_domain_id: d, project_id: q", false),
            ("auth_url: 'http://k', token: p", false),
        ] {
            assert_eq!(Arc::ptr_eq(&own, &all.of(&config(auth), now)), same, "{auth}");
        }
    }

    #[test]
    fn those_that_nobody_uses_are_forgotten_and_refused_ones_after_five_minutes() {
        let (all, now) = (Credentials::default(), Instant::now());
        let of = |number: usize| {
            all.of(&config(&format!("auth_url: 'http://k', username: u{number}, password: p, user_domain_id: d")), now)
        };
        let used: Vec<_> = (0..10).map(of).collect();
        of(10).note(false, now);
        for number in 11..1000 {
            of(number);
            assert!(all.lock().known.len() <= 64, "{number}");
        }
        for (seconds, kept) in [(0, 11), (299, 11), (300, 10)] {
            all.sweep(now + Duration::from_secs(seconds));
            assert_eq!(all.lock().known.len(), kept, "{seconds}");
        }
        drop(used);
        all.sweep(now + Duration::from_secs(300));
        assert!(all.lock().known.is_empty());
    }
}
