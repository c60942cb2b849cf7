//! Where the services are asked, and whether the project exists, against the simulated cloud.

use std::{
    sync::{
        Arc, Once,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use cloudtenant_operator::{
    api::Period,
    decide::status,
    metrics::Metrics,
    observation::engine_answers::EngineAnswer,
    openstack::{CloudConfig, Error, Failure, Network, Service as CloudService, Session},
    probe::{self, failure},
    shard::Shard,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use testkit::cloud::{Fault, Server, Service, SimulatedCloud};

use crate::world::{World, compare, lines};

pub fn config(yaml: &str) -> Arc<CloudConfig> {
    Arc::new(CloudConfig::parse(yaml, "c", None, None).unwrap())
}

pub fn session(config: &Arc<CloudConfig>) -> Session {
    counting_session(config, &Arc::default())
}

fn counting_session(config: &Arc<CloudConfig>, metrics: &Arc<Metrics>) -> Session {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    Session::new(config.clone(), &Network::default().allowing_loopback(), metrics.clone()).unwrap()
}

/// A session, and the seconds that have passed by its clock.
pub fn aging(config: &Arc<CloudConfig>) -> (Session, Arc<AtomicU64>) {
    drop(session(config));
    let seconds = Arc::new(AtomicU64::new(0));
    let (start, passed) = (Instant::now(), seconds.clone());
    let clock = Arc::new(move || start + Duration::from_secs(passed.load(SeqCst)));
    let session =
        Session::with_clock(config.clone(), &Network::default().allowing_loopback(), Arc::new(Metrics::new()), clock);
    (session.unwrap(), seconds)
}

fn said<T>(answer: Result<T, Failure>, seen: impl Fn(T) -> String) -> String {
    let not_seen = |error| failure::of_call(&error).map_or("not offered".to_owned(), |told| told.reason.to_string());
    answer.map_or_else(not_seen, seen)
}

async fn asked(cloud: &SimulatedCloud, session: &Session, probe: &str) -> String {
    let World { target, .. } = World::new();
    let (service, said) = match probe {
        "engines" => {
            let answer = probe::engines::ask(session, target.timeout, Timestamp::now()).await;
            let seen = |answer| match answer {
                EngineAnswer::Listed(list) => format!("{} rows", list.rows.len()),
                EngineAnswer::Unanswered { .. } => "503".to_owned(),
            };
            (Service::Heat, said(answer, seen))
        }
        "caches" => (Service::Dcs, said(probe::caches::ask(session, &target).await, |_| "counts".to_owned())),
        _ => {
            let answer = probe::usage::ask(session, &target, None, Timestamp::now()).await;
            (Service::Nova, said(answer, |seen| format!("complete: {:?}", seen.current.complete)))
        }
    };
    let paths = cloud.requests(service).into_iter().map(|request| request.path.replace(cloud.admin_project(), "ADMIN"));
    let mut paths: Vec<_> = paths.collect();
    paths.dedup();
    cloud.clear_requests();
    format!("{said}: {}", paths.join(" "))
}

/// A line is: the probe | the path in the catalogue | what came of it: the paths that were asked.
#[tokio::test]
async fn where_the_catalogue_names_no_version() {
    let expected = lines(
        "
        engines | /v1/%(project_id)s   | 2 rows: /v1/ADMIN/services
        engines | /v1/%(project_id)s/  | 2 rows: /v1/ADMIN/services
        engines |                      | 2 rows: / /v1/ADMIN/services
        engines | /                    | 2 rows: / /v1/ADMIN/services
        engines | /nowhere             | EndpointNotFound: /nowhere/
        caches  | /v1.0/%(project_id)s | counts: /v1.0/p1/instances/status
        caches  | /v2/%(project_id)s   | counts: /v2/p1/instances/status
        caches  | /v1.0                | counts: /v1.0/p1/instances/status
        caches  |                      | counts: /v1.0/p1/instances/status
        usage   | /v2.1                | complete: Some(true): /v2.1/os-simple-tenant-usage/p1
        usage   | /v2.1/               | complete: Some(true): /v2.1/os-simple-tenant-usage/p1
        usage   | /v2.1/%(project_id)s | complete: Some(true): /v2.1/ADMIN/os-simple-tenant-usage/p1
        usage   | /v2/%(project_id)s   | complete: None: /v2/ADMIN/os-simple-tenant-usage/p1
        usage   |                      | complete: Some(true): / /v2.1/os-simple-tenant-usage/p1
    ",
    );
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.add_tenant("p1");
    let config = config(&cloud.clouds_yaml("c"));
    let mut actual = Vec::new();
    for cells in &expected {
        let kind = match cells[0].as_str() {
            "engines" => "orchestration",
            "caches" => "dcs",
            _ => "compute",
        };
        cloud.set_catalogue_path(kind, &cells[1]);
        let said = asked(&cloud, &session(&config), &cells[0]).await;
        actual.push(vec![cells[0].clone(), cells[1].clone(), said]);
    }
    compare("versions", &expected, &actual);
}

/// A line is: who asks | which project | what Keystone was asked for it | what of caches and usage came.
#[tokio::test]
async fn whether_the_project_exists() {
    let expected = lines(
        "
        # not asked of the token's own
        admin | ADMIN | Some(true)  | 0 | ok ok
        admin | p1    | Some(true)  | 1 | ok ok
        admin | gone  | Some(false) | 1 | ProjectNotFound ProjectNotFound
        # one who may not know is taken at their word, once
        demo  | gone  | None        | 1 | Forbidden Forbidden
        demo  | p1    | None        | 1 | Forbidden Forbidden
    ",
    );
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.add_tenant("p1");
    let mut actual = Vec::new();
    for cells in &expected {
        if cells[0] == "demo" {
            cloud.remove_admin_role();
        }
        let id = cells[1].replace("ADMIN", cloud.admin_project());
        let session = session(&config(&cloud.clouds_yaml("c")));
        let mut target = World::new().target;
        target.project_id.clone_from(&id);
        cloud.clear_requests();
        // At the same time, as caches and usage of a new tenant ask.
        let ask = || session.knows_project(&id, target.timeout);
        let (known, again) = tokio::join!(ask(), ask());
        let (known, again) = (known.unwrap(), again.unwrap());
        assert_eq!(known, again);
        let caches = said(probe::caches::ask(&session, &target).await, |_| "ok".to_owned());
        let usage = said(probe::usage::ask(&session, &target, None, Timestamp::now()).await, |_| "ok".to_owned());
        let asked = cloud.requests(Service::Keystone).iter().filter(|seen| seen.path.contains("/projects/")).count();
        actual.push(vec![
            cells[0].clone(),
            cells[1].clone(),
            format!("{known:?}"),
            asked.to_string(),
            format!("{caches} {usage}"),
        ]);
    }
    compare("projects", &expected, &actual);
}

/// A project that exists may be deleted, and one that may not be asked for may become allowed. Only Keystone itself can
/// say that it does not know one.
#[tokio::test]
async fn whether_the_project_still_exists() {
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.add_tenant("p1");
    let (session, seconds) = aging(&config(&cloud.clouds_yaml("c")));
    let page = || Fault::status(404, "<html>Not Found</html>").times(1);
    for (name, second, fault, known, asked) in [
        ("the first time", 0, None, Some(true), 1),
        ("within the hour", 3599, None, Some(true), 0),
        ("a page of a proxy", 3600, Some(page()), None, 1),
        ("within the hour", 7199, None, None, 0),
        ("another hour later", 7200, None, Some(true), 1),
    ] {
        seconds.store(second, SeqCst);
        cloud.clear_requests();
        if let Some(fault) = fault {
            cloud.fault_on(Service::Keystone, "/projects/", fault);
        }
        assert_eq!(session.knows_project("p1", Duration::from_secs(20)).await, Ok(known), "{name}");
        let requests = cloud.requests(Service::Keystone);
        assert_eq!(requests.iter().filter(|seen| seen.path.contains("/projects/")).count(), asked, "{name}");
    }
}

/// As with auth_url, the version may be left out.
#[tokio::test]
async fn keystones_override_with_and_without_a_version() {
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.add_tenant("p1");
    let yaml = cloud.clouds_yaml("c");
    let keystone = config(&yaml).auth_url().to_string();
    for url in [keystone.as_str(), keystone.trim_end_matches("/v3")] {
        let yaml = yaml.replacen("    auth:", &format!("    identity_endpoint_override: '{url}'\n    auth:"), 1);
        let config = config(&yaml);
        assert_eq!(session(&config).knows_project("p1", Duration::from_secs(20)).await, Ok(Some(true)), "{url}");
    }
}

/// What the cloud does not offer is not offered, whatever it says of the project.
#[tokio::test]
async fn an_absent_service_of_an_unknown_project() {
    let cloud = SimulatedCloud::start().await.unwrap();
    for kind in ["dcs", "compute", "compute_legacy"] {
        cloud.set_in_catalogue(kind, false);
    }
    let session = session(&config(&cloud.clouds_yaml("c")));
    for probe in ["caches", "usage"] {
        assert_eq!(asked(&cloud, &session, probe).await, "not offered: ");
    }
}

/// Only what a healthy cloud never answers is counted as a failure, by the status alone.
///
/// A line is: what there is | the probe | what came of it | the calls by service and outcome, with the login.
#[tokio::test]
async fn which_calls_are_counted_as_failures() {
    let expected = lines(
        "
        Heat names its versions with 300  | engines | 2 rows               | identity ok 1, orchestration ok 2
        Nova is too old for pages, once   | usage   | complete: Some(true) | compute ok 3, identity ok 2
        Nova answers 406 to everything    | usage   | UnexpectedAnswer     | compute ok 1, compute unexpected 1, identity ok 2
        Keystone does not tell it exists  | usage   | Forbidden            | compute forbidden 1, identity ok 2
        Keystone knows no such project    | usage   | ProjectNotFound      | identity not_found 1, identity ok 1
        DCS answers 300                   | caches  | UnexpectedAnswer     | cache unexpected 1, identity ok 2
        DCS answers 200 with a login page | caches  | UnexpectedAnswer     | cache ok 1, identity ok 2
    ",
    );
    let mut actual = Vec::new();
    for cells in &expected {
        let cloud = SimulatedCloud::start().await.unwrap();
        if !cells[0].contains("no such project") {
            cloud.add_tenant("p1");
        }
        let older =
            Fault::status(406, r#"{"computeFault": {"code": 406, "message": "Version 2.40 is not supported."}}"#);
        match cells[0].as_str() {
            "Heat names its versions with 300" => cloud.set_catalogue_path("orchestration", ""),
            "Nova is too old for pages, once" => cloud.fault(Service::Nova, older.times(1)),
            "Nova answers 406 to everything" => cloud.fault(Service::Nova, older),
            "Keystone does not tell it exists" => cloud.remove_admin_role(),
            "DCS answers 300" => cloud.fault(Service::Dcs, Fault::status(300, "{}")),
            "DCS answers 200 with a login page" => cloud.fault(Service::Dcs, Fault::Body(b"<html>".to_vec())),
            _ => {}
        }
        let metrics = Arc::new(Metrics::new());
        let session = counting_session(&config(&cloud.clouds_yaml("c")), &metrics);
        let said = asked(&cloud, &session, &cells[1]).await;
        let text = metrics.encode();
        let counts = text.lines().filter_map(|line| line.strip_prefix("cloudtenant_cloud_requests_total"));
        let mut calls: Vec<_> = counts.map(|line| line.replace(['{', '}', '"'], "")).collect();
        calls.iter_mut().for_each(|call| *call = call.replace("service=", "").replace(",outcome=", " "));
        calls.sort();
        let said = said.rsplit_once(": ").unwrap().0;
        actual.push(vec![cells[0].clone(), cells[1].clone(), said.to_owned(), calls.join(", ")]);
    }
    compare("calls", &expected, &actual);
}

/// How far a service's clock is from ours is a metric, and what usage is read by.
#[tokio::test]
async fn clocks_that_differ() {
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.add_tenant("p1");
    for seconds in [0, 3600, -3600] {
        cloud.set_date_skew(SignedDuration::from_secs(seconds));
        let config = config(&cloud.clouds_yaml("c"));
        drop(session(&config));
        let metrics = Arc::new(Metrics::new());
        metrics.leads(Shard::default(), true);
        let session = Session::new(config, &Network::default().allowing_loopback(), metrics.clone()).unwrap();
        let now = Timestamp::now();
        assert_eq!(session.cloud_time(CloudService::Orchestration, now), now, "before the first answer");
        probe::engines::ask(&session, Duration::from_secs(20), now).await.unwrap();
        let text = metrics.encode();
        let line = text.lines().find_map(|line| {
            let rest = line.strip_prefix("cloudtenant_cloud_clock_ahead_seconds{")?;
            rest.split_once(r#"service="orchestration"} "#)?.1.parse::<f64>().ok()
        });
        let told = session.cloud_time(CloudService::Orchestration, now).duration_since(now).as_secs_f64();
        // A Date has whole seconds.
        for ahead in [line.unwrap(), told] {
            assert!((ahead - seconds as f64).abs() < 3.0, "{seconds}: {ahead}");
        }
    }
}

/// Each service of each cloud has its own clock, whichever answered last.
#[tokio::test]
async fn clocks_of_several_services_and_clouds() {
    let metrics = Arc::new(Metrics::new());
    metrics.leads(Shard::default(), true);
    let (now, target) = (Timestamp::now(), World::new().target);
    let mut expected = Vec::new();
    for (engines, usage) in [(3600, -3600), (0, 600)] {
        let cloud = SimulatedCloud::start().await.unwrap();
        cloud.add_tenant("p1");
        let config = config(&cloud.clouds_yaml("c"));
        let session = counting_session(&config, &metrics);
        cloud.set_date_skew(SignedDuration::from_secs(engines));
        probe::engines::ask(&session, target.timeout, now).await.unwrap();
        cloud.set_date_skew(SignedDuration::from_secs(usage));
        probe::usage::ask(&session, &target, None, now).await.unwrap();
        for (service, seconds) in [(CloudService::Orchestration, engines), (CloudService::Compute, usage)] {
            let told = session.cloud_time(service, now).duration_since(now).as_secs_f64();
            assert!((told - seconds as f64).abs() < 5.0, "{service}: {told}");
            expected.push((config.host(), service, seconds));
        }
        // It has not answered yet: Keystone's clock at the login.
        let told = session.cloud_time(CloudService::Cache, now).duration_since(now).as_secs_f64();
        assert!((told - engines as f64).abs() < 5.0, "{told}");
    }
    let text = metrics.encode();
    for (cloud, service, seconds) in &expected {
        let service = service.as_str();
        let series = format!(r#"cloudtenant_cloud_clock_ahead_seconds{{cloud="{cloud}",service="{service}"}} "#);
        let shown = text.lines().find_map(|line| line.strip_prefix(&series)?.parse::<f64>().ok());
        assert!(shown.is_some_and(|shown| (shown - *seconds as f64).abs() < 5.0), "{series}{shown:?}, not {seconds}");
    }
    let kept = expected[0].0.clone();
    metrics.retain_clouds(Shard::default(), [kept].into());
    let left = metrics.encode();
    let clouds = expected.iter().map(|(cloud, ..)| left.contains(&format!("cloud=\"{cloud}\"")));
    assert_eq!(clouds.collect::<Vec<_>>(), [true, true, false, false]);
}

/// Nova's document asks for it; others answer a request without it in HTML.
#[tokio::test]
async fn every_call_asks_for_json() {
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.add_tenant("p1");
    cloud.set_catalogue_path("compute", "");
    let session = session(&config(&cloud.clouds_yaml_application_credential("c")));
    session.greet(Duration::from_secs(20)).await.unwrap();
    let requests = |service| cloud.requests(service);
    for probe in ["engines", "caches", "usage"] {
        let World { target, .. } = World::new();
        match probe {
            "engines" => drop(probe::engines::ask(&session, target.timeout, Timestamp::now()).await.unwrap()),
            "caches" => drop(probe::caches::ask(&session, &target).await.unwrap()),
            _ => drop(probe::usage::ask(&session, &target, None, Timestamp::now()).await.unwrap()),
        }
    }
    session.credential_ends(&session.known_holder().unwrap(), Duration::from_secs(20)).await;
    for (service, least) in [(Service::Keystone, 4), (Service::Heat, 1), (Service::Dcs, 1), (Service::Nova, 3)] {
        let requests = requests(service);
        assert!(requests.len() >= least, "{service:?}: {requests:?}");
        for request in requests {
            assert_eq!(request.accept.as_deref(), Some("application/json"), "{service:?} {}", request.path);
        }
    }
}

/// A page of one server, with a link to the page after this marker.
fn page(marker: &str) -> Fault {
    let link = format!("http://nova/v2.1/os-simple-tenant-usage/p1?marker={marker}&start=x");
    let links = if marker.is_empty() { json!([]) } else { json!([{"rel": "next", "href": link}]) };
    let row = json!({"hours": 1.0, "flavor": "m1", "vcpus": 1, "memory_mb": 1, "local_gb": 1, "ended_at": null});
    let body = json!({
        "tenant_usage": {
            "server_usages": [row], "start": "2026-11-01T00:00:00", "stop": "2026-11-02T00:00:00",
            "total_hours": 1.0, "total_vcpus_usage": 1.0, "total_memory_mb_usage": 1.0, "total_local_gb_usage": 1.0,
        },
        "tenant_usage_links": links,
    });
    Fault::Status {
        code: 200,
        body: body.to_string().into_bytes(),
        content_type: "application/json".to_owned(),
        headers: vec![("OpenStack-API-Version".to_owned(), "compute 2.40".to_owned())],
    }
}

/// A line is: the markers of the pages' links, `-` for none | what came of it | requests.
#[tokio::test]
async fn links_that_lead_back_to_a_page_end_the_reading() {
    let long = "m".repeat(256);
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.add_tenant("p1");
    let config = config(&cloud.clouds_yaml("c"));
    let target = World::new().target;
    for (markers, came, requests) in [
        (&["-"][..], Ok(1), 1),
        (&["a", "b", "c", "-"], Ok(4), 4),
        (&["a", "a", "-"], Err("UnexpectedAnswer"), 2),
        (&["a", "b", "a", "-"], Err("UnexpectedAnswer"), 3),
        (&["a", "b", "c", "b", "-"], Err("UnexpectedAnswer"), 4),
        (&["a", "b", "c", "d", "a", "-"], Err("UnexpectedAnswer"), 5),
        (&[&long[1..], "-"], Ok(2), 2),
        (&[&long, "-"], Err("UnexpectedAnswer"), 1),
    ] {
        cloud.clear_faults(Service::Nova);
        cloud.clear_requests();
        for marker in markers {
            cloud.fault(Service::Nova, page(marker.trim_matches('-')).times(1));
        }
        let now = Timestamp::now();
        let closed = probe::usage::windows(Period::Month, now).previous;
        let answer = probe::usage::ask(&session(&config), &target, Some(closed), now).await;
        let answer = answer.map(|periods| periods.current.servers);
        let answer = answer.map_err(|error| failure::of_call(&error).unwrap().reason.as_str());
        assert_eq!((answer, cloud.count(Service::Nova)), (came, requests), "{markers:?}");
    }
}

/// Pages that each come in time may still be too many.
#[tokio::test]
async fn all_pages_of_the_usage_together_have_a_deadline() {
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.add_tenant("p1");
    let launched = "2026-01-01T00:00:00Z".parse().unwrap();
    cloud.set_servers("p1", (0..200).map(|number| Server::new(&format!("s{number}"), launched)).collect());
    cloud.set_max_limit(1);
    cloud.fault(Service::Nova, Fault::Delay(Duration::from_millis(50)));
    let mut target = World::new().target;
    target.timeout = Duration::from_millis(200);
    let began = Instant::now();
    let answer = probe::usage::ask(&session(&config(&cloud.clouds_yaml("c"))), &target, None, Timestamp::now()).await;
    assert_eq!(answer.unwrap_err(), Error::Timeout.at(CloudService::Compute));
    let (pages, took) = (cloud.count(Service::Nova), began.elapsed());
    // Far less than the ten seconds that the pages of one window would take.
    assert!(pages > 1 && pages < 60 && took < Duration::from_secs(6), "{pages} pages in {took:?}");
}

/// The flavors' figures are the totals', over all pages; the amounts that a row lacks are in neither.
#[tokio::test]
async fn usage_by_flavor() {
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.add_tenant("p1");
    let now = Timestamp::now();
    let launched = now - Duration::from_secs(400 * 86_400);
    let server = |flavor: &str, vcpus, odd| {
        let server = Server::new("s", launched);
        Server { flavor: flavor.to_owned(), vcpus, without_resources: odd, ..server }
    };
    cloud.set_servers(
        "p1",
        vec![
            server("small", 1, false),
            server("large", 8, false),
            server("small", 1, false),
            server("small", 1, true),
            server("", 2, false),
            server("also-small", 2, false),
        ],
    );
    for limit in [1, 2, 1000] {
        cloud.set_max_limit(limit);
        let answer =
            probe::usage::ask(&session(&config(&cloud.clouds_yaml("c"))), &World::new().target, None, now).await;
        let periods = answer.unwrap();
        let judged = status::usage::judge(&periods, None, now);
        let used = judged.block.figures;
        let flavors = used.by_flavor;
        let names: Vec<_> = flavors.iter().map(|used| (used.flavor.as_str(), used.servers)).collect();
        assert_eq!(names, [("large", 1), ("(none)", 1), ("also-small", 1), ("small", 3)], "{limit}");
        assert_eq!(used.flavors_omitted, None);
        let of = |hours: &str| hours.parse::<f64>().unwrap();
        for (total, by_flavor) in [
            (&used.server_hours, flavors.iter().map(|used| of(&used.server_hours)).sum::<f64>()),
            (&used.vcpu_hours, flavors.iter().map(|used| of(&used.vcpu_hours)).sum()),
            (&used.memory_mb_hours, flavors.iter().map(|used| of(&used.memory_mb_hours)).sum()),
            (&used.disk_gb_hours, flavors.iter().map(|used| of(&used.disk_gb_hours)).sum()),
        ] {
            assert!((of(total) - by_flavor).abs() < 0.1, "{limit}: {total} {by_flavor}");
        }
        let closed = judged.block.previous.unwrap().figures.by_flavor;
        assert_eq!(closed.iter().map(|used| used.servers).sum::<u64>(), 6, "{limit}");
    }
}
