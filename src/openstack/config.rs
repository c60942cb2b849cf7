//! openstacksdk's `clouds.yaml`, as far as it applies inside a pod.

mod login;
mod place;
mod scope;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub(super) use place::{needs_project, web_url, with_token, with_version};
use url::Url;

use super::{Secret, Service, bundle::Bundle, error::listed, hosts::host_of, signature::Keys, yaml::Entry};
use crate::{trust::Authorities, words::word};

/// One validated entry of a `clouds.yaml`.
///
/// Equal entries mean the same cloud and the same user, so they may share a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CloudConfig {
    /// Keystone's URL, which ends in `/v3`.
    pub(super) auth_url: Url,
    pub(super) auth: Auth,
    pub(super) region: Option<String>,
    /// Interfaces in order of preference.
    interfaces: Vec<Interface>,
    /// Interfaces of services that have their own list.
    own_interfaces: BTreeMap<Service, Vec<Interface>>,
    pub(super) verify: bool,
    /// PEM text from the Secret.
    pub(super) cacert: Option<Bundle>,
    /// Endpoints that replace the catalogue's. They may contain [placeholders](with_token).
    pub(super) overrides: BTreeMap<Service, String>,
    /// The access key beside another credential, for services that accept no token.
    second_keys: Option<Keys>,
    /// The services whose calls are signed from the start, although the entry has another credential.
    signed: BTreeSet<Service>,
    /// The entry as it is written, if this is [for an observed project](CloudConfig::for_project).
    entry: Option<Arc<Self>>,
}

/// The credential that is sent to Keystone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Auth {
    Password {
        user: Named,
        password: Secret,
        scope: Option<Scope>,
    },
    ApplicationCredential {
        /// The owner is given if the credential is identified by its name.
        credential: CredentialRef,
        secret: Secret,
    },
    Token {
        token: Secret,
        scope: Option<Scope>,
    },
    /// Each request is signed, and there is no token.
    AccessKey {
        keys: Keys,
        scope: Option<Scope>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum CredentialRef {
    Id(String),
    Name { name: String, user: Named },
}

/// A user or a project, identified by ID or by a name within a domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Named {
    Id(String),
    Name { name: String, domain: Domain },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Domain {
    Id(String),
    Name(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    Project(Named),
    /// The project with this name in the account of the access key.
    ProjectOfAccount(String),
    Domain(Domain),
    /// The whole cloud.
    System,
    /// The project of a trust, identified by the trust's ID.
    Trust(String),
}

/// In bytes: the estimated overhead of one entry of a small map, without its texts.
const ENTRY: usize = 64;

impl Auth {
    /// The total length of its texts, in bytes.
    fn kept_bytes(&self) -> usize {
        let domain = |domain: &Domain| match domain {
            Domain::Id(text) | Domain::Name(text) => text.len(),
        };
        let named = |named: &Named| match named {
            Named::Id(id) => id.len(),
            Named::Name { name, domain: of } => name.len() + domain(of),
        };
        let scope = |scope: &Option<Scope>| match scope {
            Some(Scope::Project(project)) => named(project),
            Some(Scope::Domain(of)) => domain(of),
            Some(Scope::Trust(text) | Scope::ProjectOfAccount(text)) => text.len(),
            Some(Scope::System) | None => 0,
        };
        match self {
            Self::Password { user, password, scope: of } => named(user) + password.expose().len() + scope(of),
            Self::ApplicationCredential { credential: CredentialRef::Id(id), secret } => {
                id.len() + secret.expose().len()
            }
            Self::ApplicationCredential { credential: CredentialRef::Name { name, user }, secret } => {
                name.len() + named(user) + secret.expose().len()
            }
            Self::Token { token, scope: of } => token.expose().len() + scope(of),
            Self::AccessKey { keys, scope: of } => keys.kept_bytes() + scope(of),
        }
    }
}

/// The interface of a service's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Interface {
    Public,
    Internal,
    Admin,
}

impl Interface {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Admin => "admin",
        }
    }
}

/// Why a `clouds.yaml` cannot be used. It contains neither a secret nor the file's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// `clouds` has no entry of this name.
    #[error("clouds.yaml has no cloud named {} (it has: {})", word(cloud), listed(known))]
    CloudNotFound {
        /// The requested entry.
        cloud: String,
        /// The existing entries, sorted.
        known: Vec<String>,
    },
    /// A value is missing or cannot be used.
    #[error("{} {problem}", word(field))]
    Invalid {
        /// The key, such as `auth.password` or `region_name`; `clouds.yaml` means the file as a whole.
        field: String,
        /// The fault and the remedy, as the rest of a sentence that begins with the field.
        problem: String,
    },
}

/// Information about an entry for users, in addition to its values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notes {
    /// The ignored keys, sorted. They include misspelled keys.
    pub ignored: Vec<String>,
    /// The key of a list whose first region is used because no region is set.
    pub first_of: Option<&'static str>,
}

impl CloudConfig {
    /// Parses the entry `cloud` of `yaml`.
    ///
    /// `cacert` is PEM text. The YAML's own keys `cacert` and `key` name files on another host and are not followed.
    /// `region` takes precedence over the entry's `region_name`. Unknown keys are ignored, as in openstacksdk.
    pub fn parse(yaml: &str, cloud: &str, cacert: Option<&str>, region: Option<&str>) -> Result<Self, ConfigError> {
        Self::parse_with_notes(yaml, cloud, cacert, region).map(|(config, _)| config)
    }

    /// [`CloudConfig::parse`], with notes for users.
    ///
    /// # Errors
    /// The errors of [`CloudConfig::parse`].
    pub fn parse_with_notes(
        yaml: &str,
        cloud: &str,
        cacert: Option<&str>,
        region: Option<&str>,
    ) -> Result<(Self, Notes), ConfigError> {
        let entry = Entry::read(yaml, cloud, region)?;
        let method = login::method(&entry)?;
        if let Some(refused) = entry.refused() {
            return Err(refused);
        }
        let auth = login::auth(&entry, method)?;
        let second_keys = login::second_keys(&entry, method)?;
        let config = Self {
            auth_url: place::auth_url(&entry)?,
            auth,
            region: entry.region.clone(),
            interfaces: place::interfaces(&entry, "interface", "endpoint_type")?.unwrap_or(vec![Interface::Public]),
            own_interfaces: place::own_interfaces(&entry)?,
            verify: checks_certificates(&entry)?,
            cacert: pem(cacert)?,
            overrides: place::overrides(&entry)?,
            signed: login::signed_services(&entry, second_keys.is_some() || method == login::Method::AccessKey)?,
            second_keys,
            entry: None,
        };
        place::signatures_fill_overrides(&config)?;
        place::has_one_region_and_known_types(&entry)?;
        let first_of = entry.first_of;
        Ok((config, Notes { ignored: entry.ignored(), first_of }))
    }

    /// The interfaces for calls to a service, in order of preference.
    pub(super) fn interfaces(&self, service: Service) -> &[Interface] {
        self.own_interfaces.get(&service).unwrap_or(&self.interfaces)
    }

    /// Keystone's host, with the port if the URL contains one.
    #[must_use]
    pub fn host(&self) -> String {
        let host = self.auth_url.host_str().unwrap_or_default();
        match self.auth_url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Keystone's host and port for the places of queries, without a dot at the end of the name. Clouds behind other ports
    /// of a host have places of their own: one that hangs takes none of theirs.
    #[must_use]
    pub(crate) fn called_host(&self) -> String {
        format!("{}:{}", host_of(&self.auth_url), self.auth_url.port_or_known_default().unwrap_or_default())
    }

    /// Whether the token's scope is the whole system instead of a project. Its catalogue lacks services whose addresses
    /// contain a project.
    #[must_use]
    pub fn is_system_scoped(&self) -> bool {
        let scope = match &self.auth {
            Auth::Password { scope, .. } | Auth::Token { scope, .. } | Auth::AccessKey { scope, .. } => scope,
            Auth::ApplicationCredential { .. } => return false,
        };
        *scope == Some(Scope::System)
    }

    /// The entry's access key.
    pub(super) fn keys(&self) -> Option<&Keys> {
        match &self.auth {
            Auth::AccessKey { keys, .. } => Some(keys),
            Auth::Password { .. } | Auth::ApplicationCredential { .. } | Auth::Token { .. } => {
                self.second_keys.as_ref()
            }
        }
    }

    /// Whether the calls of all services are signed, so that there is no token.
    #[must_use]
    pub fn signs_all(&self) -> bool {
        matches!(self.auth, Auth::AccessKey { .. })
    }

    /// The services whose calls are signed from the start.
    pub(super) fn signed_services(&self) -> BTreeSet<Service> {
        if self.signs_all() { Service::ALL.into() } else { self.signed.clone() }
    }

    /// Whether each probed service has an override, so that the catalogue is not needed.
    pub(super) fn needs_no_catalogue(&self) -> bool {
        Service::PROBED.into_iter().all(|service| self.overrides.contains_key(&service))
    }

    /// Whether both entries use the same Keystone.
    #[must_use]
    pub fn is_of_same_cloud(&self, other: &Self) -> bool {
        self.auth_url == other.auth_url
    }

    /// Returns the entry with this address for a service, unless it already has one.
    #[must_use]
    pub fn or_endpoint(mut self, service: Service, url: &Url) -> Self {
        self.overrides.entry(service).or_insert_with(|| url.to_string());
        self
    }

    /// Returns the entry with this region, unless it already names one.
    #[must_use]
    pub fn or_region(mut self, region: Option<&str>) -> Self {
        self.region = self.region.or_else(|| region.map(str::to_owned));
        self
    }

    /// Returns the entry with `cacert` shared instead of copied, if both texts are equal.
    #[must_use]
    pub fn sharing(mut self, cacert: Option<&Arc<str>>) -> Self {
        self.cacert = self.cacert.map(|own| own.sharing(cacert));
        self
    }

    /// The memory that the entry takes, in bytes (estimated). `cacert` counts for the Secret.
    pub fn kept_bytes(&self) -> usize {
        let own = |interfaces: &Vec<Interface>| ENTRY + interfaces.len();
        let overrides = self.overrides.values().map(|url| ENTRY + url.len());
        size_of::<Self>()
            + self.auth_url.as_str().len()
            + self.auth.kept_bytes()
            + self.second_keys.as_ref().map_or(0, Keys::kept_bytes)
            // A session has a copy.
            + self.keys().map_or(0, Keys::kept_bytes)
            + self.region.as_ref().map_or(0, String::len)
            + self.own_interfaces.values().map(own).chain(overrides).sum::<usize>()
    }

    /// The length of its `cacert`, in bytes.
    #[must_use]
    pub fn cacert_bytes(&self) -> usize {
        self.cacert.as_ref().map_or(0, |own| own.pem().len())
    }

    /// Whether the operator verifies the cloud's certificates.
    #[must_use]
    pub fn verifies(&self) -> bool {
        self.verify
    }

    /// Keystone's address.
    #[must_use]
    pub fn auth_url(&self) -> &Url {
        &self.auth_url
    }

    /// The region whose endpoints are used, if one is named.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }
}

fn invalid<T>(field: &str, problem: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError::Invalid { field: field.to_owned(), problem: problem.into() })
}

fn need(entry: &Entry, field: &str, keys: &[&str]) -> Result<String, ConfigError> {
    match entry.get(keys) {
        Some(value) => Ok(value.to_owned()),
        None => invalid(field, "is missing: add it to the cloud's entry"),
    }
}

fn checks_certificates(entry: &Entry) -> Result<bool, ConfigError> {
    Ok(truth(entry, "verify")?.unwrap_or(true) && !truth(entry, "insecure")?.unwrap_or(false))
}

fn truth(entry: &Entry, key: &str) -> Result<Option<bool>, ConfigError> {
    let Some(text) = entry.get(&[key]) else { return Ok(None) };
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(Some(true)),
        "false" | "no" | "off" | "0" => Ok(Some(false)),
        _ => invalid(key, "is not a truth value: use true or false"),
    }
}

/// In bytes. A system's complete bundle has about 230 KB.
const LONGEST_CACERT: usize = 512 << 10;

fn pem(text: Option<&str>) -> Result<Option<Bundle>, ConfigError> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return Ok(None);
    };
    if text.len() > LONGEST_CACERT {
        return invalid("cacert", "has more than 512 KiB: keep the authorities of this cloud's servers");
    }
    match Authorities::from_pem(text) {
        Ok(_) => Ok(Some(Bundle::from(text))),
        Err(error) => invalid("cacert", error.to_string()),
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
