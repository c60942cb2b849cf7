//! What the log says of a call that failed: one line, with the request's ID and the service's own text. Both are what
//! the service's support asks for, and neither may stand in a condition.

use super::words::Words;
use super::{Answer, Failure};

/// Logs a failed call: as a warning where it is `first`, else as information, so that a service that stays down does
/// not fill the log with warnings. `secret` is what was sent in confidence: a service that repeats it is not quoted
/// with it. Of an answer that is no refusal only the ID is logged: a login's holds a token.
pub(super) fn failed(host: String, failure: &Failure, answer: Option<&Answer>, secret: &str, first: bool) {
    const WHAT: &str = "a call to the cloud failed";
    let (service, error) = (failure.service, &failure.error);
    let code = failure.code.as_ref().map(tracing::field::display);
    let status = answer.map(|answer| answer.status);
    let refusal = answer.filter(|answer| !(200..300).contains(&answer.status));
    let words = refusal.map(|answer| Words::of(&answer.body)).unwrap_or_default();
    let request = answer.map(|answer| words.request_ids(&answer.headers)).filter(|ids| !ids.is_empty());
    let text = Some(words.log_text(secret)).filter(|text| !text.is_empty());
    if first {
        tracing::warn!(host, %service, %error, status, code, request, text, "{WHAT}");
    } else {
        tracing::info!(host, %service, %error, status, code, request, text, "{WHAT}");
    }
}
