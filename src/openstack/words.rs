//! A service's error text, and the error code and request ID in it.

use std::fmt;

use serde_json::{Map, Value};

use crate::words::escaped;

/// The maximum length of a service's text in the log, in bytes.
const MOST_TEXT: usize = 500;
/// In bytes. A longer error body is not parsed as JSON; the services' errors are far shorter.
const MOST_READ: usize = 64 << 10;
/// The maximum number of characters of an error code.
const MOST_CODE: usize = 32;
/// The maximum length of a request ID, in bytes.
const MOST_ID: usize = 128;

/// An error code that a service or its gateway documents, such as `DCS.4001` or `APIGW.0308`. It has at most 32
/// letters, digits, dots, hyphens and underscores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorCode(String);

impl ErrorCode {
    /// The code, if the text has the form of one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_code = !text.is_empty() && text.len() <= MOST_CODE && text.bytes().all(allowed);
        is_code.then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The content of an error body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ErrorBody {
    /// The service's text, not escaped.
    pub(super) text: String,
    /// The documented code.
    pub(super) code: Option<ErrorCode>,
    /// The request ID, if the body contains it.
    pub(super) request_id: Option<String>,
    /// Whether the body is Nova's envelope of a rate limit.
    pub(super) over_limit: bool,
}

impl ErrorBody {
    /// Parses the envelopes of Keystone, Heat, Nova, DCS and their gateways. Of any other body, it takes the beginning.
    pub(super) fn of(body: &[u8]) -> Self {
        let json = if body.len() <= MOST_READ { serde_json::from_slice(body).ok() } else { None };
        match json {
            Some(Value::Object(fields)) => Self {
                text: text_of(&fields).map_or_else(|| beginning(body), str::to_owned),
                code: code_of(&fields),
                request_id: ["request_id", "requestId"].iter().find_map(|key| text(&fields, key)).map(str::to_owned),
                over_limit: fields.keys().any(|key| key.starts_with("overLimit")),
            },
            _ => Self { text: beginning(body), ..Self::default() },
        }
    }

    /// The text for the log: escaped, at most 500 bytes, and without the secret that was sent.
    pub(super) fn log_text(&self, secret: &str) -> String {
        // A shorter secret would match in any text.
        const SHORTEST: usize = 4;
        let mut text = self.text.clone();
        if secret.len() >= SHORTEST {
            // A service may repeat the request as JSON, which escapes quotes and backslashes.
            let escaped = Value::from(secret).to_string();
            for form in [secret, escaped.trim_matches('"')] {
                text = text.replace(form, "[redacted]");
            }
        }
        let words: Vec<_> = text.split_whitespace().collect();
        escaped(&words.join(" "), MOST_TEXT)
    }

    /// The request IDs in the headers and the body, for the log.
    pub(super) fn request_ids<'a>(&'a self, headers: &'a http::HeaderMap) -> String {
        const MOST: usize = 4;
        let named = headers.iter().filter(|(name, _)| {
            let name = name.as_str();
            name.ends_with("request-id") || name.ends_with("requestid")
        });
        let values = named.filter_map(|(_, value)| value.to_str().ok());
        let mut ids: Vec<String> = Vec::new();
        for id in values.chain(self.request_id.as_deref()) {
            let id = escaped(id.trim(), MOST_ID);
            if !id.is_empty() && ids.len() < MOST && !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids.join(", ")
    }
}

fn beginning(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(MOST_READ)]).into_owned()
}

fn text<'a>(fields: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    fields.get(key)?.as_str().filter(|text| !text.trim().is_empty())
}

/// `{"error": {"message"}}` of Keystone and Heat, `{"error_msg"}` of DCS and its gateway, `{"<key>": {"message"}}` of
/// Nova, and similar forms.
fn text_of(fields: &Map<String, Value>) -> Option<&str> {
    let message = |fields| ["message", "error_msg"].into_iter().find_map(|key| text(fields, key));
    let error = fields.get("error").and_then(Value::as_object);
    let enveloped = || fields.values().filter_map(Value::as_object).find_map(message);
    let other = || ["explanation", "error", "detail", "title"].into_iter().find_map(|key| text(fields, key));
    error.and_then(message).or_else(|| message(fields)).or_else(enveloped).or_else(other)
}

/// `error_code`, at the top or within `error`; or `error.code` unless it is an HTTP status.
fn code_of(fields: &Map<String, Value>) -> Option<ErrorCode> {
    let error = fields.get("error").and_then(Value::as_object);
    let code = |fields: &Map<String, Value>| match fields.get("error_code")? {
        Value::String(code) => ErrorCode::new(code),
        Value::Number(code) => ErrorCode::new(&code.to_string()),
        _ => None,
    };
    let worded = |fields| text(fields, "code").filter(|code| code.contains(|c: char| c.is_ascii_alphabetic()));
    code(fields).or_else(|| code(error?)).or_else(|| ErrorCode::new(worded(error?)?))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_envelopes_of_the_services() {
        for (name, body, text, code) in [
            (
                "Keystone",
                r#"{"error": {"code": 401, "message": "Refused.", "title": "Unauthorized"}}"#,
                "Refused.",
                None,
            ),
            (
                "Heat",
                r#"{"code": 403, "explanation": "Access was denied.", "error": {"message": "Not you.", "traceback": null}}"#,
                "Not you.",
                None,
            ),
            ("Heat without a message", r#"{"code": 500, "explanation": "It broke.", "error": {}}"#, "It broke.", None),
            (
                "Nova",
                r#"{"badRequest": {"code": 400, "message": "Malformed request URL"}}"#,
                "Malformed request URL",
                None,
            ),
            ("WebOb", r#"{"code": "404 Not Found", "message": "Nothing.", "title": "Not Found"}"#, "Nothing.", None),
            (
                "DCS",
                r#"{"error_code": "DCS.4001", "error_msg": "Invalid.", "error_ext_msg": null}"#,
                "Invalid.",
                Some("DCS.4001"),
            ),
            ("an older DCS", r#"{"error_code": "111400070", "error_msg": "No."}"#, "No.", Some("111400070")),
            (
                "a gateway",
                r#"{"error_msg": "Slow.", "error_code": "APIGW.0308", "request_id": "1"}"#,
                "Slow.",
                Some("APIGW.0308"),
            ),
            ("a gateway, within", r#"{"error": {"code": "Ecs.0114", "message": "No."}}"#, "No.", Some("Ecs.0114")),
            ("a status is no code", r#"{"error": {"code": "404", "message": "No."}}"#, "No.", None),
            (
                "no code: too long",
                r#"{"error_code": "A23456789012345678901234567890123", "error_msg": "x"}"#,
                "x",
                None,
            ),
            (
                "the longest code",
                r#"{"error_code": "A2345678901234567890123456789012"}"#,
                "{\"error_code\": \"A2345678901234567890123456789012\"}",
                Some("A2345678901234567890123456789012"),
            ),
            ("no code: a space", r#"{"error_code": "DCS 4001", "error_msg": "x"}"#, "x", None),
            ("no code: another script", r#"{"error_code": "DCS.４００１", "error_msg": "x"}"#, "x", None),
            ("no code: empty", r#"{"error_code": "", "error_msg": "x"}"#, "x", None),
            ("no code: null", r#"{"error_code": null, "error_msg": "x"}"#, "x", None),
            ("a page", "<html>\n <h1>502</h1>", "<html> <h1>502</h1>", None),
            ("no text", "[1, 2]", "[1, 2]", None),
            ("nothing", "", "", None),
        ] {
            let error_body = ErrorBody::of(body.as_bytes());
            assert_eq!(error_body.log_text(""), text, "{name}");
            assert_eq!(error_body.code.map(|code| code.to_string()).as_deref(), code, "{name}");
        }
    }

    #[test]
    fn every_kind_of_request_id() {
        for (name, headers, body, ids) in [
            ("none", &[][..], "", ""),
            ("OpenStack", &[("X-Openstack-Request-Id", "req-1")], "", "req-1"),
            (
                "Nova sends both alike",
                &[("x-openstack-request-id", "req-1"), ("x-compute-request-id", "req-1")],
                "",
                "req-1",
            ),
            ("only Nova's older one", &[("X-Compute-Request-Id", "req-2")], "", "req-2"),
            ("a gateway before it", &[("X-Request-Id", "g1"), ("x-openstack-request-id", "req-1")], "", "g1, req-1"),
            ("in the body", &[], r#"{"error_code": "APIGW.0301", "request_id": "9c1b"}"#, "9c1b"),
            ("another gateway", &[("x-amzn-requestid", "a-1")], "", "a-1"),
            ("no other header", &[("x-subject-token", "gAAAA")], "", ""),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
            }
            assert_eq!(ErrorBody::of(body.as_bytes()).request_ids(&map), ids, "{name}");
        }
    }

    #[test]
    fn the_secret_that_was_sent_is_not_logged() {
        for (name, secret, text) in [
            ("repeated twice", "gAAAAABkey", "the token [redacted] of a user, [redacted], is unknown"),
            ("not repeated", "s3cret!", "the token gAAAAABkey of a user, gAAAAABkey, is unknown"),
            ("too short to be distinctive", "a", "the token gAAAAABkey of a user, gAAAAABkey, is unknown"),
        ] {
            let body = br#"{"error": {"message": "the token gAAAAABkey of a user, gAAAAABkey, is unknown"}}"#;
            assert_eq!(ErrorBody::of(body).log_text(secret), text, "{name}");
        }
        // A page that repeats the request's JSON, with the password escaped.
        let echoed = ErrorBody::of(br#"<p>Bad request: {"password": "a\"b\\c"}</p>"#);
        assert_eq!(echoed.log_text(r#"a"b\c"#), r#"<p>Bad request: {"password": "[redacted]"}</p>"#);
    }

    proptest! {
        #[test]
        fn any_body_gives_a_short_line(body in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let text = ErrorBody::of(&body).log_text("");
            prop_assert!(text.len() <= MOST_TEXT);
            prop_assert!(!text.contains(crate::words::is_unsafe), "{text:?}");
        }
    }
}
