//! `/healthz`, `/readyz` and `/metrics`.

use std::{
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

/// Whether the process does its part, for `/readyz`; else what it lacks.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Mutex<Result<(), String>>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Err("starting".to_owned()))))
    }
}

impl Readiness {
    /// From now on the process is ready.
    pub fn ready(&self) {
        *self.lock() = Ok(());
    }

    /// It is not ready, for this reason.
    pub fn lacks(&self, what: &str) {
        *self.lock() = Err(what.to_owned());
    }

    fn lock(&self) -> MutexGuard<'_, Result<(), String>> {
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
    match readiness.lock().clone() {
        Ok(()) => (StatusCode::OK, "ok".to_owned()),
        Err(lacks) => (StatusCode::SERVICE_UNAVAILABLE, lacks),
    }
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
