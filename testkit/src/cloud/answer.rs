//! The forms of answer that the services share.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::{Timestamp, fmt::rfc2822};
use serde_json::{Value, json};

/// The page that WebOb sends, Heat's and Nova's web framework, for a path that it does not know.
const NOT_FOUND: &str = "<html>\n <head>\n  <title>404 Not Found</title>\n </head>\n <body>\n  <h1>404 Not Found</h1>\n  \
                         The resource could not be found.<br /><br />\n\n\n\n </body>\n</html>";

pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    text(status, "application/json", body.to_string())
}

pub(super) fn text(status: StatusCode, content_type: &str, body: impl Into<Body>) -> Response {
    let mut response = (status, body.into()).into_response();
    set(response.headers_mut(), header::CONTENT_TYPE, content_type);
    response
}

pub(super) fn html_not_found() -> Response {
    text(StatusCode::NOT_FOUND, "text/html; charset=UTF-8", NOT_FOUND)
}

/// What the token middleware in front of Heat and Nova says, in a form of its own. It names Keystone's address.
pub(super) fn unauthorized(keystone: &str) -> Response {
    let body = json!({"error": {
        "code": 401,
        "title": "Unauthorized",
        "message": "The request you have made requires authentication.",
    }});
    let mut response = json(StatusCode::UNAUTHORIZED, &body);
    set(response.headers_mut(), header::WWW_AUTHENTICATE, &format!("Keystone uri=\"{keystone}\""));
    response
}

/// Sets a header, unless the value cannot be one.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The first header of that name, where it is text.
pub(super) fn get<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A time as the `Date` header has it.
pub(super) fn http_date(time: Timestamp) -> String {
    rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_default()
}
