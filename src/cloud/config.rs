//! openstacksdk's `clouds.yaml`, as far as a pod can follow it.

use std::collections::BTreeMap;

use url::Url;

use super::yaml::Entry;
use super::{Secret, Service};
use crate::trust::Authorities;

/// One entry of a `clouds.yaml`, checked and complete.
///
/// Two that are equal are the same cloud seen by the same user: they may share a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CloudConfig {
    /// Ends in `/v3`.
    pub(super) auth_url: Url,
    pub(super) auth: Auth,
    pub(super) region: Option<String>,
    pub(super) interface: Interface,
    pub(super) verify: bool,
    /// PEM, from the Secret.
    pub(super) cacert: Option<String>,
    /// Endpoints that stand in for the catalogue's; they may hold `%(project_id)s`.
    pub(super) overrides: BTreeMap<Service, String>,
}

/// What is sent to Keystone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Auth {
    Password {
        user: Named,
        password: Secret,
        scope: Option<Scope>,
    },
    ApplicationCredential {
        /// The owner is given where the credential is named.
        credential: Credential,
        secret: Secret,
    },
    Token {
        token: Secret,
        scope: Option<Scope>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Credential {
    Id(String),
    Name { name: String, user: Named },
}

/// A user or a project: by id, or by a name within a domain.
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
    Domain(Domain),
    /// The whole cloud.
    System,
}

/// Which of a service's addresses is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Interface {
    Public,
    Internal,
    Admin,
}

impl Interface {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Interface::Public => "public",
            Interface::Internal => "internal",
            Interface::Admin => "admin",
        }
    }
}

/// Why a `clouds.yaml` cannot be used. Neither a secret nor the file's text is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is no such entry below `clouds`.
    #[error("clouds.yaml has no cloud named {cloud} (it has: {})", known.join(", "))]
    CloudNotFound {
        /// The entry that was asked for.
        cloud: String,
        /// The entries that are there, sorted.
        known: Vec<String>,
    },
    /// A value is missing or cannot be used.
    #[error("{field} {problem}")]
    Invalid {
        /// The key, as `auth.password` or `region_name`; `clouds.yaml` for the file as a whole.
        field: String,
        /// What is wrong and what to do, the rest of a sentence that begins with the field.
        problem: String,
    },
}

impl CloudConfig {
    /// Reads the entry `cloud` of `yaml`.
    ///
    /// `cacert` is PEM; what `cacert`, `cert` and `key` of the YAML name are files elsewhere and are not followed.
    /// `region` stands above the entry's `region_name`. Unknown keys are ignored, as openstacksdk does.
    pub fn parse(
        yaml: &str,
        cloud: &str,
        cacert: Option<&str>,
        region: Option<&str>,
    ) -> Result<CloudConfig, ConfigError> {
        let entry = Entry::read(yaml, cloud)?;
        Ok(CloudConfig {
            auth_url: auth_url(&entry)?,
            auth: auth(&entry)?,
            region: region
                .filter(|region| !region.is_empty())
                .or_else(|| entry.get(&["region_name"]))
                .map(str::to_owned),
            interface: interface(&entry)?,
            verify: verify(&entry)?,
            cacert: pem(cacert)?,
            overrides: overrides(&entry)?,
        })
    }

    /// Keystone's host, with the port where the URL names one.
    pub fn host(&self) -> String {
        let host = self.auth_url.host_str().unwrap_or_default();
        match self.auth_url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Whether the token will be for the whole cloud rather than for a project. Its catalogue lacks the services
    /// whose addresses need a project.
    pub fn is_system_scoped(&self) -> bool {
        let scope = match &self.auth {
            Auth::Password { scope, .. } | Auth::Token { scope, .. } => scope,
            Auth::ApplicationCredential { .. } => return false,
        };
        *scope == Some(Scope::System)
    }

    /// Whether both entries log in at the same Keystone.
    pub fn is_of_same_cloud(&self, other: &CloudConfig) -> bool {
        self.auth_url == other.auth_url
    }

    /// The same entry with this address for a service, unless it has one of its own.
    #[must_use]
    pub fn or_endpoint(mut self, service: Service, url: &Url) -> CloudConfig {
        self.overrides.entry(service).or_insert_with(|| url.to_string());
        self
    }

    /// The keys of the entry that are ignored, sorted. A typing error is among them.
    ///
    /// # Errors
    /// As [`CloudConfig::parse`].
    pub fn ignored_keys(yaml: &str, cloud: &str) -> Result<Vec<String>, ConfigError> {
        Ok(Entry::read(yaml, cloud)?.ignored)
    }

    /// Whether the cloud's certificates are checked.
    pub fn verifies(&self) -> bool {
        self.verify
    }

    /// Keystone's own address.
    pub fn auth_url(&self) -> &Url {
        &self.auth_url
    }

    /// The region whose endpoints are used, if one is named.
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

/// An absolute http or https URL without user and password, its trailing slashes removed.
pub(super) fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text.trim_end_matches('/')).ok()?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    plain.then_some(url)
}

fn auth_url(entry: &Entry) -> Result<Url, ConfigError> {
    const FIELD: &str = "auth.auth_url";
    let Some(text) = entry.get(&["auth_url"]) else {
        let problem = if entry.get(&["profile", "vendor"]).is_some() {
            "is missing: give Keystone's URL, since profiles of vendors are not followed"
        } else {
            "is missing: give Keystone's URL"
        };
        return invalid(FIELD, problem);
    };
    let Some(url) = web_url(text) else {
        return invalid(FIELD, "is not a plain URL: give one with http or https, without user, password or query");
    };
    let path = url.path().trim_end_matches('/');
    if path.ends_with("/v2.0") || path.ends_with("/v2") {
        return invalid(FIELD, "names version 2 of the identity API: replace it with v3");
    }
    Ok(with_version(url))
}

/// Keystone's address with its version, whether it was given with or without.
pub(super) fn with_version(mut url: Url) -> Url {
    let path = url.path().trim_end_matches('/').to_owned();
    if !path.ends_with("/v3") {
        url.set_path(&format!("{path}/v3"));
    }
    url
}

fn auth(entry: &Entry) -> Result<Auth, ConfigError> {
    let has = |keys: &[&str]| entry.get(keys).is_some();
    let auth_type = match entry.get(&["auth_type"]) {
        Some(auth_type) => auth_type,
        // As openstacksdk, which also infers the token; the credential is ours.
        None if has(&["application_credential_id", "application_credential_secret"]) => "v3applicationcredential",
        None if has(&["token", "auth_token"]) && !has(&["password"]) => "v3token",
        None => "v3password",
    };
    match auth_type {
        "password" | "v3password" => Ok(Auth::Password {
            user: user(entry)?,
            password: need(entry, "auth.password", &["password"])?.into(),
            scope: scope(entry)?,
        }),
        "v3applicationcredential" => Ok(Auth::ApplicationCredential {
            credential: match entry.get(&["application_credential_id"]) {
                Some(id) => Credential::Id(id.to_owned()),
                None => Credential::Name {
                    name: need(entry, "auth.application_credential_id", &["application_credential_name"])?,
                    user: user(entry)?,
                },
            },
            secret: need(entry, "auth.application_credential_secret", &["application_credential_secret"])?.into(),
        }),
        "token" | "v3token" => {
            Ok(Auth::Token { token: need(entry, "auth.token", &["token", "auth_token"])?.into(), scope: scope(entry)? })
        }
        _ => invalid("auth_type", "is not supported: use v3applicationcredential, v3password or v3token"),
    }
}

fn user(entry: &Entry) -> Result<Named, ConfigError> {
    if let Some(id) = entry.get(&["user_id"]) {
        return Ok(Named::Id(id.to_owned()));
    }
    Ok(Named::Name {
        name: need(entry, "auth.username", &["username", "user_name"])?,
        domain: domain(entry, "auth.user_domain_name", "user_domain")?,
    })
}

fn scope(entry: &Entry) -> Result<Option<Scope>, ConfigError> {
    match entry.get(&["system_scope"]) {
        None => {}
        Some("all") => return Ok(Some(Scope::System)),
        Some(_) => return invalid("system_scope", "is not known: use all, or name a project"),
    }
    if let Some(id) = entry.get(&["project_id", "tenant_id"]) {
        return Ok(Some(Scope::Project(Named::Id(id.to_owned()))));
    }
    if let Some(name) = entry.get(&["project_name", "tenant_name"]) {
        return Ok(Some(Scope::Project(Named::Name {
            name: name.to_owned(),
            domain: domain(entry, "auth.project_domain_name", "project_domain")?,
        })));
    }
    let id = entry.get(&["domain_id"]).map(|id| Domain::Id(id.into()));
    let name = || entry.get(&["domain_name"]).map(|name| Domain::Name(name.into()));
    // None of them: Keystone takes the user's default project, if there is one.
    Ok(id.or_else(name).map(Scope::Domain))
}

/// The domain of a user or project: its own, else `domain_*`, else `default_domain*`, as openstacksdk falls back.
fn domain(entry: &Entry, field: &str, own: &str) -> Result<Domain, ConfigError> {
    let id = |key: &str| entry.get(&[key]).map(|id| Domain::Id(id.to_owned()));
    let name = |key: &str| entry.get(&[key]).map(|name| Domain::Name(name.to_owned()));
    let found = id(&format!("{own}_id"))
        .or_else(|| name(&format!("{own}_name")))
        .or_else(|| id("domain_id"))
        .or_else(|| name("domain_name"))
        .or_else(|| id("default_domain_id"))
        .or_else(|| name("default_domain_name"))
        .or_else(|| id("default_domain"));
    match found {
        Some(domain) => Ok(domain),
        None => invalid(field, "is missing: a name is unique only within a domain, so add it, often as Default"),
    }
}

fn interface(entry: &Entry) -> Result<Interface, ConfigError> {
    match entry.get(&["interface", "endpoint_type"]) {
        None | Some("public" | "publicURL") => Ok(Interface::Public),
        Some("internal" | "internalURL") => Ok(Interface::Internal),
        Some("admin" | "adminURL") => Ok(Interface::Admin),
        Some(_) => invalid("interface", "is not known: use public, internal or admin"),
    }
}

fn verify(entry: &Entry) -> Result<bool, ConfigError> {
    let text = entry.get(&["verify"]).unwrap_or("true");
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => invalid("verify", "is not a truth value: use true or false"),
    }
}

fn pem(text: Option<&str>) -> Result<Option<String>, ConfigError> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return Ok(None);
    };
    match Authorities::from_pem(text) {
        Ok(_) => Ok(Some(text.to_owned())),
        Err(error) => invalid("cacert", error.to_string()),
    }
}

fn overrides(entry: &Entry) -> Result<BTreeMap<Service, String>, ConfigError> {
    let mut overrides = BTreeMap::new();
    for service in Service::ALL {
        let key = match service {
            Service::Identity => "identity_endpoint_override",
            Service::Orchestration => "orchestration_endpoint_override",
            Service::Cache => "dcs_endpoint_override",
            Service::Compute => "compute_endpoint_override",
        };
        let Some(text) = entry.get(&[key]) else {
            continue;
        };
        if web_url(&with_project(text, "x")).is_none() {
            return invalid(key, "is not a plain URL: give one with http or https, without user, password or query");
        }
        overrides.insert(service, text.to_owned());
    }
    Ok(overrides)
}

/// An override with the token's project in keystoneauth's place holders.
pub(super) fn with_project(text: &str, project: &str) -> String {
    ["%(project_id)s", "%(tenant_id)s"].iter().fold(text.to_owned(), |text, holder| text.replace(holder, project))
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
