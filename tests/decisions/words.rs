//! Observations from a few words.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cloudtenant_operator::{
    api::{CacheCounts, Reason},
    observation::{Caches, EngineList, EngineRow, ProbeFailure, Usage, engine_list::RecordId},
};
use jiff::Timestamp;

/// When every story begins, by the operator's clock.
pub const START: Timestamp = Timestamp::constant(1_795_320_000, 0);

/// So many seconds later.
pub fn later(at: Timestamp, seconds: i64) -> Timestamp {
    at + jiff::SignedDuration::from_secs(seconds)
}

/// A reason by its word.
pub fn reason(word: &str) -> Reason {
    Reason::parse(word).unwrap_or_else(|| panic!("no reason is called {word}"))
}

/// Why a probe could not see.
pub fn failure(word: &str, transient: bool) -> ProbeFailure {
    ProbeFailure { reason: reason(word), message: format!("{word} it is."), retry_after: None, transient }
}

/// Heat's list: `h1; h2 down beat=130; h3 x2`. Rows end with `;`, and their words are
/// `down`, `beat=` and `born=` (seconds ago), `every=` (the report interval, 10 s), `topic=`, `xN` (workers), `id=` (the
/// row's, where lists have to have the same row), `unreported` (no report since it was born) and `unreadable` (neither time can be read); `h01..60` are sixty hosts.
/// A row that is down last reported when the list before said so.
pub fn list(text: &str, cloud_now: Timestamp, beats: &mut BTreeMap<String, Timestamp>) -> EngineList {
    let mut rows = Vec::new();
    for text in text.split(';').map(str::trim).filter(|text| !text.is_empty()) {
        let mut words = text.split_whitespace();
        let (hosts, words) = (hosts(words.next().unwrap()), words.collect::<Vec<_>>());
        for host in hosts {
            let row = row(&host, &words, cloud_now, beats.get(&host).copied());
            if !words.contains(&"down") {
                beats.extend(row.heartbeat.map(|beat| (host.clone(), beat)));
            }
            let workers = value(&words, "x").unwrap_or(1);
            let id = words.iter().find_map(|word| word.strip_prefix("id="));
            rows.extend((0..workers).map(|worker| EngineRow {
                id: id.map_or_else(|| format!("{text}-{host}-{worker}"), str::to_owned).as_str().into(),
                ..row.clone()
            }));
        }
    }
    EngineList { rows: std::sync::Arc::new(rows.into()), cloud_now }
}

fn row(host: &str, words: &[&str], cloud_now: Timestamp, last: Option<Timestamp>) -> EngineRow {
    let ago = |word| value(words, word).map(|seconds| later(cloud_now, -seconds));
    let says_down = words.contains(&"down");
    let born = ago("born=").unwrap_or(later(START, -864_000));
    let beat = match ago("beat=") {
        _ if words.contains(&"unreported") => born,
        Some(beat) => beat,
        None if says_down => last.unwrap_or(later(cloud_now, -300)),
        None => later(cloud_now, -1),
    };
    let readable = !words.contains(&"unreadable");
    let topic = words.iter().find_map(|word| word.strip_prefix("topic="));
    EngineRow {
        id: RecordId::default(),
        engine_id: Arc::default(),
        host: host.into(),
        binary: "heat-engine".into(),
        topic: topic.unwrap_or("engine").into(),
        says_down,
        heartbeat: readable.then_some(beat),
        created: readable.then_some(born),
        report_interval: Duration::from_secs(value(words, "every=").unwrap_or(10).unsigned_abs()),
    }
}

fn value(words: &[&str], prefix: &str) -> Option<i64> {
    words.iter().find_map(|word| word.strip_prefix(prefix)?.parse().ok())
}

fn hosts(text: &str) -> Vec<String> {
    let Some((first, last)) = text.split_once("..") else { return vec![text.to_owned()] };
    let name = first.trim_end_matches(|c: char| c.is_ascii_digit());
    let first: u32 = first[name.len()..].parse().unwrap();
    (first..=last.parse().unwrap()).map(|number| format!("{name}{number:02}")).collect()
}

/// `ok`, `err`, `create`, `frozen`, or several joined by `+`; a number behind one is the count.
pub fn caches(words: &str) -> Option<Caches> {
    let mut all = CacheCounts {
        running: Some(3),
        error: Some(0),
        create_failed: Some(0),
        frozen: Some(0),
        ..CacheCounts::default()
    };
    for word in words.split('+') {
        let name = word.trim_end_matches(|c: char| c.is_ascii_digit());
        let count = word[name.len()..].parse().unwrap_or(1);
        match name {
            "ok" => {}
            "err" => all.error = Some(count),
            "create" => all.create_failed = Some(count),
            "frozen" => (all.running, all.frozen) = (Some(0), Some(count)),
            _ => return None,
        }
    }
    Some(Caches { all, kinds: BTreeMap::new() })
}

/// `full`, `cut` or `unpaged`; a number behind it is the hours of each of two servers, else 0.75.
pub fn usage(word: &str, now: Timestamp) -> Option<Usage> {
    let name = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let hours = word[name.len()..].parse().unwrap_or(0.75);
    let complete = match name {
        "full" => Some(true),
        "cut" => Some(false),
        "unpaged" => None,
        _ => return None,
    };
    Some(Usage {
        start: later(START, -86_400),
        end: now,
        complete,
        servers: 2,
        active_servers: 1,
        server_hours: hours * 2.0,
        vcpu_hours: hours * 4.0,
        memory_mb_hours: 768.0,
        disk_gb_hours: 1.5,
        by_flavor: Vec::new(),
        flavors_omitted: 0,
    })
}
