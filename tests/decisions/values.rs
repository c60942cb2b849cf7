//! Values of a cloud at and beyond their bounds, and the size of a status at all bounds.

use cloudtenant_operator::{
    api::{Block, CloudTenantStatus, Period, Source, UsageStatus},
    decide::status::{self, Judged, Observation, Pass},
    observation::{
        ByProbe, EngineAnswers, EngineList, EngineRow, Outcome, Periods, Previous, ProbeKind,
        engine_answers::EngineAnswer,
    },
    openstack::Error,
    probe::{
        caches, engines,
        usage::{self, Sum, Window, windows},
    },
    target::Target,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::words::START;

/// etcd accepts requests of 1.5 MiB. A status is one part of an object, and `kubectl apply` may double the other part.
const LARGEST: usize = 256 << 10;

fn window() -> Window {
    windows(Period::Month, START).current
}

/// Sums one page whose total hours and window are these.
fn usage_of(hours: &str, start: &str, stop: &str) -> Result<Sum, Error> {
    let body = format!(
        r#"{{"tenant_usage": {{"server_usages": [], "start": "{start}", "stop": "{stop}", "total_hours": {hours},
            "total_vcpus_usage": 0, "total_memory_mb_usage": 0, "total_local_gb_usage": 0}}}}"#
    );
    let mut sum = Sum::new(window());
    sum.add(usage::parse(body.as_bytes())?)?;
    Ok(sum)
}

/// A line is: hours | start | stop | the error, or the hours in the status.
#[test]
fn usage_that_no_cloud_has_is_an_unexpected_answer() {
    const START: &str = "2026-11-01T00:00:00.000000";
    const STOP: &str = "2026-11-22T05:00:00.000000";
    const TOO_MUCH: &str = "Nova's usage is more than 10^15 hours, which no project has";
    const UNREADABLE: &str = "Nova's usage cannot be read";
    const NO_WINDOW: &str = "Nova's usage lacks its window";
    for (hours, start, stop, expected) in [
        ("1.5", START, STOP, "1.5"),
        ("0", START, STOP, "0"),
        ("-0.0", START, STOP, "0"),
        ("1e15", START, STOP, "1000000000000000"),
        ("1.1e15", START, STOP, TOO_MUCH),
        ("9223372036854775808", START, STOP, TOO_MUCH),
        ("18446744073709551616", START, STOP, TOO_MUCH),
        ("1e308", START, STOP, TOO_MUCH),
        ("1e400", START, STOP, UNREADABLE),
        ("-1", START, STOP, "Nova's usage is negative"),
        ("-1e308", START, STOP, "Nova's usage is negative"),
        ("NaN", START, STOP, UNREADABLE),
        ("Infinity", START, STOP, UNREADABLE),
        ("\"Infinity\"", START, STOP, UNREADABLE),
        ("null", START, STOP, "Nova's usage lacks one of its totals"),
        ("1", "-000044-03-15T00:00:00", STOP, NO_WINDOW),
        ("1", "0001-01-01T00:00:00", STOP, NO_WINDOW),
        ("1", "1969-12-31T23:59:59", STOP, NO_WINDOW),
        ("1", START, "10000-01-01T00:00:00", NO_WINDOW),
        ("1", STOP, START, "Nova's window ends before it starts"),
    ] {
        let found = usage_of(hours, start, stop).map(|sum| {
            let periods = Periods { current: sum.finish(true), previous: Previous::Kept };
            status::usage::judge(&periods, None, crate::words::START).block.figures.server_hours
        });
        let found = found.unwrap_or_else(|error| error.to_string());
        assert_eq!(found, expected, "{hours} {start} {stop}");
    }
}

#[test]
fn pages_that_together_are_too_much_are_an_unexpected_answer() {
    let page = json!({ "tenant_usage": { "server_usages": [], "start": "2026-11-01T00:00:00",
        "stop": "2026-11-22T05:00:00", "total_hours": 1, "total_vcpus_usage": 0, "total_memory_mb_usage": 9e14,
        "total_local_gb_usage": 0 } })
    .to_string();
    let mut sum = Sum::new(window());
    sum.add(usage::parse(page.as_bytes()).unwrap()).unwrap();
    assert!(sum.add(usage::parse(page.as_bytes()).unwrap()).is_err());
}

/// A name of 255 bytes, each of which JSON escapes. It begins with a number, so that names differ.
fn name(number: usize) -> String {
    format!("{number:05}{}", "\\".repeat(250))
}

fn largest_engines() -> EngineAnswers {
    let row = |number: usize| {
        let text = |part: &str| name(number).replacen('\\', part, 1).into();
        EngineRow {
            id: number.to_string().as_str().into(),
            engine_id: text("e"),
            host: text("h"),
            binary: text("b"),
            topic: text("t"),
            says_down: true,
            heartbeat: Some(START - jiff::SignedDuration::from_hours(1)),
            created: None,
            report_interval: std::time::Duration::from_secs(60),
        }
    };
    let list = EngineList { rows: std::sync::Arc::new((0..10_000).map(row).collect()), cloud_now: START };
    EngineAnswers::default().and(Outcome::Seen(EngineAnswer::Listed(list.into())), START)
}

/// DCS's body has at most 256 KiB. Its kinds and counts have at most 63 bytes.
fn largest_caches() -> Vec<u8> {
    let long = |number: usize| format!("{number:02}{}", "\\".repeat(61));
    let counts = |kind: usize| -> serde_json::Map<String, Value> {
        let documented = caches_names().map(|name| (format!("{name}_count"), json!(i64::MAX)));
        let others = (0..25).map(|number| (format!("{}_count", long(number + kind % 2)), json!(i64::MAX)));
        documented.chain(others).collect()
    };
    let mut all = counts(0);
    all.extend((0..25).map(|kind| (long(kind), Value::Object(counts(kind)))));
    Value::Object(all).to_string().into_bytes()
}

fn caches_names() -> impl Iterator<Item = String> {
    cloudtenant_operator::api::CacheCounts::NAMES.into_iter().map(|name| name.replace("create_failed", "createfailed"))
}

fn largest_usage() -> Sum {
    let servers: Vec<_> = (0..3000)
        .map(|number| {
            json!({ "flavor": name(number), "hours": 999_999_999_999.123, "vcpus": 7, "memory_mb": 7,
            "local_gb": 7 })
        })
        .collect();
    let body = json!({ "tenant_usage": { "server_usages": servers, "start": "2026-11-01T00:00:00.123456",
        "stop": "2026-11-22T05:00:00.123456", "total_hours": 1e14, "total_vcpus_usage": 99_999_999_999_999.12,
        "total_memory_mb_usage": 99_999_999_999_999.12, "total_local_gb_usage": 99_999_999_999_999.12 } });
    let mut sum = Sum::new(window());
    sum.add(usage::parse(body.to_string().as_bytes()).unwrap()).unwrap();
    sum
}

/// Fills each list and each text up to its bound, through the operator's own parsers.
#[test]
fn the_largest_status_stays_far_below_the_api_servers_limit() {
    let spec = json!({ "projectID": "p", "cloudCredentialsRef": { "secretName": "s" } });
    let target = Target::new(&serde_json::from_value(spec).unwrap()).unwrap();
    let answers = largest_engines();
    let caches = caches::parse(&largest_caches()).unwrap();
    let usage = largest_usage().finish(true);
    let periods = Periods { current: usage.clone(), previous: Previous::Read(usage) };
    let judged = ByProbe::from_fn(|kind| {
        let mut judged = match kind {
            ProbeKind::Engines => status::engines::judge(None, &answers, 0, &target.engines).map(Block::Engines),
            ProbeKind::Caches => status::caches::judge(&caches, &target.caches, START).map(Block::Caches),
            ProbeKind::Usage => status::usage::judge(&periods, None, START).map(Block::Usage),
        };
        // A message has at most 1,000 characters of at most four bytes, or two where JSON escapes them.
        judged.message = "\u{10348}".repeat(2000);
        judged
    });
    let word = || name(0);
    let source = Source {
        secret_name: "s".repeat(253),
        cloud_name: word(),
        host: "h".repeat(255),
        region: Some(word()),
        token_project_id: Some(word()),
        token_project_name: Some(word()),
        credentials_expire_at: Some(cloudtenant_operator::api::time(START)),
    };
    let pass = Pass {
        target: &target,
        generation: i64::MAX,
        probes: judged.map(Observation::Seen),
        source: Some(source),
        verdict_at: ByProbe::from_fn(|_| START),
        streaks: ByProbe::from_fn(|_| u32::MAX),
        waited: true,
        handled: Some(word()),
        now: START,
    };
    let status = status::compute(&pass, &CloudTenantStatus::default());
    let engines = status.engines.as_ref().unwrap();
    let caches = status.caches.as_ref().unwrap();
    let usage: &UsageStatus = status.usage.as_ref().unwrap();
    let lists = [
        engines.hosts.len(),
        engines.down_engines.len(),
        caches.by_kind.len(),
        caches.all.other.len(),
        usage.figures.by_flavor.len(),
        usage.previous.as_ref().unwrap().figures.by_flavor.len(),
    ];
    assert_eq!(lists, [50, 20, 20, 20, 20, 20], "not every list is full");
    let length = serde_json::to_string(&status).unwrap().len();
    println!("the largest status has {length} bytes");
    assert!((100_000..LARGEST).contains(&length), "{length} bytes");
}

/// Numbers of Heat and DCS that no schema allows. The answer is refused or the value has no effect; nothing panics.
#[test]
fn numbers_of_heat_and_dcs() {
    for (number, heat, dcs) in [
        ("60", true, true),
        ("0", true, true),
        ("9223372036854775807", true, true),
        ("9223372036854775808", true, false),
        ("18446744073709551615", true, false),
        ("18446744073709551616", false, false),
        ("-1", false, false),
        ("1.5", false, false),
        ("1e400", false, false),
        ("NaN", false, false),
        ("Infinity", false, false),
    ] {
        let body = format!(r#"{{"services": [{{"host": "h", "status": "down", "report_interval": {number}}}]}}"#);
        let answer = engines::parse(200, body.as_bytes(), START, START).unwrap();
        assert_eq!(answer.is_ok(), heat, "Heat: {number}");
        if let Ok(answer) = answer {
            let answers = EngineAnswers::default().and(Outcome::Seen(answer), START);
            let spec = json!({ "projectID": "p", "cloudCredentialsRef": { "secretName": "s" } });
            let target = Target::new(&serde_json::from_value(spec).unwrap()).unwrap();
            let Judged { block, .. } = status::engines::judge(None, &answers, 0, &target.engines);
            assert_eq!(block.total, 1, "{number}");
        }
        let body = format!(r#"{{"running_count": {number}, "redis": {{"running_count": {number}}}}}"#);
        assert_eq!(caches::parse(body.as_bytes()).is_ok(), dcs, "DCS: {number}");
    }
}

/// A report before 1970 is no readable time, so that Heat's `status` alone decides.
#[test]
fn reports_before_1970_are_unreadable() {
    for (at, read) in [
        ("2026-11-22T05:00:00.000000", true),
        ("1970-01-01T00:00:00", true),
        ("1969-12-31T23:59:59", false),
        ("-009999-01-02T02:00:00", false),
        ("0000-01-01T00:00:00", false),
        ("10000-01-01T00:00:00", false),
        ("2016-12-31T23:59:60", true),
    ] {
        let body = format!(r#"{{"services": [{{"host": "h", "status": "up", "updated_at": "{at}"}}]}}"#);
        let Ok(EngineAnswer::Listed(list)) = engines::parse(200, body.as_bytes(), START, START).unwrap() else {
            panic!("{at}")
        };
        let heartbeat: Option<Timestamp> = list.rows[0].heartbeat;
        assert_eq!(heartbeat.is_some(), read, "{at}");
    }
}
