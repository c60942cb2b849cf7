//! Every recorded answer and every example of an API document, sent to the real session and probe, and what is said
//! of it. A recording without a row fails.

use std::{sync::Arc, time::Duration};

use cloudtenant_operator::{
    api::{Period, time},
    decide::status::{caches, engines, usage},
    metrics::Metrics,
    observation::{EngineAnswers, EngineList, Outcome, engine_answers::EngineAnswer},
    openstack::{CloudConfig, Failure, Network, Session},
    probe::{self, failure},
};
use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use testkit::{
    cloud::{Fault, Service, SimulatedCloud},
    recorded::{self, Recorded},
};

use crate::{
    words::START,
    world::{World, compare, lines, said, told},
};

const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn heat() {
    folder("heat", |_| Service::Heat, HEAT).await;
}

#[tokio::test]
async fn nova() {
    folder("nova", |_| Service::Nova, NOVA).await;
}

#[tokio::test]
async fn dcs() {
    folder("dcs", |_| Service::Dcs, DCS).await;
}

#[tokio::test]
async fn documents() {
    let service = |name: &str| if name.starts_with("heat") { Service::Heat } else { Service::Nova };
    folder("document", service, DOCUMENTS).await;
}

#[tokio::test]
async fn keystone() {
    folder("keystone", |_| Service::Keystone, KEYSTONE).await;
}

/// The engines that were recorded one after the other: killed, restarted, stopped gracefully, started again.
#[tokio::test]
async fn heat_as_time_went_by() {
    let mut world = World::of_engines();
    let mut actual = Vec::new();
    for name in [
        "services-all-up",
        "services-just-after-kill",
        "services-one-down",
        "services-ghost-row-after-restart",
        "services-after-graceful-stop",
        "services-all-engines-killed-1st",
        "services-all-engines-killed-2nd",
        "services-after-both-restarted",
    ] {
        let recorded = Recorded::load(&format!("heat/{name}")).unwrap();
        world.now = DateTimeParser::new().parse_timestamp(recorded.header("date").unwrap()).unwrap();
        let answer = probe::engines::parse(recorded.status, &recorded.body, world.now, world.now - recorded.took)
            .unwrap()
            .unwrap();
        let (status, notices) = world.pass_after(Outcome::Seen(answer));
        actual.push(vec![name.to_owned(), said(&status), told(&notices)]);
    }
    compare("timeline", &lines(TIMELINE), &actual);
}

async fn folder(folder: &str, service: impl Fn(&str) -> Service, table: &str) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.add_tenant(&World::new().target.project_id);
    let all = recorded::all(folder).unwrap();
    let mut actual = Vec::new();
    for (index, (name, recorded)) in all.iter().enumerate() {
        // Logins alone: what else Keystone was asked, the operator does not ask.
        if folder == "keystone" && !name.starts_with("token-") {
            continue;
        }
        let mut answers = vec![recorded];
        if name.contains("-page-") {
            answers.extend(all[index + 1..].iter().filter(|(name, _)| name.contains("-page-")).map(|(_, page)| page));
        }
        actual.push(vec![name.clone(), answer_said(&cloud, service(name), &answers).await]);
    }
    compare(folder, &lines(table), &actual);
}

/// What is said when the service answers thus; the last answer stays.
async fn answer_said(cloud: &SimulatedCloud, service: Service, answers: &[&Recorded]) -> String {
    cloud.clear_faults(service);
    for (index, answer) in answers.iter().enumerate() {
        let fault = fault(answer);
        cloud.fault(service, if index + 1 < answers.len() { fault.times(1) } else { fault });
    }
    let config = CloudConfig::parse(&cloud.clouds_yaml("c"), "c", None, None).unwrap();
    let session =
        Session::new(Arc::new(config), &Network::default().allowing_loopback(), Arc::new(Metrics::new())).unwrap();
    let target = World::new().target;
    match service {
        Service::Keystone => session.project(DEADLINE).await.map_or_else(|error| not_seen(&error), |_| "ok".to_owned()),
        Service::Heat => {
            let date = answers[0].header("date").map(|date| DateTimeParser::new().parse_timestamp(date).unwrap());
            let answer = probe::engines::ask(&session, DEADLINE, START).await;
            answer.map_or_else(|error| not_seen(&error), |answer| of_engines(answer, date.unwrap_or(START)))
        }
        Service::Dcs => match probe::caches::ask(&session, &target).await {
            Ok(seen) => {
                let judged = caches::judge(&seen, &target.caches, START);
                let kinds = judged.block.by_kind.iter().map(|kind| (kind.kind.clone(), kind.counts.running));
                format!("{} {:?} {:?}", judged.reason, judged.block.all.running, kinds.collect::<Vec<_>>())
            }
            Err(error) => not_seen(&error),
        },
        // As if the closed period had been read.
        Service::Nova => match probe::usage::ask(&session, &target, Some(closed()), START).await {
            Ok(seen) => {
                let judged = usage::judge(&seen, None, START);
                let block = judged.block;
                let used = &block.figures;
                format!("{} {}/{} {} h", judged.reason, block.active_servers, used.servers, used.server_hours)
            }
            Err(error) => not_seen(&error),
        },
    }
}

fn closed() -> probe::usage::Window {
    probe::usage::windows(Period::Month, START).previous
}

fn of_engines(answer: EngineAnswer, date: Timestamp) -> String {
    let answer = match answer {
        // The simulated cloud has a clock of its own.
        EngineAnswer::Listed(list) => {
            let rows = list.rows.clone();
            EngineAnswer::Listed(Arc::new(EngineList { rows, cloud_now: date }))
        }
        other => other,
    };
    let answers = EngineAnswers::default().and(Outcome::Seen(answer), START);
    let judged = engines::judge(None, &answers, 0, &World::new().target.engines);
    assert_eq!(judged.block.observed_at, Some(time(START)));
    let forgotten = judged.block.forgotten;
    let forgotten = if forgotten > 0 { format!(", {forgotten} forgotten") } else { String::new() };
    format!("{} {}{forgotten}", judged.reason, judged.block.summary)
}

fn not_seen(error: &Failure) -> String {
    failure::of_call(error).map_or("not offered".to_owned(), |told| told.reason.to_string())
}

fn fault(answer: &Recorded) -> Fault {
    let own = ["content-length", "content-type", "date", "connection", "transfer-encoding"];
    let headers = answer.headers.iter().filter(|(name, _)| !own.contains(&name.to_ascii_lowercase().as_str()));
    Fault::Status {
        code: answer.status,
        body: answer.body.clone(),
        content_type: answer.header("content-type").unwrap_or_default().to_owned(),
        headers: headers.cloned().collect(),
    }
}

const HEAT: &str = r#"
    build-info                         | UnexpectedAnswer
    no-version                         | EndpointNotFound
    root-versions                      | UnexpectedAnswer
    services-3-workers-one-host        | AllEnginesUp 3/3
    services-admin-garbage-tenant      | AllEnginesUp 2/2
    services-admin-other-tenant        | AllEnginesUp 2/2
    services-admin-scoped-to-tenant-a  | AllEnginesUp 2/2
    services-after-both-restarted      | AllEnginesUp 2/2
    # a first visit has no memory of the host
    services-after-graceful-stop       | EnginesDown 1/2
    services-all-engines-killed-1st    | EngineUnresponsive ?/?
    services-all-engines-killed-2nd    | EngineUnresponsive ?/?
    services-all-engines-stopped       | EngineUnresponsive ?/?
    services-all-up                    | AllEnginesUp 2/2
    services-appcred                   | AllEnginesUp 2/2
    services-bad-token-401             | TokenRejected
    services-expired-token-401         | TokenRejected
    services-ghost-row-after-restart   | AllEnginesUp 2/2
    services-gzip                      | AllEnginesUp 2/2
    services-just-after-kill           | AllEnginesUp 2/2
    services-member-403                | Forbidden
    services-member-foreign-tenant-403 | Forbidden
    services-no-token-401              | TokenRejected
    # silent for 20 s by the whole seconds of both times, and not for longer: down at the next look
    services-one-down                  | AllEnginesUp 2/2
    services-post                      | EndpointNotFound
    services-query-ignored             | AllEnginesUp 2/2
    services-reader-403                | Forbidden
    services-trailing-slash            | EndpointNotFound
    unknown-path-404                   | EndpointNotFound
    v1-root                            | EndpointNotFound
"#;

const NOVA: &str = r#"
    index-admin                                  | UnexpectedAnswer
    index-admin-detailed                         | UnexpectedAnswer
    index-demo-403                               | Forbidden
    index-empty-window                           | UnexpectedAnswer
    root-versions                                | UnexpectedAnswer
    show-2.40-bad-limit                          | UnexpectedAnswer
    show-2.40-bad-marker                         | UnexpectedAnswer
    show-2.40-limit-0                            | Reported 0/0 0 h
    show-2.40-limit-2-page-1                     | Reported 3/4 391.534 h
    show-2.40-limit-2-page-2                     | Reported 2/2 290.022 h
    show-2.40-limit-2-page-3                     | Reported 0/0 0 h
    show-2.40-no-limit                           | Reported 3/4 391.534 h
    show-bad-token                               | TokenRejected
    show-demo-foreign-tenant                     | Forbidden
    show-demo-own                                | ReportedUnpaged 0/0 0 h
    show-end-in-future                           | ReportedUnpaged 3/4 391.535 h
    show-garbage-tenant                          | ReportedUnpaged 0/0 0 h
    show-limit-ignored-2.1                       | ReportedUnpaged 3/4 391.535 h
    show-microversion-garbage-400                | UnexpectedAnswer
    show-microversion-latest                     | ReportedUnpaged 3/4 391.534 h
    show-microversion-too-new-406                | UnexpectedAnswer
    # a page of one server, again and again
    show-new-header-form-2.40                    | UnexpectedAnswer
    show-no-servers                              | ReportedUnpaged 0/0 0 h
    show-no-servers-2.40                         | Reported 0/0 0 h
    # a window of microseconds
    show-no-start-no-end                         | ReportedUnpaged 3/3 0 h
    show-no-token                                | TokenRejected
    show-nonexistent-tenant                      | ReportedUnpaged 0/0 0 h
    show-only-end                                | UnexpectedAnswer
    show-reader-own                              | ReportedUnpaged 3/4 391.534 h
    show-start-Z                                 | UnexpectedAnswer
    show-start-after-end                         | UnexpectedAnswer
    show-start-before-any                        | ReportedUnpaged 0/0 0 h
    show-start-date-only                         | UnexpectedAnswer
    show-start-empty                             | ReportedUnpaged 3/3 0 h
    show-start-garbage                           | UnexpectedAnswer
    # negative totals
    show-start-in-future                         | UnexpectedAnswer
    show-start-micros                            | ReportedUnpaged 3/3 156.334 h
    show-start-offset                            | UnexpectedAnswer
    show-start-space-micros                      | ReportedUnpaged 3/3 156.334 h
    show-start-twice                             | ReportedUnpaged 3/4 391.535 h
    show-unknown-param-2.1                       | ReportedUnpaged 3/4 391.535 h
    show-unknown-param-2.75                      | UnexpectedAnswer
    show-with-servers                            | ReportedUnpaged 3/4 391.534 h
    show-with-servers-detailed-0                 | ReportedUnpaged 3/4 391.534 h
    show-with-servers-detailed-1                 | ReportedUnpaged 3/4 391.534 h
    url-dot-json                                 | ReportedUnpaged 0/0 0 h
    url-post-405                                 | EndpointNotFound
    url-trailing-slash                           | EndpointNotFound
    url-unknown-404                              | EndpointNotFound
    url-v2-no-project                            | ReportedUnpaged 3/4 391.534 h
    url-v2-project-match                         | ReportedUnpaged 3/4 391.534 h
    url-v2-project-match-limit-with-microversion | ReportedUnpaged 3/4 391.534 h
    url-v2-project-mismatch                      | UnexpectedAnswer
    url-v2.1-project-match                       | ReportedUnpaged 3/4 391.534 h
    url-v2.1-project-mismatch                    | UnexpectedAnswer
    url-v2.1-project-token-in-tenant             | ReportedUnpaged 3/4 391.534 h
    usage-expired-token-401                      | TokenRejected
    usage-revoked-token-401                      | TokenRejected
    v2-version                                   | UnexpectedAnswer
    v2.1-version                                 | UnexpectedAnswer
    v2.1-version-noslash                         | UnexpectedAnswer
"#;

const DCS: &str = r#"
    instances-status-include-failure | AllCachesHealthy Some(1) [("redis", Some(1))]
"#;

const DOCUMENTS: &str = r#"
    heat-services                | EnginesDown 1/2
    heat-services-all-down-503   | EngineUnresponsive ?/?
    heat-services-forbidden-403  | Forbidden
    nova-usage-execution         | ReportedUnpaged 1/1 0 h
    nova-usage-malformed-url-400 | UnexpectedAnswer
    nova-usage-sample            | ReportedUnpaged 1/1 1 h
"#;

const KEYSTONE: &str = r#"
    token-appcred-bad-secret-401   | AuthenticationFailed
    token-appcred-by-name          | ok
    token-appcred-operator         | ok
    token-appcred-unknown-id-401   | AuthenticationFailed
    token-appcred-with-scope       | AuthenticationFailed
    token-bad-password-401         | AuthenticationFailed
    token-malformed-json-400       | UnexpectedAnswer
    token-no-content-type          | UnexpectedAnswer
    token-password-admin           | ok
    token-password-demo            | ok
    token-password-nocatalog       | ok
    token-password-unscoped        | InvalidCloudConfig
    token-project-not-assigned-401 | AuthenticationFailed
    token-schema-400               | UnexpectedAnswer
    token-unknown-project-401      | AuthenticationFailed
    token-unknown-user-401         | AuthenticationFailed
"#;

const TIMELINE: &str = r#"
    services-all-up                  | AllEnginesUp 2/2 2 0 0 0 |
    services-just-after-kill         | AllEnginesUp 2/2 2 0 0 0 |
    services-one-down                | AllEnginesUp 2/2 2 0 0 0 |
    services-ghost-row-after-restart | AllEnginesUp 2/2 2 0 0 0 |
    services-after-graceful-stop     | AllEnginesUp 1/1 1 0 0 0 |
    services-all-engines-killed-1st  | EngineUnresponsive ?/1 1 0 0 1 | EngineUnresponsive
    services-all-engines-killed-2nd  | EngineUnresponsive ?/1 1 0 0 2 |
    services-after-both-restarted    | EngineUnresponsive ?/2 2 0 0 2 |
"#;
