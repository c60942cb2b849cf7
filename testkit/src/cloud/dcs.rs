//! DCS, a vendor's service: how many cache instances of a tenant are in which state.
//!
//! There are no recordings of it. Its successes are the API document's example, its errors the vendor's published ones.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::get,
};
use serde_json::json;
use url::form_urlencoded;

use crate::cloud::{answer, caches::CacheCounts, ids, state::Shared};

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1.0/{project}/instances/status", get(status))
        .route("/v2/{project}/instances/status", get(status))
        .fallback(unknown)
        .with_state(shared)
}

async fn unknown() -> Response {
    gateway(StatusCode::NOT_FOUND, "APIGW.0101", "The API does not exist or has not been published in the environment")
}

async fn status(
    State(shared): State<Arc<Shared>>,
    Path(project): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let state = shared.lock();
    let access = state.identity.access(&headers, &state.clock);
    let trusted = state.dcs.trusts_foreign_tokens && headers.contains_key("x-auth-token");
    if access.is_none() && !trusted {
        let what = if headers.contains_key("x-auth-token") { "decrypt token fail" } else { "x-auth-token not found" };
        let message = format!("Incorrect IAM authentication information: {what}");
        return gateway(StatusCode::UNAUTHORIZED, "APIGW.0301", &message);
    }
    if access.is_some_and(|access| !access.is_admin() && !access.is_of(&project)) {
        return error(StatusCode::FORBIDDEN, "DCS.4003", "The project ID does not match the token.");
    }
    let with_failures = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .any(|(name, value)| (name == "include_failure" || name == "includeFailure") && value == "true");
    let none = CacheCounts::redis(&[]);
    let mut body = state.dcs.caches.get(&project).unwrap_or(&none).body(with_failures).to_string();
    if state.dcs.stray_brace {
        body.push_str("\n}");
    }
    answer::text(StatusCode::OK, "application/json", body)
}

fn error(status: StatusCode, code: &str, message: &str) -> Response {
    answer::json(status, &json!({"error_code": code, "error_msg": message, "error_ext_msg": null}))
}

/// An error of the gateway in front of DCS.
fn gateway(status: StatusCode, code: &str, message: &str) -> Response {
    let request_id = ids::new_id();
    answer::json(status, &json!({"error_code": code, "error_msg": message, "request_id": request_id}))
}
