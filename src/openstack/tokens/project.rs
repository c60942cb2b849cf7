//! The logins for observed projects, which wait for the proving login of their entry: docs/decisions/0053.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::Instant as Deadline;

use super::{
    Answer, Error, Failure, LOGIN_DEADLINE, Prover, Service, Session, SignatureRefusal, State, Tokens, Turn,
    is_of_project, is_refusal,
};
use crate::openstack::{Network, config::Auth, proving::Step, token::TokenScope};

/// The deadline of the proving login, including its wait for the login of another project.
const PROVING_DEADLINE: Duration = LOGIN_DEADLINE.saturating_mul(2);

/// The deadline of the question whether a project exists. A deleted project without an answer counts as one without a
/// role for five minutes.
const PROJECT_DEADLINE: Duration = Duration::from_secs(30);

impl Tokens {
    /// Makes this the session of a project that relies on the login of this entry.
    pub(in crate::openstack) fn rely_on(&self, entry: &Session, network: &Network) {
        if !self.is_for_observed_project() {
            return;
        }
        let prover = entry.tokens.prover.get_or_init(|| network.provers().of(&self.config)).clone();
        let now = (self.clock)();
        if entry.tokens.credential.has_logged_in() && !entry.tokens.credential.refuses(now) {
            prover.accept_earlier();
        }
        let _ = self.prover.set(prover);
    }

    /// Waits until the login may be sent: one login of a user at a time, and the proving login first.
    pub(super) async fn user_turn(&self) -> Result<Option<Turn>, Failure> {
        let Some(prover) = self.prover.get() else { return Ok(None) };
        let Some(entry) = &self.entry else {
            let turn = prover.turn().await;
            let now = (self.clock)();
            let failure = self.user_refusal(&self.state(), now).or_else(|| prover.pause(now));
            return failure.map_or(Ok(Some(turn)), Err);
        };
        loop {
            if self.prove(prover, entry).await? {
                let turn = prover.turn().await;
                if self.step(prover, entry) != Step::Send {
                    // Another login was refused during the wait.
                    continue;
                }
                let fixed = is_fixed(entry).then(|| Error::ProjectFixed.at(Service::Identity));
                let failure = fixed.or_else(|| prover.pause((self.clock)()));
                return failure.map_or(Ok(Some(turn)), Err);
            }
        }
    }

    fn step(&self, prover: &Prover, entry: &Session) -> Step {
        prover.step(entry.tokens.braked.content(), (self.clock)())
    }

    /// Sends the proving login if it is necessary. Returns whether the login for a project may be sent.
    async fn prove(&self, prover: &Prover, entry: &Session) -> Result<bool, Failure> {
        match self.step(prover, entry) {
            Step::Send => Ok(true),
            Step::Refused => Err(entry.tokens.refusal(&entry.tokens.state())),
            Step::Prove => {
                let held = entry.tokens.held();
                let deadline = Deadline::now() + PROVING_DEADLINE;
                entry.tokens.renewed(held.as_ref(), Duration::ZERO, deadline).await.map(|_| false)
            }
        }
    }

    /// Finds out whether a refused login for a project is the user's fault or the project's alone.
    pub(super) async fn explained(&self, failure: Failure, sent: Instant) -> Failure {
        let (Some(entry), Some(prover)) = (&self.entry, self.prover.get()) else { return failure };
        let failure = match failure.error {
            Error::LoginRefused if self.step(prover, entry) == Step::Refused => failure,
            Error::LoginRefused => match self.prove(prover, entry).await {
                Ok(_) => Failure { error: self.project_error(entry).await, ..failure },
                Err(failure) => failure,
            },
            _ => failure,
        };
        if is_of_project(&failure.error) {
            self.credential.note(false, sent);
        }
        failure
    }

    async fn project_error(&self, entry: &Arc<Session>) -> Error {
        if is_fixed(entry) {
            return Error::ProjectFixed;
        }
        let Some(project) = self.config.project_id() else { return Error::ProjectRefused };
        match entry.query_project(project, PROJECT_DEADLINE).await {
            Ok(Some(false)) => Error::ProjectUnknown,
            Ok(Some(true) | None) | Err(_) => Error::ProjectRefused,
        }
    }

    /// Keystone answers 403 if it does not exchange a token for one of another project.
    pub(super) fn without_rescoping(&self, failure: Failure, answer: Option<&Answer>) -> Failure {
        let is_token = self.entry.is_some() && matches!(self.config.auth, Auth::Token { .. });
        match failure.error {
            Error::LoginRefused if is_token && answer.is_some_and(|answer| answer.status == 403) => {
                Failure { error: Error::ProjectFixed, ..failure }
            }
            _ => failure,
        }
    }

    /// Records for the user what Keystone answered.
    pub(super) fn note_user(&self, accepted: bool, sent: Instant) {
        match self.prover.get() {
            None => {}
            Some(prover) if accepted => prover.accept(),
            Some(prover) => prover.refuse(self.braked.content(), self.entry.is_none(), sent),
        }
    }

    /// The failure while Keystone refuses the user, for all of its projects.
    pub(super) fn user_refusal(&self, state: &State, now: Instant) -> Option<Failure> {
        let prover = self.prover.get()?;
        let proof = self.entry.as_ref().map_or(self.braked, |entry| entry.tokens.braked);
        (prover.step(proof.content(), now) == Step::Refused).then(|| match &self.entry {
            Some(entry) => entry.tokens.refusal(&entry.tokens.state()),
            None => self.refusal(state),
        })
    }

    /// The failure while Keystone refuses the login. Perhaps it refused another session with this credential.
    pub(super) fn refusal(&self, state: &State) -> Failure {
        let general = match self.signer {
            Some(_) => Error::SignatureRefused(SignatureRefusal::Keys),
            None if self.is_for_observed_project() => Error::ProjectRefused,
            None => Error::LoginRefused,
        };
        state.refusal.as_deref().cloned().unwrap_or_else(|| general.at(Service::Identity))
    }

    /// Whether the failure is for [`State::refusal`].
    pub(super) fn is_own_refusal(&self, failure: &Failure) -> bool {
        if self.is_for_observed_project() { is_of_project(&failure.error) } else { is_refusal(failure) }
    }

    /// Whether the login waits for the proving login of its entry. Signatures have none: the answer to a refused one says
    /// why.
    pub(super) fn is_for_observed_project(&self) -> bool {
        self.entry.is_some() && self.signer.is_none()
    }

    /// Whether the brake does not apply: Keystone has accepted the credential before, or the brake applied to the
    /// proving login.
    pub(super) fn needs_no_brake(&self) -> bool {
        self.is_for_observed_project() || self.credential.has_logged_in()
    }
}

/// Whether the entry's token was made by an application credential or a trust.
fn is_fixed(entry: &Arc<Session>) -> bool {
    let holder = entry.known_holder();
    holder.is_some_and(|holder| holder.application_credential.is_some() || holder.scope == TokenScope::Trust)
}
