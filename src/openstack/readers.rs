//! Private parsers of this module, for `tests/growth` and `tests/faults` only. Most return whether it could parse the text.

use std::time::{Duration, Instant};

use reqwest::header::{DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use super::{
    Answer, CloudConfig, Service,
    answer::Held,
    projects,
    token::{self, Token},
    words::ErrorBody,
};
use crate::observation::projects::{ProjectList, ProjectState};

fn answer(status: u16, headers: &[(HeaderName, &str)], body: &[u8]) -> Answer {
    let value = |text: &&str| HeaderValue::from_str(text).ok();
    let headers = headers.iter().filter_map(|(name, text)| Some((name.clone(), value(text)?)));
    Answer::new(status, HeaderMap::from_iter(headers), body.to_vec(), Held::default())
}

/// Parses the answer to a login, and the addresses of all services.
#[must_use]
pub fn login(body: &[u8], config: &CloudConfig) -> bool {
    let answer = answer(201, &[(HeaderName::from_static("x-subject-token"), "token")], body);
    let token = Token::read(&answer, Instant::now(), config);
    token.is_ok_and(|token| Service::ALL.iter().any(|service| token.places.find(*service).is_ok()))
}

/// Parses a page of Keystone's projects, as a whole.
#[must_use]
pub fn projects(body: &[u8]) -> Option<ProjectList> {
    projects::parse(body).ok().map(projects::Page::listed)
}

/// Parses a page of Keystone's projects in parts. Each part has at least `least` new bytes.
#[must_use]
pub fn projects_in_parts(body: &[u8], least: usize) -> Option<ProjectList> {
    projects::parse_in_parts(body, least).ok().map(projects::Page::listed)
}

/// Parses the state of one project.
#[must_use]
pub fn project_state(body: &[u8], id: &str) -> bool {
    projects::state_in(body, id) != ProjectState::Unknown
}

/// Parses Keystone's 404.
#[must_use]
pub fn not_found(body: &[u8]) -> bool {
    token::says_not_found(body)
}

/// Parses the expiry of an application credential.
#[must_use]
pub fn application_credential(body: &[u8]) -> bool {
    token::application_credential_ends(body).flatten().is_some()
}

/// Parses the headers `Date` and `Retry-After`.
#[must_use]
pub fn headers(date: &str, retry_after: &str) -> bool {
    self::retry_after(date, retry_after).is_some()
}

/// Parses the headers `Date` and `Retry-After`. Returns the wait.
#[must_use]
pub fn retry_after(date: &str, retry_after: &str) -> Option<Duration> {
    answer(503, &[(DATE, date), (RETRY_AFTER, retry_after)], b"").retry_after
}

/// Parses a refusal, and formats its text for the log.
#[must_use]
pub fn refusal(body: &[u8], secret: &str) -> bool {
    let answer = answer(400, &[(HeaderName::from_static("x-request-id"), "req-1")], body);
    let error_body = ErrorBody::of(body);
    let ids = error_body.request_ids(&answer.headers);
    answer.failure(Service::Compute).is_some() && !(error_body.log_text(secret).is_empty() && ids.is_empty())
}
