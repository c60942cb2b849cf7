//! A session against a Keystone and a service that do as they are told.

// clippy.toml lets tests unwrap, but not the helpers of an integration test.
#![allow(clippy::unwrap_used)]

#[path = "cloud_session/listing.rs"]
mod listing;
#[path = "cloud_session/long_lists.rs"]
mod long_lists;
#[path = "cloud_session/projects.rs"]
mod projects;

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use cloudtenant_operator::{
    budget::Budget,
    clouds::Clouds,
    metrics::Metrics,
    openstack::{
        Answer, Clock, CloudConfig, Counters, Error, Failure, Network, NoCounters, NoProject, Refusal, Service,
        Session, TlsFault,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
};
use url::Url;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(200);
const HOUR: u64 = 3600;

/// What the service answers to a path and a token.
type Script = dyn Fn(&str, &str) -> Response + Send + Sync;

/// A Keystone whose tokens are called `token-1`, `token-2`, … and live an hour, and a Heat.
struct Cloud {
    url: String,
    /// What Keystone answers; 0 is silence until the gate is opened.
    login_status: AtomicU16,
    login_gate: Semaphore,
    logins: AtomicUsize,
    /// When its tokens end; they are issued at 05:00.
    token_ends: Mutex<&'static str>,
    /// What its tokens say besides, as members of a JSON object.
    token_has: Mutex<&'static str>,
    script: Mutex<Arc<Script>>,
    /// The path and the token of each call of the service.
    calls: Mutex<Vec<(String, String)>>,
    /// Calls of `/gated` wait until it is opened; so many have come.
    gate: Semaphore,
    gated: AtomicUsize,
}

impl Cloud {
    async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cloud = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            login_status: AtomicU16::new(201),
            login_gate: Semaphore::new(0),
            logins: AtomicUsize::new(0),
            token_ends: Mutex::new("2026-11-22T06:00:00"),
            token_has: Mutex::new(r#""user": {"id": "u", "name": "user"}"#),
            script: Mutex::new(Arc::new(|_, _| status(200))),
            calls: Mutex::default(),
            gate: Semaphore::new(0),
            gated: AtomicUsize::new(0),
        });
        let app = Router::new().fallback(handle).with_state(cloud.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        cloud
    }

    fn answers(&self, script: impl Fn(&str, &str) -> Response + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    fn login_answers(&self, status: u16) {
        self.login_status.store(status, SeqCst);
    }

    fn logins(&self) -> usize {
        self.logins.load(SeqCst)
    }

    /// The tokens of the service's calls, in order.
    fn tokens(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        calls.iter().map(|(_, token)| token.clone()).collect()
    }

    fn login(&self, number: usize) -> Response {
        let status = self.login_status.load(SeqCst);
        if ![0, 201].contains(&status) {
            let answer = Response::builder().status(status);
            let answer = if status == 429 { answer.header("retry-after", "600") } else { answer };
            return answer.body("{}".into()).unwrap();
        }
        let catalogue = format!(
            r#"[{{"type": "orchestration", "endpoints": [{{"interface": "public", "region": "r", "url": "{}/heat/v1/p"}}]}}]"#,
            self.url
        );
        let has = *self.token_has.lock().unwrap();
        let ends = *self.token_ends.lock().unwrap();
        let project = if has.contains("project\"") { "" } else { r#""project": {"id": "p", "name": "project"},"# };
        let body = format!(
            r#"{{"token": {{{has}, "issued_at": "2026-11-22T05:00:00.000000Z", "expires_at": "{ends}", {project} "catalog": {catalogue}}}}}"#
        );
        Response::builder().status(201).header("x-subject-token", format!("token-{number}")).body(body.into()).unwrap()
    }
}

async fn handle(State(cloud): State<Arc<Cloud>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    if path == "/v3/auth/tokens" {
        let number = cloud.logins.fetch_add(1, SeqCst) + 1;
        if cloud.login_status.load(SeqCst) == 0 {
            cloud.login_gate.acquire().await.unwrap().forget();
        }
        return cloud.login(number);
    }
    let token = request.headers().get("x-auth-token");
    let token = token.map_or(String::new(), |token| token.to_str().unwrap().to_owned());
    cloud.calls.lock().unwrap().push((path.clone(), token.clone()));
    if path == "/gated" {
        cloud.gated.fetch_add(1, SeqCst);
        let _pass = cloud.gate.acquire().await.unwrap();
    }
    if path.ends_with("/silence") {
        pending::<()>().await;
    }
    let script = cloud.script.lock().unwrap().clone();
    script(&path, &token)
}

fn status(status: u16) -> Response {
    Response::builder().status(status).body(Body::empty()).unwrap()
}

/// A session, and the clock by which its tokens age.
struct Client {
    session: Session,
    seconds: Arc<AtomicU64>,
    url: String,
}

impl Client {
    fn of(cloud: &Cloud) -> Self {
        Self::with(cloud, "username: u, password: hunter2, user_domain_id: default", "")
    }

    fn with(cloud: &Cloud, auth: &str, more: &str) -> Self {
        Self::among(&Network::default().allowing_loopback(), cloud, auth, more)
    }

    /// One of several sessions of a process.
    fn among(network: &Network, cloud: &Cloud, auth: &str, more: &str) -> Self {
        Self::counted(Arc::new(NoCounters), network, cloud, auth, more)
    }

    fn counted(counters: Arc<dyn Counters>, network: &Network, cloud: &Cloud, auth: &str, more: &str) -> Self {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = cloud.url.clone();
        let yaml = format!("clouds: {{c: {{{more} auth: {{auth_url: '{url}', {auth}}}}}}}");
        let config = CloudConfig::parse(&yaml, "c", None, None).unwrap();
        let seconds = Arc::new(AtomicU64::new(0));
        let (start, passed) = (Instant::now(), seconds.clone());
        let clock: Clock = Arc::new(move || start + Duration::from_secs(passed.load(SeqCst)));
        Self { session: Session::with_clock(Arc::new(config), network, counters, clock).unwrap(), seconds, url }
    }

    fn pass(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, SeqCst);
    }

    async fn get(&self) -> Result<Answer, Failure> {
        self.get_path("/heat/v1/p/services", LONG).await
    }

    async fn get_path(&self, path: &str, deadline: Duration) -> Result<Answer, Failure> {
        let url = Url::parse(&format!("{}{path}", self.url)).unwrap();
        let headers = [("X-Extra", "1")];
        self.session.get(Service::Orchestration, url, &headers, deadline).await
    }
}

/// A Heat whose answers the test writes byte by byte, and a session that calls it.
async fn heat_by_hand(cloud: &Cloud, scheme: &str) -> (TcpListener, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("{scheme}://{}", listener.local_addr().unwrap());
    let client = Client::with(cloud, "token: t", &format!("orchestration_endpoint_override: '{url}',"));
    (listener, Client { url, ..client })
}

fn failure(service: Service, error: Error) -> Failure {
    error.at(service)
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap();
}

#[tokio::test]
async fn all_callers_share_one_login_and_sixteen_calls_are_under_way() {
    let cloud = Cloud::start().await;
    let (client, other) = (Client::of(&cloud), Client::of(&cloud));
    let calls = futures::future::join_all((0..100).map(|_| client.get_path("/gated", LONG)));
    let watch = async {
        until(|| cloud.gated.load(SeqCst) == 16).await;
        // Another session is not held up; by the time it is served, a seventeenth call would have come.
        for _ in 0..20 {
            other.get().await.unwrap();
        }
        assert_eq!(cloud.gated.load(SeqCst), 16);
        cloud.gate.add_permits(1);
    };
    let (answers, ()) = tokio::join!(calls, watch);
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().status == 200));
    assert_eq!(cloud.gated.load(SeqCst), 100);
    assert_eq!(cloud.logins(), 2, "one for each session");
}

/// Writes down what it is given, and panics at the first login.
#[derive(Default)]
struct Notes {
    lines: Mutex<Vec<String>>,
    logins: AtomicUsize,
}

impl Notes {
    fn note(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }
}

impl Counters for Notes {
    fn cloud_request(&self, service: Service, outcome: &'static str, _: Duration) {
        self.note(format!("request {service} {outcome}"));
    }

    fn cloud_login(&self, outcome: &'static str) {
        assert!(self.logins.fetch_add(1, SeqCst) > 0, "on purpose");
        self.note(format!("login {outcome}"));
    }

    fn login_panicked(&self) {
        self.note("panic".to_owned());
    }

    fn clock_ahead(&self, _: &str, service: Service, _: f64) {
        self.note(format!("clock {service}"));
    }
}

#[tokio::test]
async fn the_caller_counts_requests_logins_and_a_login_that_panics() {
    let cloud = Cloud::start().await;
    let notes = Arc::new(Notes::default());
    let client = Client::counted(notes.clone(), &Network::default().allowing_loopback(), &cloud, "token: t", "");
    let failed = client.get().await.unwrap_err();
    assert_eq!(failed.service, Service::Identity);
    assert!(matches!(failed.error, Error::Unexpected(_)), "{failed}");
    client.pass(60);
    client.get().await.unwrap();
    let expected = ["panic", "login ok", "request Keystone ok", "clock Heat", "request Heat ok"];
    assert_eq!(*notes.lines.lock().unwrap(), expected);
}

#[tokio::test]
async fn endpoint_and_project_are_the_tokens() {
    let cloud = Cloud::start().await;
    let client = Client::of(&cloud);
    let session = &client.session;
    let endpoint = session.endpoint(Service::Orchestration, LONG).await.unwrap();
    assert_eq!(endpoint.url.as_str(), format!("{}/heat/v1/p", cloud.url));
    assert!(!endpoint.overridden);
    assert_eq!(endpoint.token_project.as_deref(), Some("p"));
    assert_eq!(session.project(LONG).await.unwrap().name, "project");
    assert_eq!(
        session.endpoint(Service::Cache, LONG).await,
        Err(failure(Service::Cache, Error::ServiceNotInCatalogue))
    );
    assert_eq!(cloud.logins(), 1);

    let more = "dcs_endpoint_override: 'http://dcs/v1.0/%(project_id)s',";
    let client = Client::with(&cloud, "token: t", more);
    let endpoint = client.session.endpoint(Service::Cache, LONG).await.unwrap();
    assert_eq!(endpoint.url.as_str(), "http://dcs/v1.0/p");
    assert!(endpoint.overridden);
}

#[tokio::test]
async fn a_rejected_token_is_renewed_once_and_the_call_repeated_once() {
    let cloud = Cloud::start().await;
    let client = Client::of(&cloud);
    client.get().await.unwrap();
    cloud.answers(|_, token| status(if token == "token-1" { 401 } else { 200 }));
    let calls = futures::future::join_all((0..10).map(|_| client.get())).await;
    assert!(calls.iter().all(|answer| answer.as_ref().unwrap().status == 200));
    assert_eq!(cloud.logins(), 2);
}

#[tokio::test]
async fn a_rejected_fresh_token_is_an_error_and_no_herd_of_logins() {
    let cloud = Cloud::start().await;
    let client = Client::of(&cloud);
    cloud.answers(|_, _| status(401));
    let rejected = failure(Service::Orchestration, Error::TokenRejected);
    for _ in 0..3 {
        assert_eq!(client.get().await.unwrap_err(), rejected);
    }
    assert_eq!(cloud.logins(), 1);
    assert_eq!(cloud.tokens().len(), 3);
    client.pass(300);
    assert_eq!(client.get().await.unwrap_err(), rejected);
    assert_eq!(cloud.tokens()[3..], ["token-1", "token-2"]);
}

const ACCESS_RULES: &str = r#""user": {"id": "u", "name": "user"}, "application_credential": {"id": "a", "name": "n",
    "restricted": true, "access_rules": [{"id": "r", "method": "GET", "path": "/v1/*/services", "service": "orchestration"}]}"#;

/// A line is: when a token ends, how many calls Heat rejects of each two, what a login is answered.
#[tokio::test]
async fn a_session_logs_in_at_most_once_in_five_seconds() {
    let rows = [
        ("a token that has ended when it is issued", "2026-11-22T05:00:00", 0, 201),
        ("a token that ended before it was issued", "2026-11-22T04:00:00", 0, 201),
        ("a token that lives a second", "2026-11-22T05:00:01", 0, 201),
        ("every other call is rejected", "2026-11-22T06:00:00", 1, 201),
        ("both", "2026-11-22T05:00:00", 1, 201),
        ("a login that fails", "2026-11-22T06:00:00", 0, 503),
    ];
    let stories = rows.map(async |(name, ends, rejected, login)| {
        let cloud = Cloud::start().await;
        *cloud.token_ends.lock().unwrap() = ends;
        cloud.login_answers(login);
        let calls = AtomicUsize::new(0);
        cloud.answers(move |_, _| status(if calls.fetch_add(1, SeqCst) % 2 < rejected { 401 } else { 200 }));
        let client = Client::of(&cloud);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(7) {
            // Which of them fail is another matter.
            let _ = client.get_path("/heat/v1/p/services", Duration::from_secs(1)).await;
            let passed = began.elapsed().as_secs();
            client.seconds.store(passed, SeqCst);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        (name, cloud.logins())
    });
    for (name, logins) in futures::future::join_all(stories).await {
        assert!((1..=2).contains(&logins), "{name}: {logins} logins in seven seconds");
    }
}

/// Keystone, too, answers 401 to what access rules leave out: no better token is to be had, and nothing has failed.
#[tokio::test]
async fn a_question_that_access_rules_leave_out_renews_no_token() {
    let cloud = Cloud::start().await;
    *cloud.token_has.lock().unwrap() = ACCESS_RULES;
    cloud.answers(|path, _| status(if path.starts_with("/v3/") { 401 } else { 200 }));
    let client = Client::with(&cloud, "application_credential_id: a, application_credential_secret: hunter2", "");
    client.get().await.unwrap();
    let session = &client.session;
    for project in ["one", "two"] {
        assert_eq!(session.knows_project(project, LONG).await, Ok(None), "{project}");
    }
    client.pass(600);
    assert_eq!(session.knows_project("three", LONG).await, Ok(None));
    let holder = session.known_holder().unwrap();
    assert!(holder.has_access_rules);
    assert_eq!(session.credential_ends(&holder, LONG).await, Some(None));
    client.get().await.unwrap();
    assert_eq!(cloud.logins(), 1);
    let asked: Vec<_> = cloud.calls.lock().unwrap().iter().map(|(path, _)| path.clone()).collect();
    let heat = "/heat/v1/p/services".to_owned();
    let keystone = ["projects/one", "projects/two", "projects/three", "users/u/application_credentials/a"];
    let keystone = keystone.map(|path| format!("/v3/{path}"));
    assert_eq!(asked, [&[heat.clone()][..], &keystone, &[heat]].concat());
}

/// A Keystone that does not list access rules may have them, or a token that it no longer knows.
#[tokio::test]
async fn a_401_for_a_project_is_tried_with_one_new_token_and_is_no_failure() {
    let cloud = Cloud::start().await;
    let client = Client::of(&cloud);
    client.get().await.unwrap();
    cloud.answers(|path, token| match path {
        "/v3/projects/revoked" if token == "token-1" => status(401),
        "/v3/projects/revoked" => status(200),
        path => status(if path.starts_with("/v3/") { 401 } else { 200 }),
    });
    let session = &client.session;
    assert_eq!(session.knows_project("revoked", LONG).await, Ok(Some(true)));
    assert_eq!(cloud.logins(), 2);
    for project in ["one", "two", "one"] {
        assert_eq!(session.knows_project(project, LONG).await, Ok(None), "{project}");
    }
    assert_eq!(cloud.logins(), 3);
    client.pass(300);
    assert_eq!(session.knows_project("three", LONG).await, Ok(None));
    assert_eq!(cloud.logins(), 4);
}

#[tokio::test]
async fn a_service_that_access_rules_leave_out() {
    let cloud = Cloud::start().await;
    *cloud.token_has.lock().unwrap() = ACCESS_RULES;
    let client = Client::with(&cloud, "application_credential_id: a, application_credential_secret: hunter2", "");
    client.get().await.unwrap();
    cloud.answers(|_, _| status(401));
    let outside = failure(Service::Orchestration, Error::OutsideAccessRules);
    for _ in 0..3 {
        assert_eq!(client.get().await.unwrap_err(), outside);
    }
    assert_eq!(cloud.logins(), 2, "the token might have been revoked");
}

/// Nova and Heat answer 429 or 503. Only Nova's pause holds for all callers of the session, and only for Nova.
#[tokio::test]
async fn a_pause_that_a_service_asks_for_holds_for_all_its_callers() {
    for code in [429, 503] {
        let cloud = Cloud::start().await;
        let more = format!("compute_endpoint_override: '{0}/nova', dcs_endpoint_override: '{0}/dcs',", cloud.url);
        let client = Client::with(&cloud, "username: u, password: hunter2, user_domain_id: default", &more);
        cloud.answers(move |path, _| match path {
            "/dcs" => status(200),
            _ => Response::builder().status(code).header("retry-after", "60").body(Body::empty()).unwrap(),
        });
        let call = async |service, path: &str| {
            let url = Url::parse(&format!("{}{path}", cloud.url)).unwrap();
            client.session.get(service, url, &[], LONG).await
        };
        let sent = |path: &str| cloud.calls.lock().unwrap().iter().filter(|(called, _)| called == path).count();
        assert_eq!(call(Service::Compute, "/nova").await.unwrap().status, code);
        client.pass(20);
        for _ in 0..3 {
            let failure = call(Service::Compute, "/nova").await.unwrap_err();
            assert_eq!(failure.retry_after(), Some(Duration::from_secs(40)), "{failure:?}");
            call(Service::Orchestration, "/heat/v1/p").await.unwrap();
            call(Service::Cache, "/dcs").await.unwrap();
        }
        assert_eq!([sent("/nova"), sent("/heat/v1/p"), sent("/dcs")], [1, 3, 3], "{code}");
        client.pass(40);
        assert_eq!(call(Service::Compute, "/nova").await.unwrap().status, code);
        assert_eq!(sent("/nova"), 2, "{code}");
    }
}

#[tokio::test]
async fn the_region_is_known_after_the_login_where_none_is_named() {
    let cloud = Cloud::start().await;
    let client = Client::of(&cloud);
    assert_eq!(client.session.known_region(), None);
    client.get().await.unwrap();
    assert_eq!(client.session.known_region().as_deref(), Some("r"));
    let client = Client::with(&cloud, "token: t", "region_name: s,");
    assert_eq!(client.session.known_region().as_deref(), Some("s"));
}

#[tokio::test]
async fn a_token_without_a_project_says_so() {
    let cloud = Cloud::start().await;
    for (token_has, region, error) in [
        (r#""domain": {"id": "d", "name": "D"}, "project": null"#, "r", Error::NoProject(NoProject::Domain)),
        (r#""domain": {"id": "d"}, "project": null"#, "mars", Error::NoProject(NoProject::Domain)),
        (r#""system": {"all": true}, "project": {}"#, "r", Error::ServiceNotInCatalogue),
        (r#""project": 7"#, "r", Error::Unscoped),
        (r#""OS-TRUST:trust": {"id": "t"}"#, "r", Error::ServiceNotInCatalogue),
    ] {
        *cloud.token_has.lock().unwrap() = token_has;
        let client = Client::with(&cloud, "token: t", &format!("region_name: {region},"));
        let found = client.session.endpoint(Service::Cache, LONG).await;
        assert_eq!(found, Err(failure(Service::Cache, error)), "{token_has}");
        if region == "r" {
            // The catalogue has Heat all the same.
            client.session.endpoint(Service::Orchestration, LONG).await.unwrap();
        }
    }
    *cloud.token_has.lock().unwrap() = r#""domain": {"id": "d"}, "project": null"#;
    let client = Client::with(&cloud, "token: t", "dcs_endpoint_override: 'http://d/v1.0/%(project_id)s',");
    let found = client.session.endpoint(Service::Cache, LONG).await;
    assert_eq!(found, Err(failure(Service::Cache, Error::NoProject(NoProject::Domain))));
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end() {
    let cloud = Cloud::start().await;
    let client = Client::of(&cloud);
    client.get().await.unwrap();
    client.pass(HOUR - 301);
    client.get().await.unwrap();
    assert_eq!(cloud.logins(), 1);
    client.pass(2);
    // Nobody waits for the renewal.
    client.get().await.unwrap();
    assert_eq!(cloud.tokens(), ["token-1"; 3]);
    until(|| cloud.logins() == 2).await;
    while cloud.tokens().last().unwrap() != "token-2" {
        client.get().await.unwrap();
    }
    client.pass(HOUR);
    client.get().await.unwrap();
    assert_eq!(cloud.tokens().last().unwrap(), "token-3");
    assert_eq!(cloud.logins(), 3);
}

#[tokio::test]
async fn a_failing_renewal_leaves_the_old_token_in_use_until_its_end() {
    let cloud = Cloud::start().await;
    let client = Client::of(&cloud);
    client.get().await.unwrap();
    cloud.login_answers(503);
    client.pass(HOUR - 200);
    for logins in [2, 3] {
        while cloud.logins() < logins {
            client.get().await.unwrap();
        }
        client.pass(60);
    }
    client.session.doubt_token();
    client.get().await.unwrap();
    assert!(cloud.tokens().iter().all(|token| token == "token-1"));
    client.pass(80);
    let unavailable = Error::ServiceUnavailable { retry_after: None };
    assert_eq!(client.get().await.unwrap_err(), failure(Service::Identity, unavailable));
}

#[tokio::test]
async fn a_refused_login_is_not_repeated_for_five_minutes() {
    let credential = "application_credential_id: i, application_credential_secret: hunter2";
    let password = "user_id: u, password: hunter2";
    for (auth, answer) in [(password, 401), (password, 403), (credential, 404)] {
        let cloud = Cloud::start().await;
        let client = Client::with(&cloud, auth, "");
        cloud.login_answers(answer);
        let refused = failure(Service::Identity, Error::LoginRefused);
        for error in futures::future::join_all((0..10).map(|_| client.get())).await {
            assert_eq!(error.unwrap_err(), refused);
        }
        client.pass(299);
        assert_eq!(client.get().await.unwrap_err(), refused);
        assert_eq!(cloud.logins(), 1);
        client.pass(1);
        cloud.login_answers(201);
        client.get().await.unwrap();
        assert_eq!(cloud.logins(), 2);
    }
}

#[tokio::test]
async fn a_login_that_fails_is_shared_by_those_who_waited() {
    let cloud = Cloud::start().await;
    let client = Client::of(&cloud);
    cloud.login_answers(500);
    let down = failure(Service::Identity, Error::ServerError);
    for error in futures::future::join_all((0..10).map(|_| client.get())).await {
        assert_eq!(error.unwrap_err(), down);
    }
    assert_eq!(cloud.logins(), 1);
    assert_eq!(client.get().await.unwrap_err(), down, "no herd of logins");
    assert_eq!(cloud.logins(), 1);
    client.pass(2);
    cloud.login_answers(201);
    client.get().await.unwrap();
}

#[tokio::test]
async fn a_pause_that_keystone_asks_for_is_kept_by_all() {
    let cloud = Cloud::start().await;
    let client = Client::of(&cloud);
    cloud.login_answers(429);
    for (seconds, left, logins) in [(0, 600, 1), (1, 599, 1), (590, 9, 1), (10, 600, 2)] {
        client.pass(seconds);
        let error = client.get().await.unwrap_err();
        // From the end of the login, which took a moment.
        let rounded = error.retry_after().map(|left| left.as_secs_f64().round());
        assert_eq!((error.kind(), rounded, cloud.logins()), ("rate_limited", Some(f64::from(left)), logins));
    }
}

#[tokio::test]
async fn a_login_outlives_those_who_waited_for_it() {
    let cloud = Cloud::start().await;
    let client = Client::of(&cloud);
    cloud.login_answers(0);
    for _ in 0..3 {
        let late = client.get_path("/heat/v1/p/services", SHORT).await.unwrap_err();
        assert_eq!(late, failure(Service::Identity, Error::Timeout));
    }
    cloud.login_gate.add_permits(1);
    client.get().await.unwrap();
    assert_eq!(cloud.logins(), 1);
}

#[tokio::test]
async fn a_credential_has_one_try_for_all_its_regions() {
    let cloud = Cloud::start().await;
    let network = Network::default().allowing_loopback();
    let client = |auth: &str, region: usize| {
        let auth = format!("user_id: u, password: hunter2, {auth}");
        Client::among(&network, &cloud, &auth, &format!("region_name: r{region},"))
    };
    let clients: Vec<_> = (0..6).map(|region| client("project_id: p", region)).collect();
    cloud.login_answers(401);
    for error in futures::future::join_all(clients.iter().map(Client::get)).await {
        assert_eq!(error.unwrap_err(), failure(Service::Identity, Error::LoginRefused));
    }
    assert_eq!(cloud.logins(), 1);
    clients[0].pass(300);
    clients[0].get().await.unwrap_err();
    assert_eq!(cloud.logins(), 2, "five minutes later it is tried again");
    // Perhaps it was the project that was wrong.
    cloud.login_answers(201);
    client("project_id: other", 0).session.log_in(LONG).await.unwrap();
}

/// A line is: the namespaces of 50 tenants with a wrong password each, and how many logins Keystone gets.
#[tokio::test]
async fn fifty_wrong_passwords_of_one_user_are_three_logins_for_each_namespace() {
    for (name, namespaces, at_once, logins) in [
        ("one Secret that changes 50 times", &["team"][..], false, 3),
        ("50 Secrets", &["team"], true, 3),
        ("50 Secrets in each of two namespaces", &["team", "other"], true, 6),
        ("50 runs of check, which has no namespace", &[], true, 50),
    ] {
        let (cloud, network) = (Cloud::start().await, Network::default().allowing_loopback());
        cloud.login_answers(401);
        let mut clients = Vec::new();
        for namespace in namespaces.iter().map(Some).chain(namespaces.is_empty().then_some(None)) {
            for number in 0..50 {
                // Keystone ignores the case of names.
                let user = if number % 2 == 0 { "Admin" } else { "ADMIN" };
                let namespace_text = namespace.copied().unwrap_or_default();
                let auth = format!("username: {user}, password: '{namespace_text} {number}', user_domain_id: default");
                let client = Client::among(&network, &cloud, &auth, "");
                if let Some(namespace) = namespace {
                    client.session.used_by(namespace);
                }
                clients.push(client);
            }
        }
        let errors: Vec<_> = if at_once {
            futures::future::join_all(clients.iter().map(Client::get)).await
        } else {
            let mut errors = Vec::new();
            for client in &clients {
                errors.push(client.get().await);
            }
            errors
        };
        let errors = errors.into_iter().map(|error| error.unwrap_err().error);
        let refused = errors.filter(|error| *error == Error::LoginRefused).count();
        assert_eq!((cloud.logins(), refused), (logins, logins), "{name}");
    }
}

#[tokio::test]
async fn after_three_wrong_passwords_the_right_one_waits_five_minutes_unless_it_has_logged_in_before() {
    let (cloud, network) = (Cloud::start().await, Network::default().allowing_loopback());
    let client = |password: &str, namespace: &str| {
        let auth = format!("username: u, password: {password}, user_domain_id: d");
        let client = Client::among(&network, &cloud, &auth, "");
        client.session.used_by(namespace);
        client
    };
    client("old", "team").get().await.unwrap();
    cloud.login_answers(401);
    for number in 0..4 {
        client(&format!("wrong{number}"), "team").get().await.unwrap_err();
    }
    cloud.login_answers(201);
    assert_eq!(cloud.logins(), 1 + 3);
    let braked = failure(Service::Identity, Error::LoginBraked);
    let right = client("right", "team");
    assert_eq!(right.get().await.unwrap_err(), braked);
    client("old", "team").get().await.unwrap();
    client("right-too", "other").get().await.unwrap();
    right.pass(290);
    assert_eq!(right.get().await.unwrap_err(), braked, "290 s later");
    right.pass(10);
    right.get().await.unwrap();
    assert_eq!(cloud.logins(), 1 + 3 + 3);
}

#[tokio::test]
async fn fifty_projects_of_one_user_log_in_without_a_pause() {
    let (cloud, network) = (Cloud::start().await, Network::default().allowing_loopback());
    let client = |project: usize| {
        let auth = format!("username: u, password: p, user_domain_id: d, project_id: p{project}");
        let client = Client::among(&network, &cloud, &auth, "");
        client.session.used_by("team");
        client
    };
    let clients: Vec<_> = (0..50).map(client).collect();
    cloud.login_answers(0);
    let calls = futures::future::join_all(clients.iter().map(Client::get));
    let watch = async {
        // At most so many credentials can be refused.
        until(|| cloud.logins() == 3).await;
        tokio::time::sleep(SHORT).await;
        assert_eq!(cloud.logins(), 3);
        cloud.login_answers(201);
        cloud.login_gate.add_permits(3);
    };
    let (answers, ()) = tokio::join!(calls, watch);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(cloud.logins(), 50);
}

#[tokio::test]
async fn the_clouds_of_a_namespace_have_the_brake() {
    let (cloud, network) = (Cloud::start().await, Network::default().allowing_loopback());
    let _ = rustls::crypto::ring::default_provider().install_default();
    cloud.login_answers(401);
    let clouds = Clouds::new(network, Arc::new(Metrics::new()), mpsc::channel(1).0, Budget::default());
    let open = |namespace: &str, password: &str| {
        let auth = format!("auth_url: '{}', username: u, password: {password}, user_domain_id: d", cloud.url);
        let config = CloudConfig::parse(&format!("clouds: {{c: {{auth: {{{auth}}}}}}}"), "c", None, None).unwrap();
        clouds.open(namespace, &Arc::new(config)).unwrap()
    };
    for number in 0..50 {
        open("team", &format!("wrong{number}")).session.log_in(LONG).await.unwrap_err();
    }
    assert_eq!(cloud.logins(), 3);
    cloud.login_answers(201);
    let shared = open("team", "right");
    assert_eq!(shared.session.log_in(LONG).await.unwrap_err().error, Error::LoginBraked);
    // A namespace without refusals may send it, for both.
    let other = open("other", "right");
    tokio::time::sleep(Duration::from_secs(2)).await;
    other.session.log_in(LONG).await.unwrap();
    assert_eq!(cloud.logins(), 4);
}

#[tokio::test]
async fn a_doubted_token_is_renewed_before_the_next_call_once_in_five_minutes() {
    let cloud = Cloud::start().await;
    let client = Client::of(&cloud);
    for seconds in [0, 1, 299, 1] {
        client.get().await.unwrap();
        client.session.doubt_token();
        client.pass(seconds);
    }
    client.get().await.unwrap();
    let tokens = ["token-1", "token-2", "token-2", "token-2", "token-3"];
    assert_eq!(cloud.tokens(), tokens);
}

#[tokio::test]
async fn the_token_goes_to_no_other_origin() {
    let (cloud, other) = (Cloud::start().await, Cloud::start().await);
    let client = Client::of(&cloud);
    let away = format!("{}/steal", other.url);
    cloud.answers(move |path, _| {
        let location = match path.rsplit('/').next().unwrap() {
            "away" => away.clone(),
            "near" => "/heat/v1/p/there".to_owned(),
            "loop" => "/heat/v1/p/loop".to_owned(),
            _ => return status(200),
        };
        let redirect = Response::builder().status(307).header("location", location);
        redirect.body(Body::empty()).unwrap()
    });
    let refused = |refusal| failure(Service::Orchestration, Error::AddressRefused(refusal));
    assert_eq!(client.get_path("/near", LONG).await.unwrap().status, 200);
    for path in ["/away", "/loop"] {
        let error = client.get_path(path, LONG).await.unwrap_err();
        assert_eq!(error, refused(Refusal::Redirect));
    }
    let url = Url::parse(&other.url).unwrap();
    let direct = client.session.get(Service::Orchestration, url, &[], LONG);
    assert_eq!(direct.await.unwrap_err(), refused(Refusal::OtherOrigin));
    assert!(other.tokens().is_empty());
}

#[tokio::test]
async fn any_other_status_is_an_answer() {
    let cloud = Cloud::start().await;
    let client = Client::of(&cloud);
    cloud.answers(|_, _| {
        let answer = Response::builder().status(503).header("retry-after", "30");
        answer.body("engines are down".into()).unwrap()
    });
    let answer = client.get().await.unwrap();
    assert_eq!(answer.body, b"engines are down");
    assert!(answer.date.is_some());
    let retry_after = Some(Duration::from_secs(30));
    assert_eq!(answer.of(Service::Orchestration).unwrap_err().retry_after(), retry_after);
}

/// `length` zeros as one block of gzip with fixed codes, without the trailer.
fn zeros(length: usize) -> Vec<u8> {
    let mut bits: Vec<u8> = vec![1, 1, 0];
    bits.extend([0, 0, 1, 1, 0, 0, 0, 0]);
    for _ in 0..length / 258 {
        // 258 bytes from one byte back.
        bits.extend([1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]);
    }
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let byte = |bits: &[u8]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | bit);
    gzip.extend(bits.chunks(8).map(byte));
    gzip
}

#[tokio::test]
async fn a_body_that_grows_is_cut() {
    let cloud = Cloud::start().await;
    let client = Client::of(&cloud);
    cloud.answers(|_, _| Response::builder().body(vec![b' '; 8 << 20].into()).unwrap());
    assert_eq!(client.get().await.unwrap().body.len(), 8 << 20);
    cloud.answers(|_, _| {
        let answer = Response::builder().header("content-encoding", "gzip");
        answer.body(zeros(9 << 20).into()).unwrap()
    });
    let error = client.get().await.unwrap_err();
    assert_eq!(error, failure(Service::Orchestration, Error::BodyTooLarge));
}

#[tokio::test]
async fn where_a_short_answer_is_expected_a_longer_one_is_refused() {
    let cloud = Cloud::start().await;
    let client = Client::of(&cloud);
    for (length, fits) in [(64 << 10, true), ((64 << 10) + 1, false), (8 << 20, false)] {
        cloud.answers(move |_, _| Response::builder().body(vec![b' '; length].into()).unwrap());
        let url = Url::parse(&format!("{}/heat/", client.url)).unwrap();
        let answer = client.session.get_short(&[300], Service::Orchestration, url, LONG).await;
        match answer {
            Ok(answer) => assert!(fits && answer.body.len() == length, "{length}"),
            Err(error) => assert!(!fits && error == failure(Service::Orchestration, Error::BodyTooLarge), "{error}"),
        }
    }
}

/// The threads that answer health checks and renew the Lease read only short bodies.
#[tokio::test]
async fn a_long_body_is_read_on_another_thread_within_the_calls_deadline() {
    let cloud = Cloud::start().await;
    let client = Client::of(&cloud);
    let here = thread::current().id();
    for (length, elsewhere) in [(64 << 10, false), ((64 << 10) + 1, true), (8 << 20, true)] {
        cloud.answers(move |_, _| Response::builder().body(vec![b' '; length].into()).unwrap());
        let answer = client.get().await.unwrap();
        let there = answer.read(Service::Orchestration, |_| Ok(thread::current().id())).await.unwrap();
        assert_eq!(there != here, elsewhere, "{length}");
    }
    let answer = client.get_path("/heat/v1/p/services", SHORT).await.unwrap();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let late = answer.read(Service::Orchestration, move |_| Ok(ended.recv().is_ok())).await;
    assert_eq!(late.unwrap_err(), failure(Service::Orchestration, Error::Timeout));
    end.send(()).unwrap();
}

/// A line is: headers, the beginning of the body, what the server then repeats without end, and the error.
#[tokio::test]
async fn a_body_that_costs_processor_time_ends_the_connection() {
    // In bytes, with what the kernel holds of a connection.
    const MOST: usize = 48 << 20;
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let gzip_head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let member = [&gzip_head[..], &[3, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    let too_small = Error::Unexpected("the answer comes in too many small pieces");
    let garbled = Error::Unexpected("the answer could not be decompressed");
    let misframed = Error::Unexpected("the answer is not framed as HTTP requires");
    let around = Error::Unexpected("the answer has too much data around its body");
    for (name, header, begin, repeat, error) in [
        ("one-byte chunks", "", Vec::new(), b"1\r\n \r\n".repeat(4096), too_small),
        (
            "empty gzip blocks",
            "Content-Encoding: gzip\r\n",
            chunk(&gzip_head),
            chunk(&[0, 0, 0, 0xff, 0xff].repeat(8192)),
            Error::BodyTooLarge,
        ),
        ("empty gzip members", "Content-Encoding: gzip\r\n", Vec::new(), chunk(&member.repeat(2048)), garbled),
        ("zeros before the size of a chunk", "", Vec::new(), b"0".repeat(1 << 16), around),
        ("an extension of a chunk", "", b"1;".to_vec(), b"x".repeat(1 << 16), misframed),
    ] {
        let cloud = Cloud::start().await;
        let (listener, client) = heat_by_hand(&cloud, "http").await;
        let head = format!("HTTP/1.1 200 OK\r\n{header}Transfer-Encoding: chunked\r\n\r\n");
        floods(name, &listener, &client, &[head.as_bytes(), &begin].concat(), &repeat, MOST, error).await;
    }
}

/// A server answers a call with `begin`, and then with `repeat` without end. The call fails with `error` before the
/// server has sent `most` bytes.
async fn floods(
    name: &str,
    listener: &TcpListener,
    client: &Client,
    begin: &[u8],
    repeat: &[u8],
    most: usize,
    error: Error,
) {
    let serve = async {
        let mut stream = listener.accept().await.unwrap().0;
        serve_one(&mut stream, false).await;
        stream.write_all(begin).await.unwrap();
        let mut sent = 0;
        while sent < most && stream.write_all(repeat).await.is_ok() {
            sent += repeat.len();
        }
        sent
    };
    let get = client.get_path("/", LONG);
    let before = cpu_time::ProcessTime::now();
    let (answer, sent) = tokio::join!(get, serve);
    println!("{name}: the server could send {sent} bytes; {:?} of CPU with the server", before.elapsed());
    assert_eq!(answer.unwrap_err(), failure(Service::Orchestration, error), "{name}");
    assert!(sent < most, "{name}");
}

/// A line is: what the server sends first, and what it then repeats without end.
#[tokio::test]
async fn a_head_that_costs_processor_time_ends_the_connection() {
    // In bytes, with what the kernel holds of a connection.
    const MOST: usize = 16 << 20;
    let long = Error::Unexpected("the head of the answer is too long");
    for (name, begin, repeat) in [
        ("100 without end", "", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("102 without end", "", "HTTP/1.1 102 Processing\r\n\r\n"),
        ("103 without end", "", "HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n"),
        ("headers without end", "HTTP/1.1 200 OK\r\n", "A: b\r\n"),
    ] {
        let cloud = Cloud::start().await;
        let (listener, client) = heat_by_hand(&cloud, "http").await;
        let repeat = repeat.repeat(512);
        floods(name, &listener, &client, begin.as_bytes(), repeat.as_bytes(), MOST, long.clone()).await;
    }
}

/// Interim answers, and many pieces of a network's size, are ordinary.
#[tokio::test]
async fn an_ordinary_answer_may_have_interim_answers_and_many_pieces() {
    let cloud = Cloud::start().await;
    let (listener, client) = heat_by_hand(&cloud, "http").await;
    let serve = async {
        let mut stream = listener.accept().await.unwrap().0;
        serve_one(&mut stream, false).await;
        let head = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n\
                    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunks = format!("200\r\n{}\r\n", " ".repeat(512)).repeat(2048);
        stream.write_all(format!("{head}{chunks}0\r\n\r\n").as_bytes()).await.unwrap();
    };
    let get = client.get_path("/", LONG);
    let (answer, ()) = tokio::join!(get, serve);
    assert_eq!(answer.unwrap().body.len(), 512 * 2048);
}

/// In the past, each of 1,500 calls could hold 256 KiB of a body that does not end.
#[tokio::test]
async fn bodies_of_256_kib_wait_for_each_other() {
    let cloud = Cloud::start().await;
    let network = Network::default().allowing_loopback();
    let more = format!("orchestration_endpoint_override: '{}',", cloud.url);
    let clients: Vec<_> = (0..9).map(|_| Client::among(&network, &cloud, "token: t", &more)).collect();
    cloud.answers(|path, _| {
        let answer = Response::builder();
        answer.body(vec![b' '; if path.ends_with("/tiny") { 16 << 10 } else { 256 << 10 }].into()).unwrap()
    });
    let mut held = Vec::new();
    for client in &clients[..8] {
        for _ in 0..8 {
            held.push(client.get_path("/small", LONG).await.unwrap());
        }
    }
    let late = failure(Service::Orchestration, Error::Timeout);
    assert_eq!(clients[8].get_path("/small", SHORT).await.unwrap_err(), late, "64 of all");
    clients[8].get_path("/tiny", LONG).await.unwrap();
    held.pop();
    clients[8].get_path("/small", LONG).await.unwrap();
}

/// Four large bodies may be in memory, one of each session. Small ones do not need their room.
#[tokio::test]
async fn large_bodies_wait_for_each_other() {
    let cloud = Cloud::start().await;
    let network = Network::default().allowing_loopback();
    let more = format!("orchestration_endpoint_override: '{}',", cloud.url);
    let clients: Vec<_> = (0..5).map(|_| Client::among(&network, &cloud, "token: t", &more)).collect();
    cloud.answers(|path, _| {
        let answer = Response::builder();
        answer.body(vec![b' '; if path.ends_with("/large") { 1 << 20 } else { 1 << 16 }].into()).unwrap()
    });
    let late = failure(Service::Orchestration, Error::Timeout);
    let mut held = vec![clients[0].get_path("/large", LONG).await.unwrap()];
    assert_eq!(clients[0].get_path("/large", SHORT).await.unwrap_err(), late, "one of each");
    for client in &clients[1..4] {
        held.push(client.get_path("/large", LONG).await.unwrap());
    }
    assert_eq!(clients[4].get_path("/large", SHORT).await.unwrap_err(), late, "four of all");
    clients[4].get_path("/small", LONG).await.unwrap();
    held.pop();
    clients[4].get_path("/large", LONG).await.unwrap();
}

/// A proxy gets the whole URL of a plain call, and its own credential. The service gets neither.
#[tokio::test]
async fn a_plain_call_through_a_proxy() {
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rule = format!("*=http://user:p%40ss@{}", proxy.local_addr().unwrap()).parse().unwrap();
    let network = Network::new(None, vec![rule]).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let yaml = "clouds: {c: {auth: {auth_url: 'http://keystone.example:5000/identity', token: t}}}";
    let config = CloudConfig::parse(yaml, "c", None, None).unwrap();
    let session = Session::new(Arc::new(config), &network, Arc::new(NoCounters)).unwrap();
    let serve = async {
        let mut stream = proxy.accept().await.unwrap().0;
        let (mut heads, mut head) = (Vec::new(), [0; 4096]);
        for _ in 0..2 {
            let read = stream.read(&mut head).await.unwrap();
            heads.push(String::from_utf8(head[..read].to_vec()).unwrap().to_lowercase());
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
        }
        heads
    };
    let greet = async {
        session.greet(LONG).await.unwrap();
        session.greet(LONG).await.unwrap();
    };
    let (heads, ()) = tokio::join!(serve, greet);
    for head in heads {
        assert!(head.starts_with("get http://keystone.example:5000/identity/v3 http/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nhost: keystone.example:5000\r\n"), "{head}");
        assert!(head.contains("\r\nproxy-authorization: basic dxnlcjpwqhnz\r\n"), "{head}");
        assert!(head.contains("\r\nuser-agent: cloudtenant-operator/"), "{head}");
    }
}

/// What is no TLS is no answer that cannot be read: a balancer may speak so for a moment.
#[tokio::test]
async fn a_server_that_speaks_no_tls() {
    let cloud = Cloud::start().await;
    let (listener, client) = heat_by_hand(&cloud, "https").await;
    let serve = async {
        let mut stream = listener.accept().await.unwrap().0;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
    };
    let get = client.get_path("/", LONG);
    let (answer, ()) = tokio::join!(get, serve);
    assert_eq!(answer.unwrap_err(), failure(Service::Orchestration, Error::TlsFailed(TlsFault::PlainText)));
}

/// A connection that ends within the body may pass by itself; a body that is wrong does not.
#[tokio::test]
async fn a_body_that_breaks_off_or_is_garbled() {
    for (name, headers, body, error) in [
        ("too short", "Content-Length: 10", &b"ok"[..], Error::ConnectionFailed),
        ("a chunk that does not end", "Transfer-Encoding: chunked", b"5\r\nok", Error::ConnectionFailed),
        (
            "not gzip",
            "Content-Length: 2\r\nContent-Encoding: gzip",
            b"ok",
            Error::Unexpected("the answer could not be decompressed"),
        ),
    ] {
        let cloud = Cloud::start().await;
        let (listener, client) = heat_by_hand(&cloud, "http").await;
        let serve = async {
            let mut stream = listener.accept().await.unwrap().0;
            serve_one(&mut stream, false).await;
            let head = format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n");
            stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
        };
        let get = client.get_path("/", LONG);
        let (answer, ()) = tokio::join!(get, serve);
        assert_eq!(answer.unwrap_err(), failure(Service::Orchestration, error), "{name}");
    }
}

#[tokio::test]
async fn a_deadline_bounds_login_and_call() {
    let cloud = Cloud::start().await;
    let client = Client::of(&cloud);
    cloud.login_answers(0);
    let late = client.get_path("/services", SHORT).await.unwrap_err();
    assert_eq!(late, failure(Service::Identity, Error::Timeout));
    cloud.login_gate.add_permits(1);
    client.get().await.unwrap();
    let late = client.get_path("/silence", SHORT).await.unwrap_err();
    assert_eq!(late, failure(Service::Orchestration, Error::Timeout));
}

/// Reads a request's head and, if asked to, answers it.
async fn serve_one(stream: &mut TcpStream, answer: bool) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.unwrap() == 1 {
        head.push(byte[0]);
    }
    if answer {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        stream.write_all(answer).await.unwrap();
    }
}

#[tokio::test]
async fn a_call_is_repeated_only_on_a_connection_that_was_reused() {
    let cloud = Cloud::start().await;
    let (listener, client) = heat_by_hand(&cloud, "http").await;
    let get = || client.get_path("/", LONG);

    let refuse = async { serve_one(&mut listener.accept().await.unwrap().0, false).await };
    let (error, ()) = tokio::join!(get(), refuse);
    let failed = failure(Service::Orchestration, Error::ConnectionFailed);
    assert_eq!(error.unwrap_err(), failed);

    let mut first = None;
    let answer = async { serve_one(first.insert(listener.accept().await.unwrap().0), true).await };
    let (answer, ()) = tokio::join!(get(), answer);
    assert_eq!(answer.unwrap().status, 200);

    let reset = async {
        let mut first = first.take().unwrap();
        serve_one(&mut first, false).await;
        drop(first);
        serve_one(&mut listener.accept().await.unwrap().0, true).await;
    };
    let (answer, ()) = tokio::join!(get(), reset);
    assert_eq!(answer.unwrap().body, b"ok");
}

#[tokio::test]
async fn debug_shows_no_secret() {
    let cloud = Cloud::start().await;
    let client = Client::of(&cloud);
    let answer = client.get().await.unwrap();
    let endpoint = client.session.endpoint(Service::Orchestration, LONG).await;
    let shown = format!("{:?} {answer:?} {endpoint:?}", client.session);
    assert!(!shown.contains("hunter2") && !shown.contains("token-1"), "{shown}");
}
