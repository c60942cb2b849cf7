//! Why a call to the cloud failed, one variant for each class that is told apart.

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::time::Duration;

use super::{
    Service, TlsFault,
    words::{ErrorCode, clean},
};
use crate::trust::Distrust;

/// A failed call: what failed, and at which service.
///
/// A login that fails on the way to another service has [`Service::Identity`] here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{service}: {error}")]
pub struct Failure {
    /// The service that was spoken to when the call failed.
    pub service: Service,
    /// What went wrong.
    pub error: Error,
    /// The code that the service, or the gateway before it, gave with its answer.
    pub code: Option<ErrorCode>,
}

impl Failure {
    /// The error's class as a metric label; see [`Error::kind`].
    pub fn kind(&self) -> &'static str {
        self.error.kind()
    }

    /// How long the service asked us to stay away; see [`Error::retry_after`].
    pub fn retry_after(&self) -> Option<Duration> {
        self.error.retry_after()
    }
}

/// Why an address was not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The URL's scheme, host or port is not that of the service's endpoint.
    #[error("the address is not the service's own")]
    OtherOrigin,
    /// A redirect led to another origin, or there were more than three.
    #[error("the service redirected to another address")]
    Redirect,
}

/// What a token without a project is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoProject {
    /// A domain.
    #[error("a domain")]
    Domain,
    /// The whole cloud.
    #[error("the whole system")]
    System,
}

/// Names in a sentence: at most ten, and none longer than 64 characters.
pub(crate) fn listed(names: &[String]) -> String {
    const MOST: usize = 10;
    const LONGEST: usize = 64;
    let short = |name: &String| {
        let more = if name.chars().count() > LONGEST { "…" } else { "" };
        clean(name, LONGEST) + more
    };
    let shown: Vec<_> = names.iter().take(MOST).map(short).collect();
    match names.len().saturating_sub(MOST) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The class of a failure.
///
/// `Display` is one stable sentence: no URL, token, upstream body or request id is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No complete answer came within the deadline.
    #[error("no answer came in time")]
    Timeout,
    /// No connection within ten seconds, or it was closed before the answer ended.
    #[error("the connection failed")]
    ConnectionFailed,
    /// There is a connection, but no TLS on it, for another reason than the certificate.
    #[error("{0}")]
    TlsFailed(TlsFault),
    /// The host's name was not resolved.
    #[error("the host name could not be resolved")]
    Dns,
    /// The server's certificate is not trusted.
    #[error("the server's certificate is not trusted, since {0}")]
    CertificateUntrusted(Distrust),
    /// The address is one that must not be called.
    #[error("{0}")]
    AddressRefused(Refusal),
    /// Keystone refused the credential, now or less than five minutes ago: 401, 403, or 404 for an
    /// unknown application credential (Keystone 22.0.2).
    #[error("the login was refused")]
    LoginRefused,
    /// The login gave a token without a project, hence without a service catalogue.
    #[error("the token is for no project and has no service catalogue")]
    Unscoped,
    /// The token is for something else than a project, and its catalogue has no address of the service.
    #[error("the token is for {0} and not for a project")]
    NoProject(NoProject),
    /// 401 with a token that Keystone has only just issued.
    #[error("the token was rejected")]
    TokenRejected,
    /// The same with a token of an application credential that has access rules.
    #[error("the service rejects the token, whose application credential has access rules")]
    OutsideAccessRules,
    /// 403.
    #[error("access is forbidden")]
    Forbidden,
    /// Keystone does not know the project that is observed.
    #[error("the project does not exist")]
    ProjectUnknown,
    /// 400 "Malformed request URL": the project in the address's path is not the token's (Nova 26.0.1).
    #[error("the address names another project than the token's")]
    ForeignProject,
    /// 404 from a service that the catalogue offers.
    #[error("the address was not found")]
    NotFound,
    /// The catalogue lacks the service, in our region or for our interface.
    #[error("the service catalogue does not offer it")]
    ServiceNotInCatalogue,
    /// The catalogue lacks the service in our region and offers it in others.
    #[error("the service catalogue does not offer it in region {region} (it does in: {})", listed(offered_in))]
    ServiceElsewhere {
        /// Our region.
        region: String,
        /// The regions that offer it, sorted.
        offered_in: Vec<String>,
    },
    /// The catalogue knows other regions only.
    #[error("the service catalogue does not know the region {region} (it knows: {})", listed(known))]
    RegionNotFound {
        /// The region that was asked for.
        region: String,
        /// All regions of the catalogue, sorted; empty where it names none.
        known: Vec<String>,
    },
    /// 429, or 413 with `Retry-After` or an `overLimit` envelope as older Novas answer.
    #[error("too many requests")]
    RateLimited {
        /// The answer's `Retry-After`, at most an hour.
        retry_after: Option<Duration>,
    },
    /// 503.
    #[error("the service is unavailable")]
    ServiceUnavailable {
        /// The answer's `Retry-After`, at most an hour.
        retry_after: Option<Duration>,
    },
    /// 504: a proxy gave up on the service.
    #[error("a proxy got no answer from the service in time")]
    GatewayTimeout,
    /// Any other 5xx.
    #[error("the service failed")]
    ServerError,
    /// A status that the API does not have for this call.
    #[error("the answer has the unexpected status {0}")]
    UnexpectedStatus(u16),
    /// An answer that is not what the API promises; the text says in what.
    #[error("{0}")]
    Unexpected(&'static str),
    /// The body, decompressed, is longer than any that the service should send.
    #[error("the answer is longer than any that is read")]
    BodyTooLarge,
}

impl Error {
    /// The class as a metric label: one of a closed set, without the variant's data.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Timeout => "timeout",
            Error::ConnectionFailed | Error::TlsFailed(_) => "connection_failed",
            Error::Dns => "dns",
            Error::CertificateUntrusted(_) => "certificate_untrusted",
            Error::AddressRefused(_) => "address_refused",
            Error::LoginRefused => "login_refused",
            Error::Unscoped | Error::NoProject(_) => "unscoped",
            Error::TokenRejected | Error::OutsideAccessRules => "token_rejected",
            Error::Forbidden => "forbidden",
            Error::ProjectUnknown => "project_unknown",
            Error::NotFound => "not_found",
            Error::ServiceNotInCatalogue | Error::ServiceElsewhere { .. } => "service_not_in_catalogue",
            Error::RegionNotFound { .. } => "region_not_found",
            Error::RateLimited { .. } => "rate_limited",
            Error::ServiceUnavailable { .. } => "service_unavailable",
            Error::GatewayTimeout => "gateway_timeout",
            Error::ServerError => "server_error",
            Error::ForeignProject | Error::UnexpectedStatus(_) | Error::Unexpected(_) => "unexpected",
            Error::BodyTooLarge => "body_too_large",
        }
    }

    /// How long the service asked us to stay away, at most an hour.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::RateLimited { retry_after } | Error::ServiceUnavailable { retry_after } => *retry_after,
            _ => None,
        }
    }

    /// The same error so long after it came up, with what is left of the pause that the service asked for; `None` once
    /// that is over, or `pause` where it asked for none.
    pub(super) fn still_after(self, passed: Duration, pause: Duration) -> Option<Error> {
        let left = self.retry_after().unwrap_or(pause).checked_sub(passed).filter(|left| !left.is_zero())?;
        let shortened = |asked: Option<Duration>| asked.map(|_| left);
        Some(match self {
            Error::RateLimited { retry_after } => Error::RateLimited { retry_after: shortened(retry_after) },
            Error::ServiceUnavailable { retry_after } => {
                Error::ServiceUnavailable { retry_after: shortened(retry_after) }
            }
            other => other,
        })
    }

    /// The error at its service, without a code.
    pub fn at(self, service: Service) -> Failure {
        Failure { service, error: self, code: None }
    }

    /// The class of an HTTP status, `None` for 2xx.
    pub(super) fn of_status(status: u16, retry_after: Option<Duration>) -> Option<Error> {
        Some(match status {
            200..=299 => return None,
            401 => Error::TokenRejected,
            403 => Error::Forbidden,
            404 => Error::NotFound,
            413 if retry_after.is_some() => Error::RateLimited { retry_after },
            429 => Error::RateLimited { retry_after },
            503 => Error::ServiceUnavailable { retry_after },
            504 => Error::GatewayTimeout,
            500..=599 => Error::ServerError,
            other => Error::UnexpectedStatus(other),
        })
    }

    /// The class of a call without a complete answer.
    pub(super) fn of_transport(error: &reqwest::Error) -> Error {
        if error.is_dns() {
            Error::Dns
        } else if let Some(tls) = of_tls(error) {
            tls
        } else if error.is_timeout() && !error.is_connect() {
            Error::Timeout
        } else if error.is_builder() {
            Error::Unexpected("the request could not be built")
        } else if error.is_decode() && is_garbled(error) {
            Error::Unexpected("the answer could not be decompressed")
        } else {
            Error::ConnectionFailed
        }
    }
}

/// rustls' own error, if one is among the causes.
pub(super) fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The class of rustls' own error, if one is among the causes.
fn of_tls(error: &(dyn StdError + 'static)) -> Option<Error> {
    let error = tls_error(error)?;
    match Distrust::of(error) {
        Some(distrust) => Some(Error::CertificateUntrusted(distrust)),
        None => TlsFault::of(error).map(Error::TlsFailed),
    }
}

/// Whether the body could not be decompressed. For reqwest a connection that ends within the body is a matter of
/// decoding, too, and for rustls what is no TLS is invalid data.
fn is_garbled(error: &(dyn StdError + 'static)) -> bool {
    let garbled = |io: &std::io::Error| matches!(io.kind(), ErrorKind::InvalidData | ErrorKind::InvalidInput);
    let of_tls = causes(error).any(|cause| cause.is::<rustls::Error>());
    !of_tls && causes(error).any(|cause| cause.downcast_ref().is_some_and(garbled))
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = match error.downcast_ref::<std::io::Error>() {
            // An io::Error's source() is the source of what it wraps, which would thus be skipped.
            Some(io) => io.get_ref().map(|inner| inner as _),
            None => error.source(),
        };
        Some(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        let wait = Some(Duration::from_secs(7));
        let rows = [
            (200, None, "ok"),
            (204, None, "ok"),
            (300, None, "unexpected"),
            (400, None, "unexpected"),
            (401, None, "token_rejected"),
            (403, None, "forbidden"),
            (404, None, "not_found"),
            (406, None, "unexpected"),
            (413, None, "unexpected"),
            (413, wait, "rate_limited"),
            (429, None, "rate_limited"),
            (429, wait, "rate_limited"),
            (500, None, "server_error"),
            (502, None, "server_error"),
            (503, wait, "service_unavailable"),
            (504, None, "gateway_timeout"),
            (599, None, "server_error"),
        ];
        for (status, retry_after, kind) in rows {
            let error = Error::of_status(status, retry_after);
            let seen = error.as_ref().map_or("ok", Error::kind);
            assert_eq!(seen, kind, "{status}");
            assert_eq!(error.as_ref().and_then(Error::retry_after), retry_after, "{status}");
        }
    }

    /// As hyper-rustls wraps what tokio-rustls wraps.
    #[test]
    fn a_certificate_is_found_within_errors() {
        use std::io::Error as Io;
        let wrapped = |tls| Io::other(Io::new(ErrorKind::InvalidData, tls));
        let ours = wrapped(Distrust::Expired.into());
        assert_eq!(of_tls(&ours), Some(Error::CertificateUntrusted(Distrust::Expired)));
        let theirs = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        assert_eq!(of_tls(&wrapped(theirs)), Some(Error::CertificateUntrusted(Distrust::UnknownAuthority)));
        assert_eq!(of_tls(&wrapped(rustls::Error::DecryptError)), Some(Error::TlsFailed(TlsFault::Other)));
        assert_eq!(of_tls(&Io::from(ErrorKind::ConnectionReset)), None);
    }

    #[test]
    fn lists_are_short() {
        let names = |count: usize| (0..count).map(|n| format!("r{n}")).collect::<Vec<_>>();
        assert_eq!(listed(&names(0)), "");
        assert_eq!(listed(&names(2)), "r0, r1");
        assert_eq!(listed(&names(12)), "r0, r1, r2, r3, r4, r5, r6, r7, r8, r9 and 2 more");
        assert_eq!(listed(&["ü".repeat(65)]), format!("{}…", "ü".repeat(64)));
    }

    #[test]
    fn a_failure_is_one_sentence() {
        let error = Error::RegionNotFound { region: "mars".into(), known: vec!["earth".into(), "moon".into()] };
        assert_eq!(
            error.at(Service::Orchestration).to_string(),
            "Heat: the service catalogue does not know the region mars (it knows: earth, moon)"
        );
    }
}
