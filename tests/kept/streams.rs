//! The memory that a long list takes while it arrives.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use axum::{Router, body::Body, http::StatusCode, routing};
use cloudtenant_operator::{
    api::Period,
    observation::engine_answers::EngineAnswer,
    openstack::{CloudConfig, Network, NoCounters, Session},
    probe::{engines, usage},
    target::Target,
};
use futures::stream;
use jiff::Timestamp;
use serde_json::json;

use super::{ALLOCATOR, MIB, TURN};

/// A body of a beginning, rows, and an end. Only one block of rows is in memory.
#[derive(Clone)]
struct Rows {
    begin: String,
    block: String,
    blocks: usize,
    end: &'static str,
}

impl Rows {
    fn new(begin: String, row: &str, rows: usize, end: &'static str) -> Self {
        let block = rows.min(100);
        Self { begin, block: format!("{row}, ").repeat(block), blocks: rows / block, end }
    }

    fn body(&self) -> Body {
        let blocks = std::iter::repeat_n(axum::body::Bytes::from(self.block.clone()), self.blocks);
        let parts = std::iter::once(self.begin.clone().into()).chain(blocks).chain([self.end.into()]);
        Body::from_stream(stream::iter(parts.map(Ok::<_, Infallible>)))
    }
}

/// The live bytes at most, beyond those before, of all threads while `work` runs.
async fn peak<T>(work: impl Future<Output = T>) -> (usize, T) {
    let live = || {
        let stats = ALLOCATOR.stats();
        stats.bytes_allocated - stats.bytes_deallocated
    };
    let (before, is_over) = (live(), Arc::new(AtomicBool::new(false)));
    let watcher = thread::spawn({
        let is_over = is_over.clone();
        move || {
            let mut most = live();
            while !is_over.load(Ordering::Relaxed) {
                most = most.max(live());
                thread::sleep(Duration::from_micros(100));
            }
            most
        }
    });
    let result = work.await;
    is_over.store(true, Ordering::Relaxed);
    (watcher.join().unwrap() - before, result)
}

/// A session at a cloud whose Nova and Heat answer with these rows.
async fn session(rows: Rows) -> Session {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let answer = move || async move {
        let echo = [("openstack-api-version", "compute 2.40"), ("content-type", "application/json")];
        (echo, rows.body())
    };
    let login = || async {
        let endpoint =
            |path: &str| json!([{ "interface": "public", "region_id": "R", "url": format!("http://cloud{path}") }]);
        let token = json!({ "token": {
            "expires_at": "2099-01-01T00:00:00Z", "project": { "id": "p1", "name": "p" },
            "catalog": [
                { "type": "compute", "endpoints": endpoint("/v2.1") },
                { "type": "orchestration", "endpoints": endpoint("/v1/p1") },
            ],
        } });
        (StatusCode::CREATED, [("x-subject-token", "t")], token.to_string())
    };
    let app = Router::new().route("/v3/auth/tokens", routing::post(login)).fallback(answer);
    let url = testkit::router::serve(app).await.unwrap();
    let yaml = format!(
        "clouds: {{c: {{auth: {{auth_url: '{url}/v3', username: u, password: p, user_domain_id: d, project_id: p1}}, \
         compute_endpoint_override: '{url}/v2.1', orchestration_endpoint_override: '{url}/v1/p1'}}}}"
    );
    let config = Arc::new(CloudConfig::parse(&yaml, "c", None, None).unwrap());
    Session::new(config, &Network::default().allowing_loopback(), Arc::new(NoCounters)).unwrap()
}

fn target() -> Target {
    let spec = json!({ "projectID": "p1", "cloudCredentialsRef": { "secretName": "cloud" } });
    Target::new(&serde_json::from_value(spec).unwrap()).unwrap()
}

/// The peak of reading a page with this number of servers.
async fn page(servers: u32) -> usize {
    let row = json!({
        "hours": 2.5, "flavor": "s3.large.4", "instance_id": "78e5ef80-5f6d-45ba-8132-f845be0c8970", "name": "web-1",
        "tenant_id": "19d0118a65504f1f96b57a965386b36a", "memory_mb": 8192, "local_gb": 50, "vcpus": 2,
        "started_at": "2026-11-12T05:09:00.000000", "ended_at": null, "state": "active", "uptime": 864_045,
    });
    let totals = r#""total_hours": 7, "total_vcpus_usage": 7, "total_memory_mb_usage": 7, "total_local_gb_usage": 7,
        "start": "2026-11-01T00:00:00.000000", "stop": "2026-11-22T05:09:43.000000""#;
    let begin = format!(r#"{{"tenant_usage": {{{totals}, "server_usages": ["#);
    let session = session(Rows::new(begin, &row.to_string(), servers.try_into().unwrap(), "{}]}}")).await;
    session.log_in(Duration::from_secs(60)).await.unwrap();
    let now = Timestamp::now();
    let frozen = usage::windows(Period::Month, now).previous;
    let (peak, read) = peak(usage::ask(&session, &target(), Some(frozen), now)).await;
    let usage = read.unwrap().current;
    assert_eq!((usage.servers, usage.server_hours), (u64::from(servers) + 1, 7.0));
    assert_eq!(usage.by_flavor[0].server_hours, f64::from(servers) * 2.5);
    peak
}

/// The peak of reading a list of one engine with this number of deleted ones.
async fn engines(deleted: usize) -> usize {
    let row = json!({
        "id": "78e5ef80-5f6d-45ba-8132-f845be0c8970", "engine_id": "78e5ef80-5f6d-45ba-8132-f845be0c8970",
        "host": "heat-engine-1", "hostname": "heat-engine-1", "binary": "heat-engine", "topic": "engine",
        "report_interval": 60, "created_at": "2026-11-12T05:09:00.000000", "updated_at": "2026-11-12T05:09:00.000000",
        "deleted_at": "2026-11-12T05:09:00.000000", "status": "down",
    });
    let rows =
        Rows::new(r#"{"services": ["#.to_owned(), &row.to_string(), deleted, r#"{"host": "h", "status": "up"}]}"#);
    let session = session(rows).await;
    session.log_in(Duration::from_secs(60)).await.unwrap();
    let (peak, read) = peak(engines::ask(&session, Duration::from_secs(60), Timestamp::now())).await;
    let listed = match read.unwrap() {
        EngineAnswer::Listed(list) => list.rows.len(),
        EngineAnswer::Unanswered { .. } => 0,
    };
    assert_eq!(listed, 1);
    peak
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_for_a_long_list_does_not_depend_on_its_rows() {
    let _turn = TURN.lock().await;
    // Connections and threads of the first call stay.
    page(1000).await;
    for (name, few, many) in [
        ("10 and 100,000 servers", page(10).await, page(100_000).await),
        ("10 and 18,000 deleted engines", engines(10).await, engines(18_000).await),
    ] {
        println!("{name}: {few} and {many} bytes at most");
        assert!(many < few + 2 * MIB, "{name}: {few} and {many} bytes at most");
    }
}
