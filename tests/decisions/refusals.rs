//! What is made of a service's refusal: the reason, the message with the documented code, and the line in the log
//! with the request's ID and the service's own text.

use std::{
    io,
    sync::{Arc, Mutex, Once, PoisonError},
    time::Duration,
};

use cloudtenant_operator::{
    openstack::Failure,
    probe::{self, failure},
};
use jiff::Timestamp;
use testkit::cloud::{Fault, Service, SimulatedCloud};
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    services::{config, session},
    words::START,
    world::World,
};

/// One refusal, and what a person sees of it.
struct Row {
    name: &'static str,
    service: Service,
    status: u16,
    body: &'static str,
    headers: &'static [(&'static str, &'static str)],
    /// The reason, and the end of the message.
    told: [&'static str; 2],
    /// What the log has.
    logged: &'static [&'static str],
}

const fn row(
    name: &'static str,
    (service, status): (Service, u16),
    body: &'static str,
    told: [&'static str; 2],
    logged: &'static [&'static str],
) -> Row {
    Row { name, service, status, body, headers: &[("X-Request-Id", "gateway-1")], told, logged }
}

const DCS: Service = Service::Dcs;
const NOVA: Service = Service::Nova;
const HEAT: Service = Service::Heat;
const KEYSTONE: Service = Service::Keystone;

const ROWS: &[Row] = &[
    row(
        "DCS: the request is invalid",
        (DCS, 400),
        r#"{"error_code": "DCS.4001", "error_msg": "The project ID is invalid.", "error_ext_msg": null}"#,
        ["UnexpectedAnswer", "dcs_endpoint_override (error code DCS.4001)."],
        &["status=400", "code=DCS.4001", r#"text="The project ID is invalid.""#, "gateway-1"],
    ),
    row(
        "DCS: an internal error",
        (DCS, 500),
        r#"{"error_code": "DCS.5000", "error_msg": "Internal service error."}"#,
        ["ServerError", "look at its log (error code DCS.5000)."],
        &["status=500", "Internal service error."],
    ),
    row(
        "DCS: an older code, as long as its document lets it be",
        (DCS, 500),
        r#"{"error_code": "111500006", "error_msg": "Internal error."}"#,
        ["ServerError", "(error code 111500006)."],
        &["code=111500006"],
    ),
    row(
        "DCS: forbidden",
        (DCS, 403),
        r#"{"error_code": "DCS.4003", "error_msg": "No permission."}"#,
        ["Forbidden", "set probes.caches.policy to Disabled (error code DCS.4003)."],
        &["No permission."],
    ),
    row(
        "the gateway: authentication",
        (DCS, 401),
        r#"{"error_code": "APIGW.0301", "error_msg": "Incorrect IAM authentication information", "request_id": "9c1b"}"#,
        ["TokenRejected", "(error code APIGW.0301)."],
        &["gateway-1, 9c1b", "Incorrect IAM"],
    ),
    row(
        "the gateway: not published",
        (DCS, 404),
        r#"{"error_code": "APIGW.0101", "error_msg": "The API does not exist", "request_id": "9c1b"}"#,
        ["EndpointNotFound", "(error code APIGW.0101)."],
        &["The API does not exist"],
    ),
    row(
        "the gateway: throttled",
        (DCS, 429),
        r#"{"error_code": "APIGW.0308", "error_msg": "The throttling threshold has been reached"}"#,
        ["RateLimited", "(error code APIGW.0308)."],
        &["throttling threshold"],
    ),
    row(
        "the gateway before Nova",
        (NOVA, 429),
        r#"{"error_code": "APIGW.0308", "error_msg": "The throttling threshold has been reached"}"#,
        ["RateLimited", "(error code APIGW.0308)."],
        &["throttling threshold"],
    ),
    row(
        "the gateway before Heat",
        (HEAT, 502),
        r#"{"error_code": "APIGW.0202", "error_msg": "Backend unavailable"}"#,
        ["ServerError", "(error code APIGW.0202)."],
        &["Backend unavailable"],
    ),
    row(
        "the gateway before Nova, 503",
        (NOVA, 503),
        r#"{"error_code": "APIGW.0201", "error_msg": "Backend unavailable"}"#,
        ["ServiceUnavailable", "(error code APIGW.0201)."],
        &["Backend unavailable"],
    ),
    row(
        "the gateway before Heat, 504",
        (HEAT, 504),
        r#"{"error_code": "APIGW.0203", "error_msg": "Backend timeout"}"#,
        ["ServiceUnavailable", "rpc_response_timeout (error code APIGW.0203)."],
        &["Backend timeout"],
    ),
    row(
        "the gateway before Keystone: a login",
        (KEYSTONE, 401),
        r#"{"error_code": "APIGW.0301", "error_msg": "Incorrect IAM authentication information"}"#,
        ["AuthenticationFailed", "(error code APIGW.0301)."],
        &["Incorrect IAM"],
    ),
    row(
        "the gateway before Keystone: throttled",
        (KEYSTONE, 429),
        r#"{"error_code": "APIGW.0308", "error_msg": "Slow down"}"#,
        ["RateLimited", "(error code APIGW.0308)."],
        &["Slow down"],
    ),
    row(
        "a code that is none is left out",
        (DCS, 500),
        r#"{"error_code": "<b>DCS 1</b>", "error_msg": "It broke."}"#,
        ["ServerError", "look at its log."],
        &["It broke."],
    ),
    row(
        "one that is too long as well",
        (DCS, 500),
        r#"{"error_code": "DCS.40000000000000000000000000000", "error_msg": "It broke."}"#,
        ["ServerError", "look at its log."],
        &["It broke."],
    ),
    row(
        "an error with status 200",
        (DCS, 200),
        r#"{"error_code": "APIGW.0201", "error_msg": "Backend unavailable"}"#,
        ["UnexpectedAnswer", "(error code APIGW.0201)."],
        &["status=200", "gateway-1"],
    ),
    row(
        "Nova: too many requests, as before 429",
        (NOVA, 413),
        r#"{"overLimit": {"code": 413, "message": "This request was rate-limited.", "retryAfter": "54"}}"#,
        ["RateLimited", "the operator retries later."],
        &["This request was rate-limited."],
    ),
    Row {
        headers: &[("Retry-After", "54"), ("X-Compute-Request-Id", "req-1")],
        ..row(
            "Nova: the same by its header",
            (NOVA, 413),
            "Over Limit",
            ["RateLimited", "the operator retries later."],
            &["Over Limit", "req-1"],
        )
    },
    row(
        "413 of something else",
        (NOVA, 413),
        "<html>Request Entity Too Large</html>",
        ["UnexpectedAnswer", "compute_endpoint_override."],
        &["Request Entity Too Large"],
    ),
    row(
        "Nova: another project in the address than the token's",
        (NOVA, 400),
        r#"{"badRequest": {"message": "Malformed request URL: URL's project_id 'f66f' doesn't match Context's project_id 'f66e'", "code": 400}}"#,
        [
            "UnexpectedAnswer",
            "The project in Nova's address is not the token's project: correct its catalogue entry or compute_endpoint_override.",
        ],
        &["Malformed request URL: URL's project_id 'f66f'"],
    ),
    row(
        "Nova: any other 400",
        (NOVA, 400),
        r#"{"badRequest": {"message": "Invalid datetime string", "code": 400}}"#,
        [
            "UnexpectedAnswer",
            "answered with the unexpected status 400: look at its log and at its catalogue entry or compute_endpoint_override.",
        ],
        &["Invalid datetime string"],
    ),
    row(
        "Heat: forbidden",
        (HEAT, 403),
        r#"{"code": 403, "title": "Forbidden", "explanation": "Access was denied.", "error": {"type": "Forbidden", "message": "You are not authorized to use service:index."}}"#,
        ["Forbidden", "set probes.engines.policy to Disabled."],
        &["You are not authorized to use service:index."],
    ),
    row(
        "text that would turn a terminal over",
        (DCS, 500),
        "{\"error_msg\": \"a\\u001b[2Jb\\u202ec\\nd\"}",
        ["ServerError", "look at its log."],
        &[r"a\\u{1b}[2Jb\\u{202e}c d"],
    ),
    row(
        "a service that repeats what it was sent",
        (KEYSTONE, 400),
        r#"{"error": {"message": "Expecting to find domain in user, got operator-secret", "code": 400}}"#,
        ["UnexpectedAnswer", "auth_url in clouds.yaml."],
        &["got [redacted]"],
    ),
];

#[tokio::test]
async fn a_refusal_is_told_by_its_documented_code_and_logged_with_its_words() {
    let mut wrong = Vec::new();
    for row in ROWS {
        let cloud = SimulatedCloud::start().await.unwrap();
        cloud.add_tenant("p1");
        let headers = row.headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (body, content_type) = (row.body.as_bytes().to_vec(), "application/json".to_owned());
        cloud.fault(row.service, Fault::Status { code: row.status, body, content_type, headers });
        let (failure, log) = Log::of(ask(&cloud, row.service)).await;
        let told = failure::of_call(&failure).unwrap();
        let [reason, end] = row.told;
        if told.reason.as_str() != reason || !told.message.ends_with(end) {
            wrong.push(format!("{}: {} {}", row.name, told.reason, told.message));
        }
        let foreign = ["gateway-1", "9c1b", "req-1", "f66f", "error_msg", "rate-limited", "IAM"];
        assert!(!foreign.iter().any(|word| told.message.contains(word)), "{}: {}", row.name, told.message);
        let line = log.lines().find(|line| line.contains(" of the cloud") || line.contains(" to the cloud failed"));
        let line = line.unwrap_or_default();
        for part in row.logged {
            if !line.contains(part) {
                wrong.push(format!("{}: no {part:?} in {line:?}", row.name));
            }
        }
        assert!(!log.contains("operator-secret") && !log.contains("gAAAA"), "{log}");
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A service that stays down does not fill the log with warnings; every call has its line all the same.
#[tokio::test]
async fn the_first_failure_is_a_warning_and_the_next_ones_are_information() {
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.add_tenant("p1");
    let broken = |code: u16| cloud.fault(DCS, Fault::status(code, r#"{"error_msg": "It broke."}"#).times(1));
    let session = session(&config(&cloud.clouds_yaml("c")));
    let target = World::new().target;
    let mut levels = Vec::new();
    for code in [500, 500, 403, 200, 403, 502, 503] {
        if code != 200 {
            broken(code);
        }
        let (_, log) = Log::of(probe::caches::ask(&session, &target)).await;
        let line = log.lines().find(|line| line.contains("a call to the cloud failed")).unwrap_or_default();
        let level = ["WARN", "INFO"].into_iter().find(|level| line.contains(level)).unwrap_or("-");
        levels.push(format!("{code} {level}"));
    }
    assert_eq!(levels, ["500 WARN", "500 INFO", "403 WARN", "200 -", "403 WARN", "502 WARN", "503 WARN"]);
}

/// Nothing of an answer that is not understood is shown: it may hold anything.
#[tokio::test]
async fn an_answer_that_is_not_understood_is_logged_by_its_request_id_alone() {
    for service in [DCS, NOVA, HEAT, KEYSTONE] {
        let cloud = SimulatedCloud::start().await.unwrap();
        cloud.add_tenant("p1");
        let headers = vec![("X-Openstack-Request-Id".to_owned(), "req-77".to_owned())];
        let (body, content_type) = (b"<html>Log in, please.".to_vec(), "text/html".to_owned());
        cloud.fault(service, Fault::Status { code: 200, body, content_type, headers });
        let (failure, log) = Log::of(ask(&cloud, service)).await;
        assert_eq!(failure::of_call(&failure).unwrap().reason.as_str(), "UnexpectedAnswer");
        assert!(log.contains("req-77") && !log.contains("Log in"), "{service:?}: {log}");
    }
}

async fn ask(cloud: &SimulatedCloud, service: Service) -> Failure {
    let session = session(&config(&cloud.clouds_yaml("c")));
    let target = World::new().target;
    match service {
        Service::Keystone => session.project(Duration::from_secs(20)).await.unwrap_err(),
        Service::Heat => probe::engines::ask(&session, target.timeout, START).await.unwrap_err(),
        Service::Dcs => probe::caches::ask(&session, &target).await.unwrap_err(),
        Service::Nova => probe::usage::ask(&session, &target, None, Timestamp::now()).await.unwrap_err(),
    }
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Waits for something on this thread, and returns what was logged meanwhile.
    async fn of<T>(work: impl Future<Output = T>) -> (T, String) {
        // Without one for all threads, a thread that logs to nobody may switch a line off for the others, too.
        static ALL: Once = Once::new();
        ALL.call_once(|| {
            let nobody = tracing_subscriber::fmt().with_writer(io::sink).finish();
            tracing::subscriber::set_global_default(nobody).unwrap();
        });
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
        let guard = tracing::subscriber::set_default(subscriber);
        let done = work.await;
        drop(guard);
        let text = log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (done, String::from_utf8(text).unwrap())
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
