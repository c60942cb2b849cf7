//! The log line of a failed call, with the request ID and the service's text. The service's support asks for both, and
//! neither may appear in a condition.

use super::{Answer, Failure, words::ErrorBody};

/// Logs a failed call: a warning if it is the `first`, else at level info, so that an outage does not fill the log with
/// warnings. The log omits `secret`, the confidential part of the request, if the service repeats it. For a successful
/// status it contains only the ID: the answer to a login contains a token.
pub(super) fn failed(host: String, failure: &Failure, answer: Option<&Answer>, secret: &str, first: bool) {
    const WHAT: &str = "a call to the cloud failed";
    let (service, error) = (failure.service, &failure.error);
    let code = failure.code.as_ref().map(tracing::field::display);
    let status = answer.map(|answer| answer.status);
    let refusal = answer.filter(|answer| !(200..300).contains(&answer.status));
    let error_body = refusal.map(|answer| ErrorBody::of(&answer.body)).unwrap_or_default();
    let request = answer.map(|answer| error_body.request_ids(&answer.headers)).filter(|ids| !ids.is_empty());
    let text = Some(error_body.log_text(secret)).filter(|text| !text.is_empty());
    if first {
        tracing::warn!(host, %service, %error, status, code, request, text, "{WHAT}");
    } else {
        tracing::info!(host, %service, %error, status, code, request, text, "{WHAT}");
    }
}
