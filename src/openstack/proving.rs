//! Tells a wrong password from a project for which the user gets no token: docs/decisions/0053.
//!
//! Keystone refuses both with the same 401. Therefore each user with one secret has a proving login: the entry of
//! clouds.yaml as it is written. The logins for projects wait for it. If Keystone refuses one of them, the proving login
//! is repeated before any other one is sent.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use super::{CloudConfig, Failure, brake, bundle::Digest, credential::FIVE_MINUTES, token};

/// The number of refused logins in five minutes after which no login of the user is sent.
const MOST_REFUSED: usize = 2;

/// What a login for a project has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It may be sent.
    Send,
    /// The proving login comes first.
    Prove,
    /// Keystone refused the user less than five minutes ago.
    Refused,
}

/// What Keystone's answers say about the user's secret.
#[derive(Default)]
struct Evidence {
    /// Keystone accepted a login, and has refused no proving login since.
    is_accepted: bool,
    /// Keystone has refused the login for a project since.
    is_doubted: bool,
    /// The refused logins since the last accepted one, at most [`MOST_REFUSED`], the latest last.
    refused: Vec<(Digest, Instant)>,
}

impl Evidence {
    /// `proof` is the proving login of the entry that asks.
    fn step(&self, proof: Digest, now: Instant) -> Step {
        let recent = || self.refused.iter().filter(|(_, at)| now.saturating_duration_since(*at) < FIVE_MINUTES);
        if recent().count() >= MOST_REFUSED || recent().any(|(login, _)| *login == proof) {
            Step::Refused
        } else if self.is_accepted && !self.is_doubted {
            Step::Send
        } else {
            Step::Prove
        }
    }

    fn accept(&mut self) {
        *self = Self { is_accepted: true, ..Self::default() };
    }

    fn refuse(&mut self, login: Digest, is_proof: bool, now: Instant) {
        if self.refused.len() == MOST_REFUSED {
            self.refused.remove(0);
        }
        self.refused.push((login, now));
        self.is_accepted &= !is_proof;
        self.is_doubted = !is_proof;
    }
}

/// One user with one secret at one origin.
#[derive(Default)]
pub(super) struct Prover {
    turn: Arc<tokio::sync::Mutex<()>>,
    evidence: Mutex<Evidence>,
    /// When Keystone last asked for a pause, with the failure that did.
    pause: Mutex<Option<(Instant, Failure)>>,
}

/// The right to send a login of the user.
pub(super) type Turn = tokio::sync::OwnedMutexGuard<()>;

impl Prover {
    /// Serializes the logins of the user, so that one that waits sees a refusal first.
    pub(super) async fn turn(&self) -> Turn {
        self.turn.clone().lock_owned().await
    }

    /// What a login for a project has to do, with this proving login of its entry.
    pub(super) fn step(&self, proof: Digest, now: Instant) -> Step {
        self.lock().step(proof, now)
    }

    /// Records an accepted login.
    pub(super) fn accept(&self) {
        self.lock().accept();
    }

    /// Records that Keystone accepted the entry before any project was observed.
    pub(super) fn accept_earlier(&self) {
        let mut evidence = self.lock();
        evidence.is_accepted |= evidence.refused.is_empty();
    }

    /// Records a refused login, or a refused proving login.
    pub(super) fn refuse(&self, login: Digest, is_proof: bool, now: Instant) {
        self.lock().refuse(login, is_proof, now);
    }

    /// Records whether Keystone asked for a pause, which holds for all logins of the user.
    pub(super) fn note_pause(&self, failed: Option<&Failure>, now: Instant) {
        let asked = failed.filter(|failure| failure.retry_after().is_some());
        *self.pause.lock().unwrap_or_else(PoisonError::into_inner) = asked.map(|failure| (now, failure.clone()));
    }

    /// The failure of a pause that is not over.
    pub(super) fn pause(&self, now: Instant) -> Option<Failure> {
        let (since, failure) = self.pause.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let error = failure.error.still_after(now.saturating_duration_since(since), Duration::ZERO)?;
        Some(Failure { error, ..failure })
    }

    fn lock(&self) -> MutexGuard<'_, Evidence> {
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The users in use, by the digest of origin, user and secret.
#[derive(Default)]
pub(super) struct Provers(Mutex<HashMap<Digest, Weak<Prover>>>);

impl Provers {
    /// The user of this entry. All sessions with the same user and secret share it.
    pub(super) fn of(&self, config: &CloudConfig) -> Arc<Prover> {
        let user = brake::Login::of(config).user_with_secret(token::secret(&config.auth));
        let mut all = self.lock();
        if let Some(known) = all.get(&user).and_then(Weak::upgrade) {
            return known;
        }
        let new = Arc::<Prover>::default();
        all.insert(user, Arc::downgrade(&new));
        new
    }

    /// Forgets the users that no session uses.
    pub(super) fn sweep(&self) {
        self.lock().retain(|_, prover| prover.strong_count() > 0);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Weak<Prover>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each story has events: `+` is an accepted login, `a` and `b` are refused proving logins of two entries, a digit is
    /// the refused login for a project, `<` is five minutes. After `=`: what a login for a project of the entry a has to
    /// do, and one of b: `s`end, `p`rove, `r`efused.
    #[test]
    fn what_a_login_for_a_project_has_to_do() {
        for (name, story, expected) in [
            ("nothing is known", "", "pp"),
            ("the secret is good", "+", "ss"),
            ("the secret is wrong, and another entry may name another project", "a", "rp"),
            ("two entries were refused", "ab", "rr"),
            ("the project of one entry is gone, and the other one proves the secret", "a+", "ss"),
            ("a project was refused", "+1", "pp"),
            ("it was the project's fault alone", "+1+", "ss"),
            ("the password was changed", "+1a", "rr"),
            ("twenty projects without a role", "+1+2+3+4+5+6+", "ss"),
            ("two projects were refused, and the proving login did not end", "+12", "rr"),
            ("one try in five minutes", "+1a<", "pp"),
            ("the second try", "+1a<a", "rp"),
            ("five minutes later the password is good again", "+1a<+", "ss"),
            ("an old refusal does not count", "+1<", "pp"),
            ("an old refusal does not count beside a new one", "a<b", "pr"),
        ] {
            let [a, b] = ["a", "b"].map(|login| Digest::of(&[login]));
            let (mut evidence, mut now) = (Evidence::default(), Instant::now());
            for event in story.chars() {
                match event {
                    '+' => evidence.accept(),
                    'a' => evidence.refuse(a, true, now),
                    'b' => evidence.refuse(b, true, now),
                    '<' => now += FIVE_MINUTES,
                    project => evidence.refuse(Digest::of(&[&project.to_string()]), false, now),
                }
                assert!(evidence.refused.len() <= MOST_REFUSED, "{name}");
            }
            let steps = [a, b].map(|proof| match evidence.step(proof, now) {
                Step::Send => 's',
                Step::Prove => 'p',
                Step::Refused => 'r',
            });
            assert_eq!(String::from_iter(steps), expected, "{name}");
            assert_ne!(evidence.step(a, now + FIVE_MINUTES), Step::Refused, "{name}: five minutes later");
            let earlier = evidence.step(a, now + FIVE_MINUTES - Duration::from_secs(1));
            assert_eq!(earlier, evidence.step(a, now), "{name}: a second earlier");
        }
    }

    /// Each line: an entry, and whether it has the user and the secret of the first one.
    #[test]
    fn a_user_is_known_by_origin_name_and_secret() {
        let config = |auth: &str| {
            let yaml = format!("clouds: {{c: {{auth: {{{auth}}}}}}}");
            CloudConfig::parse(&yaml, "c", None, None).unwrap()
        };
        let all = Provers::default();
        let own = all.of(&config("auth_url: 'http://k', username: u, password: p, user_domain_id: d"));
        for (auth, same) in [
            ("auth_url: 'http://k/v3', username: U, password: p, user_domain_name: D", true),
            ("auth_url: 'http://k', username: u, password: p, user_domain_id: d, project_id: q", true),
            ("auth_url: 'http://k', username: u, password: P, user_domain_id: d", false),
            ("auth_url: 'http://k', username: v, password: p, user_domain_id: d", false),
            ("auth_url: 'http://other', username: u, password: p, user_domain_id: d", false),
            ("auth_url: 'http://k', token: p", false),
        ] {
            assert_eq!(Arc::ptr_eq(&own, &all.of(&config(auth))), same, "{auth}");
        }
        drop(own);
        all.sweep();
        assert!(all.lock().is_empty());
    }
}
