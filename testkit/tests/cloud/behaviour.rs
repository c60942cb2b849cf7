//! What a test can make of the cloud.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use testkit::{
    cloud::{ADMIN_PROJECT, DEMO_PROJECT, Fault, Server, Service, SimulatedCloud},
    eventually::until,
    recorded::Recorded,
};

use crate::{TENANT, at, client, client_builder, engines, get, log_in, operator, recordings::replay, rows};

#[tokio::test]
async fn credentials_end_in_every_way() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let token = operator(&cloud).await;
    cloud.advance(Duration::from_secs(3599));
    assert_eq!(engines(&cloud, &token).await.0, 200);
    cloud.advance(Duration::from_secs(2));
    assert_eq!(engines(&cloud, &token).await.0, 401);

    let token = operator(&cloud).await;
    cloud.remove_admin_role();
    assert_eq!(engines(&cloud, &token).await.0, 403);
    let project = |id: &str| format!("{}/projects/{id}", cloud.auth_url());
    assert_eq!(get(&project(TENANT), &token).await.status(), 403);
    assert_eq!(get(&project(ADMIN_PROJECT), &token).await.status(), 200);
    cloud.grant_admin_role();
    assert_eq!(get(&project(TENANT), &token).await.status(), 404);
    cloud.add_tenant(TENANT);
    assert_eq!(get(&project(TENANT), &token).await.status(), 200);

    cloud.change_password("another");
    assert_eq!(engines(&cloud, &token).await.0, 401);
    assert!(cloud.clouds_yaml("lab").contains("password: \"another\""));

    let recorded = Recorded::load("keystone/token-appcred-operator").unwrap();
    let mut login = recorded.clone();
    login.request_body = login.request_body.map(|body| body.replace("<secret>", "operator-ac-secret"));
    cloud.set_application_credential_expiry(Some(cloud.now() + Duration::from_secs(60)));
    let body: Value = replay(&cloud, Service::Keystone, &login, "").await.json().await.unwrap();
    assert_eq!(body["token"]["expires_at"].as_str().unwrap().len(), "2026-11-22T04:52:21".len());
    let before = cloud.logins();
    cloud.delete_application_credential();
    assert_eq!(replay(&cloud, Service::Keystone, &login, "").await.status(), 404);
    assert_eq!(cloud.logins(), before + 1);
}

#[tokio::test]
async fn the_system_is_a_scope_of_its_own() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let scope = || json!({"system": {"all": true}});
    assert_eq!(log_in_for(&cloud, "demo", scope()).await.status(), 401);
    let answer = log_in_for(&cloud, "operator", scope()).await;
    let token = token_of(&answer);
    let body: Value = answer.json().await.unwrap();
    assert_eq!((&body["token"]["system"], &body["token"]["project"]), (&json!({"all": true}), &Value::Null));
    let endpoints = |kind: &str| {
        let catalogue = body["token"]["catalog"].as_array().unwrap();
        catalogue.iter().find(|entry| entry["type"] == kind).unwrap()["endpoints"].as_array().unwrap().len()
    };
    assert_eq!(["orchestration", "dcs", "compute", "identity"].map(endpoints), [0, 0, 3, 3]);

    let of_project = operator(&cloud).await;
    for (required, project, system) in [(false, 200, 200), (true, 403, 200)] {
        if required {
            cloud.require_system_scope();
        }
        assert_eq!((engines(&cloud, &of_project).await.0, engines(&cloud, &token).await.0), (project, system));
    }
}

async fn log_in_for(cloud: &SimulatedCloud, user: &str, scope: Value) -> Response {
    let user = json!({"name": user, "domain": {"id": "default"}, "password": format!("{user}-secret")});
    let identity = json!({"methods": ["password"], "password": {"user": user}});
    let body = json!({"auth": {"identity": identity, "scope": scope}});
    client().post(format!("{}/auth/tokens", cloud.auth_url())).json(&body).send().await.unwrap()
}

fn token_of(answer: &Response) -> String {
    answer.headers()["x-subject-token"].to_str().unwrap().to_owned()
}

/// As keystone/models/token_model.py and render_token.py have it.
#[tokio::test]
async fn a_trust_delegates_roles_to_its_trustee() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let trust = |id: &str| json!({"OS-TRUST:trust": {"id": id}});
    let id = cloud.create_trust(&["admin"]);
    assert_eq!(log_in_for(&cloud, "demo", trust("another")).await.status(), 404);
    assert_eq!(log_in_for(&cloud, "operator", trust(&id)).await.status(), 403);
    let answer = log_in_for(&cloud, "demo", trust(&id)).await;
    let token = token_of(&answer);
    let body = &answer.json::<Value>().await.unwrap()["token"];
    assert_eq!((&body["OS-TRUST:trust"]["id"], &body["project"]["id"]), (&json!(id), &json!(ADMIN_PROJECT)));
    assert_eq!((&body["user"]["name"], &body["is_domain"]), (&json!("operator"), &Value::Null));
    assert_eq!(body["roles"].as_array().unwrap().len(), 1);
    assert_eq!(engines(&cloud, &token).await.0, 200);
    let reader = cloud.create_trust(&["reader"]);
    let token = token_of(&log_in_for(&cloud, "demo", trust(&reader)).await);
    assert_eq!(engines(&cloud, &token).await.0, 403);
}

#[tokio::test]
async fn a_domain_is_a_scope_of_its_own() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let scope = || json!({"domain": {"id": "default"}});
    assert_eq!(log_in_for(&cloud, "operator", scope()).await.status(), 401);
    cloud.grant_domain_role("reader");
    let addresses = |body: &Value| {
        let catalogue = body["token"]["catalog"].as_array().unwrap();
        let of = |entry: &Value| format!("{} {}", entry["type"], entry["endpoints"].as_array().unwrap().len());
        catalogue.iter().map(of).collect::<Vec<_>>().join(", ")
    };
    let body: Value = log_in_for(&cloud, "operator", scope()).await.json().await.unwrap();
    assert_eq!(body["token"]["domain"], json!({"id": "default", "name": "Default"}));
    assert_eq!(body["token"]["project"], Value::Null);
    let all = r#""compute_legacy" 0, "compute" 3, "orchestration" 0, "identity" 3, "dcs" 0"#;
    assert_eq!(addresses(&body), all);
    cloud.show_domains_keystone_alone();
    let body: Value = log_in_for(&cloud, "operator", scope()).await.json().await.unwrap();
    assert_eq!(addresses(&body), r#""identity" 1"#);
    assert_eq!(body["token"]["catalog"][0]["endpoints"][0]["region"], "*");
}

/// As keystonemiddleware has it: 401 to every call that no rule names, of every service.
#[tokio::test]
async fn access_rules_leave_calls_out() {
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.set_access_rules(&[("GET", "/v1/*/services", "orchestration"), ("GET", "/v1.0/**", "dcs")]);
    let mut login = Recorded::load("keystone/token-appcred-operator").unwrap();
    login.request_body = login.request_body.map(|body| body.replace("<secret>", "operator-ac-secret"));
    let answer = replay(&cloud, Service::Keystone, &login, "").await;
    let token = token_of(&answer);
    let rules = &answer.json::<Value>().await.unwrap()["token"]["application_credential"]["access_rules"];
    assert_eq!((rules[0]["path"].as_str(), rules[1]["service"].as_str()), (Some("/v1/*/services"), Some("dcs")));
    let nova = format!("{}/os-simple-tenant-usage", cloud.endpoint(Service::Nova));
    for (url, status) in [
        (format!("{}/services", cloud.endpoint(Service::Heat)), 200),
        (format!("{}/instances/status", cloud.endpoint(Service::Dcs)), 200),
        (nova, 401),
        (format!("{}/projects/{ADMIN_PROJECT}", cloud.auth_url()), 401),
        (format!("{}/v1/{ADMIN_PROJECT}/services/more", cloud.base_url(Service::Heat)), 401),
    ] {
        assert_eq!(get(&url, &token).await.status(), status, "{url}");
    }
}

#[tokio::test]
async fn credentials_tell_when_they_end() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let recorded = Recorded::load("keystone/token-appcred-operator").unwrap();
    let mut login = recorded.clone();
    login.request_body = login.request_body.map(|body| body.replace("<secret>", "operator-ac-secret"));
    cloud.set_password_expiry(Some(at("2099-01-01T00:00:00Z")));
    cloud.set_application_credential_expiry(Some(at("2099-02-01T00:00:00Z")));
    let answer = replay(&cloud, Service::Keystone, &login, "").await;
    let token = answer.headers()["x-subject-token"].to_str().unwrap().to_owned();
    let body: Value = answer.json().await.unwrap();
    let user = &body["token"]["user"];
    assert_eq!(user["password_expires_at"], "2099-01-01T00:00:00.000000");
    let id = body["token"]["application_credential"]["id"].as_str().unwrap();
    let url = |user: &str, id: &str| format!("{}/users/{user}/application_credentials/{id}", cloud.auth_url());
    let own = url(user["id"].as_str().unwrap(), id);
    let answer: Value = get(&own, &token).await.json().await.unwrap();
    assert_eq!(answer["application_credential"]["expires_at"], "2099-02-01T00:00:00.000000");
    assert_eq!(get(&url("another", id), &token).await.status(), 404);
    let demo = log_in(&cloud, "demo", "demo-secret", DEMO_PROJECT).await;
    assert_eq!(get(&own, &demo).await.status(), 403);
}

#[tokio::test]
async fn faults_are_what_they_say() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let token = operator(&cloud).await;
    let url = format!("{}/services", cloud.endpoint(Service::Heat));
    let ask = |client: &Client| client.get(&url).header("x-auth-token", &token).send();
    let pooled = client_builder().build().unwrap();
    assert_eq!(ask(&pooled).await.unwrap().status(), 200);

    cloud.fault(Service::Heat, Fault::Unreachable);
    assert!(ask(&client()).await.unwrap_err().is_connect());
    // The other services go on, and the port is the same one afterwards.
    operator(&cloud).await;
    cloud.clear_faults(Service::Heat);
    assert_eq!(ask(&pooled).await.unwrap().status(), 200);

    cloud.fault(Service::Heat, Fault::Reset);
    let error = ask(&client()).await.unwrap_err();
    assert!(error.is_request() && !error.is_connect() && !error.is_timeout(), "{error:?}");
    cloud.clear_faults(Service::Heat);
    cloud.fault(Service::Heat, Fault::Hang);
    let hasty = client_builder().timeout(Duration::from_millis(100)).build().unwrap();
    assert!(ask(&hasty).await.unwrap_err().is_timeout());
    let under_way = || cloud.in_flight(Service::Heat);
    until("no call is under way", Duration::from_secs(5), || under_way() == 0, || under_way().to_string())
        .await
        .unwrap();
    assert_eq!(cloud.peak_in_flight(Service::Heat), 1);
    cloud.clear_faults(Service::Heat);

    for fault in [Fault::EndlessInterim, Fault::SlowHead] {
        let name = format!("{fault:?}");
        cloud.fault(Service::Heat, fault);
        assert!(ask(&hasty).await.unwrap_err().is_timeout(), "{name}");
        cloud.clear_faults(Service::Heat);
    }

    cloud.fault_on(Service::Heat, "/elsewhere", Fault::status(500, "{}"));
    cloud.fault(Service::Heat, Fault::Delay(Duration::from_millis(5)));
    cloud.fault(Service::Heat, Fault::Body(b"{\"services\": []}".to_vec()).times(1));
    assert_eq!(ask(&pooled).await.unwrap().text().await.unwrap(), "{\"services\": []}");
    assert_ne!(ask(&pooled).await.unwrap().text().await.unwrap(), "{\"services\": []}");

    let seen = cloud.requests(Service::Heat);
    assert_eq!(seen.len(), cloud.count(Service::Heat));
    assert!(seen.iter().all(|request| request.token && request.path.ends_with("/services")));
}

#[tokio::test]
async fn answers_are_zipped_and_dated() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let token = operator(&cloud).await;
    cloud.compress(true);
    let url = format!("{}/services", cloud.endpoint(Service::Heat));
    let raw = client_builder().gzip(false).build().unwrap();
    let zipped = raw.get(&url).header("x-auth-token", &token).header("accept-encoding", "gzip");
    assert_eq!(zipped.send().await.unwrap().headers()["content-encoding"], "gzip");
    let answer = get(&url, &token).await;
    assert_eq!(answer.json::<Value>().await.unwrap()["services"].as_array().unwrap().len(), 2);

    cloud.set_date_skew(jiff::SignedDuration::from_hours(-2));
    let answer = get(&url, &token).await;
    let date = answer.headers()["date"].to_str().unwrap().to_owned();
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(&date).unwrap();
    let behind = Timestamp::now().duration_since(date).as_secs();
    assert!((7199..7220).contains(&behind), "{behind}");
    let (status, body) = engines(&cloud, &token).await;
    assert_eq!(status, 200);
    assert!(rows(&body).iter().all(|row| row[1] == "up"));
}

#[tokio::test]
async fn the_catalogue_is_what_a_test_makes_it() {
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.set_regions(&["RegionTwo", "RegionOne"]);
    cloud.set_interfaces(&["admin", "public"]);
    cloud.set_reachable_interface("public");
    cloud.set_in_catalogue("dcs", false);
    cloud.set_catalogue_path("compute", "/v2/%(project_id)s");
    let token = operator(&cloud).await;
    let body: Value = get(&format!("{}/auth/catalog", cloud.auth_url()), &token).await.json().await.unwrap();
    let entries = body["catalog"].as_array().unwrap();
    assert!(entries.iter().all(|entry| entry["type"] != "dcs"));
    let compute = entries.iter().find(|entry| entry["type"] == "compute").unwrap();
    let urls: Vec<_> = compute["endpoints"].as_array().unwrap().iter().map(|endpoint| &endpoint["url"]).collect();
    assert_eq!(urls.len(), 4);
    assert_eq!(*urls[3], json!(format!("{}/v2/{ADMIN_PROJECT}", cloud.base_url(Service::Nova))));
    assert_eq!(cloud.endpoint(Service::Nova), *urls[3].as_str().unwrap());
    assert!(urls[..3].iter().all(|url| url.as_str().unwrap().contains(".invalid/")));
}

#[tokio::test]
async fn nova_counts_negative_time_and_microseconds() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let token = operator(&cloud).await;
    let now = cloud.now();
    cloud.set_servers(TENANT, vec![Server::new("web", now - Duration::from_secs(3600))]);
    let usage = format!("{}/os-simple-tenant-usage/{TENANT}", cloud.endpoint(Service::Nova));
    let hours = async |url: String| -> f64 {
        let body: Value = get(&url, &token).await.json().await.unwrap();
        body["tenant_usage"]["total_hours"].as_f64().unwrap()
    };
    assert!(hours(format!("{usage}?start=2099-01-01T00:00:00&end=2099-02-01T00:00:00")).await < -1000.0);
    assert!(hours(usage).await < 1e-6);
}

#[tokio::test]
async fn pages_sum_to_the_whole_and_an_exact_fit_ends_with_an_empty_one() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let token = operator(&cloud).await;
    cloud.set_clock(at("2026-11-22T12:00:00Z"));
    let launched = at("2026-11-20T00:00:00Z");
    cloud.set_servers(TENANT, (0..20).map(|number| Server::new(&format!("web-{number}"), launched)).collect());
    let base = format!("{}/os-simple-tenant-usage/{TENANT}", cloud.endpoint(Service::Nova));
    let window = "start=2026-11-21T00:00:00&end=2026-11-21T12:00:00";
    let page = async |query: &str, version: &str| -> Value {
        let request = client().get(format!("{base}?{query}")).header("x-auth-token", &token);
        request.header("x-openstack-nova-api-version", version).send().await.unwrap().json().await.unwrap()
    };
    let mut query = format!("{window}&limit=10");
    let (mut pages, mut hours) = (0, 0.0);
    loop {
        let body = page(&query, "2.40").await;
        pages += 1;
        let Some(link) = body["tenant_usage_links"][0]["href"].as_str() else {
            assert_eq!(body["tenant_usage"], json!({}));
            break;
        };
        hours += body["tenant_usage"]["total_hours"].as_f64().unwrap();
        query = link.split_once('?').unwrap().1.to_owned();
    }
    assert_eq!(pages, 3);
    assert!((hours - 240.0).abs() < 1e-9, "{hours}");
    // Before pages the rest is left out, totals included, and nothing tells.
    cloud.set_max_limit(15);
    let cut = page(window, "2.39").await;
    assert_eq!(cut["tenant_usage"]["total_hours"], json!(180.0));
    assert!(cut.get("tenant_usage_links").is_none());
    cloud.disable_microversions();
    assert_eq!(page(&format!("{window}&limit=1"), "2.40").await, cut);
}

#[tokio::test]
async fn https_is_signed_by_its_own_authority() {
    let cloud = SimulatedCloud::builder().tls().start().await.unwrap();
    assert!(cloud.auth_url().starts_with("https://127.0.0.1:"));
    let authority = reqwest::Certificate::from_pem(cloud.ca_pem().unwrap().as_bytes()).unwrap();
    let trusting = client_builder().tls_certs_only([authority]).build().unwrap();
    let answer = trusting.get(cloud.auth_url()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(client().get(cloud.auth_url()).send().await.is_err());
}

#[test]
fn outlives_a_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cloud = runtime().block_on(SimulatedCloud::start()).unwrap();
    let url = cloud.auth_url();
    let status = runtime().block_on(async { client().get(&url).send().await.unwrap().status() });
    assert_eq!(status, 200);
    drop(cloud);
    assert!(runtime().block_on(client().get(&url).send()).unwrap_err().is_connect());
}
