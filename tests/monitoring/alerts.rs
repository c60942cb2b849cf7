//! promtool's word on the alerts, without an operator.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, thread,
};

use serde_json::{Value, json};
use testkit::tools;

use crate::prometheus::{file, promtool};

pub const RULES: &str = "charts/cloudtenant-operator/files/alerts.yaml";
pub const TESTS: [&str; 4] = [
    "tests/monitoring/alerts_test.yaml",
    "tests/monitoring/alerts_day_test.yaml",
    "tests/monitoring/alerts_limits_test.yaml",
    "tests/monitoring/alerts_sets_test.yaml",
];

/// promtool's words on a rule file with this in place of that: on the rules themselves, and on their tests. Rules that
/// are not changed by it are left out with their tests, since promtool takes its time.
fn judged(that: &str, this: &str) -> Option<[(bool, String); 2]> {
    let programs = tools::prometheus().unwrap()?;
    let rules = fs::read_to_string(file(RULES)).unwrap();
    assert!(rules.contains(that), "no {that} in {RULES}");
    let (before, mut after) = (yaml(&rules), yaml(&rules.replace(that, this)));
    let pairs = every(&before).zip(every(&after));
    let mut kept: Vec<_> = pairs.filter(|(a, b)| a != b).map(|(_, rule)| rule.clone()).collect();
    // What one rule reads of another's alerts.
    let read: BTreeSet<_> =
        kept.iter().filter_map(|rule| alert_in(rule["expr"].as_str()?)).map(str::to_owned).collect();
    kept.extend(every(&after).filter(|rule| read.contains(rule["alert"].as_str().unwrap())).cloned());
    for group in after["groups"].as_array_mut().unwrap() {
        group["rules"].as_array_mut().unwrap().retain(|rule| kept.contains(rule));
    }
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &Value| {
        let path = directory.path().join(name);
        // JSON is YAML.
        fs::write(&path, text.to_string()).unwrap();
        path.display().to_string()
    };
    let rules = write("alerts.json", &after);
    let tests_of_it = TESTS.map(|path| {
        let mut tests = yaml(&fs::read_to_string(file(path)).unwrap());
        tests["rule_files"] = json!(["alerts.json"]);
        let scenes = tests["tests"].as_array_mut().unwrap();
        for scene in scenes.iter_mut() {
            let looks = scene["alert_rule_test"].as_array_mut().unwrap();
            looks.retain(|look| kept.iter().any(|rule| rule["alert"] == look["alertname"]));
        }
        scenes.retain(|scene| scene["alert_rule_test"] != json!([]));
        write(path.rsplit_once('/').unwrap().1, &tests)
    });
    let check = promtool(&programs, &["check", "rules", &rules], "");
    let test = [&["test".to_owned(), "rules".to_owned()][..], &tests_of_it].concat();
    let test = promtool(&programs, &test.iter().map(String::as_str).collect::<Vec<_>>(), "");
    Some([check, test])
}

pub fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// The alert that an expression asks for.
fn alert_in(expr: &str) -> Option<&str> {
    expr.split_once("ALERTS{alertname=\"")?.1.split('"').next()
}

fn every(rules: &Value) -> impl Iterator<Item = &Value> {
    rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap())
}

#[test]
fn the_alerts_are_rules_and_do_what_their_tests_say() {
    let Some(programs) = tools::prometheus().unwrap() else { return };
    let rules = file(RULES).display().to_string();
    let tests = TESTS.map(|path| file(path).display().to_string());
    let (taken, said) = promtool(&programs, &["check", "rules", &rules], "");
    assert!(taken, "{said}");
    let (passed, said) = promtool(&programs, &["test", "rules", &tests[0], &tests[1], &tests[2], &tests[3]], "");
    assert!(passed, "{said}");
}

#[test]
fn promtool_refuses_a_rule_that_is_none() {
    let Some([check, _]) = judged("count by (cluster, cloud, region)", "count of (cloud)") else { return };
    assert!(!check.0, "{}", check.1);
}

/// What is left out is not missed by the tests of what is left.
#[test]
fn the_tests_take_rules_that_do_the_same() {
    for (that, this) in [("[30m:1m]", "[30m:60s]"), ("or on ()", "or  on ()"), ("> 0.05", "> 0.050")] {
        let Some([check, test]) = judged(that, this) else { return };
        assert!(check.0 && test.0, "{this}: {}{}", check.1, test.1);
    }
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
        (
            "reasons that take turns end each other's wait",
            "reason!~\"NoEnginesListed|ProbeDisabled|ServiceNotOffered\"} == 1",
            "reason!~\"AuthenticationFailed|NoEnginesListed|ProbeDisabled|ServiceNotOffered\"} == 1",
        ),
        ("a reason that has passed counts for ever", "[15m])\n            )", "[1d])\n            )"),
        ("a verdict that is back for good is unsteady", "[45m]) >= 3", "[45m]) >= 2"),
        ("only what changes every minute is unsteady", "[45m]) >= 3", "[45m]) >= 30"),
        ("what is well at times is unsteady", "{status=\"True\"}[45m]", "{status=\"None\"}[45m]"),
        ("one that was just made lacks its status", "cloudtenant_info offset 10m", "cloudtenant_info"),
        (
            "one that was made anew lacks its status",
            "last_over_time(cloudtenant_status_condition[10m])",
            "cloudtenant_status_condition",
        ),
        ("any instance looks at the clouds", "cloudtenant_synced == 1", "cloudtenant_synced"),
        ("who leads has its list", "cloudtenant_synced", "cloudtenant_leader"),
        ("a shard is served if some shard is", "namespace, shard) (cloudtenant_shard", "namespace) (cloudtenant_shard"),
        (
            "each process serves all shards",
            "max by (cluster, job, namespace, shard)",
            "min by (cluster, job, namespace, shard)",
        ),
        (
            "an outage is told for each shard",
            "and on (cluster, job, namespace)\n            cloudtenant_synced",
            "or on (cluster, job, namespace)\n            0 * cloudtenant_synced",
        ),
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
        ("a credential that ends in two weeks is told", "< 7 * 86400", "< 14 * 86400"),
        ("a credential that ends in three days is not", "< 7 * 86400", "< 2 * 86400"),
        ("what ends within a day is told twice", "- time() >= 86400", "- time() >= 0"),
        ("an hour is a day", "- time() < 86400", "- time() < 3600"),
        ("what has ended is not told", "- time() < 86400", "- time() < 86400 > 0"),
        ("a clock that is behind is right", "max_over_time(abs(", "max_over_time(("),
        ("the other cloud's clock hides it", "[10m:1m]", "[2m:1m]"),
        ("one wrong answer is told", "[10m:1m]", "[30m:1m]"),
        ("a clock may be a minute ahead", "          ) > 60", "          ) > 58"),
        ("two minutes are little", "          ) > 60", "          ) > 120"),
        (
            "a set that cannot list is well",
            "type=\"ProjectsListed\", status=\"Unknown\"",
            "type=\"ProjectsListed\", status=\"False\"",
        ),
        (
            "a set that nobody serves is well",
            "1800 + 3 * max by (cluster, namespace, tenant_namespace, name) (cloudtenant_set",
            "180000 + 3 * max by (cluster, namespace, tenant_namespace, name) (cloudtenant_set",
        ),
        (
            "a long interval is an outage",
            "(cloudtenant_set_interval_seconds)",
            "(0 * cloudtenant_set_interval_seconds)",
        ),
        ("a short outage is one of an hour", "for: 1h", "for: 5m"),
        ("a suspended set has to list", "cloudtenant_set_suspended == 1", "cloudtenant_set_suspended == 2"),
        ("any deletion is held", "status=\"False\", reason=\"PruneHeld\"", "status=\"False\""),
        ("a held deletion has two alerts", "reason!~\"PruneHeld|Progressing\"", "reason!~\"Progressing\""),
        ("a set that is not done is incomplete", "reason!~\"PruneHeld|Progressing\"", "reason!~\"PruneHeld\""),
        ("a set that cannot be written is well", "status!=\"True\", reason!~", "status=\"False\", reason!~"),
        ("skipped projects are as good as others", "{reason!=\"Covered\"} > 0", "{reason!=\"Covered\"} > 10"),
        ("a tenant that a person made is a fault", "{reason!=\"Covered\"} > 0", " > 0"),
        ("errors are as good as none", "> 0.05", "> 2"),
        ("any error is one too many", "> 0.05", "> 0"),
        (
            "one instance's data stand for themselves",
            "group by (cluster, namespace, tenant_namespace, name, cloud, region) (cloudtenant_info)",
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

/// Labels that Prometheus adds to a series, and one that all series of a CloudTenant can have.
const ADDED: [&str; 4] = ["cluster", "instance", "job", "project"];

/// A series of a test with a label that the operator does not export makes an alert look right that is not.
#[test]
fn the_tests_series_have_the_labels_that_metrics_have() {
    let page = fs::read_to_string(file("docs/monitoring.md")).unwrap();
    let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let rows =
        page.lines().filter(|line| line.starts_with("| `cloudtenant_")).map(|row| row.split('|').collect::<Vec<_>>());
    let known: BTreeMap<_, BTreeSet<_>> = rows
        .flat_map(|cells| {
            let labels: BTreeSet<_> = words(cells[3]).into_iter().collect();
            words(cells[1]).into_iter().map(move |name| (name, labels.clone()))
        })
        .collect();
    for path in TESTS {
        let tests = yaml(&fs::read_to_string(file(path)).unwrap());
        let series =
            tests["tests"].as_array().unwrap().iter().flat_map(|test| test["input_series"].as_array().unwrap());
        for series in series.map(|series| series["series"].as_str().unwrap()) {
            let Some((name, labels)) = series.split_once('{').filter(|(name, _)| name.starts_with("cloudtenant_"))
            else {
                continue;
            };
            let known = known.get(name).unwrap_or_else(|| panic!("{path}: docs/monitoring.md has no {name}"));
            let labels =
                labels.split('"').step_by(2).filter_map(|label| label.trim_start_matches([',', ' ']).split_once('='));
            for (label, _) in labels {
                let is_known = known.contains(label) || ADDED.contains(&label);
                // The ServiceMonitor renames labels that Prometheus sets itself.
                let is_renamed = ["exported_", "tenant_"].iter().any(|prefix| label.starts_with(prefix));
                assert!(
                    is_known || is_renamed || label == "namespace",
                    "{path}: {name} has no label {label}: {series}"
                );
            }
        }
    }
}
