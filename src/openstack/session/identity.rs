//! Queries to Keystone other than logins: whether a project exists, and when a credential expires.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::time::timeout_at;

use super::{Session, end};
use crate::openstack::{
    Answer, Error, Failure, Service,
    config::Auth,
    token::{self, Holder, TokenScope},
};

/// How long two answers stay valid: the expiry of an application credential, and that a project exists.
const HOUR: Duration = Duration::from_secs(3600);

/// The pause before the next query for a credential's expiry, after a query without a result.
const MINUTE: Duration = Duration::from_secs(60);

/// How long the answer that a project does not exist stays valid. One pass asks for several probes, and the project may
/// be created at any time.
const MOMENT: Duration = Duration::from_secs(2);

/// The maximum number of projects that a session remembers. They count against the namespace's budget.
const MOST_PROJECTS: usize = 50_000;

/// When Keystone was queried for a project, and whether the project exists; `None` if the answer did not say.
pub(super) type ProjectAnswer = (Instant, Option<bool>);

/// Keystone's answers about projects. Each entry is locked during a query, so that only one caller queries.
#[derive(Default)]
pub(super) struct Projects {
    known: HashMap<String, Arc<tokio::sync::Mutex<Option<ProjectAnswer>>>>,
    /// At this number of entries, those that are no longer valid are removed.
    full: usize,
}

impl Projects {
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Returns the entry of a project.
    fn entry(&mut self, id: &str, now: Instant) -> Arc<tokio::sync::Mutex<Option<ProjectAnswer>>> {
        if let Some(known) = self.known.get(id) {
            return known.clone();
        }
        if self.known.len() >= self.full {
            let is_needed = |known: Option<ProjectAnswer>| known.is_some_and(|answer| is_valid(answer, now));
            self.known.retain(|_, known| known.try_lock().map_or(true, |known| is_needed(*known)));
            // Twice the remaining number, so that many new projects take linear time.
            self.full = (2 * self.known.len()).max(64);
        }
        if self.known.len() >= MOST_PROJECTS {
            self.forget_one();
        }
        self.known.entry(id.to_owned()).or_default().clone()
    }

    /// Removes a project that no caller uses. The next caller queries it again.
    fn forget_one(&mut self) {
        let idle = self.known.iter().find(|(_, known)| Arc::strong_count(known) == 1).map(|(id, _)| id.clone());
        idle.and_then(|id| self.known.remove(&id));
    }
}

/// The expiry of an application credential in Keystone's latest answer.
#[derive(Default)]
pub(super) struct End {
    /// `None` until Keystone has answered.
    end: Option<Option<Timestamp>>,
    /// When to query Keystone again.
    next_query: Option<Instant>,
}

impl Session {
    /// Whether Keystone knows the project; `None` if the credential has no right to query it. The token's own project
    /// needs no query. A positive answer stays valid for one hour, and a negative one for two seconds.
    ///
    /// # Errors
    /// The errors of [`Session::get`].
    pub async fn knows_project(&self, id: &str, deadline: Duration) -> Result<Option<bool>, Failure> {
        self.log_in(deadline).await?;
        // A signature is for the project that the CloudTenant names, which nobody has checked.
        let is_claimed = self.config.signs_all() && self.config.entry().is_some();
        let own = !is_claimed && self.known_project().is_some_and(|own| own.id == id);
        if own {
            return Ok(Some(true));
        }
        let project = self.project_memory(id);
        let late = |_| Error::Timeout.at(Service::Identity);
        let mut known = timeout_at(end(deadline), project.lock()).await.map_err(late)?;
        let now = (self.clock)();
        if let Some((_, exists)) = known.filter(|answer| is_valid(*answer, now)) {
            return Ok(exists);
        }
        let exists = self.query_project(id, deadline).await?;
        *known = Some(((self.clock)(), exists));
        Ok(exists)
    }

    fn project_memory(&self, id: &str) -> Arc<tokio::sync::Mutex<Option<ProjectAnswer>>> {
        let now = (self.clock)();
        self.projects.lock().unwrap_or_else(PoisonError::into_inner).entry(id, now)
    }

    /// As [`Self::knows_project`], without memory.
    pub(in crate::openstack) async fn query_project(
        &self,
        id: &str,
        deadline: Duration,
    ) -> Result<Option<bool>, Failure> {
        let mut url = self.endpoint(Service::Identity, deadline).await?.url;
        let path = format!("{}/projects/{id}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        // Access rules that do not include this call cause a 401.
        let answer = self.get_expecting(&[401, 403], Service::Identity, url, &[], deadline).await?;
        match answer.status {
            401 | 403 => Ok(None),
            // Any other 404 comes from a proxy in front of Keystone, or from a server that is not Keystone.
            404 => Ok(token::says_not_found(&answer.body).then_some(false)),
            _ => answer.of(Service::Identity).map(|_| Some(true)),
        }
    }

    /// When the credential itself expires: a user's password, an application credential, or a token from clouds.yaml.
    /// The inner `None` means that it never expires, or that Keystone does not disclose the expiry. The outer `None`
    /// means that Keystone gave no answer in time.
    ///
    /// The client queries Keystone once an hour, and one minute after a query without a result. Until then the last
    /// result stays valid.
    pub async fn credential_ends(&self, holder: &Holder, deadline: Duration) -> Option<Option<Timestamp>> {
        let id = match (&self.config.auth, &holder.application_credential) {
            (Auth::Token { .. }, _) => return Some(holder.token_ends),
            // The user of a trust's token may be the trustor, whose password is another one.
            (Auth::Password { .. }, _) if holder.scope == TokenScope::Trust => return Some(None),
            (Auth::Password { .. }, _) => return Some(holder.password_ends),
            // The cloud does not say when an access key ends.
            (Auth::ApplicationCredential { .. }, None) | (Auth::AccessKey { .. }, _) => return Some(None),
            (Auth::ApplicationCredential { .. }, Some(id)) => id,
        };
        let now = (self.clock)();
        let mut known = self.ends.lock().await;
        if known.next_query.is_none_or(|at| now >= at) {
            let path = ["users", &holder.user_id, "application_credentials", id];
            let answer = self.application_credential_ends(&path, deadline).await;
            known.next_query = Some(now + if answer.is_some() { HOUR } else { MINUTE });
            known.end = answer.or(known.end);
        }
        known.end
    }

    /// `None` if Keystone gave no answer in time, or an answer without the credential.
    async fn application_credential_ends(&self, path: &[&str], deadline: Duration) -> Option<Option<Timestamp>> {
        let mut url = self.endpoint(Service::Identity, deadline).await.ok()?.url;
        url.path_segments_mut().ok()?.pop_if_empty().extend(path);
        let answer = self.get_expecting(&[401, 403], Service::Identity, url, &[], deadline).await.ok()?;
        // The credential has no right to query this, so a retry after one minute would not help.
        if [401, 403, 404].contains(&answer.status) {
            return Some(None);
        }
        let answer = answer.of(Service::Identity).ok()?;
        let read = |answer: Answer| token::application_credential_ends(&answer.body);
        answer.digest(Service::Identity, read).await.ok()?
    }
}

fn is_valid((at, exists): ProjectAnswer, now: Instant) -> bool {
    let lifetime = if exists == Some(false) { MOMENT } else { HOUR };
    now.saturating_duration_since(at) < lifetime
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openstack::{CloudConfig, Network, NoCounters};

    #[test]
    fn projects_that_are_remembered_have_a_bound() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let yaml = "clouds: {c: {auth: {auth_url: 'http://k', token: t}}}";
        let config = Arc::new(CloudConfig::parse(yaml, "c", None, None).unwrap());
        let session = Session::new(config, &Network::default(), Arc::new(NoCounters)).unwrap();
        let queried = session.project_memory("asked");
        let _query = queried.try_lock().unwrap();
        let known = || Arc::new(tokio::sync::Mutex::new(Some((Instant::now(), Some(true)))));
        let full = (1..MOST_PROJECTS).map(|number| (number.to_string(), known()));
        session.projects.lock().unwrap().known.extend(full);
        for id in ["other", "another", "1"] {
            session.project_memory(id).try_lock().unwrap().replace((Instant::now(), Some(true)));
            assert_eq!(session.projects.lock().unwrap().len(), MOST_PROJECTS, "{id}");
        }
        assert!(Arc::ptr_eq(&queried, &session.project_memory("asked")), "it is being asked for");
    }
}
