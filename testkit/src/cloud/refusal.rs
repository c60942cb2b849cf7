//! Keystone's answers to a request that it refuses.

use axum::{
    http::{StatusCode, header},
    response::Response,
};
use serde_json::json;

use crate::cloud::{
    answer,
    service::{Addresses, Service},
};

/// A refusal: Keystone's own shape of error.
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    /// Application credentials with a scope are told with an empty `identity` beside the message.
    identity: bool,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), identity: false }
    }

    /// What a wrong secret, password, user, project and role have in common.
    pub(super) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "The request you have made requires authentication.")
    }

    pub(super) fn bad_request(what: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            format!(
                "{what} The server could not comply with the request since it is either malformed or otherwise \
                 incorrect. The client is assumed to be in error."
            ),
        )
    }

    pub(super) fn scope_of_credential() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            message:
                "Error authenticating with application credential: Application credentials cannot request a scope."
                    .to_owned(),
            identity: true,
        }
    }

    pub(super) fn answer(self, addresses: &Addresses) -> Response {
        let mut error = json!({
            "code": self.status.as_u16(),
            "message": self.message,
            "title": self.status.canonical_reason(),
        });
        if self.identity {
            error["identity"] = json!({});
        }
        let mut response = answer::json(self.status, &json!({"error": error}));
        if self.status == StatusCode::UNAUTHORIZED {
            let uri = format!("Keystone uri=\"{}/v3\"", addresses.of(Service::Keystone));
            answer::set(response.headers_mut(), header::WWW_AUTHENTICATE, &uri);
        }
        response
    }
}
