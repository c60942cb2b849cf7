//! Why a call to the cloud failed: one variant per class.

use std::{error::Error as StdError, io::ErrorKind, time::Duration};

use hyper_util::client::legacy;

use super::{
    AddressRule, Service, SignatureRefusal, TlsFault, guard::Unresolved, lookup::Crowded, metered::Excess,
    words::ErrorCode,
};
use crate::{
    trust::Distrust,
    words::{escaped, word},
};

/// A failed call: the error, and the service.
///
/// If the login before a call fails, the service is [`Service::Identity`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{service}: {error}")]
pub struct Failure {
    /// The service that the operator called when the error occurred.
    pub service: Service,
    /// The error.
    pub error: Error,
    /// The error code in the answer of the service or its gateway.
    pub code: Option<ErrorCode>,
}

impl Failure {
    /// The error's class as a metric label; see [`Error::kind`].
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.error.kind()
    }

    /// The pause that the service requested; see [`Error::retry_after`].
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.error.retry_after()
    }
}

/// Why the client refuses to call an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// The guard of addresses refuses what a connection would go to.
    #[error("its address is {0}")]
    Address(AddressRule),
    /// There are hosts that may be called, and this is not among them.
    #[error("its host is not among those of --cloud-hosts")]
    Unlisted,
    /// The URL's scheme is `http`.
    #[error("its URL begins with http, which --require-https refuses")]
    PlainHttp,
    /// The URL's scheme, host or port is not that of the service's endpoint.
    #[error("the address is not the service's own")]
    OtherOrigin,
    /// A redirect led to another origin, or there were more than three.
    #[error("the service redirected to another address")]
    Redirect,
}

/// The scope of a token without a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoProject {
    /// A domain.
    #[error("a domain")]
    Domain,
    /// The whole cloud.
    #[error("the whole system")]
    System,
}

/// Formats names for a sentence: at most ten names of at most 64 bytes.
pub(crate) fn listed(names: &[String]) -> String {
    const MOST: usize = 10;
    const LONGEST: usize = 64;
    let short = |name: &String| {
        let whole = word(name);
        if whole.len() > LONGEST { escaped(name, LONGEST) + "…" } else { whole }
    };
    let shown: Vec<_> = names.iter().take(MOST).map(short).collect();
    match names.len().saturating_sub(MOST) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The class of a failure.
///
/// `Display` is one stable sentence. It contains no URL, token, body or request ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No complete answer came within the deadline.
    #[error("no answer came in time")]
    Timeout,
    /// No connection within ten seconds, or the server closed it before the end of the answer.
    #[error("the connection failed")]
    ConnectionFailed,
    /// The TCP connection works and TLS fails for another reason than the certificate.
    #[error("{0}")]
    TlsFailed(TlsFault),
    /// The host name could not be resolved.
    #[error("the host name could not be resolved")]
    Dns,
    /// The server's certificate is not trusted.
    #[error("the server's certificate is not trusted, since {0}")]
    CertificateUntrusted(Distrust),
    /// The client must not call the address.
    #[error("{0}")]
    AddressRefused(Refusal),
    /// Keystone refused the credential, now or less than five minutes ago: 401, 403, or 404 for an unknown application
    /// credential (Keystone 22.0.2).
    #[error("the login was refused")]
    LoginRefused,
    /// The login was not sent, because Keystone refused three other credentials of the same user less than five minutes
    /// ago.
    #[error("the login has to wait, since other credentials of the user were refused")]
    LoginBraked,
    /// A signature by the entry's access key was refused, now or less than five minutes ago.
    #[error("the signature was refused")]
    SignatureRefused(SignatureRefusal),
    /// Keystone lists no project, or several, with the name in an entry that only signs.
    #[error("the account has not exactly one project of this name")]
    ProjectNotListed,
    /// Keystone refused the login for the observed project, and accepts the user.
    #[error("the user gets no token for the project")]
    ProjectRefused,
    /// The credential is for its own project alone.
    #[error("the credential is for its own project alone")]
    ProjectFixed,
    /// The token has no project, and therefore no service catalogue.
    #[error("the token is for no project and has no service catalogue")]
    Unscoped,
    /// The token's scope is not a project, and its catalogue has no address of the service.
    #[error("the token is for {0} and not for a project")]
    NoProject(NoProject),
    /// 401 with a new token.
    #[error("the token was rejected")]
    TokenRejected,
    /// 401 with a new token of an application credential that has access rules.
    #[error("the service rejects the token, whose application credential has access rules")]
    OutsideAccessRules,
    /// 403.
    #[error("access is forbidden")]
    Forbidden,
    /// Keystone does not know the observed project.
    #[error("the project does not exist")]
    ProjectUnknown,
    /// 400 "Malformed request URL": the project in the path is not the token's (Nova 26.0.1).
    #[error("the address names another project than the token's")]
    ForeignProject,
    /// 404 from a service that is in the catalogue.
    #[error("the address was not found")]
    NotFound,
    /// The catalogue lacks the service for the region or the interface.
    #[error("the service catalogue does not offer it")]
    ServiceNotInCatalogue,
    /// The catalogue offers the service only in other regions.
    #[error("the service catalogue does not offer it in region {} (it does in: {})", word(region), listed(offered_in))]
    ServiceElsewhere {
        /// The region in use.
        region: String,
        /// The regions that offer it, sorted.
        offered_in: Vec<String>,
    },
    /// The catalogue lists other regions only.
    #[error("the service catalogue does not know the region {} (it knows: {})", word(region), listed(known))]
    RegionNotFound {
        /// The requested region.
        region: String,
        /// All regions of the catalogue, sorted; empty if it lists none.
        known: Vec<String>,
    },
    /// 429, or 413 with `Retry-After` or an `overLimit` envelope (older versions of Nova).
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
    /// 504: a proxy received no answer from the service in time.
    #[error("a proxy got no answer from the service in time")]
    GatewayTimeout,
    /// Any other 5xx.
    #[error("the service failed")]
    ServerError,
    /// The API does not define this status for this call.
    #[error("the answer has the unexpected status {0}")]
    UnexpectedStatus(u16),
    /// The answer does not match the API; the text names the mismatch.
    #[error("{0}")]
    Unexpected(&'static str),
    /// The decompressed body exceeds the service's limit.
    #[error("the answer is longer than any that is read")]
    BodyTooLarge,
}

impl Error {
    /// A request that HTTP does not allow.
    pub(super) const UNSENDABLE: Self = Self::Unexpected("the request could not be built");
    /// A body that is not what its compression promises.
    pub(super) const GARBLED: Self = Self::Unexpected("the answer could not be decompressed");
    /// A body whose chunks cannot be read.
    pub(super) const MISFRAMED: Self = Self::Unexpected("the answer is not framed as HTTP requires");

    /// The class as a metric label: one of a closed set, without the variant's data.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::ConnectionFailed | Self::TlsFailed(_) => "connection_failed",
            Self::Dns => "dns",
            Self::CertificateUntrusted(_) => "certificate_untrusted",
            Self::AddressRefused(_) => "address_refused",
            Self::SignatureRefused(SignatureRefusal::ByService) => "token_rejected",
            Self::LoginRefused
            | Self::LoginBraked
            | Self::SignatureRefused(_)
            | Self::ProjectRefused
            | Self::ProjectFixed => "login_refused",
            Self::Unscoped | Self::NoProject(_) => "unscoped",
            Self::TokenRejected | Self::OutsideAccessRules => "token_rejected",
            Self::Forbidden => "forbidden",
            Self::ProjectUnknown | Self::ProjectNotListed => "project_unknown",
            Self::NotFound => "not_found",
            Self::ServiceNotInCatalogue | Self::ServiceElsewhere { .. } => "service_not_in_catalogue",
            Self::RegionNotFound { .. } => "region_not_found",
            Self::RateLimited { .. } => "rate_limited",
            Self::ServiceUnavailable { .. } => "service_unavailable",
            Self::GatewayTimeout => "gateway_timeout",
            Self::ServerError => "server_error",
            Self::ForeignProject | Self::UnexpectedStatus(_) | Self::Unexpected(_) => "unexpected",
            Self::BodyTooLarge => "body_too_large",
        }
    }

    /// The pause that the service requested, at most one hour.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::ServiceUnavailable { retry_after } => *retry_after,
            _ => None,
        }
    }

    /// The error after some time has passed, with the rest of the pause that the service requested. Without such a
    /// request, `pause` applies. `None` when the pause is over.
    pub(super) fn still_after(self, passed: Duration, pause: Duration) -> Option<Self> {
        let left = self.retry_after().unwrap_or(pause).checked_sub(passed).filter(|left| !left.is_zero())?;
        let shortened = |requested: Option<Duration>| requested.map(|_| left);
        Some(match self {
            Self::RateLimited { retry_after } => Self::RateLimited { retry_after: shortened(retry_after) },
            Self::ServiceUnavailable { retry_after } => {
                Self::ServiceUnavailable { retry_after: shortened(retry_after) }
            }
            other => other,
        })
    }

    /// The failure of this error at a service, without a code.
    #[must_use]
    pub fn at(self, service: Service) -> Failure {
        Failure { service, error: self, code: None }
    }

    /// The class of an HTTP status, `None` for 2xx except 206.
    pub(super) fn of_status(status: u16, retry_after: Option<Duration>) -> Option<Self> {
        Some(match status {
            // A part of an answer, which nobody asked for. What is missing could change the verdict.
            206 => Self::UnexpectedStatus(206),
            200..=299 => return None,
            401 => Self::TokenRejected,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            413 if retry_after.is_some() => Self::RateLimited { retry_after },
            429 => Self::RateLimited { retry_after },
            503 => Self::ServiceUnavailable { retry_after },
            504 => Self::GatewayTimeout,
            500..=599 => Self::ServerError,
            other => Self::UnexpectedStatus(other),
        })
    }

    /// The class of a call without a complete answer.
    pub(super) fn of_transport(error: &(dyn StdError + 'static)) -> Self {
        if let Some(refusal) = causes(error).find_map(|cause| cause.downcast_ref()) {
            Self::AddressRefused(*refusal)
        } else if causes(error).any(|cause| cause.is::<Crowded>()) {
            Self::Timeout
        } else if causes(error).any(|cause| cause.is::<Unresolved>()) {
            Self::Dns
        } else if let Some(tls) = of_tls(error) {
            tls
        } else if is_connect(error) {
            Self::ConnectionFailed
        } else if let Some(excess) = causes(error).find_map(|cause| cause.downcast_ref()) {
            Self::of_excess(*excess)
        } else if causes(error).any(|cause| cause.downcast_ref().is_some_and(hyper::Error::is_parse_too_large)) {
            Self::of_excess(Excess::Head)
        } else if is_timeout(error) {
            Self::Timeout
        } else {
            Self::ConnectionFailed
        }
    }

    /// The class of a call whose answer ended within the body.
    pub(super) fn of_body(error: &hyper::Error) -> Self {
        match Self::of_transport(error) {
            Self::ConnectionFailed if is_garbled(error) => Self::MISFRAMED,
            error => error,
        }
    }

    fn of_excess(excess: Excess) -> Self {
        match excess {
            Excess::Head => Self::Unexpected("the head of the answer is too long"),
            Excess::Body => Self::Unexpected("the answer has too much data around its body"),
            Excess::Late => Self::Timeout,
        }
    }
}

/// Whether there was no connection.
fn is_connect(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| cause.downcast_ref().is_some_and(legacy::Error::is_connect))
}

fn is_timeout(error: &(dyn StdError + 'static)) -> bool {
    let of_io = |io: &std::io::Error| io.kind() == ErrorKind::TimedOut;
    let is_late = |cause: &(dyn StdError + 'static)| {
        cause.downcast_ref().is_some_and(hyper::Error::is_timeout) || cause.downcast_ref().is_some_and(of_io)
    };
    causes(error).any(is_late)
}

/// The rustls error among the causes, if there is one.
pub(super) fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The class of the rustls error among the causes, if there is one.
fn of_tls(error: &(dyn StdError + 'static)) -> Option<Error> {
    let error = tls_error(error)?;
    match Distrust::of(error) {
        Some(distrust) => Some(Error::CertificateUntrusted(distrust)),
        None => TlsFault::of(error).map(Error::TlsFailed),
    }
}

/// Whether the framing of the body is wrong. rustls also reports non-TLS data as invalid data.
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
            // `source()` of an io::Error returns the source of the wrapped error and skips that error itself.
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
            (206, None, "unexpected"),
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
            let class = error.as_ref().map_or("ok", Error::kind);
            assert_eq!(class, kind, "{status}");
            assert_eq!(error.as_ref().and_then(Error::retry_after), retry_after, "{status}");
        }
    }

    /// The nesting of errors is that of hyper-rustls and tokio-rustls.
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
        assert_eq!(listed(&["ü".repeat(32)]), "ü".repeat(32));
        assert_eq!(listed(&["ü".repeat(33)]), format!("{}…", "ü".repeat(32)));
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
