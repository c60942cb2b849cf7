//! DCS, a vendor's service: how many cache instances of a tenant are in which state.
//!
//! There are no recordings of it. Its successes are the API document's example, its errors the vendor's published ones.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::get,
};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::{
    SimulatedCloud, answer,
    state::{self, Shared},
};

/// The states that the document's example counts.
const STATES: [&str; 14] = [
    "paying",
    "migrating",
    "error",
    "restarting",
    "createfailed",
    "flushing",
    "closed",
    "extending",
    "creating",
    "starting",
    "closing",
    "running",
    "upgrading",
    "restoring",
];

/// Instances by state; the names are as in the API, without `_count`.
pub type Counts = BTreeMap<String, u64>;

/// A tenant's cache instances.
#[derive(Debug, Clone, Default)]
pub struct CacheCounts {
    /// Those of every kind.
    pub all: Counts,
    /// Redis instances, where the region has them.
    pub redis: Option<Counts>,
    /// Memcached instances, where the region has them.
    pub memcached: Option<Counts>,
}

impl CacheCounts {
    /// Redis instances alone in these states, none in the others that the document names.
    #[must_use]
    pub fn redis(counts: &[(&str, u64)]) -> Self {
        let mut all: Counts = STATES.iter().map(|state| ((*state).to_owned(), 0)).collect();
        all.extend(counts.iter().map(|(state, count)| ((*state).to_owned(), *count)));
        Self { redis: Some(all.clone()), all, memcached: None }
    }

    fn body(&self, with_failures: bool) -> Value {
        let mut body = counted(&self.all, with_failures);
        for (kind, counts) in [("redis", &self.redis), ("memcached", &self.memcached)] {
            if let Some(counts) = counts {
                body.insert(kind.to_owned(), counted(counts, with_failures).into());
            }
        }
        body.into()
    }
}

/// `createfailed_count` is there only for those who ask for it.
fn counted(counts: &Counts, with_failures: bool) -> Map<String, Value> {
    counts
        .iter()
        .filter(|(state, _)| with_failures || *state != "createfailed")
        .map(|(state, count)| (format!("{state}_count"), json!(count)))
        .collect()
}

#[derive(Default)]
pub(super) struct Dcs {
    caches: BTreeMap<String, CacheCounts>,
    stray_brace: bool,
    trusts_foreign_tokens: bool,
}

impl SimulatedCloud {
    /// Sets a tenant's cache instances; none of any kind at first.
    pub fn set_caches(&self, tenant: &str, counts: CacheCounts) {
        self.shared.lock().dcs.caches.insert(tenant.to_owned(), counts);
    }

    /// Takes any token for an admin's: for a DCS that stands in the catalogue of another, real Keystone.
    pub fn trust_foreign_tokens(&self) {
        self.shared.lock().dcs.trusts_foreign_tokens = true;
    }

    /// Lets a stray closing brace follow each answer, as in the document's example.
    pub fn set_stray_brace(&self, on: bool) {
        self.shared.lock().dcs.stray_brace = on;
    }
}

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
    let request_id = state::new_id();
    answer::json(status, &json!({"error_code": code, "error_msg": message, "request_id": request_id}))
}
