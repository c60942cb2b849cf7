//! The credential and the scope of a login.

use std::collections::BTreeSet;

use super::{Auth, ConfigError, CredentialRef, Domain, Named, Scope, invalid, need, truth};
use crate::openstack::{Secret, Service, signature::Keys, yaml::Entry};

/// The authentication method of the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Password,
    ApplicationCredential,
    Token,
    AccessKey,
}

const PROJECT_ID: [&str; 2] = ["project_id", "tenant_id"];
const PROJECT_NAME: [&str; 2] = ["project_name", "tenant_name"];
/// As in python-otcextensions, the longer name wins.
const ACCESS_KEY: [&str; 2] = ["access_key", "ak"];
const SECRET_KEY: [&str; 2] = ["secret_key", "sk"];
const SECURITY_TOKEN: [&str; 1] = ["security_token"];

/// The method in `auth_type`, or else the method for which the entry has a secret.
pub(super) fn method(entry: &Entry) -> Result<Method, ConfigError> {
    match entry.get(&["auth_type", "auth_plugin"]) {
        Some("password" | "v3password") => return Ok(Method::Password),
        Some("v3applicationcredential") => return Ok(Method::ApplicationCredential),
        Some("token" | "v3token") => return Ok(Method::Token),
        Some("aksk") => return Ok(Method::AccessKey),
        Some(_) => {
            return invalid("auth_type", "is not supported: use v3applicationcredential, v3password, v3token or aksk");
        }
        None => {}
    }
    let credential = ["application_credential_id", "application_credential_name", "application_credential_secret"];
    let given = [
        (Method::ApplicationCredential, &credential[..]),
        (Method::Token, &["token", "auth_token"]),
        (Method::Password, &["password"]),
    ];
    let mut given = given.iter().filter(|(_, keys)| entry.get(keys).is_some());
    match (given.next(), given.next()) {
        (Some(_), Some(_)) => invalid(
            "auth_type",
            "is missing, and the entry has more than one of password, token and application credential: name the one \
             that is meant",
        ),
        (Some((method, _)), None) => Ok(*method),
        // Beside another credential, an access key is for services that accept no token.
        (None, _) if entry.get(&ACCESS_KEY).or_else(|| entry.get(&SECRET_KEY)).is_some() => Ok(Method::AccessKey),
        (None, _) => Ok(Method::Password),
    }
}

pub(super) fn auth(entry: &Entry, method: Method) -> Result<Auth, ConfigError> {
    if truth(entry, "unscoped")? == Some(true) {
        return invalid("auth.unscoped", "asks for a token for no project, which can read nothing: remove it");
    }
    match method {
        Method::Password => Ok(Auth::Password {
            user: user(entry)?,
            password: need(entry, "auth.password", &["password"])?.into(),
            scope: scope(entry)?,
        }),
        Method::ApplicationCredential => {
            has_no_scope(entry)?;
            Ok(Auth::ApplicationCredential {
                credential: match entry.get(&["application_credential_id"]) {
                    Some(id) => CredentialRef::Id(id.to_owned()),
                    None => CredentialRef::Name {
                        name: need(entry, "auth.application_credential_id", &["application_credential_name"])?,
                        user: user(entry)?,
                    },
                },
                secret: need(entry, "auth.application_credential_secret", &["application_credential_secret"])?.into(),
            })
        }
        Method::AccessKey => Ok(Auth::AccessKey { keys: keys(entry)?, scope: signed_scope(entry)? }),
        Method::Token => {
            Ok(Auth::Token { token: need(entry, "auth.token", &["token", "auth_token"])?.into(), scope: scope(entry)? })
        }
    }
}

/// The access key beside another credential.
pub(super) fn second_keys(entry: &Entry, method: Method) -> Result<Option<Keys>, ConfigError> {
    let all = [&ACCESS_KEY[..], &SECRET_KEY, &SECURITY_TOKEN];
    let has_any = all.iter().any(|names| entry.get(names).is_some());
    (has_any && method != Method::AccessKey).then(|| keys(entry)).transpose()
}

fn keys(entry: &Entry) -> Result<Keys, ConfigError> {
    const ODD: &str = "has characters that no access key has: correct it, and remove spaces";
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    let access = need(entry, "access_key", &ACCESS_KEY)?;
    let secret = need(entry, "secret_key", &SECRET_KEY)?;
    let security_token = entry.get(&SECURITY_TOKEN).map(str::to_owned);
    if !is_plain(&access) {
        return invalid("access_key", ODD);
    }
    if !security_token.as_deref().is_none_or(is_plain) {
        return invalid("security_token", ODD);
    }
    let security_token = security_token.map(Secret::from);
    Ok(Keys { access: access.into(), secret: secret.into(), security_token })
}

/// The services whose calls are signed although the entry has another credential.
pub(super) fn signed_services(entry: &Entry, has_keys: bool) -> Result<BTreeSet<Service>, ConfigError> {
    let mut signed = BTreeSet::new();
    for service in Service::PROBED {
        let key = service.key("auth_type");
        match entry.get(&[&key]) {
            None => {}
            Some("aksk") if has_keys => {
                signed.insert(service);
            }
            Some("aksk") => return invalid(&key, "needs an access key: add access_key and secret_key to the entry"),
            Some(_) => return invalid(&key, "is not supported: use aksk, or remove the key"),
        }
    }
    Ok(signed)
}

/// The scope of signed requests. A project's name needs no domain: an access key belongs to one account.
fn signed_scope(entry: &Entry) -> Result<Option<Scope>, ConfigError> {
    for key in ["system_scope", "trust_id"] {
        if entry.get(&[key]).is_some() {
            return invalid(&format!("auth.{key}"), "cannot stand beside an access key: name a project instead");
        }
    }
    match (entry.get(&PROJECT_ID), entry.get(&PROJECT_NAME)) {
        (None, Some(name)) => Ok(Some(Scope::ProjectOfAccount(name.to_owned()))),
        _ => scope(entry),
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

/// The keys of the entry that set a scope.
///
/// With a project, `domain_id` and `domain_name` are the domain of user and project, as in openstacksdk.
fn scope_keys(entry: &Entry) -> Vec<&'static str> {
    let has = |key: &&'static str| entry.get(&[*key]).is_some();
    let project = PROJECT_ID.into_iter().chain(PROJECT_NAME).find(has);
    let domain = ["domain_id", "domain_name"].into_iter().find(has).filter(|_| project.is_none());
    let others = ["trust_id", "system_scope"].into_iter().filter(has);
    project.into_iter().chain(domain).chain(others).collect()
}

/// Keystone refuses an application credential together with a scope.
fn has_no_scope(entry: &Entry) -> Result<(), ConfigError> {
    match scope_keys(entry)[..] {
        [] => Ok(()),
        [key, ..] => invalid(
            &format!("auth.{key}"),
            "cannot stand beside an application credential, which is for one project already: remove the key",
        ),
    }
}

fn scope(entry: &Entry) -> Result<Option<Scope>, ConfigError> {
    if let [one, other, ..] = scope_keys(entry)[..] {
        return invalid(
            &format!("auth.{other}"),
            format!("cannot stand beside {one}, since a token has one scope: keep the one that is meant"),
        );
    }
    match entry.get(&["system_scope"]) {
        None => {}
        Some("all") => return Ok(Some(Scope::System)),
        Some(_) => return invalid("system_scope", "is not known: use all, or name a project"),
    }
    if let Some(id) = entry.get(&["trust_id"]) {
        return Ok(Some(Scope::Trust(id.to_owned())));
    }
    if let Some(id) = entry.get(&PROJECT_ID) {
        return Ok(Some(Scope::Project(Named::Id(id.to_owned()))));
    }
    if let Some(name) = entry.get(&PROJECT_NAME) {
        return Ok(Some(Scope::Project(Named::Name {
            name: name.to_owned(),
            domain: domain(entry, "auth.project_domain_name", "project_domain")?,
        })));
    }
    let id = entry.get(&["domain_id"]).map(|id| Domain::Id(id.into()));
    let name = || entry.get(&["domain_name"]).map(|name| Domain::Name(name.into()));
    // Without a scope, Keystone uses the user's default project if there is one.
    Ok(id.or_else(name).map(Scope::Domain))
}

/// The domain of a user or project.
///
/// As in openstacksdk, `domain_*` replaces a missing domain if the entry names a project. The short login types use
/// `default_domain_*` in the same case. An ID takes precedence over a name. If these rules find no domain, any other
/// domain of the entry is used, because Keystone refuses a login without one.
fn domain(entry: &Entry, field: &str, own: &str) -> Result<Domain, ConfigError> {
    let id = |key: &str| entry.get(&[key]).map(|id| Domain::Id(id.to_owned()));
    let name = |key: &str| entry.get(&[key]).map(|name| Domain::Name(name.to_owned()));
    let has_project = entry.get(&PROJECT_ID).or_else(|| entry.get(&PROJECT_NAME)).is_some();
    let reads_default = matches!(entry.get(&["auth_type", "auth_plugin"]), None | Some("password" | "token"));
    let found = id(&format!("{own}_id"))
        .or_else(|| id("domain_id").filter(|_| has_project))
        .or_else(|| id("default_domain_id").filter(|_| reads_default))
        .or_else(|| name(&format!("{own}_name")))
        .or_else(|| name("domain_name").filter(|_| has_project))
        .or_else(|| name("default_domain_name"))
        .or_else(|| id("default_domain_id"))
        .or_else(|| id("default_domain"))
        .or_else(|| id("domain_id"))
        .or_else(|| name("domain_name"));
    match found {
        Some(domain) => Ok(domain),
        None => invalid(field, "is missing: a name is unique only within a domain, so add it, often as Default"),
    }
}
