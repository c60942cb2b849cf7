//! A service's HTTP answer, whatever its status.

use std::{fmt, time::Duration};

use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use tokio::{sync::OwnedMutexGuard, time::Instant as Deadline};

use super::{Error, Failure, Service, aside::aside, time::is_plausible, words::ErrorBody};
use crate::share::Permit;

/// The longest `Retry-After` that is honoured. Without this bound, one wrong header would stop the probes.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// In bytes. A longer time header is ignored.
const LONGEST_TIME: usize = 64;

/// The deadline for reading a body when the call sets no other deadline.
const READING: Duration = Duration::from_secs(60);

/// The memory permits of a body that is not tiny, and the session's lock for large bodies that are collected.
#[derive(Default)]
pub(super) struct Held {
    pub(super) small: Option<Permit>,
    pub(super) large: Option<Permit>,
    pub(super) alone: Option<OwnedMutexGuard<()>>,
}

/// A complete HTTP answer.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The header `Date`: the cloud's clock when it answered.
    pub date: Option<Timestamp>,
    /// The header `Retry-After` as a duration, at most one hour.
    pub retry_after: Option<Duration>,
    /// The time from the request to the end of the body.
    pub took: Duration,
    /// The body, decompressed. Only its end if a sink took the rest while it arrived.
    pub body: Vec<u8>,
    pub(super) headers: HeaderMap,
    /// The deadline of the call, which also applies to reading the body.
    pub(super) deadline: Deadline,
    /// Whether the body is only the end of one.
    is_rest: bool,
    /// Releases the memory permits of the body when the answer is dropped.
    _room: Held,
}

impl Answer {
    pub(super) fn new(status: u16, headers: HeaderMap, body: Vec<u8>, room: Held) -> Self {
        let text = |name| headers.get(name)?.to_str().ok().filter(|text| text.len() <= LONGEST_TIME);
        let date = text(DATE).and_then(http_date).filter(is_plausible);
        let retry_after = text(RETRY_AFTER).and_then(|text| retry_after(text, date.unwrap_or_else(Timestamp::now)));
        let deadline = Deadline::now() + READING;
        let (took, is_rest) = (Duration::ZERO, false);
        Self { status, date, retry_after, took, body, headers, deadline, is_rest, _room: room }
    }

    /// An answer with the end of a body, which a sink has not taken.
    pub(super) fn of_rest(status: u16, headers: HeaderMap, rest: Vec<u8>, room: Held) -> Self {
        Self { is_rest: true, ..Self::new(status, headers, rest, room) }
    }

    /// Returns the answer if its status is 2xx. Otherwise returns the failure, with the service's error code.
    ///
    /// # Errors
    /// The class of the status. Where a status has several meanings, Nova's text decides.
    pub fn of(self, service: Service) -> Result<Self, Failure> {
        match self.failure(service) {
            None => Ok(self),
            Some(failure) => Err(failure),
        }
    }

    /// The failure that the status means; `None` for 2xx.
    pub(super) fn failure(&self, service: Service) -> Option<Failure> {
        let error = Error::of_status(self.status, self.retry_after)?;
        let error_body = ErrorBody::of(&self.body);
        let error = match error {
            Error::UnexpectedStatus(413) if error_body.over_limit => Error::RateLimited { retry_after: None },
            Error::UnexpectedStatus(400) if names_a_foreign_project(&error_body.text) => Error::ForeignProject,
            other => other,
        };
        Some(Failure { service, error, code: error_body.code })
    }

    /// Passes the body to `read`. See [`Answer::digest`] and [`Answer::understood`].
    ///
    /// # Errors
    /// The errors of `read`, and [`Error::Timeout`].
    pub async fn read<T: Send + 'static>(
        self,
        service: Service,
        read: impl FnOnce(&[u8]) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Failure> {
        self.digest(service, move |answer| answer.understood(service, read(&answer.body))).await?
    }

    /// Runs work whose duration grows with the body. A long body is processed on a separate thread, until the call's
    /// deadline.
    ///
    /// # Errors
    /// [`Error::Timeout`].
    pub async fn digest<T: Send + 'static>(
        self,
        service: Service,
        work: impl FnOnce(Self) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let (length, deadline) = (self.body.len(), self.deadline);
        aside(length, deadline, move || work(self)).await.map_err(|error| error.at(service))
    }

    /// The parsed body. If it cannot be parsed, the log gets only the request ID: the body may contain anything.
    ///
    /// # Errors
    /// The parse error, with the code of a gateway that sends its errors with status 200.
    pub fn understood<T>(&self, service: Service, read: Result<T, Error>) -> Result<T, Failure> {
        read.map_err(|error| {
            // A body that a sink takes is longer than a gateway's error.
            let error_body = if self.is_rest { ErrorBody::default() } else { ErrorBody::of(&self.body) };
            let request = error_body.request_ids(&self.headers);
            tracing::info!(%service, status = self.status, %error, request, "an answer of the cloud is not understood");
            Failure { service, error, code: error_body.code }
        })
    }

    /// A header's value; `None` if the header is missing or not ASCII.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Prints neither body nor headers: the answer to a login contains the token.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("date", &self.date)
            .field("retry_after", &self.retry_after)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Nova compares the project in its path with the token's project, even for an administrator.
fn names_a_foreign_project(text: &str) -> bool {
    text.to_ascii_lowercase().contains("malformed request url")
}

fn http_date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text).ok()
}

/// The header is a number of seconds, or an HTTP date by the server's clock.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let wait = match text.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        // A date in the past means "retry immediately".
        Err(_) => Duration::try_from(http_date(text)?.duration_since(now)).unwrap_or_default(),
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_in_both_forms() {
        let rows = [
            ("120", Some(120)),
            (" 5 ", Some(5)),
            ("0", Some(0)),
            ("86400", Some(3600)),
            ("Sun, 22 Nov 2026 05:10:00 GMT", Some(60)),
            ("Sun, 22 Nov 2026 05:00:00 GMT", Some(0)),
            ("Mon, 23 Nov 2026 05:00:00 GMT", Some(3600)),
            ("-1", None),
            ("soon", None),
            (&format!("{}5", "0".repeat(63)), Some(5)),
            (&format!("{}5", "0".repeat(64)), None),
        ];
        for (text, seconds) in rows {
            let mut headers = HeaderMap::new();
            headers.insert(DATE, "Sun, 22 Nov 2026 05:09:00 GMT".parse().unwrap());
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            let answer = Answer::new(503, headers, Vec::new(), Held::default());
            assert_eq!(answer.retry_after, seconds.map(Duration::from_secs), "{text}");
            let date = "2026-11-22T05:09:00Z".parse().unwrap();
            assert_eq!(answer.date, Some(date));
        }
    }

    #[test]
    fn debug_shows_neither_headers_nor_body() {
        let mut headers = HeaderMap::new();
        headers.insert("x-subject-token", "gAAAA".parse().unwrap());
        let answer = Answer::new(201, headers, b"gAAAA".to_vec(), Held::default());
        assert!(!format!("{answer:?}").contains("gAAAA"));
        assert_eq!(answer.header("X-Subject-Token"), Some("gAAAA"));
    }
}
