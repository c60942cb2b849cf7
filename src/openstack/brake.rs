//! Limits how many different credentials of one user Keystone may refuse, so that it does not lock the account:
//! docs/decisions/0045.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    CloudConfig, Secret,
    bundle::Digest,
    config::{Auth, CredentialRef, Domain, Named},
    credential::{self, FIVE_MINUTES},
    hosts::host_of,
    signature::Keys,
};

/// The number of refused credentials of one user after which a namespace tries no other one.
const MOST_REFUSED: usize = 3;
/// Users of one namespace with a login under way or a refused one. A further user has to wait.
const MOST_USERS: usize = 1000;
/// Credentials of a namespace that are remembered as accepted although no session uses them.
const MOST_ACCEPTED: usize = 256;

/// A login: its user at one origin, and its content.
#[derive(Clone, Copy)]
pub(super) struct Login {
    user: Digest,
    content: Digest,
}

impl Login {
    pub(super) fn of(config: &CloudConfig) -> Self {
        let (kind, name, domain) = match &config.auth {
            Auth::Password { user, .. }
            | Auth::ApplicationCredential { credential: CredentialRef::Name { user, .. }, .. } => user_of(user),
            Auth::ApplicationCredential { credential: CredentialRef::Id(id), .. } => {
                ("application credential", folded(id), String::new())
            }
            // A wrong token locks no account.
            Auth::Token { token, .. } => ("token", token.expose().to_owned(), String::new()),
            Auth::AccessKey { keys, .. } => return Self::of_keys(config, keys),
        };
        Self { user: user_digest(config, kind, &name, &domain), content: credential::key(config) }
    }

    /// The signatures by an access key.
    pub(super) fn of_keys(config: &CloudConfig, keys: &Keys) -> Self {
        // A cloud locks an access key like a user.
        let user = user_digest(config, "access key", keys.access.expose(), "");
        Self { user, content: credential::key_of_keys(config, keys) }
    }

    /// The digest of the login, with its scope.
    pub(super) fn content(self) -> Digest {
        self.content
    }

    /// The digest of the user and a secret, whatever the scope.
    pub(super) fn user_with_secret(self, secret: &Secret) -> Digest {
        Digest::of(&[&self.user.to_string(), secret.expose()])
    }
}

/// A user at the origin of `auth_url`.
fn user_digest(config: &CloudConfig, kind: &str, name: &str, domain: &str) -> Digest {
    let url = &config.auth_url;
    let port = url.port_or_known_default().unwrap_or_default().to_string();
    Digest::of(&[url.scheme(), host_of(url), &port, kind, name, domain])
}

fn user_of(user: &Named) -> (&'static str, String, String) {
    match user {
        Named::Id(id) => ("user ID", folded(id), String::new()),
        // The default domain often has the ID `default` and the name `Default`.
        Named::Name { name, domain: Domain::Id(domain) | Domain::Name(domain) } => {
            ("user", folded(name), folded(domain))
        }
    }
}

/// Keystone's database usually ignores case and trailing spaces in a comparison.
fn folded(name: &str) -> String {
    name.trim_end().to_lowercase()
}

/// What the brake says about a login.
enum Verdict {
    /// The login needs no turn.
    Free,
    /// The login needs a turn: this number of permits.
    InTurn(Arc<Semaphore>, u32),
    /// Keystone refused too many other credentials of the user less than five minutes ago.
    Braked,
}

/// The refused and the accepted logins by namespace.
#[derive(Default)]
struct Brake(HashMap<String, Namespace>);

#[derive(Default)]
struct Namespace {
    users: HashMap<Digest, User>,
    /// The latest last.
    accepted: VecDeque<Digest>,
}

struct User {
    /// The latest refusal of each content, at most [`MOST_REFUSED`], the latest last.
    refused: Vec<(Digest, Instant)>,
    /// One permit for each credential that Keystone may still refuse. A login takes one, and one for each refusal, so
    /// that refusals and logins under way together are at most [`MOST_REFUSED`].
    turns: Arc<Semaphore>,
}

impl Default for User {
    fn default() -> Self {
        Self { refused: Vec::new(), turns: Arc::new(Semaphore::new(MOST_REFUSED)) }
    }
}

impl User {
    /// The number of other contents that Keystone refused less than five minutes ago.
    fn others(&self, content: Digest, now: Instant) -> usize {
        self.refused.iter().filter(|(refused, at)| *refused != content && is_recent(*at, now)).count()
    }

    fn is_needed(&self, now: Instant) -> bool {
        Arc::strong_count(&self.turns) > 1 || self.refused.iter().any(|(_, at)| is_recent(*at, now))
    }
}

fn is_recent(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < FIVE_MINUTES
}

impl Namespace {
    fn user(&mut self, user: Digest, now: Instant) -> Option<&mut User> {
        if self.users.len() >= MOST_USERS && !self.users.contains_key(&user) {
            self.users.retain(|_, user| user.is_needed(now));
            if self.users.len() >= MOST_USERS {
                return None;
            }
        }
        Some(self.users.entry(user).or_default())
    }

    fn note(&mut self, login: Login, accepted: bool, now: Instant) {
        let Some(user) = self.user(login.user, now) else { return };
        user.refused.retain(|(content, at)| *content != login.content && is_recent(*at, now));
        if !accepted {
            if user.refused.len() == MOST_REFUSED {
                user.refused.remove(0);
            }
            user.refused.push((login.content, now));
            return;
        }
        self.accepted.retain(|content| *content != login.content);
        if self.accepted.len() == MOST_ACCEPTED {
            self.accepted.pop_front();
        }
        self.accepted.push_back(login.content);
    }
}

impl Brake {
    /// Whether the login may be sent for one of these namespaces. Without a namespace it may always be sent.
    fn ask(&mut self, namespaces: &[String], login: Login, now: Instant) -> Verdict {
        let has_logged_in = |namespace: &String| {
            self.0.get(namespace).is_some_and(|namespace| namespace.accepted.contains(&login.content))
        };
        if namespaces.is_empty() || namespaces.iter().any(has_logged_in) {
            return Verdict::Free;
        }
        let mut best = Verdict::Braked;
        let mut least = MOST_REFUSED;
        for namespace in namespaces {
            let Some(user) = self.0.entry(namespace.clone()).or_default().user(login.user, now) else { continue };
            let others = user.others(login.content, now);
            if others < least {
                least = others;
                best = Verdict::InTurn(user.turns.clone(), u32::try_from(1 + others).unwrap_or(u32::MAX));
            }
        }
        best
    }

    /// Records what Keystone answered to the login.
    fn note(&mut self, namespaces: &[String], login: Login, accepted: bool, now: Instant) {
        for namespace in namespaces {
            self.0.entry(namespace.clone()).or_default().note(login, accepted, now);
        }
    }

    /// Removes what no longer has an effect.
    fn sweep(&mut self, now: Instant) {
        self.0.retain(|_, namespace| {
            namespace.users.retain(|_, user| user.is_needed(now));
            !namespace.users.is_empty() || !namespace.accepted.is_empty()
        });
    }
}

/// The brake of all sessions.
#[derive(Default)]
pub(super) struct Brakes(Mutex<Brake>);

/// The right to send a login.
pub(super) struct LoginPermit {
    _permits: Option<OwnedSemaphorePermit>,
}

impl Brakes {
    /// Waits until the login may be sent. Returns `None` if it may not be sent now.
    pub(super) async fn turn(
        &self,
        namespaces: &[String],
        login: Login,
        clock: impl Fn() -> Instant,
    ) -> Option<LoginPermit> {
        let mut held: Option<(u32, OwnedSemaphorePermit)> = None;
        loop {
            let verdict = self.lock().ask(namespaces, login, clock());
            let (turns, needed) = match verdict {
                Verdict::Free => return Some(LoginPermit { _permits: None }),
                Verdict::Braked => return None,
                Verdict::InTurn(turns, needed) => (turns, needed),
            };
            // Keystone may have refused another credential during the wait.
            match held.take() {
                Some((taken, permits)) if taken >= needed => return Some(LoginPermit { _permits: Some(permits) }),
                permits => drop(permits),
            }
            held = Some((needed, turns.acquire_many_owned(needed).await.ok()?));
        }
    }

    /// Whether the login may not be sent now.
    pub(super) fn refuses(&self, namespaces: &[String], login: Login, now: Instant) -> bool {
        matches!(self.lock().ask(namespaces, login, now), Verdict::Braked)
    }

    /// Records what Keystone answered to the login.
    pub(super) fn note(&self, namespaces: &[String], login: Login, accepted: bool, now: Instant) {
        self.lock().note(namespaces, login, accepted, now);
    }

    /// Removes what no longer has an effect.
    pub(super) fn sweep(&self, now: Instant) {
        self.lock().sweep(now);
    }

    fn lock(&self) -> MutexGuard<'_, Brake> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn login(url: &str, auth: &str) -> Login {
        let yaml = format!("clouds: {{c: {{auth: {{auth_url: '{url}', {auth}}}}}}}");
        Login::of(&CloudConfig::parse(&yaml, "c", None, None).unwrap())
    }

    fn password(number: usize) -> Login {
        login("https://k", &format!("username: u, user_domain_id: d, password: p{number}"))
    }

    fn braked(brake: &mut Brake, namespaces: &[&str], login: Login, now: Instant) -> bool {
        let namespaces = namespaces.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        matches!(brake.ask(&namespaces, login, now), Verdict::Braked)
    }

    #[test]
    fn one_user_at_one_origin_is_recognized_in_all_spellings() {
        let auth = "username: Admin, user_domain_id: default";
        let of = |url: &str, auth: &str| login(url, &format!("{auth}, password: p")).user;
        let own = of("https://keystone.example", auth);
        for (url, auth, same) in [
            ("https://keystone.example:443/v3/", auth, true),
            ("HTTPS://KEYSTONE.Example/", auth, true),
            ("https://keystone.example./v3", auth, true),
            ("https://keystone.example/identity", auth, true),
            ("https://keystone.example", "username: ADMIN, user_domain_id: default", true),
            ("https://keystone.example", "username: 'admin  ', user_domain_id: Default", true),
            ("https://keystone.example", "username: admin, user_domain_name: Default", true),
            ("https://keystone.example", "username: admin, user_domain_id: default, project_id: p", true),
            ("https://keystone.example:5000", auth, false),
            ("http://keystone.example", auth, false),
            ("https://other.example", auth, false),
            ("https://keystone.example", "username: admin, user_domain_id: other", false),
            ("https://keystone.example", "username: other, user_domain_id: default", false),
            ("https://keystone.example", "user_id: admin", false),
        ] {
            assert_eq!(of(url, auth) == own, same, "{url} {auth}");
        }
        let of = |auth: &str| login("https://k", auth).user;
        let credential =
            |id: &str| of(&format!("application_credential_id: {id}, application_credential_secret: {id}"));
        assert!(credential("A") == credential("a"));
        assert!(of("token: s") != of("token: S"), "a token has no user");
    }

    #[test]
    fn three_contents_of_a_user_may_be_refused_in_five_minutes() {
        let (mut brake, start) = (Brake::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let team = ["team".to_owned()];
        brake.note(&team, password(9), true, start);
        for number in 0..3 {
            assert!(!braked(&mut brake, &["team"], password(number), at(number as u64)), "{number}");
            brake.note(&team, password(number), false, at(number as u64));
        }
        let other_user = login("https://k", "username: v, user_domain_id: d, password: p3");
        let other_origin = login("https://other", "username: u, user_domain_id: d, password: p3");
        let other_case = login("https://K:443/", "username: U, user_domain_id: D, password: p3");
        for (name, namespaces, login, seconds, expected) in [
            ("another content", &["team"][..], password(3), 3, true),
            ("the same user in another case", &["team"], other_case, 3, true),
            ("until five minutes are over", &["team"], password(3), 299, true),
            ("five minutes after the first refusal", &["team"], password(3), 300, false),
            ("a refused one, for which its own pause applies", &["team"], password(1), 3, false),
            ("one that has logged in before", &["team"], password(9), 3, false),
            ("another user", &["team"], other_user, 3, false),
            ("another origin", &["team"], other_origin, 3, false),
            ("another namespace", &["other"], password(3), 3, false),
            ("shared with another namespace", &["team", "other"], password(3), 3, false),
            ("no namespace: check", &[], password(3), 3, false),
        ] {
            assert_eq!(braked(&mut brake, namespaces, login, at(seconds)), expected, "{name}");
        }
        brake.note(&team, password(1), true, at(4));
        assert!(!braked(&mut brake, &["team"], password(3), at(4)), "an accepted one does not count");
    }

    #[test]
    fn what_is_remembered_has_a_bound_and_ends() {
        let (mut brake, start) = (Brake::default(), Instant::now());
        let later = start + FIVE_MINUTES;
        let user = |number: usize| login("https://k", &format!("user_id: u{number}, password: p"));
        let team = ["team".to_owned()];
        for number in 0..2 * MOST_USERS {
            brake.note(&team, user(number), false, start);
        }
        assert_eq!(brake.0["team"].users.len(), MOST_USERS);
        assert!(braked(&mut brake, &["team"], user(MOST_USERS), start), "no room");
        assert!(!braked(&mut brake, &["other"], user(MOST_USERS), start), "another namespace");
        assert!(!braked(&mut brake, &["team"], user(MOST_USERS), later), "room again");
        for number in 0..10 {
            brake.note(&team, password(number), false, later);
        }
        assert_eq!(brake.0["team"].users[&password(0).user].refused.len(), MOST_REFUSED);
        brake.sweep(later + FIVE_MINUTES);
        assert!(brake.0.is_empty());
        for number in 0..2 * MOST_ACCEPTED {
            brake.note(&team, user(number), true, later);
        }
        brake.sweep(later);
        assert!(brake.0["team"].users.is_empty());
        assert_eq!(brake.0["team"].accepted.len(), MOST_ACCEPTED);
    }
}
