//! An entry whose user logs in for the observed project.

use std::sync::Arc;

use super::{Auth, CloudConfig, ConfigError, CredentialRef, Named, Scope, invalid};

/// The rest of a sentence that begins with the key that shows it.
const FIXED: &str = "belongs to a credential that is for its own project alone: use a password, or set \
                     spec.cloudCredentialsRef.scope to Entry";

impl CloudConfig {
    /// The same entry, with a login for this project. An entry that already logs in for it stays as it is.
    ///
    /// # Errors
    /// The credential cannot log in for another project than its own.
    pub fn for_project(self: &Arc<Self>, id: &str) -> Result<Arc<Self>, ConfigError> {
        let project = Some(Scope::Project(Named::Id(id.to_owned())));
        let auth = match &self.auth {
            Auth::ApplicationCredential { credential: CredentialRef::Id(_), .. } => {
                return invalid("auth.application_credential_id", FIXED);
            }
            Auth::ApplicationCredential { credential: CredentialRef::Name { .. }, .. } => {
                return invalid("auth.application_credential_name", FIXED);
            }
            Auth::Password { scope: Some(Scope::Trust(_)), .. } | Auth::Token { scope: Some(Scope::Trust(_)), .. } => {
                return invalid("auth.trust_id", FIXED);
            }
            Auth::Password { scope, .. } | Auth::Token { scope, .. } | Auth::AccessKey { scope, .. }
                if *scope == project =>
            {
                return Ok(self.clone());
            }
            Auth::Password { user, password, .. } => {
                Auth::Password { user: user.clone(), password: password.clone(), scope: project }
            }
            Auth::Token { token, .. } => Auth::Token { token: token.clone(), scope: project },
            Auth::AccessKey { keys, .. } => Auth::AccessKey { keys: keys.clone(), scope: project },
        };
        Ok(Arc::new(Self { auth, entry: Some(self.clone()), ..Self::clone(self) }))
    }

    /// The entry as it is written, if this is [for an observed project](Self::for_project).
    #[must_use]
    pub fn entry(&self) -> Option<&Arc<Self>> {
        self.entry.as_ref()
    }

    /// The ID of the project that the login is for, if the entry names it by ID.
    pub(in crate::openstack) fn project_id(&self) -> Option<&str> {
        match &self.auth {
            Auth::Password { scope: Some(Scope::Project(Named::Id(id))), .. }
            | Auth::Token { scope: Some(Scope::Project(Named::Id(id))), .. }
            | Auth::AccessKey { scope: Some(Scope::Project(Named::Id(id))), .. } => Some(id),
            Auth::Password { .. }
            | Auth::Token { .. }
            | Auth::AccessKey { .. }
            | Auth::ApplicationCredential { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::openstack::token;

    fn entry(auth: &str) -> Arc<CloudConfig> {
        let yaml = format!("clouds: {{c: {{auth: {{auth_url: 'http://k', {auth}}}}}}}");
        Arc::new(CloudConfig::parse(&yaml, "c", None, None).unwrap())
    }

    /// Each line: the entry, and the key that shows that it cannot log in for another project.
    #[test]
    fn which_credentials_can_log_in_for_a_project() {
        for (auth, refused) in [
            ("user_id: u, password: p", None),
            ("user_id: u, password: p, project_id: q", None),
            ("username: u, password: p, user_domain_id: d, project_name: q, project_domain_id: d", None),
            ("user_id: u, password: p, domain_id: d", None),
            ("user_id: u, password: p, system_scope: all", None),
            ("token: t", None),
            ("token: t, project_id: q", None),
            ("user_id: u, password: p, trust_id: t", Some("auth.trust_id")),
            ("token: t, trust_id: t", Some("auth.trust_id")),
            ("application_credential_id: i, application_credential_secret: s", Some("auth.application_credential_id")),
            (
                "application_credential_name: n, application_credential_secret: s, user_id: u",
                Some("auth.application_credential_name"),
            ),
        ] {
            let entry = entry(auth);
            match entry.for_project("observed") {
                Ok(config) => {
                    assert_eq!(refused, None, "{auth}");
                    let sent = token::login(&config.auth);
                    assert_eq!(sent["auth"]["scope"], json!({ "project": { "id": "observed" } }), "{auth}");
                    assert_eq!(sent["auth"]["identity"], token::login(&entry.auth)["auth"]["identity"], "{auth}");
                    assert_eq!(config.entry(), Some(&entry), "{auth}");
                    assert_eq!((config.project_id(), config.host()), (Some("observed"), entry.host()), "{auth}");
                }
                Err(error) => {
                    let expected = refused.map(|key| format!("{key} {FIXED}"));
                    assert_eq!(Some(error.to_string()), expected, "{auth}");
                }
            }
        }
    }

    /// Two entries of one user are two sessions, and an entry that names the project itself is its own.
    #[test]
    fn what_makes_two_logins_for_a_project_the_same() {
        let own = entry("user_id: u, password: p, project_id: q");
        assert!(Arc::ptr_eq(&own.for_project("q").unwrap(), &own));
        let observed = own.for_project("r").unwrap();
        for (auth, project, same) in [
            ("user_id: u, password: p, project_id: q", "r", true),
            ("user_id: u, password: p, project_id: q", "s", false),
            ("user_id: u, password: other, project_id: q", "r", false),
            ("user_id: u, password: p, project_id: other", "r", false),
            ("user_id: u, password: p, project_id: r", "r", false),
        ] {
            assert_eq!(entry(auth).for_project(project).unwrap() == observed, same, "{auth} {project}");
        }
    }
}
