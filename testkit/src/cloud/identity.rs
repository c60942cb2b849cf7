//! Users, projects, application credentials and tokens.

use std::{collections::BTreeMap, time::Duration};

use axum::http::HeaderMap;
use jiff::Timestamp;

use super::{
    ADMIN_PROJECT, SimulatedCloud, answer,
    state::{self, Clock},
};

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
}

impl Access {
    pub(super) fn is_admin(&self) -> bool {
        self.roles.iter().any(|role| role == "admin")
    }

    pub(super) fn is_of(&self, project: &str) -> bool {
        self.project.as_deref() == Some(project)
    }
}

pub(super) struct Identity {
    pub(super) projects: BTreeMap<String, String>,
    pub(super) users: Vec<User>,
    pub(super) credentials: Vec<ApplicationCredential>,
    pub(super) trusts: Vec<Trust>,
    tokens: BTreeMap<String, Token>,
    pub(super) token_lifetime: Duration,
    pub(super) expires_zoneless: bool,
    pub(super) logins: usize,
}

impl Identity {
    pub(super) fn new() -> Self {
        let mut identity = Self {
            projects: BTreeMap::new(),
            users: Vec::new(),
            credentials: Vec::new(),
            trusts: Vec::new(),
            tokens: BTreeMap::new(),
            token_lifetime: Duration::from_secs(3600),
            expires_zoneless: false,
            logins: 0,
        };
        identity.projects.insert(ADMIN_PROJECT.to_owned(), "admin".to_owned());
        identity.projects.insert(DEMO_PROJECT.to_owned(), "demo".to_owned());
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

    fn add_user(&mut self, name: &str, password: &str, project: &str, roles: &[&str]) {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        if let Some(user) = self.users.iter_mut().find(|user| user.name == name) {
            user.roles.insert(project.to_owned(), roles);
            return;
        }
        self.users.push(User {
            id: state::new_id(),
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
        let id = format!("gAAAAAB{}{}{}", state::new_id(), state::new_id(), state::new_id());
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

    /// The roles of a user on a project.
    pub(super) fn roles(&self, user: &str, project: &str) -> Vec<String> {
        let user = self.user(user);
        user.and_then(|user| user.roles.get(project)).cloned().unwrap_or_default()
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
        Some(Access { user: token.user.clone(), project: project.clone(), system: *system, domain: *domain, roles })
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

    fn operator(&mut self) -> &mut User {
        &mut self.users[0]
    }
}

impl SimulatedCloud {
    /// The id of the project `admin`, to which the operator's tokens are scoped.
    #[must_use]
    pub fn admin_project(&self) -> &'static str {
        ADMIN_PROJECT
    }

    /// Adds a tenant, unless it is there. Its name is its id.
    pub fn add_tenant(&self, id: &str) {
        self.shared.lock().identity.projects.entry(id.to_owned()).or_insert_with(|| id.to_owned());
    }

    /// Removes a tenant.
    pub fn remove_tenant(&self, id: &str) {
        self.shared.lock().identity.projects.remove(id);
    }

    /// Adds a user with roles (`admin`, `member`, `reader`) on a project, or gives one that exists those roles.
    pub fn add_user(&self, name: &str, password: &str, project: &str, roles: &[&str]) {
        self.shared.lock().identity.add_user(name, password, project, roles);
    }

    /// Changes the operator's password, which ends its tokens. [`Self::clouds_yaml`] has the new one from now on.
    pub fn change_password(&self, password: &str) {
        let mut state = self.shared.lock();
        let user = state.identity.operator();
        password.clone_into(&mut user.password);
        let id = user.id.clone();
        state.identity.tokens.retain(|_, token| token.user != id);
    }

    /// Revokes every token; the services answer 401 long before `expires_at`.
    pub fn revoke_tokens(&self) {
        self.shared.lock().identity.tokens.clear();
    }

    /// Deletes the application credential, and with it its tokens. A login with it is answered 404.
    pub fn delete_application_credential(&self) {
        let mut state = self.shared.lock();
        state.identity.credentials.clear();
        state.identity.tokens.retain(|_, token| token.credential.is_none());
    }

    /// When the application credential ends. A token that ends with it has an `expires_at` without zone.
    pub fn set_application_credential_expiry(&self, at: Option<Timestamp>) {
        for credential in &mut self.shared.lock().identity.credentials {
            credential.expires = at;
        }
    }

    /// Lets the application credential make these calls and no others: method, path with `*` and `**`, and the
    /// catalogue's type of the service. Its tokens list them.
    pub fn set_access_rules(&self, rules: &[(&str, &str, &str)]) {
        let rule = |(method, path, service): &(&str, &str, &str)| AccessRule {
            id: state::new_id(),
            method: (*method).to_owned(),
            path: (*path).to_owned(),
            service: (*service).to_owned(),
        };
        for credential in &mut self.shared.lock().identity.credentials {
            credential.access_rules = Some(rules.iter().map(rule).collect());
        }
    }

    /// Creates a trust by which the user `demo` may use roles of the operator on the project `admin`; its id.
    #[must_use]
    pub fn create_trust(&self, roles: &[&str]) -> String {
        let mut state = self.shared.lock();
        let [trustor, trustee] = [&state.identity.users[0], &state.identity.users[1]].map(|user| user.id.clone());
        let trust = Trust {
            id: state::new_id(),
            trustor,
            trustee,
            project: ADMIN_PROJECT.to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        };
        let id = trust.id.clone();
        state.identity.trusts.push(trust);
        id
    }

    /// Gives the operator a role on the domain `default`.
    pub fn grant_domain_role(&self, role: &str) {
        self.shared.lock().identity.operator().domain_roles.push(role.to_owned());
    }

    /// When the operator's password ends, as its logins tell it. It is taken all the same.
    pub fn set_password_expiry(&self, at: Option<Timestamp>) {
        self.shared.lock().identity.operator().password_expires = at;
    }

    /// A valid token of the operator for the project `admin`, as a person might put it into a `clouds.yaml`.
    #[must_use]
    pub fn issue_token(&self) -> String {
        let mut state = self.shared.lock();
        let now = state.clock.now();
        let token = Token {
            user: state.identity.operator().id.clone(),
            scope: Scope { project: Some(ADMIN_PROJECT.to_owned()), ..Scope::default() },
            credential: None,
            methods: vec!["password".to_owned()],
            issued: now,
            expires: state::shift(now, state::signed(state.identity.token_lifetime)),
            zoneless: false,
        };
        state.identity.issue(token)
    }

    /// Takes the admin role from the operator: Heat and other tenants' usage answer 403.
    pub fn remove_admin_role(&self) {
        let mut state = self.shared.lock();
        let roles = state.identity.operator().roles.entry(ADMIN_PROJECT.to_owned()).or_default();
        roles.retain(|role| role != "admin");
    }

    /// Gives the admin role back.
    pub fn grant_admin_role(&self) {
        self.remove_admin_role();
        let mut state = self.shared.lock();
        let roles = state.identity.operator().roles.entry(ADMIN_PROJECT.to_owned()).or_default();
        roles.push("admin".to_owned());
    }

    /// How long tokens issued from now on are valid; an hour at first.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.shared.lock().identity.token_lifetime = lifetime;
    }

    /// Writes every `expires_at` without zone and fraction, as Keystone does for an application credential's end.
    pub fn set_expires_at_without_zone(&self, on: bool) {
        self.shared.lock().identity.expires_zoneless = on;
    }

    /// How many logins Keystone has handled, refused ones too.
    #[must_use]
    pub fn logins(&self) -> usize {
        self.shared.lock().identity.logins
    }
}
