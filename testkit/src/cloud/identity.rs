//! Users, projects, application credentials and tokens.

use std::{collections::BTreeMap, time::Duration};

use axum::http::HeaderMap;
use jiff::Timestamp;

use crate::cloud::{
    answer,
    clock::Clock,
    ids,
    projects::{DEFAULT_DOMAIN, Listing, Project},
};

/// The id of the project `admin`.
pub const ADMIN_PROJECT: &str = "ec556a52de3448f0b8b5f8fc5ac83529";
/// The project `demo`, on which the operator's user has no role.
pub const DEMO_PROJECT: &str = "5cc8d7fe980e4781a7752052282b49a1";
/// The id and the secret of the operator's application credential.
pub(super) const APPLICATION_CREDENTIAL: (&str, &str) = ("ddfb867fadea4994993443777714353f", "operator-ac-secret");

pub(super) struct User {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) password: String,
    pub(super) password_expires: Option<Timestamp>,
    /// Role names by project id.
    pub(super) roles: BTreeMap<String, Vec<String>>,
    /// Role names on the whole system.
    pub(super) system_roles: Vec<String>,
    /// Role names on the domain `default`.
    pub(super) domain_roles: Vec<String>,
}

/// Roles of one user on a project, which another one may use.
#[derive(Clone)]
pub(super) struct Trust {
    pub(super) id: String,
    pub(super) trustor: String,
    pub(super) trustee: String,
    pub(super) project: String,
    pub(super) roles: Vec<String>,
}

/// A call that an application credential may make.
#[derive(Clone)]
pub(super) struct AccessRule {
    pub(super) id: String,
    pub(super) method: String,
    /// With `*` for one segment and `**` for the rest.
    pub(super) path: String,
    pub(super) service: String,
}

impl AccessRule {
    fn allows(&self, method: &str, path: &str, service: &str) -> bool {
        let mut asked = path.split('/');
        let mut rest = false;
        let matches = self.path.split('/').all(|part| match part {
            "**" => {
                rest = true;
                true
            }
            "*" => asked.next().is_some(),
            part => asked.next() == Some(part),
        });
        self.method == method && self.service == service && matches && (rest || asked.next().is_none())
    }
}

/// An access key of a user, with which requests are signed.
pub(super) struct AccessKey {
    pub(super) access: String,
    pub(super) secret: String,
    /// Only temporary ones have it.
    pub(super) security_token: Option<String>,
    pub(super) expires: Option<Timestamp>,
    pub(super) user: String,
    /// Wrong signatures since the last right one, and when the last one came.
    pub(super) wrong: (usize, Timestamp),
}

#[derive(Clone)]
pub(super) struct ApplicationCredential {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) secret: String,
    pub(super) user: String,
    pub(super) project: String,
    pub(super) expires: Option<Timestamp>,
    pub(super) access_rules: Option<Vec<AccessRule>>,
}

/// What a token is for.
#[derive(Clone, Default)]
pub(super) struct Scope {
    pub(super) project: Option<String>,
    /// For the whole system rather than for a project.
    pub(super) system: bool,
    /// For the domain `default`.
    pub(super) domain: bool,
    /// The trust by which it is for the project.
    pub(super) trust: Option<Trust>,
}

#[derive(Clone)]
pub(super) struct Token {
    /// A trust's token is its trustor's.
    pub(super) user: String,
    pub(super) scope: Scope,
    pub(super) credential: Option<String>,
    pub(super) methods: Vec<String>,
    pub(super) issued: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) zoneless: bool,
}

/// What a valid token allows, read anew at each request: a role that was taken away is gone at once.
#[derive(Debug, Clone)]
pub(super) struct Access {
    pub(super) user: String,
    pub(super) project: Option<String>,
    pub(super) system: bool,
    pub(super) domain: bool,
    pub(super) roles: Vec<String>,
    /// By a signature, which has a token's place.
    pub(super) signed: bool,
}

impl Access {
    pub(super) fn is_admin(&self) -> bool {
        self.roles.iter().any(|role| role == "admin")
    }

    /// Whether Keystone lets it read all projects and domains.
    pub(super) fn reads_all(&self) -> bool {
        self.is_admin() || self.system
    }

    pub(super) fn is_of(&self, project: &str) -> bool {
        self.project.as_deref() == Some(project)
    }
}

pub(super) struct Identity {
    /// By id.
    pub(super) projects: BTreeMap<String, Project>,
    /// Names by id.
    pub(super) domains: BTreeMap<String, String>,
    pub(super) listing: Listing,
    pub(super) users: Vec<User>,
    pub(super) credentials: Vec<ApplicationCredential>,
    pub(super) access_keys: Vec<AccessKey>,
    pub(super) trusts: Vec<Trust>,
    pub(super) tokens: BTreeMap<String, Token>,
    pub(super) token_lifetime: Duration,
    pub(super) expires_zoneless: bool,
    pub(super) logins: usize,
    /// The refused ones among them.
    pub(super) refused_logins: usize,
}

impl Identity {
    pub(super) fn new() -> Self {
        let mut identity = Self {
            projects: BTreeMap::new(),
            domains: BTreeMap::from([(DEFAULT_DOMAIN.0.to_owned(), DEFAULT_DOMAIN.1.to_owned())]),
            listing: Listing::Whole,
            users: Vec::new(),
            credentials: Vec::new(),
            access_keys: Vec::new(),
            trusts: Vec::new(),
            tokens: BTreeMap::new(),
            token_lifetime: Duration::from_secs(3600),
            expires_zoneless: false,
            logins: 0,
            refused_logins: 0,
        };
        identity.projects.insert(ADMIN_PROJECT.to_owned(), Project::named("admin"));
        identity.projects.insert(DEMO_PROJECT.to_owned(), Project::named("demo"));
        identity.add_user("operator", "operator-secret", ADMIN_PROJECT, &["admin", "member", "reader"]);
        identity.add_user("demo", "demo-secret", DEMO_PROJECT, &["member", "reader"]);
        identity.users[0].system_roles.push("admin".to_owned());
        identity.credentials.push(ApplicationCredential {
            id: APPLICATION_CREDENTIAL.0.to_owned(),
            name: "operator-ac".to_owned(),
            secret: APPLICATION_CREDENTIAL.1.to_owned(),
            user: identity.users[0].id.clone(),
            project: ADMIN_PROJECT.to_owned(),
            expires: None,
            access_rules: None,
        });
        identity
    }

    pub(super) fn add_user(&mut self, name: &str, password: &str, project: &str, roles: &[&str]) {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        if let Some(user) = self.users.iter_mut().find(|user| user.name == name) {
            user.roles.insert(project.to_owned(), roles);
            return;
        }
        self.users.push(User {
            id: ids::new_id(),
            name: name.to_owned(),
            password: password.to_owned(),
            password_expires: None,
            system_roles: Vec::new(),
            domain_roles: Vec::new(),
            roles: BTreeMap::from([(project.to_owned(), roles)]),
        });
    }

    pub(super) fn user(&self, id: &str) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    /// Keeps a token and gives its id.
    pub(super) fn issue(&mut self, token: Token) -> String {
        let id = format!("gAAAAAB{}{}{}", ids::new_id(), ids::new_id(), ids::new_id());
        self.tokens.insert(id.clone(), token);
        id
    }

    pub(super) fn revoke(&mut self, token: &str) {
        self.tokens.remove(token);
    }

    /// The token, if it is valid now.
    pub(super) fn token(&self, id: &str, clock: &Clock) -> Option<&Token> {
        self.tokens.get(id).filter(|token| clock.now() < token.expires)
    }

    /// The roles of a user on a project. They have no effect on a project that is deleted or disabled.
    pub(super) fn roles(&self, user: &str, project: &str) -> Vec<String> {
        if self.projects.get(project).is_none_or(|project| !project.enabled) {
            return Vec::new();
        }
        let user = self.user(user);
        user.and_then(|user| user.roles.get(project)).cloned().unwrap_or_default()
    }

    /// Whether a user has a role on a project, also while the project is disabled.
    pub(super) fn is_assigned(&self, user: &str, project: &str) -> bool {
        self.user(user).and_then(|user| user.roles.get(project)).is_some_and(|roles| !roles.is_empty())
    }

    /// The roles of a user on the whole system.
    pub(super) fn system_roles(&self, user: &str) -> Vec<String> {
        self.user(user).map(|user| user.system_roles.clone()).unwrap_or_default()
    }

    /// What the request's token allows, none where it has no valid one.
    pub(super) fn access(&self, headers: &HeaderMap, clock: &Clock) -> Option<Access> {
        let token = self.token(answer::get(headers, "x-auth-token")?, clock)?;
        let roles = self.roles_of(token);
        let Scope { project, system, domain, .. } = &token.scope;
        // Keystone holds a token invalid whose last role has gone.
        if (project.is_some() || *system || *domain) && roles.is_empty() {
            return None;
        }
        let signed = token.methods == ["aksk"];
        let (user, project) = (token.user.clone(), project.clone());
        Some(Access { user, project, system: *system, domain: *domain, roles, signed })
    }

    /// The roles that a token carries now.
    pub(super) fn roles_of(&self, token: &Token) -> Vec<String> {
        let Scope { project, system, domain, trust } = &token.scope;
        match project {
            Some(project) => {
                let delegated = |role: &String| trust.as_ref().is_none_or(|trust| trust.roles.contains(role));
                self.roles(&token.user, project).into_iter().filter(delegated).collect()
            }
            None if *system => self.system_roles(&token.user),
            None if *domain => self.user(&token.user).map(|user| user.domain_roles.clone()).unwrap_or_default(),
            None => Vec::new(),
        }
    }

    /// The access rules of the application credential that the token was issued for.
    pub(super) fn access_rules(&self, token: &Token) -> Option<&[AccessRule]> {
        let id = token.credential.as_ref()?;
        self.credentials.iter().find(|known| known.id == *id)?.access_rules.as_deref()
    }

    /// Whether the access rules of the request's token leave this call out.
    pub(super) fn is_outside_rules(&self, token: Option<&str>, call: (&str, &str, &str), clock: &Clock) -> bool {
        let rules = token.and_then(|id| self.token(id, clock)).and_then(|token| self.access_rules(token));
        let (method, path, service) = call;
        rules.is_some_and(|rules| !rules.iter().any(|rule| rule.allows(method, path, service)))
    }

    pub(super) fn operator(&mut self) -> &mut User {
        &mut self.users[0]
    }
}
