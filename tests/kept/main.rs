//! What stays in memory of what tenants and clouds send, by the allocator's own counters.

// clippy.toml lets tests unwrap, but not the helpers of an integration test.
#![allow(clippy::unwrap_used)]

mod streams;

use std::{alloc::System, hint::black_box, net::TcpListener, sync::Arc, time::Duration};

use cloudtenant_operator::{
    budget::{Budget, Limits, Use},
    clouds::{Cloud, Clouds, engines_task::Demand, handles::Handles},
    decide::Plan,
    identity::TenantName,
    metrics::Metrics,
    observation::{
        Outcome,
        engine_answers::{EngineAnswer, EngineAnswers},
    },
    openstack::{CloudConfig, Network},
    probe,
};
use jiff::Timestamp;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use testkit::certificates::Authority;
use tokio::sync::mpsc;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The tests measure one after the other: the allocator counts for all threads together.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// How many bytes have been allocated since and not been given back.
fn kept_since(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.bytes_allocated.saturating_sub(change.bytes_deallocated)
}

fn clouds(budget: &Budget) -> Clouds {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Clouds::new(Network::default().allowing_loopback(), Arc::new(Metrics::new()), mpsc::channel(1).0, budget.clone())
}

fn demand() -> Demand {
    let tenant = TenantName { namespace: "n".to_owned(), name: "t".to_owned() };
    let second = Duration::from_secs(1);
    Demand { tenant, interval: 60 * second, deadline: 600 * second, doubts: false }
}

fn config(port: u16, cacert: &str, region: &str) -> Arc<CloudConfig> {
    let yaml = format!(
        "clouds: {{c: {{auth: {{auth_url: 'http://127.0.0.1:{port}', username: u, password: p, user_domain_id: d}}}}}}"
    );
    Arc::new(CloudConfig::parse(&yaml, "c", Some(cacert), Some(region)).unwrap())
}

/// One CloudTenant whose `region` was patched 300 times with a `cacert` of 900 KB kept 294 MiB. Here Keystone takes
/// connections and never answers, so that each login and each call to Heat is still under way at the next patch.
#[tokio::test]
async fn patches_of_one_cloud_tenant_leave_no_more_than_a_few() {
    let _turn = TURN.lock().await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let pem = Authority::root("kept").unwrap().pem;
    let cacert = pem.repeat((400 * KIB) / pem.len());
    let budget = Budget::default();
    let (clouds, mut tenant) = (clouds(&budget), Handles::default());
    let patch = async |tenant: &mut Handles, number: usize| {
        let cloud: Arc<Cloud> = clouds.open("n", &config(port, &cacert, &format!("region-{number:02}"))).unwrap();
        let _ = tenant.turn_to(&cloud);
        tenant.subscribe_engines("uid", &cloud, demand(), Plan::default(), Timestamp::now());
        assert!(cloud.session.log_in(Duration::from_millis(5)).await.is_err());
    };
    let region = Region::new(ALLOCATOR);
    let mut kept = Vec::new();
    for number in 0..60 {
        patch(&mut tenant, number).await;
        if [9, 59].contains(&number) {
            tokio::time::sleep(Duration::from_millis(200)).await;
            kept.push((kept_since(&region), budget.used().all));
        }
    }
    let [(early, charged_early), (late, charged_late)] = kept[..] else { panic!("{kept:?}") };
    println!("kept after 10 patches: {early}, after 60: {late}; charged {charged_early} and {charged_late}");
    assert!(late < early + 2 * MIB, "after 10 patches {early} bytes, after 60 {late}");
    assert!(charged_late <= charged_early, "charged {charged_early}, then {charged_late}");
    drop(tenant);
    clouds.sweep();
    tokio::time::sleep(Duration::from_millis(200)).await;
    // The one login that was sent.
    let rest = budget.used().all;
    assert!(rest <= cacert.len() + 16 * KIB, "{rest} bytes are charged");
}

/// Heat's list of so many engines, each with texts of so many bytes.
fn list(rows: usize, length: usize, status: &str) -> String {
    let name = |kind, row: usize| format!("{kind}{row:0>width$}", width = length - 1);
    let row = |row| {
        let [id, engine, host, binary, topic] = ["i", "e", "h", "b", "t"].map(|kind| name(kind, row));
        format!(
            r#"{{"id": "{id}", "engine_id": "{engine}", "host": "{host}", "binary": "{binary}", "topic": "{topic}",
                "status": "{status}", "updated_at": "2026-11-22T05:09:46Z", "created_at": "2026-11-22T05:09:46Z"}}"#
        )
    };
    format!(r#"{{"services": [{}]}}"#, (0..rows).map(row).collect::<Vec<_>>().join(","))
}

/// The name | the rows | the length of their texts | their status | the most that may be kept, in bytes.
#[tokio::test]
async fn a_list_of_engines_keeps_what_it_says() {
    let _turn = TURN.lock().await;
    for (name, rows, length, status, most) in [
        ("hostile and up", 7000, 200, "up", 7 * MIB),
        ("hostile and down", 7000, 200, "down", 9 * MIB),
        ("ordinary", 100, 36, "up", 40 * KIB),
    ] {
        let now = Timestamp::now();
        let text = list(rows, length, status);
        let region = Region::new(ALLOCATOR);
        let answer: EngineAnswer = probe::engines::parse(200, text.as_bytes(), now, now).unwrap().unwrap();
        let answers = EngineAnswers::default().and(Outcome::Seen(answer.clone()), now);
        // A second one with the same hosts: of the first, nothing but their reports is needed.
        let answers = answers.and(Outcome::Seen(answer), now);
        let (kept, said) = (kept_since(&region), black_box(&answers).kept_bytes());
        println!("{name}: {} bytes of JSON, {kept} bytes are kept, counted as {said}", text.len());
        assert!(kept <= most, "{name}: {kept}");
        assert!((kept * 8 / 10..=kept * 2).contains(&said), "{name}: {kept} bytes are counted as {said}");
    }
}

/// A `region_name` of 900 KB in 40 CloudTenants made a scrape of 36 MB.
#[tokio::test]
async fn a_long_region_is_refused_where_it_comes_in() {
    let _turn = TURN.lock().await;
    let (fits, long) = ("r".repeat(255), "r".repeat(400 * KIB));
    for (name, region, overriding, read) in [
        ("255 in clouds.yaml", Some(&fits), None, true),
        ("255 in the spec", None, Some(&fits), true),
        ("long in clouds.yaml", Some(&long), None, false),
        ("long in the spec", None, Some(&long), false),
    ] {
        let region_name = region.map(|region| format!(", region_name: {region}")).unwrap_or_default();
        let yaml = format!("clouds: {{c: {{auth: {{auth_url: 'http://k', token: t}}{region_name}}}}}");
        // The least of three: threads of other tests may still end in the background.
        let kept = (0..3).map(|_| {
            let region = Region::new(ALLOCATOR);
            let config = CloudConfig::parse(&yaml, "c", None, overriding.map(String::as_str));
            assert_eq!(config.is_ok(), read, "{name}: {config:?}");
            kept_since(&region)
        });
        let kept = kept.min().unwrap_or(usize::MAX);
        assert!(kept < 16 * KIB, "{name}: {kept} bytes");
    }
}

/// 10,000 of them in one namespace. The Secret's own part is measured in `src/cluster/secrets.rs`.
#[tokio::test]
async fn the_default_bears_ten_thousand_ordinary_sessions_in_one_namespace() {
    let _turn = TURN.lock().await;
    let budget = Budget::default();
    let clouds = clouds(&budget);
    let region = Region::new(ALLOCATOR);
    let open: Vec<_> = (0..50)
        .map(|number| {
            let yaml = format!(
                "clouds: {{c: {{auth: {{auth_url: 'https://keystone.example.com:5000/v3', application_credential_id: \
                 21dced0fd20347869b93710d2b98aae0, application_credential_secret: rEaqvJka48mpv5Jmd0jL1cZ2{number}}}, \
                 region_name: RegionOne, auth_type: v3applicationcredential}}}}"
            );
            clouds.open("n", &Arc::new(CloudConfig::parse(&yaml, "c", None, None).unwrap())).unwrap()
        })
        .collect();
    let used = budget.used();
    let kept = kept_since(&region) / open.len();
    println!("an ordinary session counts {} bytes, and keeps {kept} with its HTTP client", used.all / open.len());
    assert!(used.all / open.len() * 10_000 < Limits::default().namespace * 3 / 4, "{used:?}");
    drop(open);
    clouds.sweep();
    assert_eq!(budget.used(), Use::default());
}
