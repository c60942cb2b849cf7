//! Remembers refused credentials. Keystone locks an account after several refusals, and one credential may have a
//! session per region and interface.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{CloudConfig, bundle::Digest, config::Auth, signature::Keys, token};

/// After a refusal, the operator does not repeat the login for this time.
pub(super) const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// What a login sends to Keystone, including the scope. Keystone refuses a wrong project like a wrong password, so a
/// refusal does not apply to the user's other projects. An access key is one credential for all projects.
#[derive(Default)]
pub(super) struct Credential {
    turn: tokio::sync::Mutex<()>,
    refused: Mutex<Option<Instant>>,
    accepted: AtomicBool,
}

impl Credential {
    /// Serializes the logins of a credential, so that waiting logins see a refusal first.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Records the result of a login. Only an answer of Keystone itself counts.
    pub(super) fn note(&self, accepted: bool, now: Instant) {
        *self.refused() = (!accepted).then_some(now);
        self.accepted.fetch_or(accepted, Ordering::Relaxed);
    }

    /// Whether Keystone accepted it at least once while a session used it.
    pub(super) fn has_logged_in(&self) -> bool {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Whether Keystone refused it less than five minutes ago.
    pub(super) fn refuses(&self, now: Instant) -> bool {
        self.refused().is_some_and(|at| now.saturating_duration_since(at) < FIVE_MINUTES)
    }

    fn refused(&self) -> MutexGuard<'_, Option<Instant>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The digest of the credential and the address. For an access key it does not include the project: the answer to a
/// signature tells a wrong key from a project without a role.
pub(super) fn key(config: &CloudConfig) -> Digest {
    match &config.auth {
        Auth::AccessKey { keys, .. } => key_of_keys(config, keys),
        Auth::Password { .. } | Auth::ApplicationCredential { .. } | Auth::Token { .. } => login(config),
    }
}

/// The digest of what a login of this entry sends, with its scope, and of the address.
pub(super) fn login(config: &CloudConfig) -> Digest {
    Digest::of(&[config.auth_url.as_str(), &token::login(&config.auth).to_string()])
}

/// The digest of an access key and of the address.
pub(super) fn key_of_keys(config: &CloudConfig, keys: &Keys) -> Digest {
    let (access, secret) = (keys.access.expose(), keys.secret.expose());
    Digest::of(&[config.auth_url.as_str(), "access key", access, secret, keys.confidential()])
}

/// The maximum number of refused credentials that are remembered although no session uses them.
const MOST_REFUSED: usize = 10_000;

/// All credentials in use, and those that were refused recently.
#[derive(Default)]
pub(super) struct Credentials(Mutex<All>);

#[derive(Default)]
struct All {
    /// The key is the digest of what a login sends and of the address, so that the map holds no copy of a password.
    known: HashMap<Digest, Arc<Credential>>,
    /// At this number of entries, unused credentials are removed.
    full: usize,
}

impl Credentials {
    /// Removes unused credentials.
    pub(super) fn sweep(&self, now: Instant) {
        self.lock().sweep(now);
    }

    /// The credential of this entry. All sessions that use it share it.
    pub(super) fn of(&self, config: &CloudConfig, now: Instant) -> Arc<Credential> {
        self.at(key(config), now)
    }

    /// The access key of this entry, beside its other credential.
    pub(super) fn of_keys(&self, config: &CloudConfig, keys: &Keys, now: Instant) -> Arc<Credential> {
        self.at(key_of_keys(config, keys), now)
    }

    fn at(&self, key: Digest, now: Instant) -> Arc<Credential> {
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
    /// The next sweep starts at twice the remaining number, so that opening many sessions takes linear time.
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

    /// Entries that share a credential with user `u` and password `p` at `http://k`.
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
    fn unused_credentials_are_removed_and_refused_ones_after_five_minutes() {
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
