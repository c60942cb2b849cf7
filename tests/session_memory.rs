//! What a credential costs in memory: its entry of clouds.yaml, its session, and the token that Keystone gave it.

// clippy.toml lets tests unwrap, but not the helpers of an integration test.
#![allow(clippy::unwrap_used)]

use std::{alloc::System, sync::Arc, time::Duration};

use axum::{Router, http::HeaderMap, routing::post};
use cloudtenant_operator::{
    budget::{Budget, Limits},
    clouds::{Cloud, Clouds},
    metrics::Metrics,
    openstack::{CloudConfig, Network},
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// In bytes.
const MOST: usize = 4864;
/// In bytes. The charge is an estimate on the safe side.
const MOST_CHARGED: usize = 8 << 10;
const SESSIONS: usize = 1000;
const LONG: Duration = Duration::from_secs(60);

/// In bytes, of all threads.
fn live() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// A Keystone that answers each login as a real one did. Returns its address.
async fn keystone() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testkit/fixtures/keystone/token-password-admin.http");
    let recorded = std::fs::read_to_string(path).unwrap();
    let body = recorded.lines().find(|line| line.starts_with('{')).unwrap();
    let mut login: serde_json::Value = serde_json::from_str(body).unwrap();
    login["token"]["issued_at"] = jiff::Timestamp::now().to_string().into();
    login["token"]["expires_at"] = (jiff::Timestamp::now() + Duration::from_secs(3600)).to_string().into();
    let login = login.to_string();
    let answer = move || async move {
        let token = ("x-subject-token".parse().unwrap(), "t".repeat(183).parse().unwrap());
        (axum::http::StatusCode::CREATED, HeaderMap::from_iter([token]), login)
    };
    let app = Router::new().route("/v3/auth/tokens", post(answer));
    let url = testkit::router::serve(app).await.unwrap();
    format!("{url}/v3")
}

/// Sessions of other users each time, logged in.
async fn open(clouds: &Clouds, keystone: &str, users: std::ops::Range<usize>) -> Vec<Arc<Cloud>> {
    let mut open = Vec::with_capacity(users.len());
    for user in users {
        let yaml = format!(
            "clouds: {{c: {{region_name: RegionOne, auth: {{auth_url: '{keystone}', username: user-{user}, \
             password: password-{user}, user_domain_name: Default, project_name: demo, \
             project_domain_name: Default}}}}}}"
        );
        let config = Arc::new(CloudConfig::parse(&yaml, "c", None, None).unwrap());
        let cloud = clouds.open("team", &config).unwrap();
        cloud.session.log_in(LONG).await.unwrap();
        open.push(cloud);
    }
    open
}

/// Sessions for projects of one entry, logged in.
async fn open_projects(clouds: &Clouds, keystone: &str, projects: usize) -> Vec<Arc<Cloud>> {
    let yaml = format!(
        "clouds: {{c: {{region_name: RegionOne, auth: {{auth_url: '{keystone}', username: fleet, password: fleet, \
         user_domain_name: Default, project_name: demo, project_domain_name: Default}}}}}}"
    );
    let entry = Arc::new(CloudConfig::parse(&yaml, "c", None, None).unwrap());
    let mut open = Vec::with_capacity(projects);
    for project in 0..projects {
        let cloud = clouds.open("team", &entry.for_project(&format!("{project:032}")).unwrap()).unwrap();
        cloud.session.log_in(LONG).await.unwrap();
        open.push(cloud);
    }
    open
}

/// One test, so that nothing else runs in this process: the allocator counts for all threads together.
#[tokio::test]
async fn an_ordinary_credential_costs_a_few_kibibytes() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let keystone = keystone().await;
    let (wake, _woken) = tokio::sync::mpsc::channel(1);
    let budget = Budget::new(Limits::default());
    let metrics = Arc::new(Metrics::new());
    let clouds = Clouds::new(Network::default().allowing_loopback(), metrics, wake, budget.clone());
    let warm = open(&clouds, &keystone, 0..24).await;

    let before = live();
    let sessions = open(&clouds, &keystone, 24..24 + SESSIONS).await;
    let each = (live() - before) / sessions.len();
    println!("{each} bytes for each credential");
    assert!(each < MOST, "{each} bytes for each credential");

    let (before_projects, used) = (live(), budget.used().all);
    let projects = open_projects(&clouds, &keystone, SESSIONS).await;
    let each = (live() - before_projects) / projects.len();
    println!("{each} bytes for each project of a credential");
    assert!(each < MOST, "{each} bytes for each project of a credential");
    let charged = (budget.used().all - used) / SESSIONS;
    assert!((MOST / 2..MOST_CHARGED).contains(&charged), "{charged} bytes are charged for each project");

    // All of it is given back.
    drop((sessions, projects));
    clouds.sweep();
    let kept = live().saturating_sub(before);
    assert!(kept < 2 * SESSIONS * 512, "{kept} bytes are kept of {SESSIONS} credentials and projects that nobody uses");
    drop(warm);
}
