//! The usage of the current period and of the closed one before, read from a Nova as the cloud's clock goes on.
//!
//! A line is: the cloud's time | what else happened | the current window | the closed one and its hours | the reason
//! | requests to Nova. `fails`: the first request is answered 500; `shifted`: the first request is answered for another
//! window; `launch`: one more server, since October; `another`: the tenant turns to a cloud of another name.

use cloudtenant_operator::{
    api::{Period, Reason, condition_type as ty},
    cluster::observe,
    decide::{Answer, EnginesAnswer},
    observation::ProbeKind,
    probe,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;
use testkit::cloud::{Fault, Server, Service, SimulatedCloud};

use crate::{
    services::{config, session},
    world::{World, compare, lines, reason_of, source},
};

async fn story(name: &str, table: &str) {
    let expected = lines(table);
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.add_tenant("p1");
    let mut world = World::new();
    let mut servers = Vec::new();
    let mut actual = Vec::new();
    for cells in &expected {
        actual.push(step(&cloud, &mut world, &mut servers, cells).await);
    }
    compare(name, &expected, &actual);
}

async fn step(cloud: &SimulatedCloud, world: &mut World, servers: &mut Vec<Server>, cells: &[String]) -> Vec<String> {
    let config = config(&cloud.clouds_yaml("c"));
    world.now = format!("{}:00Z", cells[0]).parse().unwrap();
    let used = world.source.as_mut().unwrap();
    (used.host, used.region) = (config.host(), config.region().map(str::to_owned));
    cloud.set_clock(world.now);
    for word in cells[1].split(' ').filter(|word| !word.is_empty()) {
        match word {
            "Day" => world.target.usage.period = Period::Day,
            "Month" => world.target.usage.period = Period::Month,
            "fails" => cloud.fault(Service::Nova, Fault::status(500, "{}").times(1)),
            "shifted" => {
                let row = json!({ "hours": 1.0, "flavor": "m1.tiny", "ended_at": null });
                let body = json!({ "tenant_usage": {
                    "server_usages": [row], "start": "2026-10-01T00:00:00", "stop": "2026-10-01T00:00:01",
                    "total_hours": 1.0, "total_vcpus_usage": 0.0, "total_memory_mb_usage": 0.0,
                    "total_local_gb_usage": 0.0,
                } });
                cloud.fault(Service::Nova, Fault::Body(body.to_string().into_bytes()).times(1));
            }
            "launch" => {
                servers.push(Server::new("web", "2026-10-01T00:00:00Z".parse().unwrap()));
                cloud.set_servers("p1", servers.clone());
            }
            "another" => world.stored.source = Some(source("elsewhere")),
            other => panic!("{other:?}"),
        }
    }
    let before = cloud.count(Service::Nova);
    // A session of its own takes the cloud's time from its login.
    let session = session(&config);
    let frozen = observe::frozen(&world.stored, &config, config.region());
    let usage = Answer::Came(probe::ask(ProbeKind::Usage, &session, &world.target, frozen, Timestamp::now()).await);
    let (status, _) = world.pass(EnginesAnswer::NotAsked, Answer::Nothing, usage);
    let time = |time: &Option<Time>| time.as_ref().unwrap().0.strftime("%m-%dT%H:%M").to_string();
    let window = |start: &Option<Time>, end: &Option<Time>| format!("{} {}", time(start), time(end));
    let block = status.usage.as_ref();
    let current = block.map(|block| window(&block.figures.start, &block.figures.end)).unwrap_or_default();
    let previous = block.and_then(|block| block.previous.as_ref());
    let previous = previous.map(|closed| &closed.figures);
    let previous = previous.map(|closed| format!("{} {}", window(&closed.start, &closed.end), closed.server_hours));
    let asked = (cloud.count(Service::Nova) - before).to_string();
    let said = reason_of(&status, ty::USAGE_REPORTED);
    vec![cells[0].clone(), cells[1].clone(), current, previous.unwrap_or_default(), said, asked]
}

#[tokio::test]
async fn the_closed_period_is_read_once_and_then_frozen() {
    story(
        "a month and its turn",
        "
        2026-11-22T12:00 | launch | 11-01T00:00 11-22T11:59 | 10-01T00:00 11-01T00:00 744  | Reported | 2
        2026-11-22T13:00 | launch | 11-01T00:00 11-22T12:59 | 10-01T00:00 11-01T00:00 744  | Reported | 1
        # so long after the turn the closed period is the current one
        2026-12-01T00:05 |        | 11-01T00:00 12-01T00:00 | 10-01T00:00 11-01T00:00 744  | Reported | 1
        # if the closed one cannot be read, the new one is not opened
        2026-12-01T00:11 | fails  | 11-01T00:00 12-01T00:00 | 10-01T00:00 11-01T00:00 744  | Reported | 1
        2026-12-01T00:12 |        | 12-01T00:00 12-01T00:11 | 11-01T00:00 12-01T00:00 1440 | Reported | 2
        2026-12-01T01:00 | launch | 12-01T00:00 12-01T00:59 | 11-01T00:00 12-01T00:00 1440 | Reported | 1
        # nobody was looking for longer than a period
        2027-03-05T01:00 |        | 03-01T00:00 03-05T00:59 | 02-01T00:00 03-01T00:00 2016 | Reported | 2
    ",
    )
    .await;
    story(
        "the first visit comes just after a turn",
        "
        2026-12-01T00:05 | launch | 11-01T00:00 12-01T00:00 | 10-01T00:00 11-01T00:00 744  | Reported | 2
        2026-12-01T00:15 |        | 12-01T00:00 12-01T00:14 | 11-01T00:00 12-01T00:00 720  | Reported | 2
    ",
    )
    .await;
    story(
        "another window than the one that was asked for is not the closed period",
        "
        2026-11-22T12:00 | launch shifted | 11-01T00:00 11-22T11:59 |                      | Reported | 2
        2026-11-22T13:00 |        | 11-01T00:00 11-22T12:59 | 10-01T00:00 11-01T00:00 744  | Reported | 2
        2026-11-22T14:00 |        | 11-01T00:00 11-22T13:59 | 10-01T00:00 11-01T00:00 744  | Reported | 1
        # October is no longer the period before
        2026-12-01T00:11 | shifted | 12-01T00:00 12-01T00:10 |                             | Reported | 2
        2026-12-01T00:21 |        | 12-01T00:00 12-01T00:20 | 11-01T00:00 12-01T00:00 720  | Reported | 2
    ",
    )
    .await;
    story(
        "the first visit fails",
        "
        2026-11-22T04:00 | launch fails |                   |                              | Progressing | 1
        2026-11-22T04:01 |        | 11-01T00:00 11-22T04:00 | 10-01T00:00 11-01T00:00 744  | Reported | 2
    ",
    )
    .await;
    story(
        "nothing was used",
        "
        2026-11-22T12:00 |        | 11-01T00:00 11-22T11:59 | 10-01T00:00 11-01T00:00 0    | Reported | 2
        2026-11-22T13:00 |        | 11-01T00:00 11-22T12:59 | 10-01T00:00 11-01T00:00 0    | Reported | 1
    ",
    )
    .await;
}

#[tokio::test]
async fn another_period_or_cloud_has_another_past() {
    story(
        "the period changes, and changes back",
        "
        2026-11-22T12:00 | launch | 11-01T00:00 11-22T11:59 | 10-01T00:00 11-01T00:00 744  | Reported | 2
        2026-11-22T12:05 | Day    | 11-22T00:00 11-22T12:04 | 11-21T00:00 11-22T00:00 24   | Reported | 2
        2026-11-23T00:05 |        | 11-22T00:00 11-23T00:00 | 11-21T00:00 11-22T00:00 24   | Reported | 1
        2026-11-23T00:15 |        | 11-23T00:00 11-23T00:14 | 11-22T00:00 11-23T00:00 24   | Reported | 2
        2026-11-23T00:20 | Month fails | 11-23T00:00 11-23T00:14 | 11-22T00:00 11-23T00:00 24 | Reported | 1
        2026-11-23T00:21 |        | 11-01T00:00 11-23T00:20 | 10-01T00:00 11-01T00:00 744  | Reported | 2
    ",
    )
    .await;
    story(
        "another cloud's closed period is not this one's",
        "
        2026-11-22T12:00 | launch | 11-01T00:00 11-22T11:59 | 10-01T00:00 11-01T00:00 744  | Reported | 2
        2026-11-22T12:05 | another launch | 11-01T00:00 11-22T12:04 | 10-01T00:00 11-01T00:00 1488 | Reported | 2
    ",
    )
    .await;
}

/// A Nova of before pages cuts its answer and says nothing.
#[tokio::test]
async fn a_nova_without_pages() {
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.add_tenant("p1");
    let launched = "2026-01-01T00:00:00Z".parse().unwrap();
    let config = config(&cloud.clouds_yaml("c"));
    for (name, path, microversions, servers, reason, complete, seen) in [
        ("pages", "/v2.1", true, 1001, Reason::Reported, Some(true), 1001),
        ("the older API", "/v2/%(project_id)s", true, 2, Reason::ReportedUnpaged, None, 2),
        ("one below the limit", "/v2/%(project_id)s", true, 999, Reason::ReportedUnpaged, None, 999),
        ("as many as the limit", "/v2/%(project_id)s", true, 1000, Reason::ReportedIncomplete, Some(false), 1000),
        ("more", "/v2/%(project_id)s", true, 1001, Reason::ReportedIncomplete, Some(false), 1000),
        ("no microversions", "/v2.1", false, 2, Reason::ReportedUnpaged, None, 2),
        ("no microversions, and more", "/v2.1", false, 1500, Reason::ReportedIncomplete, Some(false), 1000),
    ] {
        if !microversions {
            cloud.disable_microversions();
        }
        cloud.set_catalogue_path("compute", path);
        cloud.set_servers("p1", (0..servers).map(|number| Server::new(&format!("s{number}"), launched)).collect());
        let world = World::new();
        let periods = probe::usage::ask(&session(&config), &world.target, None, Timestamp::now()).await.unwrap();
        let judged = cloudtenant_operator::decide::status::usage::judge(&periods, None, world.now);
        let block = judged.block;
        assert_eq!((judged.reason, block.figures.complete, block.figures.servers), (reason, complete, seen), "{name}");
        assert_eq!(block.previous.unwrap().figures.complete, complete, "{name}");
    }
}
