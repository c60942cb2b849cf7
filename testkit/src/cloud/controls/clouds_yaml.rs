//! The `clouds.yaml` files that lead to the cloud.

use crate::cloud::{
    SimulatedCloud,
    catalogue::REGION,
    identity::{self, ADMIN_PROJECT},
};

impl SimulatedCloud {
    /// A `clouds.yaml` with one cloud: the operator's password, scoped to the project `admin`.
    #[must_use]
    pub fn clouds_yaml(&self, cloud_name: &str) -> String {
        let state = self.shared.lock();
        let user = &state.identity.users[0];
        self.yaml(
            cloud_name,
            "password",
            &[
                ("username", &user.name),
                ("password", &user.password),
                ("user_domain_name", "Default"),
                ("project_name", "admin"),
                ("project_domain_name", "Default"),
            ],
        )
    }

    /// A `clouds.yaml` with one cloud: the password of this user, for a scope that is no project.
    fn yaml_of_user(&self, cloud_name: &str, user: usize, scope: &[(&str, &str)]) -> String {
        let state = self.shared.lock();
        let user = &state.identity.users[user];
        let login = [("username", user.name.as_str()), ("password", &user.password), ("user_domain_name", "Default")];
        self.yaml(cloud_name, "password", &[&login[..], scope].concat())
    }

    /// An entry of a `clouds.yaml`, to be put behind [`Self::clouds_yaml`]: the operator's password, for the whole
    /// system.
    #[must_use]
    pub fn system_entry(&self, cloud_name: &str) -> String {
        self.yaml_of_user(cloud_name, 0, &[("system_scope", "all")]).replacen("clouds:\n", "", 1)
    }

    /// A `clouds.yaml` with one cloud: the password of the user `demo`, by a trust of the operator's.
    #[must_use]
    pub fn clouds_yaml_trust(&self, cloud_name: &str, trust: &str) -> String {
        self.yaml_of_user(cloud_name, 1, &[("trust_id", trust)])
    }

    /// A `clouds.yaml` with one cloud: the operator's password, for the domain `default`.
    #[must_use]
    pub fn clouds_yaml_domain(&self, cloud_name: &str) -> String {
        self.yaml_of_user(cloud_name, 0, &[("domain_id", "default")])
    }

    /// A `clouds.yaml` with one cloud: the operator's password, for no project.
    #[must_use]
    pub fn clouds_yaml_unscoped(&self, cloud_name: &str) -> String {
        self.yaml_of_user(cloud_name, 0, &[])
    }

    /// A `clouds.yaml` with one cloud: a token that the operator was given.
    #[must_use]
    pub fn clouds_yaml_token(&self, cloud_name: &str) -> String {
        let token = self.issue_token();
        let auth = [("token", token.as_str()), ("project_id", ADMIN_PROJECT)];
        self.yaml(cloud_name, "v3token", &auth)
    }

    /// A `clouds.yaml` with one cloud: the operator's application credential.
    #[must_use]
    pub fn clouds_yaml_application_credential(&self, cloud_name: &str) -> String {
        let (id, secret) = identity::APPLICATION_CREDENTIAL;
        let auth = [("application_credential_id", id), ("application_credential_secret", secret)];
        self.yaml(cloud_name, "v3applicationcredential", &auth)
    }

    pub(super) fn yaml(&self, cloud_name: &str, auth_type: &str, auth: &[(&str, &str)]) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut yaml = format!("clouds:\n  {}:\n    auth_type: {auth_type}\n    auth:\n", quoted(cloud_name));
        yaml.push_str(&format!("      auth_url: {}\n", quoted(&self.auth_url())));
        for (key, value) in auth {
            yaml.push_str(&format!("      {key}: {}\n", quoted(value)));
        }
        yaml.push_str(&format!("    region_name: {REGION}\n"));
        yaml
    }
}
