//! Pure: the one mapping from what went wrong to what the user is told and when it is tried again.

mod tls;

use std::fmt;

use crate::{
    api::Reason,
    cloud::{self, ConfigError, Error, Service, listed},
    observation::Failure,
};

/// Why a tenant's Secret cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretError {
    /// The Secret does not exist.
    NotFound {
        /// The Secret.
        secret: String,
    },
    /// The Secret lacks the key, or what is there is not text.
    KeyMissing {
        /// The Secret.
        secret: String,
    },
    /// The operator's ServiceAccount may not read it.
    Denied {
        /// The Secret.
        secret: String,
    },
    /// The API server did not answer.
    Unavailable,
}

/// The failure when the Secret cannot be read.
#[must_use]
pub fn of_secret(error: &SecretError) -> Failure {
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
        SecretError::Unavailable => passing(
            Reason::ConnectionFailed,
            "The Kubernetes API did not return the Secret: the operator retries.".to_owned(),
        ),
    }
}

/// The failure when clouds.yaml cannot be used.
#[must_use]
pub fn of_config(error: &ConfigError) -> Failure {
    let reason = match error {
        ConfigError::CloudNotFound { .. } => Reason::CloudNotFound,
        ConfigError::Invalid { .. } => Reason::InvalidCloudConfig,
    };
    fatal(reason, error.to_string())
}

/// The failure of a call to the cloud; `None` if the catalogue only lacks the service.
#[must_use]
pub fn of_call(failure: &cloud::Failure) -> Option<Failure> {
    let service = failure.service;
    let told = match &failure.error {
        Error::ServiceNotInCatalogue | Error::ServiceElsewhere { .. } => return None,
        // Heat's list comes only after its RPC time-out, so silence beyond that is said at once.
        Error::Timeout if service == Service::Orchestration => said_at_once(
            Reason::Timeout,
            "Heat did not answer in time: look at heat-api and the message broker.".to_owned(),
        ),
        Error::Timeout => passing(
            Reason::Timeout,
            format!("{service} did not answer in time: look at the service, or raise timeout."),
        ),
        Error::ConnectionFailed => passing(
            Reason::ConnectionFailed,
            format!("No connection to {service}: look at the service and the network."),
        ),
        Error::Dns => passing(
            Reason::DNSFailed,
            format!("The host name of {service} does not resolve: look at DNS and {}.", at(service)),
        ),
        Error::TlsFailed(fault) => tls::of_tls(service, *fault),
        Error::CertificateUntrusted(why) => tls::of_certificate(service, *why),
        Error::AddressRefused(why) => {
            fatal(Reason::AddressRefused, format!("{service} is not called, since {why}: correct {}.", at(service)))
        }
        Error::LoginRefused => fatal(
            Reason::AuthenticationFailed,
            "Keystone refuses the credential: correct it, or auth_url, in the Secret's clouds.yaml.".to_owned(),
        ),
        Error::Unscoped => fatal(
            Reason::InvalidCloudConfig,
            "The token is for no project: name the project in the Secret's clouds.yaml.".to_owned(),
        ),
        Error::NoProject(scope) => fatal(
            Reason::InvalidCloudConfig,
            format!("The token is for {scope} and not for a project: name a project in the Secret's clouds.yaml."),
        ),
        Error::TokenRejected => fatal(Reason::TokenRejected, token_rejected(service)),
        Error::OutsideAccessRules => fatal(Reason::TokenRejected, outside_access_rules(service)),
        Error::Forbidden => fatal(Reason::Forbidden, forbidden(service)),
        Error::ForeignProject => said_at_once(
            Reason::UnexpectedAnswer,
            format!("The project in {service}'s address is not the token's project: correct {}.", at(service)),
        ),
        Error::ProjectUnknown => fatal(
            Reason::ProjectNotFound,
            "Keystone does not know the project: make another CloudTenant with the right spec.projectID.".to_owned(),
        ),
        Error::NotFound => fatal(Reason::EndpointNotFound, not_found(service)),
        Error::RegionNotFound { region, known } => fatal(
            Reason::RegionNotFound,
            format!("The catalogue has no region {region} for {service}: use one of {}.", listed(known)),
        ),
        Error::RateLimited { .. } => {
            passing(Reason::RateLimited, format!("{service} limits the rate of requests: the operator retries later."))
        }
        Error::ServiceUnavailable { .. } => passing(
            Reason::ServiceUnavailable,
            format!("{service} is not available: check the service and the proxies in front of it."),
        ),
        Error::GatewayTimeout if service == Service::Orchestration => passing(
            Reason::ServiceUnavailable,
            "A proxy in front of Heat timed out: raise the proxy's time-out above Heat's rpc_response_timeout."
                .to_owned(),
        ),
        Error::GatewayTimeout => {
            passing(Reason::ServiceUnavailable, format!("A proxy in front of {service} timed out: check the service."))
        }
        Error::ServerError => passing(Reason::ServerError, format!("{service} failed: look at its log.")),
        Error::UnexpectedStatus(status) => said_at_once(
            Reason::UnexpectedAnswer,
            format!("{service} answered with the unexpected status {status}: look at its log and at {}.", at(service)),
        ),
        Error::Unexpected(what) => said_at_once(
            Reason::UnexpectedAnswer,
            format!("The call to {service} failed, since {what}: check {}.", at(service)),
        ),
        Error::BodyTooLarge => said_at_once(
            Reason::UnexpectedAnswer,
            format!("{service} gave an answer that exceeds the size limit: check the service."),
        ),
    };
    let message = match &failure.code {
        // Support asks for it, and it is documented: unlike the service's own text it may stand in a condition.
        Some(code) => format!("{} (error code {code}).", told.message.trim_end_matches('.')),
        None => told.message,
    };
    Some(Failure { message, retry_after: failure.retry_after(), ..told })
}

fn token_rejected(service: Service) -> String {
    match service {
        Service::Cache => "DCS refuses a fresh token: some regions take only signed requests (AK/SK) for DCS, which \
                           are not supported, so set probes.caches.policy to Disabled."
            .to_owned(),
        _ => {
            format!("{service} refuses a token that Keystone has just issued: look at its keystone_authtoken settings.")
        }
    }
}

fn outside_access_rules(service: Service) -> String {
    let (method_and_path, service_type) = match service {
        Service::Identity => ("GET /v3/projects/*", "identity"),
        Service::Orchestration => ("GET /v1/*/services", "orchestration"),
        Service::Cache => ("GET /v1.0/*/instances/status", "dcs"),
        Service::Compute => ("GET /v2.1/os-simple-tenant-usage/*", "compute"),
    };
    format!(
        "{service} refuses the token, whose application credential has access rules: add a rule for {method_and_path} \
         of the service {service_type}, or create the credential without access rules."
    )
}

fn not_found(service: Service) -> String {
    // A tenant cannot mend a vendor's catalogue or gateway.
    let disable = match service {
        Service::Identity => return format!("Keystone answered 404 at its address: correct {}.", at(service)),
        Service::Orchestration => "probes.engines.policy",
        Service::Cache => "probes.caches.policy",
        Service::Compute => "probes.usage.policy",
    };
    format!(
        "{service} is not at the address that the catalogue gives: set {disable} to Disabled, or correct {}.",
        at(service)
    )
}

fn forbidden(service: Service) -> String {
    match service {
        Service::Orchestration => {
            "Heat refused the engine list: grant the credential the admin role in its project, set \
                                   probes.engines.cloudName, or set probes.engines.policy to Disabled."
                .to_owned()
        }
        Service::Compute => "Nova refused the usage: grant the credential a role in the project that is observed, or \
                             the admin role, or set probes.usage.policy to Disabled."
            .to_owned(),
        Service::Cache => "DCS refused the project's instances: grant the credential a reading role for DCS in the \
                           project, or set probes.caches.policy to Disabled."
            .to_owned(),
        Service::Identity => "Keystone refused a request: grant the credential a role in its project.".to_owned(),
    }
}

/// Where the user can correct a service's address.
const fn at(service: Service) -> &'static str {
    match service {
        Service::Identity => "auth_url in clouds.yaml",
        Service::Orchestration => "its catalogue entry or orchestration_endpoint_override",
        Service::Cache => "its catalogue entry or dcs_endpoint_override",
        Service::Compute => "its catalogue entry or compute_endpoint_override",
    }
}

/// A person must act, so it is said at once.
const fn fatal(reason: Reason, message: String) -> Failure {
    said_at_once(reason, message)
}

/// It is said at the first time.
const fn said_at_once(reason: Reason, message: String) -> Failure {
    Failure { reason, message, retry_after: None, transient: false }
}

/// A single one may pass by itself.
const fn passing(reason: Reason, message: String) -> Failure {
    Failure { reason, message, retry_after: None, transient: true }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}
