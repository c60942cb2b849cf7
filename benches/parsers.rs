//! Speed of the parsers and of the decision of one pass: `cargo bench --bench parsers`, with `-- NAME` for some.
//!
//! First it prints the ratio that docs/decisions/0051 names: a page of Nova, beside serde_json that only skips it.

// clippy.toml lets tests unwrap, but not a bench.
#![allow(clippy::unwrap_used)]

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use cloudtenant_operator::{
    api::{CacheCounts, CloudTenant, Source},
    decide::{Access, Answer, EnginesAnswer, Memory, Observed, Shared, Written, decide},
    observation::{ByProbe, Caches, Data, EngineAnswers, Outcome, ProbeKind, engine_answers::EngineAnswer},
    openstack::{CloudConfig, readers},
    probe::{engines, usage},
    target::Target,
};
use criterion::{Criterion, Throughput};
use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde_json::json;

/// A build without optimization only shows that the bench works.
const SERVERS: usize = if cfg!(debug_assertions) { 1000 } else { 100_000 };
/// The parts in which a body is parsed while it arrives.
const PART: usize = 256 << 10;
const NOW: &str = "2026-11-22T05:10:00Z";

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        // Somebody who tests all targets does not mean this one.
        return;
    }
    let mut criterion = Criterion::default().configure_from_args().measurement_time(Duration::from_secs(3));
    nova(&mut criterion);
    heat(&mut criterion);
    clouds_yaml(&mut criterion);
    headers(&mut criterion);
    pass(&mut criterion);
    criterion.final_summary();
}

/// A page as Nova writes it.
fn page(servers: usize) -> Vec<u8> {
    let server = |number: usize| {
        let hours = 0.037 * (number % 20_000) as f64 + 0.000_277_777_777_777_78;
        format!(
            "{{\"hours\": {hours}, \"flavor\": \"s3.large.{}\", \"instance_id\": \"78e5ef80-5f6d-45ba-8132-{number:012}\", \
             \"name\": \"web-{number}\", \"tenant_id\": \"19d0118a65504f1f96b57a965386b36a\", \"memory_mb\": 8192, \
             \"local_gb\": 50, \"vcpus\": 2, \"started_at\": \"2026-11-12T05:09:00.000000\", \"ended_at\": null, \
             \"state\": \"active\", \"uptime\": {}}}",
            number % 40,
            number * 36
        )
    };
    let servers: Vec<_> = (0..servers).map(server).collect();
    let totals = r#""total_local_gb_usage": 17001.194444444445, "total_vcpus_usage": 731.5577777777778,
        "total_memory_mb_usage": 2838221.937777778, "total_hours": 391.5338888888889,
        "start": "2026-11-01T00:00:00.000000", "stop": "2026-11-22T05:09:43.000000""#;
    let links = r#"[{"href": "http://nova/?marker=78e5ef80-5f6d-45ba-8132-f845be0c8970", "rel": "next"}]"#;
    let usage = format!(r#"{{"server_usages": [{}], {totals}}}"#, servers.join(", "));
    format!(r#"{{"tenant_usage": {usage}, "tenant_usage_links": {links}}}"#).into_bytes()
}

fn read(page: &[u8]) {
    black_box(usage::parse_in_parts(page, PART).unwrap());
}

fn skip(page: &[u8]) {
    black_box(serde_json::from_slice::<IgnoredAny>(page).unwrap());
}

/// The two readers by turns, so that the load of the machine is the same for both.
fn ratio(page: &[u8]) {
    let time = |reader: fn(&[u8])| {
        let began = Instant::now();
        reader(page);
        began.elapsed()
    };
    let (mut reads, mut skips): (Vec<_>, Vec<_>) = (0..15).map(|_| (time(read), time(skip))).unzip();
    reads.sort();
    skips.sort();
    let [read, skip] = [reads, skips].map(|times| times[times.len() / 2].as_secs_f64());
    let rate = |seconds: f64| page.len() as f64 / seconds / 1e6;
    println!(
        "A page of {SERVERS} servers, {} bytes: read at {:.0} MB/s, skipped at {:.0} MB/s, ratio {:.2}",
        page.len(),
        rate(read),
        rate(skip),
        skip / read
    );
}

fn nova(criterion: &mut Criterion) {
    let page = page(SERVERS);
    ratio(&page);
    let mut group = criterion.benchmark_group("a page of Nova");
    group.throughput(Throughput::Bytes(page.len() as u64)).sample_size(20);
    group.bench_function("read", |bencher| bencher.iter(|| read(&page)));
    group.bench_function("skip", |bencher| bencher.iter(|| skip(&page)));
    group.finish();
}

/// A list with a ghost for every second engine.
fn engines_list(rows: usize) -> Vec<u8> {
    let row = |number: usize| {
        json!({
            "id": format!("{number:036}"), "engine_id": format!("{number:036}"), "report_interval": 60,
            "host": format!("heat-engine-{number}"), "hostname": format!("heat-engine-{number}"),
            "binary": "heat-engine", "topic": "engine", "created_at": "2026-11-01T00:00:00.000000",
            "updated_at": "2026-11-22T05:09:30.000000", "deleted_at": null,
            "status": if number.is_multiple_of(2) { "up" } else { "down" },
        })
    };
    json!({ "services": (0..rows).map(row).collect::<Vec<_>>() }).to_string().into_bytes()
}

fn heat(criterion: &mut Criterion) {
    let (list, now) = (engines_list(7000), NOW.parse().unwrap());
    let mut group = criterion.benchmark_group("Heat, 7,000 records");
    group.throughput(Throughput::Bytes(list.len() as u64)).sample_size(20);
    group.bench_function("read", |bencher| bencher.iter(|| engines::parse_in_parts(&list, PART, now).unwrap()));
    group.bench_function("skip", |bencher| bencher.iter(|| skip(&list)));
    group.finish();
}

/// The operator refuses a longer file than 512 KiB.
fn clouds_yaml(criterion: &mut Criterion) {
    let entry = |number: usize| {
        format!(
            "  cloud-{number}:\n    region_name: RegionOne\n    auth:\n      \
             auth_url: https://keystone-{number}.example.com/v3\n      username: user-{number}\n      \
             password: secret-{number}\n      user_domain_name: Default\n      project_name: project-{number}\n      project_domain_name: Default\n"
        )
    };
    let yaml = format!("clouds:\n{}", (0..1900).map(entry).collect::<String>());
    assert!((400 << 10..512 << 10).contains(&yaml.len()), "{} bytes", yaml.len());
    let mut group = criterion.benchmark_group("clouds.yaml, 1,900 entries");
    group.throughput(Throughput::Bytes(yaml.len() as u64)).sample_size(20);
    group.bench_function("read", |bencher| {
        bencher.iter(|| CloudConfig::parse(&yaml, "cloud-1000", None, None).unwrap());
    });
    group.finish();
}

fn headers(criterion: &mut Criterion) {
    const DATE: &str = "Sun, 22 Nov 2026 05:09:00 GMT";
    for (name, retry_after) in [("a number", "120"), ("a date", "Sun, 22 Nov 2026 05:10:00 GMT")] {
        criterion.bench_function(&format!("Date, and Retry-After as {name}"), |bencher| {
            bencher.iter(|| readers::headers(black_box(DATE), black_box(retry_after)));
        });
    }
}

/// One pass of a tenant: three engines, caches and usage.
fn pass(criterion: &mut Criterion) {
    let now: Timestamp = NOW.parse().unwrap();
    let object: CloudTenant = serde_json::from_value(json!({
        "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant",
        "metadata": { "name": "t", "generation": 1 },
        "spec": { "projectID": "p1", "cloudCredentialsRef": { "secretName": "cloud" } },
        "status": { "observedGeneration": -1 },
    }))
    .unwrap();
    let target = Target::new(&object.spec).unwrap();
    let list = engines::parse(200, &engines_list(3), now, now).unwrap().unwrap();
    assert!(matches!(list, EngineAnswer::Listed(_)));
    let answers = Arc::new(EngineAnswers::default().and(Outcome::Seen(list), now));
    let counts = CacheCounts { running: Some(3), error: Some(0), ..CacheCounts::default() };
    let mut own = ByProbe::default();
    own[ProbeKind::Caches] =
        Answer::Came(Outcome::Seen(Data::Caches(Caches { all: counts, kinds: std::collections::BTreeMap::new() })));
    let observed = Observed {
        engines: EnginesAnswer::Shared(Shared { subscription: 0, answers, is_current: true, serves_request: true }),
        own,
        source: Some(Source { host: "keystone.example.com".to_owned(), ..Source::default() }),
    };
    let stored = object.status.clone().unwrap_or_default();
    criterion.bench_function("a pass of a new tenant", |bencher| {
        bencher.iter(|| {
            let mut memory = Memory::new("uid", &target, &stored, now);
            let start = memory.begin(&target, &object, Access::First, now);
            let decision = decide(&memory, &target, start, observed.clone(), now);
            memory.commit(decision, Written::As(None));
        });
    });
}
