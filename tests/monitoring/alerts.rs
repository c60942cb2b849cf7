//! promtool's word on the alerts, without an operator.

use std::{fs, thread};

use testkit::tools;

use crate::prometheus::{file, promtool};

const RULES: &str = "charts/cloudtenant-operator/files/alerts.yaml";
const TESTS: [&str; 2] = ["tests/monitoring/alerts_test.yaml", "tests/monitoring/alerts_day_test.yaml"];

/// promtool's words on a rule file with this in place of that: on the rules themselves, and on their tests.
fn judged(that: &str, this: &str) -> Option<[(bool, String); 2]> {
    let programs = tools::prometheus().unwrap()?;
    let rules = fs::read_to_string(file(RULES)).unwrap();
    assert!(rules.contains(that), "no {that} in {RULES}");
    let directory = tempfile::tempdir().unwrap();
    let changed = directory.path().join("alerts.yaml");
    fs::write(&changed, rules.replace(that, this)).unwrap();
    let tests_of_it = TESTS.map(|path| {
        let tests = fs::read_to_string(file(path)).unwrap();
        let copy = directory.path().join(path.rsplit_once('/').unwrap().1);
        fs::write(&copy, tests.replace(&format!("../../{RULES}"), "alerts.yaml")).unwrap();
        copy.display().to_string()
    });
    let check = promtool(&programs, &["check", "rules", &changed.display().to_string()], "");
    let test = promtool(&programs, &["test", "rules", &tests_of_it[0], &tests_of_it[1]], "");
    Some([check, test])
}

#[test]
fn the_alerts_are_rules_and_do_what_their_tests_say() {
    let Some([check, test]) = judged("", "") else { return };
    assert!(check.0, "{}", check.1);
    assert!(test.0, "{}", test.1);
}

#[test]
fn promtool_refuses_a_rule_that_is_none() {
    let Some([check, _]) = judged("count by (cluster, cloud, region)", "count of (cloud)") else { return };
    assert!(!check.0, "{}", check.1);
}

/// Every change of what an alert means is noticed.
#[test]
fn the_tests_refuse_rules_that_do_something_else() {
    let changes = [
        ("no engine that does not answer", "EnginesDown|EngineUnresponsive", "EnginesDown"),
        ("an alert at once", "for: 5m\n        keep_firing_for", "for: 0m\n        keep_firing_for"),
        ("suspended tenants too", "cloudtenant_suspended == 1", "cloudtenant_suspended == 2"),
        ("a restart ends an alert", "        keep_firing_for: 5m\n", ""),
        (
            "Unknown is down",
            "type=\"EnginesHealthy\", status=\"False\", reason=\"AllEnginesDown\"",
            "type=\"EnginesHealthy\"",
        ),
        (
            "caches that failed to be created are well",
            "type=\"CachesHealthy\", status=\"False\"",
            "reason=\"CacheErrors\"",
        ),
        ("what is meant so cannot be seen", "|ProbeDisabled|ServiceNotOffered", ""),
        ("old data are as good as new", "1800 + 3 *", "180000 + 3 *"),
        (
            "what Ready alone says is not read",
            "{status=\"Unknown\", reason!~",
            "{type!=\"Ready\", status=\"Unknown\", reason!~",
        ),
        ("any instance looks at the clouds", "cloudtenant_synced == 1", "cloudtenant_synced"),
        ("who leads has its list", "cloudtenant_synced", "cloudtenant_leader"),
        ("who has never been is not missed", "absent(cloudtenant_synced)", "vector(0) > 1"),
        ("who has been away for an hour is not missed", "[1d]", "[1h]"),
        ("who was away is missed for ever", "[1d]", "[1w]"),
        ("who crashes again and again is well", "[30m:1m]\n          ) > 6", "[30m:1m]\n          ) > 60"),
        ("an update is a crash", "[30m:1m]\n          ) > 6", "[30m:1m]\n          ) > 5"),
        ("a long absence is told twice", "alertstate=\"firing\"", "alertstate=\"none\""),
        (
            "an event before the first scrape does not count",
            "last_over_time(process_start_time_seconds[1h]) >",
            "last_over_time(process_start_time_seconds[1h]) - 1e12 >",
        ),
        (
            "a further event does not count",
            "    increase(cloudtenant_events_total",
            "    0 * increase(cloudtenant_events_total",
        ),
        ("a process of any age is a young one", "> time() - 3600", "> time() - 360000"),
        (
            "who was replaced is forgotten",
            "increase(cloudtenant_events_total{outcome=\"error\"}[1h])",
            "increase(cloudtenant_events_total{outcome=\"error\"}[20m])",
        ),
        (
            "events that were taken are errors",
            "cloudtenant_events_total{outcome=\"error\"}",
            "cloudtenant_events_total",
        ),
        ("errors are as good as none", "> 0.05", "> 2"),
        ("any error is one too many", "> 0.05", "> 0"),
        (
            "one instance's data stand for themselves",
            "group by (cluster, namespace, name, cloud, region) (cloudtenant_info)",
            "cloudtenant_info",
        ),
    ];
    // promtool takes seconds for each.
    thread::scope(|scope| {
        for some in changes.chunks(changes.len().div_ceil(4)) {
            scope.spawn(move || {
                for (meaning, that, this) in some {
                    let Some([check, test]) = judged(that, this) else { return };
                    assert!(check.0, "{meaning}: {}", check.1);
                    assert!(!test.0, "no test notices: {meaning}");
                }
            });
        }
    });
}

#[test]
fn promtool_refuses_metrics_against_the_convention() {
    let Some(programs) = tools::prometheus().unwrap() else { return };
    let wrong = "# HELP cloudtenant_things Things.\n# TYPE cloudtenant_things counter\ncloudtenant_things 1\n";
    let (taken, said) = promtool(&programs, &["check", "metrics"], wrong);
    assert!(!taken && said.contains("_total"), "{said}");
}
