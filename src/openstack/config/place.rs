//! Keystone's address, the region, the interfaces, and the endpoint overrides.

use std::collections::BTreeMap;

use url::Url;

use super::{CloudConfig, ConfigError, Interface, invalid};
use crate::openstack::{Service, yaml::Entry};

const NOT_PLAIN: &str = "is not a plain URL: give one with http or https, without user, password or query";

/// An absolute http or https URL without user and password. Trailing slashes are removed.
pub(crate) fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text.trim_end_matches('/')).ok()?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    plain.then_some(url)
}

pub(super) fn auth_url(entry: &Entry) -> Result<Url, ConfigError> {
    const FIELD: &str = "auth.auth_url";
    let Some(text) = entry.get(&["auth_url"]) else {
        return invalid(FIELD, "is missing: give Keystone's URL");
    };
    let text = with_region(FIELD, text, entry.region.as_deref())?;
    let Some(url) = web_url(&text) else { return invalid(FIELD, NOT_PLAIN) };
    let path = url.path().trim_end_matches('/');
    if path.ends_with("/v2.0") || path.ends_with("/v2") {
        return invalid(FIELD, "names version 2 of the identity API: replace it with v3");
    }
    let version = entry.get(&["identity_api_version"]).unwrap_or("3");
    if !version.trim_start_matches(['v', 'V']).starts_with('3') {
        return invalid("identity_api_version", "is not supported: set it to 3, or remove it");
    }
    Ok(with_version(url))
}

/// Keystone's address with its version, which the input may lack.
pub(crate) fn with_version(mut url: Url) -> Url {
    let path = url.path().trim_end_matches('/').to_owned();
    if !path.ends_with("/v3") {
        url.set_path(&format!("{path}/v3"));
    }
    url
}

/// Replaces `{region_name}`, as openstacksdk does.
///
/// The region may come from the CloudTenant, whose author may lack access to the Secret. It must not redirect the
/// credential to another host.
fn with_region(field: &str, text: &str, region: Option<&str>) -> Result<String, ConfigError> {
    const HOLDER: &str = "{region_name}";
    if !text.contains(['{', '}']) {
        return Ok(text.to_owned());
    }
    let is_plain = |region: &&str| region.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let text = match region {
        Some(region) if is_plain(&region) => text.replace(HOLDER, region),
        Some(_) if text.contains(HOLDER) => {
            return invalid(
                field,
                "holds {region_name}, and the region is more than letters, digits, - and _: write the URL out",
            );
        }
        None if text.contains(HOLDER) => {
            return invalid(field, "holds {region_name}, and nothing names a region: add region_name to the entry");
        }
        _ => text.to_owned(),
    };
    if text.contains(['{', '}']) {
        return invalid(field, "holds a place holder in braces that is not {region_name}: write the URL out");
    }
    Ok(text)
}

/// The interfaces in a key or in its older name; `None` if the entry has neither.
pub(super) fn interfaces(entry: &Entry, key: &str, older: &str) -> Result<Option<Vec<Interface>>, ConfigError> {
    let mut interfaces = Vec::new();
    // In openstacksdk the older key takes precedence.
    let names = entry.list(&[older, key]);
    for name in names {
        let interface = match name.as_str() {
            "public" | "publicURL" => Interface::Public,
            "internal" | "internalURL" => Interface::Internal,
            "admin" | "adminURL" => Interface::Admin,
            _ => return invalid(key, "is not known: use public, internal or admin"),
        };
        if !interfaces.contains(&interface) {
            interfaces.push(interface);
        }
    }
    Ok((!interfaces.is_empty()).then_some(interfaces))
}

pub(super) fn own_interfaces(entry: &Entry) -> Result<BTreeMap<Service, Vec<Interface>>, ConfigError> {
    let mut own = BTreeMap::new();
    for service in Service::PROBED {
        let (key, older) = (service.key("interface"), service.key("endpoint_type"));
        if let Some(interfaces) = interfaces(entry, &key, &older)? {
            own.insert(service, interfaces);
        }
    }
    Ok(own)
}

pub(super) fn overrides(entry: &Entry) -> Result<BTreeMap<Service, String>, ConfigError> {
    let mut overrides = BTreeMap::new();
    for service in Service::ALL {
        let key = service.key("endpoint_override");
        let Some(text) = entry.get(&[&key, &service.key("endpoint")]) else { continue };
        let text = with_region(&key, text, entry.region.as_deref())?;
        let example = with_token(&text, "x", "x");
        if example.contains("%(") {
            return invalid(&key, "holds a place holder that is not known: use %(project_id)s or %(user_id)s");
        }
        if web_url(&example).is_none() {
            return invalid(&key, NOT_PLAIN);
        }
        overrides.insert(service, text);
    }
    Ok(overrides)
}

/// Refuses `%(user_id)s` in overrides of an entry that only signs: only a token says who the user is.
pub(super) fn signatures_fill_overrides(config: &CloudConfig) -> Result<(), ConfigError> {
    let named = |(_, text): &(&Service, &String)| config.signs_all() && text.contains("%(user_id)s");
    match config.overrides.iter().find(named) {
        Some((service, _)) => invalid(
            &service.key("endpoint_override"),
            "holds %(user_id)s, which signatures do not give: write the ID out",
        ),
        None => Ok(()),
    }
}

/// Whether an override contains the token's project.
pub(crate) fn needs_project(text: &str) -> bool {
    with_token(text, "", "%(user_id)s") != text
}

/// Fills keystoneauth's placeholders in an override with the token's project and user.
pub(crate) fn with_token(text: &str, project: &str, user: &str) -> String {
    let holders = [("%(project_id)s", project), ("%(tenant_id)s", project), ("%(user_id)s", user)];
    holders.iter().fold(text.to_owned(), |text, (holder, value)| text.replace(holder, value))
}

/// With another region or type for one service, the address would not match the region in the status.
pub(super) fn has_one_region_and_known_types(entry: &Entry) -> Result<(), ConfigError> {
    for service in Service::PROBED {
        let key = service.key("region_name");
        if entry.get(&[&key]).is_some_and(|region| entry.region.as_deref() != Some(region)) {
            return invalid(
                &key,
                "is not the entry's region, and a CloudTenant reads one region: set region_name to it, or make a \
                 CloudTenant for each region",
            );
        }
        let key = service.key("service_type");
        if entry.get(&[&key]).is_some_and(|kind| !service.row().types.contains(&kind)) {
            let instead = service.key("endpoint_override");
            return invalid(&key, format!("is not supported: set {instead} instead, or remove the key"));
        }
    }
    Ok(())
}
