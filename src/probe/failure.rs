//! Maps each error to a reason, a message and a retry rule. This is the only such mapping, and it is pure.

mod listing;
mod signature;
mod tls;

use std::fmt;

pub use listing::of_listing;

use crate::{
    api::Reason,
    budget::OverBudget,
    observation::ProbeFailure,
    openstack::{self, AddressRule, ConfigError, Error, ErrorCode, Refusal, Service, listed, service::ServiceRow},
    words::word,
};

/// Why a tenant's Secret cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretError {
    /// The Secret does not exist.
    NotFound {
        /// The Secret.
        secret: String,
    },
    /// The Secret lacks the key, or the value is not text.
    KeyMissing {
        /// The Secret.
        secret: String,
    },
    /// The operator's ServiceAccount has no right to read the Secret.
    Denied {
        /// The Secret.
        secret: String,
    },
    /// The Secret's annotation does not list the observed project.
    ProjectNotListed {
        /// The Secret.
        secret: String,
    },
    /// The API server did not answer.
    Unavailable,
}

/// The failure for a Secret that cannot be read.
#[must_use]
pub fn of_secret(error: &SecretError) -> ProbeFailure {
    match error {
        SecretError::NotFound { secret } => fatal(
            Reason::SecretNotFound,
            format!("Secret {secret} does not exist: create it in this namespace with the key clouds.yaml."),
        ),
        SecretError::KeyMissing { secret } => fatal(
            Reason::SecretKeyMissing,
            format!("Secret {secret} has no key clouds.yaml with text in it: add the key."),
        ),
        SecretError::Denied { secret } => fatal(
            Reason::Forbidden,
            format!("The operator may not read Secret {secret}: grant its ServiceAccount get on Secrets here."),
        ),
        SecretError::ProjectNotListed { secret } => fatal(
            Reason::Forbidden,
            format!(
                "Secret {secret} is not for this project: add spec.projectID to its annotation \
                 cloudtenant.dev/projects, or use another Secret."
            ),
        ),
        SecretError::Unavailable => transient(
            Reason::ConnectionFailed,
            "The Kubernetes API did not return the Secret: the operator retries.".to_owned(),
        ),
    }
}

/// The failure for a clouds.yaml that cannot be used.
#[must_use]
pub fn of_config(error: &ConfigError) -> ProbeFailure {
    let reason = match error {
        ConfigError::CloudNotFound { .. } => Reason::CloudNotFound,
        ConfigError::Invalid { .. } => Reason::InvalidCloudConfig,
    };
    fatal(reason, error.to_string())
}

/// The failure if the operator has no memory left for the tenant's data.
#[must_use]
pub fn of_budget(over: &OverBudget) -> ProbeFailure {
    match over {
        OverBudget::Namespace => fatal(
            Reason::InvalidCloudConfig,
            "The operator keeps no more for this namespace: use fewer or smaller credentials, or raise \
             --kept-per-namespace."
                .to_owned(),
        ),
        OverBudget::All => transient(
            Reason::ServiceUnavailable,
            "The operator keeps no more for all namespaces together: raise --kept-in-all.".to_owned(),
        ),
    }
}

/// The failure of a call to the cloud; `None` if only the catalogue lacks the service.
#[must_use]
pub fn of_call(failure: &openstack::Failure) -> Option<ProbeFailure> {
    let service = failure.service;
    let advice = &service.row().advice;
    let found = match &failure.error {
        Error::ServiceNotInCatalogue | Error::ServiceElsewhere { .. } => return None,
        Error::Timeout => match &advice.waits {
            Some(waits) => immediate(Reason::Timeout, waits.timeout.to_owned()),
            None => transient(
                Reason::Timeout,
                format!("{service} did not answer in time: look at the service, or raise timeout."),
            ),
        },
        Error::ConnectionFailed => transient(
            Reason::ConnectionFailed,
            format!("No connection to {service}: look at the service and the network."),
        ),
        Error::Dns => transient(
            Reason::DNSFailed,
            format!("The host name of {service} does not resolve: look at DNS and {}.", service.address_source()),
        ),
        Error::TlsFailed(fault) => tls::of_tls(service, *fault),
        Error::CertificateUntrusted(why) => tls::of_certificate(service, *why),
        Error::AddressRefused(why) => fatal(
            Reason::AddressRefused,
            format!("{service} is not called, since {why}: correct {}{}.", service.address_source(), setting(*why)),
        ),
        Error::LoginRefused => fatal(
            Reason::AuthenticationFailed,
            "Keystone refuses the credential: correct it, or auth_url, in the Secret's clouds.yaml.".to_owned(),
        ),
        Error::LoginBraked => fatal(
            Reason::AuthenticationFailed,
            "Keystone refused three other credentials of this user within five minutes and may lock the account: \
             correct those, and wait up to five minutes until the operator tries this one."
                .to_owned(),
        ),
        Error::SignatureRefused(why) => signature::of_signature(service, *why),
        Error::ProjectNotListed => fatal(
            Reason::InvalidCloudConfig,
            "The access key's account has no project, or several, with the entry's project_name: correct it, or set \
             project_id, in the Secret's clouds.yaml."
                .to_owned(),
        ),
        Error::ProjectRefused => fatal(
            Reason::Forbidden,
            "Keystone gives this user no token for the project: grant a role, or enable it.".to_owned(),
        ),
        Error::ProjectFixed => fatal(
            Reason::Forbidden,
            "The credential is for its own project alone: use a password, or set spec.cloudCredentialsRef.scope to \
             Entry."
                .to_owned(),
        ),
        Error::Unscoped => fatal(
            Reason::InvalidCloudConfig,
            format!("The token is for no project: name {}.", the_project(service, "the project")),
        ),
        Error::NoProject(scope) => fatal(
            Reason::InvalidCloudConfig,
            format!("The token is for {scope} and not for a project: name {}.", the_project(service, "a project")),
        ),
        Error::TokenRejected => fatal(Reason::TokenRejected, token_rejected(service)),
        Error::OutsideAccessRules => fatal(Reason::TokenRejected, outside_access_rules(service, advice.call)),
        Error::Forbidden => fatal(Reason::Forbidden, advice.forbidden.to_owned()),
        Error::ForeignProject => immediate(
            Reason::UnexpectedAnswer,
            format!(
                "The project in {service}'s address is not the token's project: correct {}.",
                service.address_source()
            ),
        ),
        Error::ProjectUnknown => fatal(
            Reason::ProjectNotFound,
            "Keystone does not know the project: make another CloudTenant with the right spec.projectID.".to_owned(),
        ),
        Error::NotFound => fatal(Reason::EndpointNotFound, not_found(service)),
        Error::RegionNotFound { region, known } => fatal(
            Reason::RegionNotFound,
            format!("The catalogue has no region {} for {service}: use one of {}.", word(region), listed(known)),
        ),
        Error::RateLimited { .. } => transient(
            Reason::RateLimited,
            format!("{service} limits the rate of requests: the operator retries later."),
        ),
        Error::ServiceUnavailable { .. } => transient(
            Reason::ServiceUnavailable,
            format!("{service} is not available: check the service and the proxies in front of it."),
        ),
        Error::GatewayTimeout => transient(
            Reason::ServiceUnavailable,
            match &advice.waits {
                Some(waits) => waits.gateway_timeout.to_owned(),
                None => format!("A proxy in front of {service} timed out: check the service."),
            },
        ),
        Error::ServerError => transient(Reason::ServerError, format!("{service} failed: look at its log.")),
        Error::UnexpectedStatus(status) => immediate(
            Reason::UnexpectedAnswer,
            format!(
                "{service} answered with the unexpected status {status}: look at its log and at {}.",
                service.address_source()
            ),
        ),
        Error::Unexpected(what) => immediate(
            Reason::UnexpectedAnswer,
            format!("The call to {service} failed, since {what}: check {}.", service.address_source()),
        ),
        Error::BodyTooLarge => immediate(
            Reason::UnexpectedAnswer,
            format!("{service} gave an answer that exceeds the size limit: check the service."),
        ),
    };
    let message = with_code(found.message, failure.code.as_ref());
    Some(ProbeFailure { message, retry_after: failure.retry_after(), ..found })
}

/// Support needs the error code. It is documented, so unlike the service's text it may appear in a condition.
fn with_code(message: String, code: Option<&ErrorCode>) -> String {
    match code {
        Some(code) => format!("{} (error code {code}).", message.trim_end_matches('.')),
        None => message,
    }
}

/// The operator's flag that lets the operator call the address, as the end of a sentence.
const fn setting(why: Refusal) -> &'static str {
    match why {
        // No flag allows these.
        Refusal::Address(AddressRule::ApiServer) | Refusal::OtherOrigin | Refusal::Redirect => "",
        Refusal::Address(
            AddressRule::Loopback
            | AddressRule::LinkLocal
            | AddressRule::Metadata
            | AddressRule::Unspecified
            | AddressRule::Multicast
            | AddressRule::Reserved,
        ) => ", or allow the address by the operator's --allow-cloud-cidr",
        Refusal::Unlisted => ", or add the host to the operator's --cloud-hosts",
        Refusal::PlainHttp => ", or start the operator without --require-https",
    }
}

/// Where users can name a project for the token, as the end of a sentence. The engines may also use another entry.
fn the_project(service: Service, project: &str) -> String {
    let other = match service {
        Service::Orchestration => ", set probes.engines.cloudName, or set probes.engines.policy to Disabled",
        Service::Identity | Service::Cache | Service::Compute => "",
    };
    format!("{project} in the Secret's clouds.yaml{other}")
}

fn token_rejected(service: Service) -> String {
    match service.row().advice.token_rejected {
        Some(message) => message.to_owned(),
        None => {
            format!("{service} refuses a token that Keystone has just issued: look at its keystone_authtoken settings.")
        }
    }
}

fn outside_access_rules(service: Service, call: &str) -> String {
    let ServiceRow { types, .. } = service.row();
    format!(
        "{service} refuses the token, whose application credential has access rules: add a rule for {call} of the service \
         {}, or create the credential without access rules.",
        types.first().copied().unwrap_or_default(),
    )
}

fn not_found(service: Service) -> String {
    let source = service.address_source();
    match service.row().advice.policy {
        None => format!("{service} has no such page at its address: correct {source}."),
        // A tenant cannot correct a vendor's catalogue or gateway.
        Some(policy) => format!(
            "{service} is not at the address that the catalogue gives: set {policy} to Disabled, or correct {source}."
        ),
    }
}

/// A failure that a person must fix. The operator reports it immediately.
const fn fatal(reason: Reason, message: String) -> ProbeFailure {
    immediate(reason, message)
}

/// A failure that the operator reports at its first occurrence.
const fn immediate(reason: Reason, message: String) -> ProbeFailure {
    ProbeFailure { reason, message, retry_after: None, transient: false }
}

/// A failure whose first occurrence may be transient.
const fn transient(reason: Reason, message: String) -> ProbeFailure {
    ProbeFailure { reason, message, retry_after: None, transient: true }
}

impl fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}
