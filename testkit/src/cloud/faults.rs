//! How services misbehave.

use std::{collections::BTreeMap, time::Duration};

use crate::cloud::service::Service;

/// How a service misbehaves.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Answers with this instead of its own.
    Status {
        /// The status.
        code: u16,
        /// The body.
        body: Vec<u8>,
        /// The `Content-Type` header.
        content_type: String,
        /// Further headers.
        headers: Vec<(String, String)>,
    },
    /// Answers late, by real time; what else is wrong applies afterwards.
    Delay(Duration),
    /// Never answers.
    Hang,
    /// Closes the connection without an answer.
    Reset,
    /// Sends interim answers (100, 102 and 103) as fast as it can, and no other.
    EndlessInterim,
    /// Begins the head of an answer, and sends one byte of it a second without end.
    SlowHead,
    /// Answers 200 with these bytes as JSON.
    Body(Vec<u8>),
    /// The fault, this many times; then no more.
    Times(usize, Box<Self>),
    /// Refuses connections until the faults are cleared, and then listens on the same port. Those open are closed.
    /// It is of the whole service: within `Times` it is a `Reset`.
    Unreachable,
}

impl Fault {
    /// A JSON answer with this status.
    #[must_use]
    pub fn status(code: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Status { code, body: body.into(), content_type: "application/json".to_owned(), headers: Vec::new() }
    }

    /// What the gateway in front of DCS says to one who asks too often.
    #[must_use]
    pub fn throttled() -> Self {
        Self::status(
            429,
            r#"{"error_code": "APIGW.0308", "error_msg": "The throttling threshold has been reached: policy user over ratelimit,limit:60,time:1 minute", "request_id": "9c1b0d3e"}"#,
        )
    }

    /// What Heat and Nova say while the Keystone behind them is away: a page, after all others JSON.
    #[must_use]
    pub fn keystone_behind_is_down() -> Self {
        Self::Status {
            code: 503,
            body: b"<html>\n <head>\n  <title>503 Service Unavailable</title>\n </head>\n <body>\n  <h1>503 Service Unavailable</h1>\n  \
                    The server is currently unavailable. Please try again at a later time.<br /><br />\n\n\n\n </body>\n</html>"
                .to_vec(),
            content_type: "text/html; charset=UTF-8".to_owned(),
            headers: Vec::new(),
        }
    }

    /// This fault, only so many times.
    #[must_use]
    pub fn times(self, count: usize) -> Self {
        Self::Times(count, Box::new(self))
    }
}

pub(super) struct Rule {
    pub(super) path_contains: String,
    pub(super) fault: Fault,
}

#[derive(Default)]
pub(super) struct Faults {
    pub(super) rules: BTreeMap<Service, Vec<Rule>>,
}

impl Faults {
    /// What is wrong with this request: the delays, then at most one other fault.
    pub(super) fn meet(&mut self, service: Service, path: &str) -> (Duration, Option<Fault>) {
        let mut delay = Duration::ZERO;
        for rule in self.rules.entry(service).or_default() {
            if !path.contains(&rule.path_contains) {
                continue;
            }
            match spend(&mut rule.fault) {
                Some(Fault::Delay(time)) => delay += time,
                None => {}
                fault => return (delay, fault),
            }
        }
        (delay, None)
    }
}

/// The fault itself, one `Times` fewer left.
fn spend(fault: &mut Fault) -> Option<Fault> {
    match fault {
        Fault::Times(0, _) => None,
        Fault::Times(left, inner) => {
            *left -= 1;
            spend(inner)
        }
        other => Some(other.clone()),
    }
}
