//! A service's answer, whatever its status.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit};

use super::Error;

/// The longest `Retry-After` that is honoured: a wrong one must not switch an observation off.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// The room that a large body takes, and its turn.
type Held = (OwnedSemaphorePermit, OwnedMutexGuard<()>);

/// A complete HTTP answer.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The header `Date`: the cloud's clock when it answered.
    pub date: Option<Timestamp>,
    /// The header `Retry-After` as a span of time, at most an hour.
    pub retry_after: Option<Duration>,
    /// How long it took from the request on, the body included.
    pub took: Duration,
    /// The body, decompressed.
    pub body: Vec<u8>,
    pub(super) headers: HeaderMap,
    /// Held while a large body is in memory.
    _room: Option<Held>,
}

impl Answer {
    pub(super) fn new(status: u16, headers: HeaderMap, body: Vec<u8>, room: Option<Held>) -> Answer {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let date = text(DATE).and_then(http_date);
        let retry_after = text(RETRY_AFTER).and_then(|text| retry_after(text, date.unwrap_or_else(Timestamp::now)));
        Answer { status, date, retry_after, took: Duration::ZERO, body, headers, _room: room }
    }

    /// The answer if its status is 2xx, else the status' class.
    pub fn ok(self) -> Result<Answer, Error> {
        match Error::of_status(self.status, self.retry_after) {
            None => Ok(self),
            Some(error) => Err(error),
        }
    }

    /// A header's value; `None` also if it is not ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Body and headers stay out: a login's answer holds the token.
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

fn http_date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text).ok()
}

/// Seconds, or an HTTP date to be read by the server's clock.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let wait = match text.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        // A date that has passed means: at once.
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
        ];
        for (text, seconds) in rows {
            let mut headers = HeaderMap::new();
            headers.insert(DATE, "Sun, 22 Nov 2026 05:09:00 GMT".parse().unwrap());
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            let answer = Answer::new(503, headers, Vec::new(), None);
            assert_eq!(answer.retry_after, seconds.map(Duration::from_secs), "{text}");
            let date = "2026-11-22T05:09:00Z".parse().unwrap();
            assert_eq!(answer.date, Some(date));
        }
    }

    #[test]
    fn debug_shows_neither_headers_nor_body() {
        let mut headers = HeaderMap::new();
        headers.insert("x-subject-token", "gAAAA".parse().unwrap());
        let answer = Answer::new(201, headers, b"gAAAA".to_vec(), None);
        assert!(!format!("{answer:?}").contains("gAAAA"));
        assert_eq!(answer.header("X-Subject-Token"), Some("gAAAA"));
    }
}
