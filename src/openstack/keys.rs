//! The keys of an entry in clouds.yaml, and how the operator treats each of them.
//!
//! The table has every key that openstacksdk 4.18 and keystoneauth 5.14 read from an entry. `docs/clouds-yaml.md` is
//! generated from it. The operator ignores any other key, as openstacksdk does.

use Place::{Auth, AuthOnly, Entry, Moved, Prefix, Service, Suffix};
use Treatment::{Harmless, Honoured, Refused};

/// Where openstacksdk reads a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Below `auth` or beside it; the value below `auth` takes precedence.
    Auth,
    /// Below `auth` or beside it; the value beside `auth` takes precedence. openstacksdk moves these keys first.
    Moved,
    /// Below `auth` only. Beside it the key has another meaning.
    AuthOnly,
    /// Beside `auth`.
    Entry,
    /// Beside `auth`, after the name of a probed service and an underscore.
    Service,
    /// Beside `auth`, after the name of any service and an underscore.
    Suffix,
    /// Beside `auth`, in front of the name of any service.
    Prefix,
}

/// How the operator treats a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    /// The operator reads the key; the text describes its effect.
    Honoured(&'static str),
    /// The operator refuses the entry; the text is the rest of a sentence that begins with the key.
    Refused(&'static str),
    /// The operator ignores the key, because it changes neither rights nor addresses; the text gives the reason.
    Harmless(&'static str),
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Key {
    /// Spelled with underscores; hyphens are equivalent.
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) treatment: Treatment,
}

const OTHER_LOGIN: &str =
    "belongs to a login that is not supported: use a password, an application credential, a token or an access key";
const PROFILE: &str = "is not followed: write what the profile supplies, such as auth_url, region_name and interface, \
                       into the entry, and remove the key";
const USER_DOMAIN: &str = "The user's domain. An ID wins over a name.";
const PROJECT: &str = "The project that the token is for. An ID wins over a name.";
const PROJECT_DOMAIN: &str = "The project's domain. An ID wins over a name.";
const DOMAIN: &str = "With a project: the domain of user and project, unless they have their own. Without: the token \
                      is for the domain.";
const DEFAULT_DOMAIN: &str = "The domain of user and project, unless they have their own.";
const CREDENTIAL: &str = "An application credential: by ID, or by name with its user; and its secret.";
const ACCESS_KEY: &str = "The access key and its secret key (AK/SK), which sign requests. Beside another credential they \
                          are for services that accept no token.";
const INTERFACES: &str = "`public`, `internal` or `admin`, or a list of these in order of preference. \
                          `endpoint_type` wins over `interface`.";
const NETWORKS: &str = "The operator uses no networks.";
const OTHER_SERVICE: &str = "The operator does not use these services. It calls Keystone at `auth_url`.";
const CLIENT: &str = "The operator has its own deadlines and retries.";

/// All keys, in the order of the documentation.
pub(super) const KEYS: &[Key] = &[
    key("auth_url", Auth, Honoured("Keystone's URL, with or without `/v3`. `{region_name}` means the region.")),
    key("username", Auth, Honoured("The user's name, which needs the user's domain.")),
    key("user_name", Auth, Honoured("The older name of `username`.")),
    key("user_id", Auth, Honoured("Wins over `username`.")),
    key("password", Auth, Honoured("The user's password.")),
    key("user_domain_id", Moved, Honoured(USER_DOMAIN)),
    key("user_domain_name", Moved, Honoured(USER_DOMAIN)),
    key("project_id", Moved, Honoured(PROJECT)),
    key("project_name", Moved, Honoured(PROJECT)),
    key("tenant_id", Moved, Honoured("The older name of `project_id`.")),
    key("tenant_name", Moved, Honoured("The older name of `project_name`.")),
    key("project_domain_id", Moved, Honoured(PROJECT_DOMAIN)),
    key("project_domain_name", Moved, Honoured(PROJECT_DOMAIN)),
    key("domain_id", Moved, Honoured(DOMAIN)),
    key("domain_name", Moved, Honoured(DOMAIN)),
    key("default_domain_id", Auth, Honoured(DEFAULT_DOMAIN)),
    key("default_domain_name", Auth, Honoured(DEFAULT_DOMAIN)),
    key("default_domain", Auth, Honoured("As `default_domain_id`, for files of python-openstackclient.")),
    key("system_scope", Auth, Honoured("`all`: the token is for the whole system.")),
    key("trust_id", Auth, Honoured("The token is for the trust's project, with the roles that the trust delegates.")),
    key("application_credential_id", Auth, Honoured(CREDENTIAL)),
    key("application_credential_name", Auth, Honoured(CREDENTIAL)),
    key("application_credential_secret", Auth, Honoured(CREDENTIAL)),
    key("token", Moved, Honoured("A token of Keystone, which is exchanged for one in the entry's scope.")),
    key("auth_token", Moved, Honoured("The older name of `token`.")),
    key("access_key", Auth, Honoured(ACCESS_KEY)),
    key("ak", Auth, Honoured("The short name of `access_key`.")),
    key("secret_key", Auth, Honoured("The secret key of `access_key`.")),
    key("sk", Auth, Honoured("The short name of `secret_key`.")),
    key("security_token", Auth, Honoured("The third part of a temporary access key. It is signed and sent, too.")),
    key("unscoped", AuthOnly, Honoured("`false` only. A token for no project can read nothing, so `true` is refused.")),
    key(
        "auth_type",
        Entry,
        Honoured(
            "`v3applicationcredential`, `v3password` or `password`, `v3token` or `token`, `aksk`. Other types are \
             refused. Without it the credential decides.",
        ),
    ),
    key("auth_plugin", Entry, Honoured("The older name of `auth_type`.")),
    key("region_name", Entry, Honoured("The region whose endpoints are used. Of several the first.")),
    key(
        "regions",
        Entry,
        Honoured(
            "Names of regions, or mappings of `name` and `values`. Without `region_name` and `spec.region` the first \
             is used. The region's `values` win over the entry's.",
        ),
    ),
    key("interface", Entry, Honoured(INTERFACES)),
    key("endpoint_type", Entry, Honoured(INTERFACES)),
    key("verify", Entry, Honoured("`false`: certificates are not checked.")),
    key("insecure", Entry, Honoured("`true`: certificates are not checked, whatever `verify` says.")),
    key("identity_api_version", Entry, Honoured("`3` only.")),
    key("identity_endpoint_override", Entry, Honoured("Keystone's URL for other calls than the login.")),
    key("identity_endpoint", Entry, Honoured("The older name of `identity_endpoint_override`.")),
    key("interface", Service, Honoured("As `interface`, for this service.")),
    key("endpoint_type", Service, Honoured("As `endpoint_type`, for this service.")),
    key(
        "endpoint_override",
        Service,
        Honoured(
            "The service's URL in place of the catalogue's. `%(project_id)s`, `%(tenant_id)s` and `%(user_id)s` stand \
             for the token's project and user, `{region_name}` for the region.",
        ),
    ),
    key(
        "auth_type",
        Service,
        Honoured(
            "`aksk` only: the service's calls are signed from the start, although the entry has another credential.",
        ),
    ),
    key("endpoint", Service, Honoured("The older name of `endpoint_override`.")),
    key("region_name", Service, Honoured("Only the entry's region: a CloudTenant reads one region.")),
    key("service_type", Service, Honoured("Only the type that the operator uses.")),
    key("passcode", Moved, Refused(OTHER_LOGIN)),
    key("auth_methods", Auth, Refused(OTHER_LOGIN)),
    key("identity_provider", AuthOnly, Refused(OTHER_LOGIN)),
    key("identity_provider_url", AuthOnly, Refused(OTHER_LOGIN)),
    key("protocol", AuthOnly, Refused(OTHER_LOGIN)),
    key("client_id", AuthOnly, Refused(OTHER_LOGIN)),
    key("client_secret", AuthOnly, Refused(OTHER_LOGIN)),
    key("openid_scope", AuthOnly, Refused(OTHER_LOGIN)),
    key("scope", AuthOnly, Refused(OTHER_LOGIN)),
    key("access_token", AuthOnly, Refused(OTHER_LOGIN)),
    key("access_token_endpoint", AuthOnly, Refused(OTHER_LOGIN)),
    key("access_token_type", AuthOnly, Refused(OTHER_LOGIN)),
    key("discovery_endpoint", AuthOnly, Refused(OTHER_LOGIN)),
    key("device_authorization_endpoint", AuthOnly, Refused(OTHER_LOGIN)),
    key("code_challenge_method", AuthOnly, Refused(OTHER_LOGIN)),
    key("redirect_uri", AuthOnly, Refused(OTHER_LOGIN)),
    key("code", AuthOnly, Refused(OTHER_LOGIN)),
    key("authorization_code", AuthOnly, Refused(OTHER_LOGIN)),
    key("idp_otp_key", AuthOnly, Refused(OTHER_LOGIN)),
    key("service_provider_endpoint", AuthOnly, Refused(OTHER_LOGIN)),
    key("service_provider_entity_id", AuthOnly, Refused(OTHER_LOGIN)),
    key("mutual_auth", AuthOnly, Refused(OTHER_LOGIN)),
    key("consumer_key", AuthOnly, Refused(OTHER_LOGIN)),
    key("consumer_secret", AuthOnly, Refused(OTHER_LOGIN)),
    key("access_secret", AuthOnly, Refused(OTHER_LOGIN)),
    key("oauth2_endpoint", AuthOnly, Refused(OTHER_LOGIN)),
    key("oauth2_client_id", AuthOnly, Refused(OTHER_LOGIN)),
    key("oauth2_client_secret", AuthOnly, Refused(OTHER_LOGIN)),
    key("endpoint", AuthOnly, Refused(OTHER_LOGIN)),
    key("url", AuthOnly, Refused(OTHER_LOGIN)),
    key("profile", Entry, Refused(PROFILE)),
    key("cloud", Entry, Refused(PROFILE)),
    key(
        "cert",
        Entry,
        Refused(
            "names a client certificate, which is not supported: use a credential that needs none, and remove the key",
        ),
    ),
    key(
        "service_name",
        Service,
        Refused("is not supported: set this service's endpoint override instead, or remove the key"),
    ),
    key("reauthenticate", AuthOnly, Harmless("The operator always renews its token.")),
    key("include_catalog", AuthOnly, Harmless("The operator always requests the catalogue.")),
    key("cacert", Entry, Harmless("The operator does not read it: put the authority into the Secret's key `cacert`.")),
    key("key", Entry, Harmless("Has no effect without `cert`, which is refused.")),
    key("api_timeout", Entry, Harmless(CLIENT)),
    key("timeout", Entry, Harmless(CLIENT)),
    key("timing", Entry, Harmless(CLIENT)),
    key("connect_retries", Entry, Harmless(CLIENT)),
    key("connect_retry_delay", Entry, Harmless(CLIENT)),
    key("status_code_retries", Entry, Harmless(CLIENT)),
    key("rate_limit", Entry, Harmless(CLIENT)),
    key("concurrency", Entry, Harmless(CLIENT)),
    key("force_ipv4", Entry, Harmless("The operator uses every address of the host's name.")),
    key("prefer_ipv6", Entry, Harmless("The operator uses every address of the host's name.")),
    key("cache", Entry, Harmless("The operator caches nothing on disk.")),
    key("metrics", Entry, Harmless("The operator has metrics of its own.")),
    key("additional_metric_tags", Entry, Harmless("The operator has metrics of its own.")),
    key("status", Entry, Harmless("Information about a profile.")),
    key("message", Entry, Harmless("Information about a profile.")),
    key("vendor_hook", Entry, Harmless("Code that adds services to openstacksdk.")),
    key("networks", Entry, Harmless(NETWORKS)),
    key("external_network", Entry, Harmless(NETWORKS)),
    key("internal_network", Entry, Harmless(NETWORKS)),
    key("use_external_network", Entry, Harmless(NETWORKS)),
    key("use_internal_network", Entry, Harmless(NETWORKS)),
    key("private", Entry, Harmless(NETWORKS)),
    key("floating_ip_source", Entry, Harmless(NETWORKS)),
    key("requires_floating_ip", Entry, Harmless(NETWORKS)),
    key("secgroup_source", Entry, Harmless(NETWORKS)),
    key("image_format", Entry, Harmless("The operator uses no images.")),
    key("image_api_use_tasks", Entry, Harmless("The operator uses no images.")),
    key("disable_vendor_agent", Entry, Harmless("The operator uses no images.")),
    key("has_", Prefix, Harmless("`spec.probes` decides which services the operator probes.")),
    key("disabled_reason", Suffix, Harmless("`spec.probes` decides which services the operator probes.")),
    key("api_version", Suffix, Harmless("The operator takes the version from the service's URL.")),
    key("default_microversion", Suffix, Harmless("The operator requests the microversion that it needs.")),
    key("connect_retries", Suffix, Harmless(CLIENT)),
    key("connect_retry_delay", Suffix, Harmless(CLIENT)),
    key("status_code_retries", Suffix, Harmless(CLIENT)),
    key("timeout", Suffix, Harmless(CLIENT)),
    key("interface", Suffix, Harmless(OTHER_SERVICE)),
    key("endpoint_type", Suffix, Harmless(OTHER_SERVICE)),
    key("region_name", Suffix, Harmless(OTHER_SERVICE)),
    key("service_type", Suffix, Harmless(OTHER_SERVICE)),
    key("service_name", Suffix, Harmless(OTHER_SERVICE)),
    key("endpoint_override", Suffix, Harmless(OTHER_SERVICE)),
    key("endpoint", Suffix, Harmless(OTHER_SERVICE)),
];

const fn key(name: &'static str, place: Place, treatment: Treatment) -> Key {
    Key { name, place, treatment }
}

/// The most specific row for a key below `auth` or beside it.
pub(super) fn find(below_auth: bool, name: &str) -> Option<&'static Key> {
    let matches = |key: &&Key| match key.place {
        Auth | Moved => key.name == name,
        AuthOnly => below_auth && key.name == name,
        Entry => !below_auth && key.name == name,
        Service => !below_auth && service_of(name, key.name).is_some_and(is_probed),
        Suffix => !below_auth && service_of(name, key.name).is_some_and(|service| !service.is_empty()),
        Prefix => !below_auth && name.strip_prefix(key.name).is_some_and(|service| !service.is_empty()),
    };
    KEYS.iter().find(matches)
}

/// Whether openstacksdk moves the key into `auth` first, so that the value beside `auth` takes precedence.
pub(super) fn is_moved(name: &str) -> bool {
    find(true, name).is_some_and(|key| key.place == Moved)
}

fn is_probed(name: &str) -> bool {
    super::Service::PROBED.into_iter().any(|service| service.row().key_prefix == name)
}

fn service_of<'a>(name: &'a str, key: &str) -> Option<&'a str> {
    name.strip_suffix(key)?.strip_suffix('_')
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

    use super::*;

    /// The key's spelling in the documentation.
    fn spelled(key: &Key) -> Vec<String> {
        match key.place {
            AuthOnly => vec![format!("auth.{}", key.name)],
            Service => crate::openstack::Service::PROBED.map(|service| service.key(key.name)).to_vec(),
            Suffix => vec![format!("SERVICE_{}", key.name)],
            Prefix => vec![format!("{}SERVICE", key.name)],
            Auth | Moved | Entry => vec![key.name.to_owned()],
        }
    }

    /// One list of the page: its heading and its table.
    fn list(intro: &str, heading: &str, of: impl Fn(Treatment) -> Option<&'static str>) -> String {
        let (mut count, mut rows) = (0, String::new());
        for row in KEYS {
            let Some(text) = of(row.treatment) else { continue };
            let names = spelled(row);
            count += names.len();
            let place = match row.place {
                Auth => "`auth`, or beside it",
                Moved => "beside `auth`, or in it",
                AuthOnly => "`auth`",
                Entry | Service | Suffix | Prefix => "the entry",
            };
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            let end = if text.ends_with('.') { "" } else { "." };
            writeln!(rows, "| {} | {place} | {text}{end} |", names.join(", ")).unwrap();
        }
        format!("{count} keys {intro}\n\n| Key | Where | {heading} |\n| --- | --- | --- |\n{rows}")
    }

    /// The page with its three lists generated again.
    fn page(old: &str) -> String {
        let honoured = |treatment| if let Honoured(text) = treatment { Some(text) } else { None };
        let refused = |treatment| if let Refused(text) = treatment { Some(text) } else { None };
        let harmless = |treatment| if let Harmless(text) = treatment { Some(text) } else { None };
        let lists = [
            ("honoured", list("are read.", "What it does", honoured)),
            ("refused", list("are refused. The message is the key and this text.", "Message", refused)),
            ("harmless", list("are ignored; `check` names those that an entry has.", "Why", harmless)),
        ];
        lists.into_iter().fold(old.to_owned(), |page, (name, list)| {
            let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->\n"));
            let (before, rest) = page.split_once(&begin).unwrap();
            let (_, after) = rest.split_once(&end).unwrap();
            format!("{before}{begin}{list}{end}{after}")
        })
    }

    /// `UPDATE=1 cargo test --lib clouds_yaml_page` regenerates the lists.
    #[test]
    fn the_clouds_yaml_page_has_every_key() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clouds-yaml.md");
        let old = fs::read_to_string(&path).unwrap();
        let new = page(&old);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &new).unwrap();
        } else {
            assert_eq!(old, new, "run UPDATE=1 cargo test --lib clouds_yaml_page");
        }
    }

    #[test]
    fn each_key_is_in_one_list() {
        let mut names = BTreeSet::new();
        for row in KEYS {
            for name in spelled(row) {
                assert!(names.insert(name.clone()), "{name} is there twice");
            }
            let (Honoured(text) | Refused(text) | Harmless(text)) = row.treatment;
            assert!(!text.is_empty() && !text.contains('|'), "{}", row.name);
        }
    }

    #[test]
    fn the_most_specific_row_applies() {
        for (below_auth, name, expected) in [
            (false, "orchestration_interface", "honoured"),
            (false, "identity_interface", "harmless"),
            (false, "identity_endpoint_override", "honoured"),
            (false, "network_endpoint_override", "harmless"),
            (false, "heat_endpoint_override", "harmless"),
            (false, "dcs_service_name", "refused"),
            (false, "image_service_name", "harmless"),
            (false, "identity_api_version", "honoured"),
            (false, "compute_api_version", "harmless"),
            (false, "has_network", "harmless"),
            (false, "passcode", "refused"),
            (true, "passcode", "refused"),
            (true, "protocol", "refused"),
            (false, "protocol", "unknown"),
            (true, "region_name", "unknown"),
            (false, "regionname", "unknown"),
            (false, "_interface", "unknown"),
            (false, "has_", "unknown"),
        ] {
            let found = match find(below_auth, name).map(|key| key.treatment) {
                Some(Honoured(_)) => "honoured",
                Some(Refused(_)) => "refused",
                Some(Harmless(_)) => "harmless",
                None => "unknown",
            };
            assert_eq!(found, expected, "{name}");
        }
        assert!(is_moved("project_name") && !is_moved("username") && !is_moved("region_name"));
    }
}
