//! `/healthz`, `/readyz` and `/metrics`.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// What a process needs before it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// A CustomResourceDefinition that will do.
    Definition,
    /// The Lease, or the sight of who holds it.
    Lease,
    /// The rights without which it could not work if it led.
    Rights,
    /// All CloudTenants, if it leads.
    Tenants,
}

/// Whether the process does its part, for `/readyz`; else what it lacks.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Mutex<BTreeMap<Requirement, String>>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(BTreeMap::from([(Requirement::Definition, "starting".to_owned())]))))
    }
}

impl Readiness {
    /// The requirement is met.
    pub fn has(&self, requirement: Requirement) {
        self.lock().remove(&requirement);
    }

    /// The requirement is not met, for this reason.
    pub fn lacks(&self, requirement: Requirement, why: &str) {
        self.lock().insert(requirement, why.to_owned());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Requirement, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves until the process ends.
///
/// # Errors
/// The listener broke.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>, readiness: Readiness) -> io::Result<()> {
    let app = Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(scrape).with_state(metrics));
    axum::serve(listener, app).await
}

async fn readyz(State(readiness): State<Readiness>) -> impl IntoResponse {
    let lacks = readiness.lock().values().cloned().collect::<Vec<_>>().join("; ");
    if lacks.is_empty() { (StatusCode::OK, "ok".to_owned()) } else { (StatusCode::SERVICE_UNAVAILABLE, lacks) }
}

/// OpenMetrics for who asks for it, as Prometheus does, and its older text for everybody else.
async fn scrape(State(metrics): State<Arc<Metrics>>, headers: HeaderMap) -> impl IntoResponse {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepted.flat_map(|value| value.split(',')).any(|range| range.trim().starts_with("application/openmetrics-text"))
    {
        let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(CONTENT_TYPE, openmetrics)], metrics.encode())
    } else {
        ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.encode_plain())
    }
}
