//! A Prometheus that scrapes a running operator, whose CloudTenants are in all kinds of states.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use testkit::{
    cloud::{CacheCounts, Server, SimulatedCloud},
    tools,
};
use tokio::time;

use crate::{
    board::{dashboard, queries},
    lab::{self, Lab},
    prometheus::{Labels, Prometheus, SOON, file, promtool},
};

const RULES: &str = "charts/cloudtenant-operator/files/alerts.yaml";

/// Panels, or one of their queries, that have nothing to show where nothing of the kind has happened.
const MAY_BE_EMPTY: [(&str, &str); 1] = [("Writes and events that fail", "A")];

/// What the figures at the top say of the CloudTenants below.
const FIGURES: [(&str, f64); 6] = [
    ("Unhealthy", 2.0),
    ("Cannot be seen", 2.0),
    ("Ready", 1.0),
    ("Suspended", 1.0),
    ("Alerts firing", 0.0),
    ("Leaders", 1.0),
];

/// What is wrong long enough would fire; so soon it is pending.
const PENDING: [&str; 4] = [
    "CloudTenantAuthenticationFailing",
    "CloudTenantCachesUnhealthy",
    "CloudTenantCannotSee",
    "CloudTenantEnginesDown",
];

fn project(number: u64) -> String {
    format!("{number:032x}")
}

/// An operator with CloudTenants in two clouds, in all kinds of states.
pub struct Scene {
    pub lab: Lab<'static>,
    pub sick: SimulatedCloud,
    /// A cloud that goes away.
    away: Option<SimulatedCloud>,
}

impl Scene {
    pub async fn start() -> Self {
        let lab = Lab::start("watched").await;
        let sick = SimulatedCloud::start().await.unwrap();
        let away = SimulatedCloud::start().await.unwrap();
        // Long before the alerts on it.
        lab.cloud.set_password_expiry(Some(jiff::Timestamp::now() + Duration::from_secs(30 * 86_400)));
        let scene = Self { lab, sick, away: Some(away) };
        scene.secret("sick", &scene.sick.clouds_yaml("openstack")).await;
        scene.secret("refused", &scene.lab.cloud.clouds_yaml("openstack")).await;
        scene.secret("unreachable", &scene.away.as_ref().unwrap().clouds_yaml("openstack")).await;
        for (number, (name, secret)) in (1_u64..).zip([
            ("web-shop", lab::SECRET),
            ("sessions", lab::SECRET),
            ("payments", "sick"),
            ("reports", "refused"),
            ("mail", "unreachable"),
            ("archive", lab::SECRET),
        ]) {
            let project = project(number);
            let cloud = match secret {
                "sick" => &scene.sick,
                "unreachable" => scene.away.as_ref().unwrap(),
                _ => &scene.lab.cloud,
            };
            let launched = cloud.now() - Duration::from_secs(3600 * 7 * number);
            let servers = (0..=number).map(|server| Server::new(&format!("{name}-{server}"), launched));
            cloud.add_tenant(&project);
            cloud.set_servers(&project, servers.collect());
            cloud.set_caches(&project, CacheCounts::redis(&[("running", number + 2)]));
            let spec = json!({
                "projectID": project, "suspend": name == "archive",
                "cloudCredentialsRef": { "secretName": secret, "cloudName": "openstack" },
            });
            scene.lab.apply(name, &spec).await;
        }
        scene
    }

    async fn secret(&self, name: &str, clouds_yaml: &str) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name },
            "stringData": { "clouds.yaml": clouds_yaml },
        });
        let secrets: Api<Secret> = Api::namespaced(self.lab.client.clone(), &self.lab.namespace);
        secrets.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&secret)).await.unwrap();
    }

    /// Lets an engine die, a cache instance fail, a credential be refused, and a cloud go away.
    pub async fn break_things(&mut self) {
        for name in ["reports", "mail"] {
            // Seen once, so that the operator knows its cloud.
            self.lab.until_ready(name).await;
        }
        let well = self.lab.cloud.clouds_yaml("openstack");
        self.secret("refused", &well.replace("password: \"", "password: \"not-")).await;
        self.away = None;
        self.sick.kill_engine("engine-1.lab");
        self.sick.advance(Duration::from_secs(150));
        self.lab.cloud.set_caches(&project(2), CacheCounts::redis(&[("running", 4), ("error", 1)]));
    }

    /// Waits until each is what it is to be.
    async fn settle(&self) {
        self.lab.until_reason("web-shop", "Ready", "Healthy").await;
        self.lab.until_reason("sessions", "Ready", "CacheErrors").await;
        self.lab.until_reason("payments", "Ready", "EnginesDown").await;
        self.lab.until_reason("reports", "Ready", "AuthenticationFailed").await;
        self.lab.until_reason("mail", "Ready", "ConnectionFailed").await;
    }

    fn metrics(&self) -> String {
        let (status, text) = self.lab.operator.get("/metrics").unwrap();
        assert_eq!(status, 200);
        text
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_and_dashboard_have_their_data_from_a_running_operator() {
    let mut scene = Scene::start().await;
    scene.break_things().await;
    let programs = tools::prometheus().unwrap();
    let mut running = Vec::new();
    if let Some(programs) = &programs {
        for labels in [Labels::Honoured, Labels::Overwritten] {
            running.push(Prometheus::start(programs, &[scene.lab.operator.address()], &file(RULES), labels).await);
        }
    }
    scene.settle().await;
    the_page_has_every_metric(&scene.metrics());
    let Some(programs) = programs else { return };

    let (taken, said) = promtool(&programs, &["check", "metrics"], &scene.metrics());
    assert!(taken && said.is_empty(), "promtool check metrics: {said}");
    for prometheus in &running {
        every_query_is_answered(prometheus).await;
        every_rule_is_evaluated(prometheus).await;
    }
    let own = running[1].query("group by (namespace, tenant_namespace) (cloudtenant_info)").await.unwrap();
    let labels = json!({ "namespace": "cloudtenant-system", "tenant_namespace": scene.lab.namespace });
    assert_eq!(own.iter().map(|series| &series["metric"]).collect::<Vec<_>>(), [&labels]);
    let prometheus = &running[0];

    // Gone with its object.
    let of_it = "cloudtenant_status_condition{name=\"sessions\"}";
    assert!(!prometheus.query(of_it).await.unwrap().is_empty());
    scene.lab.tenants().delete("sessions", &kube::api::DeleteParams::default()).await.unwrap();
    let began = Instant::now();
    while !prometheus.query(of_it).await.unwrap().is_empty() {
        assert!(began.elapsed() < SOON, "the series outlive their object");
        time::sleep(Duration::from_millis(250)).await;
    }
}

async fn every_query_is_answered(prometheus: &Prometheus) {
    let refused = prometheus.query("sum by (rate(up))").await;
    assert!(refused.is_err(), "a query that is none is answered: {refused:?}");
    assert_eq!(prometheus.query("cloudtenant_no_such_metric").await, Ok(Vec::new()));

    let mut wrong = Vec::new();
    for query in queries(&dashboard()) {
        let key = (query.panel.as_str(), query.letter.as_str());
        let figure = FIGURES.iter().find(|(panel, _)| *panel == query.panel).map(|(_, figure)| *figure);
        let as_it_should = |series: &[Value]| match figure {
            Some(figure) => series.first().and_then(|one| one["value"][1].as_str()?.parse().ok()) == Some(figure),
            None => !series.is_empty() || MAY_BE_EMPTY.contains(&key),
        };
        match prometheus.until(&query.expr, as_it_should).await {
            Err(error) => wrong.push(format!("{key:?}: {error}: {}", query.expr)),
            Ok(series) if !as_it_should(&series) => {
                wrong.push(format!("{key:?} has {series:?}, not {figure:?}: {}", query.expr));
            }
            Ok(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn every_rule_is_evaluated(prometheus: &Prometheus) {
    let began = Instant::now();
    loop {
        let rules = prometheus.rules().await;
        for rule in &rules {
            assert_eq!(rule["lastError"].as_str().unwrap_or_default(), "", "{}", rule["name"]);
        }
        let evaluated = rules.iter().all(|rule| rule["health"] == "ok");
        let raised: BTreeSet<_> = rules
            .iter()
            .filter(|rule| rule["state"] != "inactive")
            .map(|rule| rule["name"].as_str().unwrap().to_owned())
            // The clock of one cloud was put forward. The rule looks at whole minutes, so it fires in some runs only.
            .filter(|name| name != "CloudTenantCloudClockSkewed")
            .collect();
        if evaluated && raised.iter().eq(&PENDING) {
            return;
        }
        assert!(began.elapsed() < SOON, "raised: {raised:?}\n{rules:#?}");
        time::sleep(Duration::from_millis(250)).await;
    }
}

/// Type and labels of each metric that the operator serves.
fn served(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut served: BTreeMap<_, (String, BTreeSet<String>)> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, type_)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            served.insert(name.to_owned(), (type_.to_owned(), BTreeSet::new()));
        } else if let Some((name, rest)) = line.split_once('{') {
            let name = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix).filter(|name| served.contains_key(*name)))
                .unwrap_or(name);
            let labels = rest.rsplit_once('}').unwrap().0;
            let names = labels.split("\",").filter_map(|label| label.split_once("=\"")).map(|(name, _)| name);
            let names = names.filter(|name| *name != "le").map(str::to_owned);
            served.get_mut(name).unwrap_or_else(|| panic!("{line} has no type")).1.extend(names);
        }
    }
    served
}

fn the_page_has_every_metric(text: &str) {
    let page = fs::read_to_string(file("docs/monitoring.md")).unwrap();
    let mut told = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `cloudtenant_") || line.starts_with("| `process_")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        for name in words(cells[1]) {
            let labels: BTreeSet<_> = words(cells[3]).into_iter().collect();
            assert!(told.insert(name, (cells[2].to_owned(), labels)).is_none(), "docs/monitoring.md: twice: {row}");
        }
    }
    // The page has them, and an operator without shards does not.
    for of_shards in ["cloudtenant_shard_leader", "cloudtenant_shard_synced"] {
        assert!(told.remove(of_shards).is_some(), "docs/monitoring.md: {of_shards}");
    }
    // The same for an operator without CloudTenantSets.
    let before = told.len();
    told.retain(|name, _| !name.starts_with("cloudtenant_set_"));
    assert!(told.len() < before, "docs/monitoring.md has no series of CloudTenantSets");
    assert_eq!(told, served(text), "docs/monitoring.md, and what is served");
}

#[test]
fn what_is_served_is_understood() {
    let text = "# HELP a_total A.\n# TYPE a_total counter\na_total{b=\"x, y\",c=\"}\"} 1\n# TYPE d histogram\nd_bucket{le=\"1\",e=\"f\"} 1\nd_sum{e=\"f\"} 1\n# TYPE g gauge\ng 1\n";
    let labels = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect::<BTreeSet<_>>();
    let expected = [
        ("a_total", ("counter".to_owned(), labels(&["b", "c"]))),
        ("d", ("histogram".to_owned(), labels(&["e"]))),
        ("g", ("gauge".to_owned(), labels(&[]))),
    ];
    assert_eq!(served(text), expected.map(|(name, what)| (name.to_owned(), what)).into());
}
