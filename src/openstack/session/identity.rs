//! What Keystone is asked beside logins: whether a project exists, and when a credential ends.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::timeout_at;

use super::{Session, end};
use crate::openstack::config::Auth;
use crate::openstack::token::{self, Holder, TokenScope};
use crate::openstack::{Answer, Error, Failure, Service};

/// How long it is believed when an application credential ends, and that a project exists.
const HOUR: Duration = Duration::from_secs(3600);

/// The pause before Keystone is asked again when a credential ends, after it could not tell.
const MINUTE: Duration = Duration::from_secs(60);

/// So many projects are remembered for each session.
const MOST_PROJECTS: usize = 10_000;

/// When Keystone was asked for a project, and whether it knows it; `None` where it did not say.
pub(super) type Known = (Instant, Option<bool>);

/// When an application credential ends, as Keystone told it last.
#[derive(Default)]
pub(super) struct End {
    /// `None` as long as Keystone has not told it.
    end: Option<Option<Timestamp>>,
    /// When Keystone is asked again.
    again_at: Option<Instant>,
}

impl Session {
    /// Whether Keystone knows the project; `None` where the credential may not ask, and for the token's own project
    /// without asking. Asked at most once an hour, unless it does not know it: it may be created yet.
    ///
    /// # Errors
    /// As [`Session::get`].
    pub async fn knows_project(&self, id: &str, deadline: Duration) -> Result<Option<bool>, Failure> {
        self.log_in(deadline).await?;
        let own = self.known_project().is_some_and(|own| own.id == id);
        if own {
            return Ok(Some(true));
        }
        let project = self.project_memory(id);
        let late = |_| Error::Timeout.at(Service::Identity);
        let mut known = timeout_at(end(deadline), project.lock()).await.map_err(late)?;
        let now = (self.clock)();
        if let Some((at, known)) = *known
            && now.saturating_duration_since(at) < HOUR
        {
            return Ok(known);
        }
        let answer = self.ask_project(id, deadline).await?;
        *known = (answer != Some(false)).then_some((now, answer));
        Ok(answer)
    }

    /// Forgets those that nobody is asking for and that would be asked for anew.
    fn project_memory(&self, id: &str) -> Arc<tokio::sync::Mutex<Option<Known>>> {
        let now = (self.clock)();
        let recent = |(at, _): Known| now.saturating_duration_since(at) < HOUR;
        let mut projects = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
        if !projects.contains_key(id) {
            projects.retain(|_, known| known.try_lock().map_or(true, |known| known.is_some_and(recent)));
        }
        if projects.len() >= MOST_PROJECTS && !projects.contains_key(id) {
            forget_one(&mut projects);
        }
        projects.entry(id.to_owned()).or_default().clone()
    }

    async fn ask_project(&self, id: &str, deadline: Duration) -> Result<Option<bool>, Failure> {
        let mut url = self.endpoint(Service::Identity, deadline).await?.url;
        let path = format!("{}/projects/{id}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        // 401: access rules may leave the question out.
        let answer = self.get_expecting(&[401, 403], Service::Identity, url, &[], deadline).await?;
        match answer.status {
            401 | 403 => Ok(None),
            // Any other 404 is of something that stands before Keystone, or of an address that is not Keystone's.
            404 => Ok(token::says_not_found(&answer.body).then_some(false)),
            _ => answer.of(Service::Identity).map(|_| Some(true)),
        }
    }

    /// When the credential itself ends: a user's password, an application credential, or a token that was given. The
    /// inner `None` is a credential that has no end, or whose end Keystone does not tell it; the outer one is an end
    /// that Keystone could not tell in time.
    ///
    /// Keystone is asked once an hour, and a minute after it could not tell. What was known stays until then.
    pub async fn credential_ends(&self, holder: &Holder, deadline: Duration) -> Option<Option<Timestamp>> {
        let id = match (&self.config.auth, &holder.application_credential) {
            (Auth::Token { .. }, _) => return Some(holder.token_ends),
            // The user of a trust's token may be the one who created the trust, with another password.
            (Auth::Password { .. }, _) if holder.scope == TokenScope::Trust => return Some(None),
            (Auth::Password { .. }, _) => return Some(holder.password_ends),
            (Auth::ApplicationCredential { .. }, None) => return Some(None),
            (Auth::ApplicationCredential { .. }, Some(id)) => id,
        };
        let now = (self.clock)();
        let mut known = self.ends.lock().await;
        if known.again_at.is_none_or(|at| now >= at) {
            let path = ["users", &holder.user_id, "application_credentials", id];
            let told = self.application_credential_ends(&path, deadline).await;
            known.again_at = Some(now + if told.is_some() { HOUR } else { MINUTE });
            known.end = told.or(known.end);
        }
        known.end
    }

    /// `None` where Keystone could not tell: there was no answer in time, or one that says nothing of the credential.
    async fn application_credential_ends(&self, path: &[&str], deadline: Duration) -> Option<Option<Timestamp>> {
        let mut url = self.endpoint(Service::Identity, deadline).await.ok()?.url;
        url.path_segments_mut().ok()?.pop_if_empty().extend(path);
        let answer = self.get_expecting(&[401, 403], Service::Identity, url, &[], deadline).await.ok()?;
        // It may not ask, now or in an hour.
        if [401, 403, 404].contains(&answer.status) {
            return Some(None);
        }
        let answer = answer.of(Service::Identity).ok()?;
        let read = |answer: Answer| token::application_credential_ends(&answer.body);
        answer.digest(Service::Identity, read).await.ok()?
    }
}

/// Forgets a project that nobody is asking for. It is asked for again.
fn forget_one(projects: &mut HashMap<String, Arc<tokio::sync::Mutex<Option<Known>>>>) {
    let idle = projects.iter().find(|(_, known)| Arc::strong_count(known) == 1).map(|(id, _)| id.clone());
    idle.and_then(|id| projects.remove(&id));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openstack::NoCounters;
    use crate::openstack::{CloudConfig, Network};

    #[test]
    fn projects_that_are_remembered_have_a_bound() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let yaml = "clouds: {c: {auth: {auth_url: 'http://k', token: t}}}";
        let config = Arc::new(CloudConfig::parse(yaml, "c", None, None).unwrap());
        let session = Session::new(config, &Network::default(), Arc::new(NoCounters)).unwrap();
        let asked = session.project_memory("asked");
        let _asking = asked.try_lock().unwrap();
        let known = || Arc::new(tokio::sync::Mutex::new(Some((Instant::now(), Some(true)))));
        let full = (1..MOST_PROJECTS).map(|number| (number.to_string(), known()));
        session.projects.lock().unwrap().extend(full);
        for id in ["other", "another", "1"] {
            session.project_memory(id).try_lock().unwrap().replace((Instant::now(), Some(true)));
            assert_eq!(session.projects.lock().unwrap().len(), MOST_PROJECTS, "{id}");
        }
        assert!(Arc::ptr_eq(&asked, &session.project_memory("asked")), "it is being asked for");
    }
}
