//! Access keys, by which requests are signed.

use jiff::Timestamp;

use crate::cloud::{
    SimulatedCloud,
    identity::{ADMIN_PROJECT, AccessKey},
    service::Service,
};

impl SimulatedCloud {
    /// Adds an access key of the operator's user. A temporary one has a security token.
    pub fn add_access_key(&self, access: &str, secret: &str, security_token: Option<&str>) {
        let mut state = self.shared.lock();
        let user = state.identity.users[0].id.clone();
        state.identity.access_keys.push(AccessKey {
            access: access.to_owned(),
            secret: secret.to_owned(),
            security_token: security_token.map(str::to_owned),
            expires: None,
            user,
            wrong: (0, Timestamp::UNIX_EPOCH),
        });
    }

    /// When the access keys expire.
    pub fn set_access_key_expiry(&self, at: Option<Timestamp>) {
        for key in &mut self.shared.lock().identity.access_keys {
            key.expires = at;
        }
    }

    /// Deletes all access keys.
    pub fn delete_access_keys(&self) {
        self.shared.lock().identity.access_keys.clear();
    }

    /// Consecutive wrong signatures of an access key, which locks it above five.
    #[must_use]
    pub fn wrong_signatures(&self, access: &str) -> usize {
        let state = self.shared.lock();
        let key = state.identity.access_keys.iter().find(|key| key.access == access);
        key.map_or(0, |key| key.wrong.0)
    }

    /// Lets DCS accept only signed requests, as in some regions.
    pub fn require_signatures_for_dcs(&self) {
        self.shared.lock().dcs.accepts_signatures_alone = true;
    }

    /// Lets a service know nothing of signatures, as without the vendor's gateway.
    pub fn refuse_signatures(&self, service: Service) {
        self.shared.lock().refuses_signatures.insert(service);
    }

    /// A `clouds.yaml` with one cloud: an access key for the project `admin`, and these further lines of `auth`.
    #[must_use]
    pub fn clouds_yaml_access_key(
        &self,
        cloud_name: &str,
        access: &str,
        secret: &str,
        more: &[(&str, &str)],
    ) -> String {
        let keys = [("access_key", access), ("secret_key", secret), ("project_id", ADMIN_PROJECT)];
        self.yaml(cloud_name, "aksk", &[&keys[..], more].concat())
    }
}
