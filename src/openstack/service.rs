//! The services of a cloud. All differences between them are in one row per service, and nowhere else.

use std::fmt;

/// In bytes.
const KIB: usize = 1 << 10;

macro_rules! services {
    ($($(#[$doc:meta])* $name:ident: $row:path),* $(,)?) => {
        /// A service of the cloud.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Service { $($(#[$doc])* $name,)* }

        impl Service {
            /// Every service.
            pub const ALL: [Self; [$(stringify!($name)),*].len()] = [$(Self::$name),*];

            /// The service's row.
            pub(crate) const fn row(self) -> &'static ServiceRow {
                match self { $(Self::$name => &$row,)* }
            }
        }
    };
}

services! {
    /// Keystone: logins and projects. It comes first.
    Identity: KEYSTONE,
    /// Heat.
    Orchestration: HEAT,
    /// The Distributed Cache Service, of catalogue type `dcs`.
    Cache: DCS,
    /// Nova.
    Compute: NOVA,
}

/// The properties of a service.
#[derive(Debug)]
pub(crate) struct ServiceRow {
    /// The name in messages.
    name: &'static str,
    /// The service as a metric label.
    label: &'static str,
    /// Its catalogue types, in order of preference.
    pub(crate) types: &'static [&'static str],
    /// The prefix of its keys in clouds.yaml, before an underscore.
    pub(crate) key_prefix: &'static str,
    /// The limit for a decompressed body, in bytes.
    pub(crate) body_limit: usize,
    /// The supported versions of its API as path segments, in order of preference.
    pub(crate) versions: &'static [&'static str],
    /// Whether the token's project follows the version in the path.
    pub(crate) project_in_path: bool,
    /// The headers that request a microversion, each with the value that Nova echoes.
    pub(crate) microversion: &'static [(&'static str, &'static str)],
    /// The scope that a token needs before a role can fix a 403.
    pub(crate) scope: RequiredScope,
    /// The advice to users in messages.
    pub(crate) advice: Advice,
}

/// The scope that a token needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequiredScope {
    Any,
    Project,
    ProjectOrSystem,
}

/// The parts of messages that differ by service.
#[derive(Debug)]
pub(crate) struct Advice {
    /// The field that disables its probe; `None` for Keystone, which has no probe: the client calls it at `auth_url`.
    pub(crate) policy: Option<&'static str>,
    /// The call that an application credential's access rules must allow.
    pub(crate) call: &'static str,
    /// The message after a 403.
    pub(crate) forbidden: &'static str,
    /// The message after a 401 with a new token, if it differs from the general one.
    pub(crate) token_rejected: Option<&'static str>,
    /// The messages of a service that waits for another process before it answers.
    pub(crate) waits: Option<Waits>,
}

/// Messages for a service that waits for another process, so that a time-out is already a result.
#[derive(Debug)]
pub(crate) struct Waits {
    /// The message after a time-out. The operator reports it immediately.
    pub(crate) timeout: &'static str,
    /// The message after a proxy's time-out.
    pub(crate) gateway_timeout: &'static str,
}

const KEYSTONE: ServiceRow = ServiceRow {
    name: "Keystone",
    label: "identity",
    types: &["identity"],
    key_prefix: "identity",
    // Enough for a catalogue with many regions.
    body_limit: 4096 * KIB,
    versions: &["v3"],
    project_in_path: false,
    microversion: &[],
    scope: RequiredScope::Any,
    advice: Advice {
        policy: None,
        call: "GET /v3/projects/*",
        forbidden: "Keystone refused a request: grant the credential a role in its project.",
        token_rejected: None,
        waits: None,
    },
};

const HEAT: ServiceRow = ServiceRow {
    name: "Heat",
    label: "orchestration",
    types: &["orchestration"],
    key_prefix: "orchestration",
    // Enough for ten thousand engines.
    body_limit: 8192 * KIB,
    versions: &["v1"],
    project_in_path: true,
    microversion: &[],
    // Heat's policy may allow system administrators to list the engines.
    scope: RequiredScope::ProjectOrSystem,
    advice: Advice {
        policy: Some("probes.engines.policy"),
        call: "GET /v1/*/services",
        forbidden: "Heat refused the engine list: grant the credential the admin role in its project, set \
                    probes.engines.cloudName, or set probes.engines.policy to Disabled.",
        token_rejected: None,
        // Heat sends its list only after its RPC time-out.
        waits: Some(Waits {
            timeout: "Heat did not answer in time: look at heat-api and the message broker.",
            gateway_timeout: "A proxy in front of Heat timed out: raise the proxy's time-out above Heat's rpc_response_timeout.",
        }),
    },
};

const DCS: ServiceRow = ServiceRow {
    name: "DCS",
    label: "cache",
    types: &["dcs", "dcsv2", "dcsv1"],
    key_prefix: "dcs",
    // The answer contains only counts, about a hundred at most.
    body_limit: 256 * KIB,
    versions: &["v1.0", "v2"],
    project_in_path: false,
    microversion: &[],
    scope: RequiredScope::Project,
    advice: Advice {
        policy: Some("probes.caches.policy"),
        call: "GET /v1.0/*/instances/status",
        forbidden: "DCS refused the project's instances: grant the credential a reading role for DCS in the project, \
                    or set probes.caches.policy to Disabled.",
        token_rejected: Some(
            "DCS refuses a fresh token: some regions accept only signed requests (AK/SK) for DCS, so add access_key and \
             secret_key to the Secret's clouds.yaml, or set probes.caches.policy to Disabled.",
        ),
        waits: None,
    },
};

const NOVA: ServiceRow = ServiceRow {
    name: "Nova",
    label: "compute",
    types: &["compute", "compute_legacy"],
    key_prefix: "compute",
    // Enough for ten thousand servers. Nova's default limit is one thousand per answer.
    body_limit: 8192 * KIB,
    versions: &["v2.1", "v2"],
    project_in_path: false,
    // The first microversion with pagination, in both forms of the header.
    microversion: &[("OpenStack-API-Version", "compute 2.40"), ("X-OpenStack-Nova-API-Version", "2.40")],
    scope: RequiredScope::Project,
    advice: Advice {
        policy: Some("probes.usage.policy"),
        call: "GET /v2.1/os-simple-tenant-usage/*",
        forbidden: "Nova refused the usage: grant the credential a role in the project that is observed, or the admin \
                    role, or set probes.usage.policy to Disabled.",
        token_rejected: None,
        waits: None,
    },
};

impl Service {
    /// The services that have probes, with addresses from the catalogue. The client calls Keystone at `auth_url`.
    pub const PROBED: [Self; Self::ALL.len() - 1] = {
        let [_keystone, probed @ ..] = Self::ALL;
        probed
    };

    /// The name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The service as a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().label
    }

    /// The name of this service's key in clouds.yaml, such as `dcs_interface`.
    pub(super) fn key(self, suffix: &str) -> String {
        format!("{}_{suffix}", self.row().key_prefix)
    }

    /// Where users can correct the service's address, as the end of a sentence.
    pub(crate) fn address_source(self) -> String {
        match self.row().advice.policy {
            None => "auth_url in clouds.yaml".to_owned(),
            Some(_) => format!("its catalogue entry or {}", self.key("endpoint_override")),
        }
    }
}

/// Prints the name in messages.
impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rows_share_no_name_label_type_or_key() {
        for (at, of) in [
            ("name", (|row| vec![row.name]) as fn(&ServiceRow) -> Vec<&'static str>),
            ("label", |row| vec![row.label]),
            ("type", |row| row.types.to_vec()),
            ("key", |row| vec![row.key_prefix]),
            ("call", |row| vec![row.advice.call]),
        ] {
            let mut values = BTreeSet::new();
            for value in Service::ALL.into_iter().flat_map(|service| of(service.row())) {
                assert!(values.insert(value), "two services have the {at} {value}");
            }
        }
    }

    #[test]
    fn each_probed_service_names_the_policy_that_disables_it() {
        for service in Service::ALL {
            let ServiceRow { types, versions, body_limit, advice, .. } = service.row();
            assert_eq!(advice.policy.is_some(), Service::PROBED.contains(&service), "{service}");
            assert!(!types.is_empty() && !versions.is_empty() && *body_limit >= 256 * KIB, "{service}");
            let sentences = [Some(advice.forbidden), advice.token_rejected];
            let waits = advice.waits.iter().flat_map(|waits| [waits.timeout, waits.gateway_timeout]);
            for sentence in sentences.into_iter().flatten().chain(waits) {
                assert!(sentence.contains(service.row().name) && sentence.ends_with('.'), "{sentence}");
            }
        }
    }
}
