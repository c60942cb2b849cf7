//! Heat's API: its versions and the list of engines.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, StatusCode},
    response::Response,
    routing::get,
};
use serde_json::json;

use crate::cloud::{answer, engines::Handed, ids, service::Service, state::Shared};

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(versions))
        .route("/v1/{tenant}/services", get(services).fallback(unknown))
        .fallback(unknown)
        .with_state(shared)
}

async fn versions(State(shared): State<Arc<Shared>>) -> Response {
    let link = format!("{}/v1/", shared.base(Service::Heat));
    let version = json!({"id": "v1.0", "status": "CURRENT", "links": [{"rel": "self", "href": link}]});
    answer::json(StatusCode::MULTIPLE_CHOICES, &json!({"versions": [version]}))
}

/// The token comes first: without one, Heat does not say which paths it knows.
async fn unknown(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let known = {
        let state = shared.lock();
        state.identity.access(&headers, &state.clock).is_some()
    };
    if known { answer::html_not_found() } else { answer::unauthorized(shared.base(Service::Keystone)) }
}

/// The same list for every tenant; an admin may ask with any id in the URL.
async fn services(State(shared): State<Arc<Shared>>, Path(tenant): Path<String>, headers: HeaderMap) -> Response {
    let (access, system_alone) = {
        let state = shared.lock();
        (state.identity.access(&headers, &state.clock), state.system_scope_for_engines)
    };
    let mut response = match access {
        None => answer::unauthorized(shared.base(Service::Keystone)),
        Some(access) if access.is_admin() && (access.system || !system_alone) => list(&shared).await,
        Some(access) if access.is_of(&tenant) => {
            error(StatusCode::FORBIDDEN, "Forbidden", "You are not authorized to use service:index.")
        }
        Some(_) => error(StatusCode::FORBIDDEN, "HTTPForbidden", FORBIDDEN),
    };
    let request_id = format!("req-{}", ids::new_uuid());
    answer::set(response.headers_mut(), HeaderName::from_static("x-openstack-request-id"), &request_id);
    response
}

async fn list(shared: &Shared) -> Response {
    let handed = {
        let mut state = shared.lock();
        let clock = state.clock;
        state.engines.hand_out(&clock)
    };
    match handed {
        Handed::Answered(body) => answer::json(StatusCode::OK, &body),
        Handed::Silence(timeout) => {
            tokio::time::sleep(timeout).await;
            error(StatusCode::SERVICE_UNAVAILABLE, "HTTPServiceUnavailable", "All heat engines are down.")
        }
    }
}

const FORBIDDEN: &str = "Access was denied to this resource.";

fn error(status: StatusCode, kind: &str, message: &str) -> Response {
    let explanation = match status {
        StatusCode::FORBIDDEN => FORBIDDEN,
        _ => "The server is currently unavailable. Please try again at a later time.",
    };
    let body = json!({
        "code": status.as_u16(),
        "title": status.canonical_reason(),
        "explanation": explanation,
        "error": {"type": kind, "traceback": null, "message": message},
    });
    answer::json(status, &body)
}
