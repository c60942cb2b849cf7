//! Keystone's v3 API as far as the operator asks it.

mod projects;

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use crate::cloud::{answer, clock, identity::Scope, ids, login, refusal::Refusal, service::Service, state::Shared};

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(versions))
        .route("/v3", get(version))
        .route("/v3/", get(version))
        .route("/v3/auth/tokens", post(issue).delete(revoke))
        .route("/v3/auth/catalog", get(catalogue))
        .route("/v3/users/{user}/application_credentials/{id}", get(application_credential))
        .merge(projects::router())
        .with_state(shared)
}

async fn versions(State(shared): State<Arc<Shared>>) -> Response {
    let body = json!({"versions": {"values": [version_of(&shared)]}});
    let mut response = answer::json(StatusCode::MULTIPLE_CHOICES, &body);
    let location = format!("{}/v3/", shared.base(Service::Keystone));
    answer::set(response.headers_mut(), header::LOCATION, &location);
    response
}

async fn version(State(shared): State<Arc<Shared>>) -> Response {
    answer::json(StatusCode::OK, &json!({"version": version_of(&shared)}))
}

fn version_of(shared: &Shared) -> Value {
    json!({
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": format!("{}/v3/", shared.base(Service::Keystone))}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    })
}

async fn issue(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let is_json = answer::get(&headers, "content-type").is_some_and(|kind| kind.starts_with("application/json"));
    if !is_json {
        return Refusal::bad_request("Expecting to find application/json in Content-Type header.")
            .answer(&shared.addresses);
    }
    let Ok(asked) = serde_json::from_slice::<Value>(&body) else {
        return Refusal::bad_request("Expecting to find valid JSON in request body.").answer(&shared.addresses);
    };
    let mut state = shared.lock();
    state.identity.logins += 1;
    let token = match login::authenticate(&state.identity, &state.clock, &asked) {
        Ok(token) => token,
        Err(refusal) => {
            state.identity.refused_logins += 1;
            drop(state);
            return refusal.answer(&shared.addresses);
        }
    };
    let mut body = login::describe(&state.identity, &state.clock, &token);
    let with_catalogue = !query.is_some_and(|query| query.contains("nocatalog"));
    let Scope { project, system, domain, .. } = &token.scope;
    if with_catalogue && (project.is_some() || *system || *domain) {
        body["catalog"] = state.catalogue.of_scope(&shared.addresses, project.as_deref(), *domain);
    }
    let id = state.identity.issue(token);
    drop(state);
    let mut response = answer::json(StatusCode::CREATED, &json!({"token": body}));
    response.headers_mut().insert(header::VARY, header::HeaderValue::from_static("X-Auth-Token"));
    answer::set(response.headers_mut(), header::HeaderName::from_static("x-subject-token"), &id);
    let request_id = format!("req-{}", ids::new_uuid());
    answer::set(response.headers_mut(), header::HeaderName::from_static("x-openstack-request-id"), &request_id);
    response
}

async fn revoke(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let mut state = shared.lock();
    if state.identity.access(&headers, &state.clock).is_none() {
        drop(state);
        return Refusal::unauthorized().answer(&shared.addresses);
    }
    if let Some(subject) = answer::get(&headers, "x-subject-token") {
        state.identity.revoke(subject);
    }
    StatusCode::NO_CONTENT.into_response()
}

async fn catalogue(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let state = shared.lock();
    let Some(access) = state.identity.access(&headers, &state.clock) else {
        drop(state);
        return Refusal::unauthorized().answer(&shared.addresses);
    };
    let scoped = access.project.is_some() || access.system || access.domain;
    let listing = if scoped {
        state.catalogue.of_scope(&shared.addresses, access.project.as_deref(), access.domain)
    } else {
        json!([])
    };
    let link = format!("{}/v3/auth/catalog", shared.base(Service::Keystone));
    answer::json(StatusCode::OK, &json!({"catalog": listing, "links": {"self": link}}))
}

/// An application credential, to its owner or an admin.
async fn application_credential(
    State(shared): State<Arc<Shared>>,
    Path((user, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let state = shared.lock();
    let found = match state.identity.access(&headers, &state.clock) {
        None => Err(Refusal::unauthorized()),
        Some(access) if !access.is_admin() && access.user != user => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "You are not authorized to perform the requested action: identity:get_application_credential.",
        )),
        Some(_) => {
            state.identity.credentials.iter().find(|known| known.id == id && known.user == user).ok_or_else(|| {
                Refusal::new(StatusCode::NOT_FOUND, format!("Could not find Application Credential: {id}."))
            })
        }
    };
    match found {
        Ok(known) => answer::json(
            StatusCode::OK,
            &json!({"application_credential": {
                "id": known.id,
                "name": known.name,
                "description": null,
                "project_id": known.project,
                "expires_at": known.expires.map(|end| clock::zoneless(state.clock.tell(end))),
                "unrestricted": false,
                "roles": [],
            }}),
        ),
        Err(refusal) => {
            drop(state);
            refusal.answer(&shared.addresses)
        }
    }
}
