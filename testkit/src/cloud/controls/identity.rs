//! Users, tenants, tokens and what they may do.

use std::time::Duration;

use jiff::Timestamp;

use crate::cloud::{
    SimulatedCloud, clock,
    identity::{ADMIN_PROJECT, AccessRule, Scope, Token, Trust},
    ids,
    projects::Project,
};

impl SimulatedCloud {
    /// The id of the project `admin`, to which the operator's tokens are scoped.
    #[must_use]
    pub fn admin_project(&self) -> &'static str {
        ADMIN_PROJECT
    }

    /// Adds a tenant, unless it is there. Its name is its id.
    pub fn add_tenant(&self, id: &str) {
        self.shared.lock().identity.projects.entry(id.to_owned()).or_insert_with(|| Project::named(id));
    }

    /// Removes a tenant.
    pub fn remove_tenant(&self, id: &str) {
        self.shared.lock().identity.projects.remove(id);
    }

    /// Disables a tenant, which ends its tokens, or enables it again.
    pub fn set_tenant_enabled(&self, id: &str, enabled: bool) {
        self.change_project(id, |project| project.enabled = enabled);
    }

    /// Adds a tenant on which the operator has the role `reader`, unless it is there.
    pub fn add_tenant_of_operator(&self, id: &str) {
        self.add_tenant(id);
        self.shared.lock().identity.operator().roles.insert(id.to_owned(), vec!["reader".to_owned()]);
    }

    /// Takes the operator's roles on a tenant away, which ends its tokens for it.
    pub fn remove_roles(&self, id: &str) {
        self.shared.lock().identity.operator().roles.remove(id);
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
            id: ids::new_id(),
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
            id: ids::new_id(),
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
            expires: clock::shift(now, clock::signed(state.identity.token_lifetime)),
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

    /// How many logins Keystone has refused.
    #[must_use]
    pub fn refused_logins(&self) -> usize {
        self.shared.lock().identity.refused_logins
    }
}
