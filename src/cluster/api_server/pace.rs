//! Pauses between watches that end at once.
//!
//! kube begins the next watch as soon as one ends. If a proxy ends each of them at once, that is a loop without a
//! pause. It reports neither an error nor an event, so only the requests show it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::Uri;
use kube::{Client, client::Body};
use tokio::time::Instant;

/// A watch that has lasted for this time needs no pause after it. The operator's own watches last for 30 s.
const LASTED: Duration = Duration::from_secs(5);

/// First pause. Each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Longest pause. For this time the operator may miss changes.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// When the latest watch on a path began, and the pause before it.
#[derive(Debug, Clone, Copy)]
struct Pace {
    began: Instant,
    pause: Duration,
}

/// The latest watch on each path. Their number is bounded by the operator's settings.
type Watches = Arc<Mutex<HashMap<String, Pace>>>;

impl Pace {
    /// Returns the pace of the watch that follows one of this pace.
    fn next(before: Option<Self>, now: Instant) -> Self {
        let pause = match before {
            Some(before) if now.saturating_duration_since(before.began) < LASTED => {
                (before.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE)
            }
            _ => Duration::ZERO,
        };
        Self { began: now + pause, pause }
    }
}

/// Returns the same client with pauses between watches.
pub(super) fn paced(client: &Client) -> Client {
    let (inner, watches) = (client.clone(), Watches::default());
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let pause = if resumes(request.uri()) { pause(&watches, request.uri().path()) } else { Duration::ZERO };
        let client = inner.clone();
        async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            client.send(request).await
        }
    });
    Client::new(service, client.default_namespace())
}

/// Whether the request resumes a watch. A stream that lists first has pauses of its own.
fn resumes(uri: &Uri) -> bool {
    let has = |wanted: &str| uri.query().unwrap_or_default().split('&').any(|parameter| parameter == wanted);
    has("watch=true") && !has("sendInitialEvents=true")
}

fn pause(watches: &Watches, path: &str) -> Duration {
    let mut watches = watches.lock().unwrap_or_else(PoisonError::into_inner);
    let next = Pace::next(watches.get(path).copied(), Instant::now());
    watches.insert(path.to_owned(), next);
    next.pause
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::{Router, response::IntoResponse as _};
    use futures::StreamExt as _;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Api;

    use super::*;
    use crate::cluster::api_server::{AfterError, Lists, follow, settled};

    /// Each line: the time in milliseconds for which a watch lasted | the pause in milliseconds before the next one.
    #[test]
    fn pauses_grow_while_watches_end_at_once() {
        let mut now = Instant::now();
        let mut pace = Pace::next(None, now);
        assert_eq!(pace.pause, Duration::ZERO);
        for (lasted, pause) in [
            (30_000, 0),
            (0, 500),
            (10, 1000),
            (0, 2000),
            (4999, 4000),
            (0, 8000),
            (0, 10_000),
            (0, 10_000),
            (5000, 0),
            (0, 500),
            (30_000, 0),
        ] {
            now = pace.began + Duration::from_millis(lasted);
            pace = Pace::next(Some(pace), now);
            assert_eq!(pace.pause, Duration::from_millis(pause), "{lasted}");
        }
    }

    /// Without pauses this was a request in each millisecond.
    #[tokio::test(start_paused = true)]
    async fn a_proxy_that_ends_each_watch_causes_few_requests() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let watches = Arc::new(AtomicU32::new(0));
        let counted = watches.clone();
        let app = Router::new().fallback(async move |uri: Uri| {
            let query = uri.query().unwrap_or_default();
            if query.contains("sendInitialEvents=true") {
                return (axum::http::StatusCode::UNPROCESSABLE_ENTITY, "").into_response();
            }
            if query.contains("watch=true") {
                counted.fetch_add(1, Ordering::Relaxed);
                return "".into_response();
            }
            r#"{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"6"},"items":[]}"#
                .into_response()
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, app).into_future());
        let config = settled(kube::Config::new(url.parse().unwrap()));
        let client = crate::cluster::api_server::client(config).unwrap();
        let mut events = follow(Api::<ConfigMap>::all(client), Lists::default(), AfterError::Lists).boxed();
        let all = async { while events.next().await.is_some() {} };
        assert!(tokio::time::timeout(Duration::from_secs(120), all).await.is_err());
        let watches = watches.load(Ordering::Relaxed);
        assert!((5..=20).contains(&watches), "{watches} watches in two minutes");
    }
}
