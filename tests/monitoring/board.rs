//! The dashboard, read with Grafana's own types.

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::Value;
use testkit::tools;

use crate::prometheus::{file, promtool};

const BOARD: &str = "charts/cloudtenant-operator/files/dashboard.json";
pub const TESTS: &str = "tests/monitoring/board_test.yaml";

pub fn dashboard() -> Value {
    serde_json::from_str(&fs::read_to_string(file(BOARD)).unwrap()).unwrap()
}

/// One query: its panel's title, its letter, and what Prometheus is asked, for all namespaces and clouds.
pub struct Query {
    pub panel: String,
    pub letter: String,
    pub expr: String,
}

/// What Prometheus is asked by one of a panel's queries, for all namespaces and clouds.
fn asked(target: &Value) -> String {
    let expr = target["expr"].as_str().unwrap();
    let expr = expr.replace("$namespace", ".*").replace("$cloud", ".*").replace("$__rate_interval", "30s");
    assert!(!expr.contains('$'), "a variable that nobody sets: {expr}");
    expr
}

pub fn queries(dashboard: &Value) -> Vec<Query> {
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expr = asked(target);
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            queries.push(Query { panel: text(&panel["title"]), letter: text(&target["refId"]), expr });
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        // label_values(SELECTOR, LABEL)
        if let Some(definition) = variable["definition"].as_str() {
            let inside = definition.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
            let (selector, label) = inside.rsplit_once(", ").unwrap();
            let expr = format!("group by ({label}) ({})", selector.replace("$namespace", ".*"));
            queries.push(Query { panel: format!("${}", variable["name"].as_str().unwrap()), letter: "A".into(), expr });
        }
    }
    queries
}

/// What Grafana's types say to it, if anything.
fn refusal(dashboard: &Value) -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dashboard.json");
    fs::write(&path, dashboard.to_string()).unwrap();
    let output = Command::new(tools::grafana_dashboard().unwrap()).arg(path).output().unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn grafana_knows_all_that_is_in_the_dashboard() {
    assert_eq!(refusal(&dashboard()), None);
}

type Spoil = fn(&mut Value);

#[test]
fn grafana_refuses_what_it_does_not_know() {
    let wrong: [(&str, Spoil); 9] = [
        ("unexpected field 'titel'", |board| board["titel"] = "CloudTenants".into()),
        ("discriminator field 'type' not found", |board| {
            drop(board["panels"][1].as_object_mut().unwrap().remove("type"))
        }),
        ("cannot unmarshal", |board| board["panels"][1]["gridPos"]["w"] = "wide".into()),
        ("must be <= 24", |board| board["panels"][1]["gridPos"]["w"] = 25.into()),
        ("there is no panel of type", |board| board["panels"][1]["type"] = "statistics".into()),
        ("unexpected field 'colour'", |board| board["panels"][1]["options"]["colour"] = "red".into()),
        ("unexpected field 'unti'", |board| board["panels"][1]["fieldConfig"]["defaults"]["unti"] = "s".into()),
        ("unit \"seconds\"", |board| board["panels"][1]["fieldConfig"]["defaults"]["unit"] = "seconds".into()),
        ("unexpected field 'query'", |board| board["panels"][1]["targets"][0]["query"] = "up".into()),
    ];
    for (expected, spoil) in wrong {
        let mut board = dashboard();
        spoil(&mut board);
        let said = refusal(&board).unwrap_or_else(|| panic!("taken, though: {expected}"));
        assert!(said.contains(expected), "{expected} in {said}");
    }
}

/// promtool's word on what the queries of this dashboard say, where Prometheus is installed.
fn judged(board: &Value) -> Option<(bool, String)> {
    let tests = serde_saphyr::from_str(&fs::read_to_string(file(TESTS)).unwrap()).unwrap();
    judged_by(board, tests)
}

/// The same, by these tests.
pub fn judged_by(board: &Value, mut tests: Value) -> Option<(bool, String)> {
    let programs = tools::prometheus().unwrap()?;
    let queries = queries(board);
    for scene in tests["tests"].as_array_mut().unwrap() {
        for look in scene["promql_expr_test"].as_array_mut().unwrap() {
            let is_it = |query: &&Query| look["expr"] == format!("{} {}", query.panel, query.letter);
            let query = queries.iter().find(is_it).unwrap_or_else(|| panic!("no query is called {}", look["expr"]));
            look["expr"] = query.expr.as_str().into();
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("board.json");
    // JSON is YAML.
    fs::write(&path, tests.to_string()).unwrap();
    Some(promtool(&programs, &["test", "rules", &path.display().to_string()], ""))
}

#[test]
fn the_queries_say_what_their_tests_say() {
    let Some((passed, said)) = judged(&dashboard()) else { return };
    assert!(passed, "{said}");
}

#[test]
fn the_tests_refuse_queries_that_say_something_else() {
    for (meaning, that, this) in [
        (
            "engines of suspended ones, too",
            "unless on (cluster, namespace, tenant_namespace, name) cloudtenant_suspended == 1 unless",
            "unless",
        ),
        (
            "engines of those that cannot see, too",
            "status=\\\"Unknown\\\", reason!=\\\"No",
            "status=\\\"None\\\", reason!=\\\"No",
        ),
        ("two clusters are one", "(cluster, ", "("),
        ("no engines where there are none", ", reason!=\\\"NoEnginesListed\\\"", ""),
    ] {
        let board = dashboard().to_string();
        assert!(board.contains(that), "{meaning}: no {that}");
        let Some((passed, _)) = judged(&serde_json::from_str(&board.replace(that, this)).unwrap()) else { return };
        assert!(!passed, "no test notices: {meaning}");
    }
}

/// As the alerts have it: what has the same name in two clusters is two.
#[test]
fn who_is_told_apart_by_name_is_told_apart_by_cluster() {
    for query in queries(&dashboard()).iter().filter(|query| !query.panel.starts_with('$')) {
        for labels in ["by (", "on ("].iter().flat_map(|begin| query.expr.split(begin).skip(1)) {
            let labels: Vec<_> = labels.split(')').next().unwrap().split(", ").collect();
            let is_of_one = ["namespace", "name", "cloud", "instance"].iter().any(|label| labels.contains(label));
            assert!(!is_of_one || labels.contains(&"cluster"), "{}: {labels:?} in {}", query.panel, query.expr);
        }
    }
}

/// What Grafana's types do not say.
#[test]
fn every_panel_is_explained_and_has_its_own_place() {
    let board = dashboard();
    let mut ids = BTreeSet::new();
    let mut cells = BTreeSet::new();
    for panel in board["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is another's");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        for (x, y) in (at("y")..at("y") + at("h")).flat_map(|y| (at("x")..at("x") + at("w")).map(move |x| (x, y))) {
            assert!(x < 24 && cells.insert((x, y)), "{title} lies over another panel, or beside the grid");
        }
        if panel["type"] != "row" {
            assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title}: what is it?");
            let unit = &panel["fieldConfig"]["defaults"]["unit"];
            assert!(unit.is_string() || panel["type"] == "table", "{title} has no unit");
            for target in panel["targets"].as_array().unwrap() {
                // docs/monitoring.md asks for a scrape each minute. Without this Grafana takes the data source's, which
                // is 15 s unless somebody set it, and a rate over a minute has no two of them.
                let is_rate = target["expr"].as_str().unwrap().contains("$__rate_interval");
                assert_eq!(target["interval"] == "1m", is_rate, "{title}: the smallest step");
            }
            let sources = panel["targets"].as_array().unwrap().iter().map(|target| &target["datasource"]["uid"]);
            for source in sources.chain([&panel["datasource"]["uid"]]) {
                assert_eq!(source, "${datasource}", "{title}");
            }
        }
    }
}
