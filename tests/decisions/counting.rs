//! Which rows of Heat's list count, and on which hosts: rules 1 to 3 of the engines' verdict. Engines report every
//! 10 s here.

use std::{collections::BTreeMap, time::Duration};

use cloudtenant_operator::{
    decide::status::engine_count::{KnownHosts, count},
    observation::engine_answers::EngineAnswer,
    probe,
    target::EnginesTarget,
};
use jiff::Timestamp;

use crate::{
    words::{START, later, list},
    world::{compare, lines},
};

const RULES: EnginesTarget =
    EnginesTarget { forget_after: Duration::from_secs(86_400), ignore_hosts: Vec::new(), cloud_name: None };

#[test]
fn rows_of_a_list() {
    check("a row's heartbeat", "
        # what it is                                | remembered | list                                 | up down forgotten | hosts
        up                                          |            | h1                                   | 1 0 0 | h1 1/0 @1
        up by Heat's word, however old the report   |            | h1 beat=500                          | 1 0 0 | h1 1/0 @500
        down, and silent for more than 2 intervals  |            | h1 down beat=21                      | 0 1 0 | h1 0/1 @21
        an old Heat flaps: 2 intervals, no longer   |            | h1 down beat=20                      | 1 0 0 | h1 1/0 @20
        the row's own interval counts               |            | h1 down beat=120 every=60            | 1 0 0 | h1 1/0 @120
        and beyond it                               |            | h1 down beat=121 every=60            | 0 1 0 | h1 0/1 @121
        no report since it was born: created_at     |            | h1 down unreported born=300          | 0 1 0 | h1 0/1 @300
        born just now                               |            | h1 down unreported born=5            | 1 0 0 | h1 1/0 @5
        unreadable: Heat's word alone, down         |            | h1 down unreadable                   | 0 1 0 | h1 0/1
        unreadable: Heat's word alone, up           |            | h1 unreadable                        | 1 0 0 | h1 1/0
        ahead of the cloud's clock                  |            | h1 down beat=-30                     | 1 0 0 | h1 1/0 @-30
        an interval without end                     |            | h1 down beat=99 every=9223372036854775807 | 1 0 0 | h1 1/0 @99
    ");
    check("ghosts", "
        restarted                                   |            | h1 down beat=130; h1 born=100        | 1 0 0 | h1 1/0 @1
        restarted, and dead again                   |            | h1 down beat=130; h1 down beat=50 born=100 | 0 1 0 | h1 0/1 @50
        born in the second of the last report       |            | h1 down beat=130; h1 born=130        | 1 1 0 | h1 1/1 @1
        another host's engine supersedes nothing    |            | h1 down beat=130; h2 born=100        | 1 1 0 | h1 0/1 @130, h2 1/0 @1
        nor does another topic's                    |            | h1 down beat=130; h1 born=100 topic=x | 1 1 0 | h1 1/1 @1
        unreadable is superseded by nothing         |            | h1 down unreadable; h1 born=100      | 1 1 0 | h1 1/1 @1
        nor is a row by itself, whose clock was ahead when it was made |  | h1 down beat=130 born=100 | 0 1 0 | h1 0/1 @130
        siblings are not superseded by each other   |            | h1 x3 down beat=130                  | 0 3 0 | h1 0/3 @130
        one worker of three is dead                 |            | h1 x2; h1 down beat=130              | 2 1 0 | h1 2/1 @1
    ");
    check("ghosts that come back after a graceful stop", "
        older than what was recorded                | h1@30      | h2; h1 down beat=130                 | 1 0 0 | h1 0/0 @30, h2 1/0 @1
        two of them                                 | h1@30      | h1 down beat=130; h1 down beat=900   | 0 0 0 | h1 0/0 @30
        as old as what was recorded                 | h1@130     | h1 down beat=130                     | 0 1 0 | h1 0/1 @130
        younger than what was recorded              | h1@200     | h1 down beat=130                     | 0 1 0 | h1 0/1 @130
        another host's memory                       | h2@30      | h1 down beat=130                     | 0 1 0 | h1 0/1 @130
        a whole host of three workers is dead       | h1@130     | h1 down beat=130; h1 down beat=133; h1 down beat=139 | 0 3 0 | h1 0/3 @130
        a sibling is up                             | h1@1       | h1; h1 down beat=130                 | 1 1 0 | h1 1/1 @1
        the cloud's clock was put back              | h1@-3600   | h1 down beat=130                     | 0 1 0 | h1 0/1 @130
        and the host lives on                       | h1@-3600   | h1                                   | 1 0 0 | h1 1/0 @1
        and nothing of it can be read               | h1@30      | h1 down unreadable                   | 0 1 0 | h1 0/1 @30
    ");
    check("what is silent for longer than forgetAfter", "
        a day                                       |            | h1; h2 down beat=86401               | 1 1 0 | h2 0/1 @86401, h1 1/0 @1
        longer                                      |            | h1; h2 down beat=86402               | 1 0 1 | h1 1/0 @1
        beside a sibling                            |            | h1; h1 down beat=86402               | 1 0 1 | h1 1/0 @1
        a ghost does not count anyway               | h2@30      | h1; h2 down beat=86402               | 1 0 0 | h1 1/0 @1, h2 0/0 @30
        up is up                                    |            | h1 beat=86401                        | 1 0 0 | h1 1/0 @86401
        than the newest report, not than the clock  |            | h1 down beat=99999 born=999999        | 0 1 0 | h1 0/1 @99999
        as in Heat's document                       |            | h1 beat=99999; h2 down beat=99000    | 1 1 0 | h2 0/1 @99000, h1 1/0 @99999
        older than it by a day                      |            | h1 down beat=200000; h2 down beat=113600 | 0 2 0 | h1 0/1 @200000, h2 0/1 @113600
        and by more                                 |            | h1 down beat=200000; h2 down beat=113599 | 0 1 1 | h2 0/1 @113599
        a clock two days ahead is the cloud's now   |            | h1 beat=-172800; h2 down beat=86400  | 1 1 0 | h2 0/1 @86400, h1 1/0 @-172800
        and no later                                |            | h1 beat=-172800; h2 down beat=86401  | 1 0 1 | h1 1/0 @-172800
        a ghost's report counts as one              |            | h1 down beat=500 born=900; h1 down unreported born=400 topic=x; h2 down beat=99999 | 0 2 1 | h1 0/2 @400
        unreadable is nothing to measure            |            | h1 down unreadable                   | 0 1 0 | h1 0/1
        nothing at all                              |            |                                      | 0 0 0 |
    ");
}

#[test]
fn ignored_hosts() {
    let ignored = EnginesTarget { ignore_hosts: vec!["h2".to_owned(), "gone".to_owned()], ..RULES };
    check_by(&ignored, "they are neither counted nor shown", "
        up                                          |            | h1; h2                               | 1 0 0 | h1 1/0 @1
        down                                        |            | h1; h2 x3 down beat=130              | 1 0 0 | h1 1/0 @1
        forgotten                                   |            | h1; h2 down beat=86401               | 1 0 0 | h1 1/0 @1
        a name is the whole name                    |            | h1; h21 down beat=130; H2 down beat=130 | 1 2 0 | H2 0/1 @130, h21 0/1 @130, h1 1/0 @1
        what was remembered of them is gone         | h2@30      | h1; h2 down beat=130                 | 1 0 0 | h1 1/0 @1
        all of them                                 |            | h2; h2 down beat=130                 | 0 0 0 |
    ");
}

fn check(name: &str, table: &str) {
    check_by(&RULES, name, table);
}

fn check_by(rules: &EnginesTarget, name: &str, table: &str) {
    let expected = lines(table);
    // By the cloud's clock alone: ours may be wrong by any amount.
    for ahead in [0, 600, -600] {
        let cloud_now = later(START, ahead);
        let actual: Vec<_> = expected.iter().map(|cells| counted(rules, cells, cloud_now)).collect();
        compare(name, &expected, &actual);
    }
}

fn counted(rules: &EnginesTarget, cells: &[String], cloud_now: Timestamp) -> Vec<String> {
    let recorded = cells[1].split_whitespace().map(|text| text.split_once('@').unwrap());
    let recorded = recorded.map(|(host, ago)| (host, later(cloud_now, -ago.parse::<i64>().unwrap()))).collect();
    let known = KnownHosts { recorded, now: START, ..KnownHosts::default() };
    let mut list = list(&cells[2], cloud_now, &mut BTreeMap::new());
    let block = count(&list, &known, rules);
    list.rows = std::sync::Arc::new(list.rows.iter().rev().cloned().collect());
    assert_eq!(count(&list, &known, rules), block, "the rows' order is arbitrary");
    assert_eq!(block.total, block.up + block.down);
    let hosts = block.hosts.iter().map(|host| {
        let ago = host.last_heartbeat.as_ref().map(|beat| cloud_now.duration_since(beat.0).as_secs());
        let ago = ago.map(|ago| format!(" @{ago}")).unwrap_or_default();
        format!("{} {}/{}{ago}", host.host, host.up, host.down)
    });
    let counts = format!("{} {} {}", block.up, block.down, block.forgotten);
    vec![cells[0].clone(), cells[1].clone(), cells[2].clone(), counts, hosts.collect::<Vec<_>>().join(", ")]
}

#[test]
fn at_most_fifty_hosts_the_down_ones_first() {
    let list = list("h01..60; h55..58 down beat=99 topic=x", START, &mut BTreeMap::new());
    let block = count(&list, &KnownHosts::default(), &RULES);
    let hosts: Vec<_> = block.hosts.iter().map(|host| host.host.as_str()).collect();
    assert_eq!(hosts[..6], ["h55", "h56", "h57", "h58", "h01", "h02"]);
    assert_eq!((hosts.len(), block.hosts_omitted, block.up, block.down), (50, 10, 60, 4));
}

/// Rows as Heat writes them: `updated_at` before `created_at`, and without a zone.
#[test]
fn rows_as_heat_writes_them() {
    let (noon, nine) = (r#""2026-11-22T12:00:00.000000""#, r#""2026-11-22T09:00:00""#);
    for (name, fields, heartbeat, interval, down) in [
        ("both times", format!(r#""updated_at": {noon}, "created_at": {nine}"#), Some(12), 60, false),
        ("not reported yet", format!(r#""updated_at": null, "created_at": {nine}"#), Some(9), 60, false),
        ("no word of a report", format!(r#""created_at": {nine}"#), Some(9), 60, false),
        ("unreadable", format!(r#""updated_at": "soon", "created_at": {nine}"#), None, 60, false),
        ("neither", String::from(r#""binary": "heat-engine""#), None, 60, false),
        ("its own interval", String::from(r#""report_interval": 10"#), None, 10, false),
        ("no interval", String::from(r#""report_interval": null"#), None, 60, false),
        ("a new field", String::from(r#""zone": {"a": [1]}"#), None, 60, false),
        ("in another case", String::from(r#""binary": "heat-engine", "status": "Down""#), None, 60, true),
    ] {
        let status = if down { "" } else { r#""status": "up","# };
        let body = format!(r#"{{"services": [{{"host": "h1", {status} {fields}}}]}}"#);
        let answer = probe::engines::parse(200, body.as_bytes(), START, START).unwrap().unwrap();
        let EngineAnswer::Listed(list) = answer else { panic!("{name}") };
        let hour = |hour: i64| format!("2026-11-22T{hour:02}:00:00Z").parse::<Timestamp>().unwrap();
        let row = &list.rows[0];
        assert_eq!(
            (row.heartbeat, row.report_interval.as_secs(), row.says_down),
            (heartbeat.map(hour), interval, down),
            "{name}"
        );
    }
}

/// A name is shown in conditions, events and metrics.
#[test]
fn names_that_control_a_terminal_are_escaped() {
    let body = r#"{"services": [{"host": "h\u001b[2J\u202e1", "status": "down", "engine_id": "a\nb", "topic": "e"}]}"#;
    let answer = probe::engines::parse(200, body.as_bytes(), START, START).unwrap().unwrap();
    let EngineAnswer::Listed(list) = answer else { panic!("no list") };
    let row = &list.rows[0];
    assert_eq!([&*row.host, &*row.engine_id, &*row.topic], [r"h\u{1b}[2J\u{202e}1", r"a\u{a}b", "e"]);
}

/// Which 503s are Heat's own word on its engines.
#[test]
fn the_503s_that_say_that_engines_are_down() {
    let heat = r#"{"code": 503, "title": "Service Unavailable", "error": {"type": "HTTPServiceUnavailable", "message": "All heat engines are down."}}"#;
    for (name, status, body, own_word) in [
        ("Heat's JSON", 503, heat, true),
        ("the document's sentence", 503, "All Orchestration engines are down.", true),
        ("Heat's JSON about something else", 503, r#"{"code": 503, "error": {"message": "No database."}}"#, false),
        ("a page, Keystone being down behind Heat", 503, "<html>All Orchestration engines are down.</html>", false),
        ("a proxy", 503, "no server is available", false),
        ("nothing", 503, "", false),
        ("another status", 500, heat, false),
        ("a proxy gave up", 504, heat, false),
    ] {
        let sent = later(START, -60);
        let answer = probe::engines::parse(status, body.as_bytes(), START, sent);
        assert_eq!(answer, own_word.then_some(Ok(EngineAnswer::Unanswered { sent })), "{name}");
    }
}

/// A list that is too long to be counted by every tenant, and the longest that is counted.
#[test]
fn at_most_ten_thousand_rows() {
    let row = r#"{"host": "h", "status": "up"}"#;
    for (rows, read) in [(10_000, true), (10_001, false)] {
        let body = format!(r#"{{"services": [{}]}}"#, vec![row; rows].join(","));
        let answer = probe::engines::parse(200, body.as_bytes(), START, START).unwrap();
        assert_eq!(answer.is_ok(), read, "{rows}");
    }
    for (length, read) in [(255, true), (256, false)] {
        let body = format!(r#"{{"services": [{{"host": "{}", "status": "up"}}]}}"#, "h".repeat(length));
        assert_eq!(probe::engines::parse(200, body.as_bytes(), START, START).unwrap().is_ok(), read, "{length}");
    }
}
