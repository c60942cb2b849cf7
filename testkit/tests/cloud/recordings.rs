//! The same request gives the same answer, errors' texts included.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use testkit::{
    cloud::{ADMIN_PROJECT, CacheCounts, DEMO_PROJECT, Fault, Listing, Project, Server, Service, SimulatedCloud},
    recorded::{self, Recorded},
};

use crate::{TENANT, at, client, engines, get, log_in, operator, shape};

/// The tokens of those who asked when the answers were recorded.
struct Askers {
    admin: String,
    member: String,
    reader: String,
    in_tenant: String,
    expired: String,
    revoked: String,
}

impl Askers {
    async fn of(cloud: &SimulatedCloud) -> Self {
        cloud.add_tenant(TENANT);
        cloud.add_user("admin", "admin-secret", ADMIN_PROJECT, &["member", "admin", "reader"]);
        cloud.add_user("operator", "operator-secret", TENANT, &["admin"]);
        cloud.add_user("tenant-a-reader", "reader-secret", TENANT, &["reader"]);
        cloud.set_clock(at("2026-11-22T05:00:00Z"));
        cloud.set_token_lifetime(Duration::from_secs(1));
        let expired = operator(cloud).await;
        cloud.set_token_lifetime(Duration::from_secs(3600));
        let revoked = operator(cloud).await;
        cloud.revoke_tokens();
        Self {
            admin: operator(cloud).await,
            member: log_in(cloud, "demo", "demo-secret", DEMO_PROJECT).await,
            reader: log_in(cloud, "tenant-a-reader", "reader-secret", TENANT).await,
            in_tenant: log_in(cloud, "operator", "operator-secret", TENANT).await,
            expired,
            revoked,
        }
    }

    fn of_recording(&self, name: &str) -> &str {
        let is = |part: &str| name.contains(part);
        if is("expired") {
            &self.expired
        } else if is("revoked") {
            &self.revoked
        } else if is("scoped-to-tenant-a") || is("token-in-tenant") {
            &self.in_tenant
        } else if is("reader") {
            &self.reader
        } else if is("member") || is("-demo-") {
            &self.member
        } else {
            &self.admin
        }
    }
}

/// Puts the recorded request to the simulated cloud.
pub(crate) async fn replay(cloud: &SimulatedCloud, service: Service, recorded: &Recorded, token: &str) -> Response {
    let (_, path) = recorded.request_url.split_once("//").unwrap().1.split_once('/').unwrap();
    let url = format!("{}/{path}", cloud.base_url(service));
    let mut request = client().request(Method::from_bytes(recorded.method.as_bytes()).unwrap(), url);
    for (name, value) in &recorded.request_headers {
        request = request.header(name, if value.contains("<opaque>") { token } else { value });
    }
    if let Some(body) = &recorded.request_body {
        request = request.body(body.clone());
    }
    request.send().await.unwrap()
}

/// Status, content type, version headers, JSON shape and the text of errors are as recorded.
async fn compare(cloud: &SimulatedCloud, name: &str, recorded: &Recorded, response: Response) -> Value {
    assert_eq!(response.status(), recorded.status, "{name}");
    for header in ["content-type", "openstack-api-version", "x-openstack-nova-api-version"] {
        let ours = response.headers().get(header).map(|value| value.to_str().unwrap());
        assert_eq!(ours, recorded.header(header), "{header} of {name}");
    }
    let authenticate = response.headers().get("www-authenticate").map(|value| value.to_str().unwrap());
    let recorded_authenticate = recorded
        .header("www-authenticate")
        .map(|value| value.replace("http://127.0.0.1:25000", cloud.base_url(Service::Keystone)));
    assert_eq!(authenticate, recorded_authenticate.as_deref(), "{name}");
    let body = response.bytes().await.unwrap();
    let is_json = recorded.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
    if !is_json {
        assert_eq!(body, recorded.body, "{name}");
        return Value::Null;
    }
    let ours: Value = serde_json::from_slice(&body).unwrap();
    let theirs: Value = serde_json::from_slice(&recorded.body).unwrap();
    assert_eq!(shape(&ours), shape(&theirs), "{name}");
    if recorded.status >= 400 && name != "token-schema-400" {
        assert_eq!(ours, theirs, "{name}");
    }
    ours
}

#[tokio::test]
async fn keystone_answers_as_recorded() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let askers = Askers::of(&cloud).await;
    let mut compared = 0;
    for (name, mut recorded) in recorded::all("keystone").unwrap() {
        // Services validate tokens, the operator does not.
        if name.starts_with("validate-") {
            continue;
        }
        if let Some(body) = recorded.request_body.as_mut().filter(|_| !name.contains("bad-secret")) {
            *body = body.replace("<secret>", "operator-ac-secret");
        }
        let token = askers.of_recording(&name);
        let response = replay(&cloud, Service::Keystone, &recorded, token).await;
        if recorded.status == 201 {
            assert!(response.headers().contains_key("x-subject-token"), "{name}");
        }
        let ours = if name == "token-schema-400" {
            assert_eq!(response.status(), 400);
            let ours: Value = response.json().await.unwrap();
            let theirs: Value = serde_json::from_slice(&recorded.body).unwrap();
            let message = ours["error"]["message"].as_str().unwrap();
            assert!(theirs["error"]["message"].as_str().unwrap().starts_with(message));
            ours
        } else {
            compare(&cloud, &name, &recorded, response).await
        };
        if name == "token-password-admin" {
            let types: Vec<_> =
                ours["token"]["catalog"].as_array().unwrap().iter().map(|entry| &entry["type"]).collect();
            assert_eq!(types, ["compute_legacy", "compute", "orchestration", "identity", "dcs"]);
        }
        compared += 1;
    }
    assert_eq!(compared, 25);
}

/// Logs in with this password and scope; `unscoped` is one, too.
async fn log_in_for(cloud: &SimulatedCloud, user: &str, password: &str, scope: Value) -> String {
    let body = json!({"auth": {
        "identity": {
            "methods": ["password"],
            "password": {"user": {"name": user, "domain": {"id": "default"}, "password": password}},
        },
        "scope": scope,
    }});
    let response = client().post(format!("{}/auth/tokens", cloud.auth_url())).json(&body).send().await.unwrap();
    assert_eq!(response.status(), 201, "{user}");
    response.headers()["x-subject-token"].to_str().unwrap().to_owned()
}

/// The projects and users of the recordings. `manager` is a reader of a domain, and `nobody` has no role.
#[tokio::test]
async fn keystone_lists_projects_as_recorded() {
    const PROJECTS: [&str; 4] = [
        "46df1db5e82c4fc78de424d76542e071",
        "54114af4b5614383ab98b14fb3a5158c",
        "79ee8919faca4e2a8e336261a72ab799",
        "e42b6d8d043f4a339618407b575da121",
    ];
    const RECORDED: &str = "ea5be74b11ac417e96091ca160d19bfc";
    let cloud = SimulatedCloud::start().await.unwrap();
    for (id, name) in PROJECTS.into_iter().zip(["rec-a", "rec-b", "rec-c", "rec-d"]) {
        cloud.put_project(id, Project::named(name));
        cloud.add_user("lister", "lister-secret", id, &["reader"]);
    }
    cloud.change_project(PROJECTS[1], |project| PROJECTS[0].clone_into(&mut project.parent));
    let reader = log_in(&cloud, "lister", "lister-secret", PROJECTS[0]).await;
    cloud.set_tenant_enabled(PROJECTS[2], false);
    cloud.put_domain(RECORDED, "recorded");
    cloud.change_project(PROJECTS[3], |project| RECORDED.clone_into(&mut project.domain));
    // The first ones by ID, in a domain of their own.
    for id in ["000", "001"] {
        cloud.put_project(id, Project { domain: "other".to_owned(), ..Project::named(id) });
    }
    cloud.add_user("nobody", "nobody-secret", DEMO_PROJECT, &[]);
    cloud.grant_domain_role("reader");
    let unscoped = log_in_for(&cloud, "lister", "lister-secret", json!("unscoped")).await;
    let nobody = log_in_for(&cloud, "nobody", "nobody-secret", json!("unscoped")).await;
    let domain = log_in_for(&cloud, "operator", "operator-secret", json!({"domain": {"id": "default"}})).await;
    let admin = operator(&cloud).await;
    let mut compared = 0;
    for (name, recorded) in recorded::all("projects").unwrap() {
        let is = |part: &str| name.contains(part);
        let token = if is("nobody") {
            &nobody
        } else if is("unscoped") || is("limit-ignored") {
            &unscoped
        } else if is("-scoped") || is("reader") || is("-own") || is("-403") {
            &reader
        } else if name.ends_with("-domain") {
            &domain
        } else {
            &admin
        };
        // The project of the other domain has no tags.
        let tags: [&[&str]; 2] = if name.ends_with("-domain") { [&[], &[]] } else { [&["prod", "blue"], &["prod"]] };
        PROJECTS.iter().zip(tags).for_each(|(id, tags)| cloud.set_project_tags(id, tags));
        cloud.set_listing(if is("truncated") { Listing::Limited(2) } else { Listing::Whole });
        let response = replay(&cloud, Service::Keystone, &recorded, token).await;
        let ours = compare(&cloud, &name, &recorded, response).await;
        // The domain and the truncated list have other projects.
        if recorded.status == 200 && !name.ends_with("-domain") && !is("truncated") {
            let theirs: Value = serde_json::from_slice(&recorded.body).unwrap();
            let ids = |body: &Value| {
                let rows = body["projects"].as_array().cloned().unwrap_or_default();
                rows.iter().map(|row| [row["id"].clone(), row["tags"].clone()]).collect::<Vec<_>>()
            };
            assert_eq!(ids(&ours), ids(&theirs), "{name}");
        }
        compared += 1;
    }
    assert_eq!(compared, 29);
}

#[tokio::test]
async fn heat_answers_as_recorded() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let askers = Askers::of(&cloud).await;
    cloud.set_rpc_timeout(Duration::from_millis(10));
    for (name, recorded) in recorded::all("heat").unwrap() {
        if name == "build-info" {
            continue;
        }
        let all_down = name.contains("all-engines");
        if all_down {
            cloud.kill_engine("engine-1.lab");
            cloud.kill_engine("engine-2.lab");
        }
        let response = replay(&cloud, Service::Heat, &recorded, askers.of_recording(&name)).await;
        compare(&cloud, &name, &recorded, response).await;
        if all_down {
            cloud.restart_engine("engine-1.lab");
            cloud.restart_engine("engine-2.lab");
        }
    }
}

/// The servers of the recordings' tenant.
fn recorded_servers() -> Vec<Server> {
    let server = |id: &str, name: &str, launched: &str| Server { id: id.to_owned(), ..Server::new(name, at(launched)) };
    let small =
        |server: Server| Server { flavor: "s3.medium.1".to_owned(), vcpus: 1, memory_mb: 1024, local_gb: 0, ..server };
    let stopped = server("2948c765-c6b4-44e1-99f6-b111b488f63f", "web-2", "2026-11-18T01:09:00Z");
    let gone = small(server("3663aaf7-40d4-48ff-b273-2336fc7b5b8a", "batch-gone", "2026-11-19T05:09:00Z"));
    let never = small(server("00000000-4b9e-45e1-9e74-7615fbf20e5d", "never-launched", "2026-11-19T05:09:00Z"));
    vec![
        small(server("7a890489-633d-4f42-b318-8b724bc3e94e", "cache-1", "2026-11-20T03:09:07Z")),
        server("78e5ef80-5f6d-45ba-8132-f845be0c8970", "web-1", "2026-11-12T05:09:00Z"),
        Server { terminated_at: Some(at("2026-11-19T06:39:00Z")), ..gone },
        Server { state: "stopped".to_owned(), ..stopped },
        Server { launched_at: None, state: "error".to_owned(), ..never },
    ]
}

#[tokio::test]
async fn nova_answers_as_recorded() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let askers = Askers::of(&cloud).await;
    cloud.set_servers(TENANT, recorded_servers());
    cloud.set_link_host("http://127.0.0.1:25074");
    let mut exact = 0;
    for (name, recorded) in recorded::all("nova").unwrap() {
        // The list over all tenants is not simulated.
        if name.starts_with("index-") {
            continue;
        }
        cloud.set_clock(at(recorded.sent.as_deref().unwrap()));
        let response = replay(&cloud, Service::Nova, &recorded, askers.of_recording(&name)).await;
        let mut ours = compare(&cloud, &name, &recorded, response).await;
        if ours["tenant_usage"]["stop"] == "2026-11-22T05:09:43.000000" {
            let mut theirs: Value = serde_json::from_slice(&recorded.body).unwrap();
            for body in [&mut ours, &mut theirs] {
                for row in body["tenant_usage"]["server_usages"].as_array_mut().unwrap() {
                    row["uptime"] = json!("grows");
                }
            }
            assert_eq!(ours, theirs, "{name}");
            exact += 1;
        }
    }
    assert!(exact > 10, "{exact}");
}

#[tokio::test]
async fn dcs_answers_as_its_document() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let token = operator(&cloud).await;
    cloud.set_caches(TENANT, CacheCounts::redis(&[("running", 1), ("extending", 2)]));
    let example = Recorded::load("dcs/instances-status-include-failure").unwrap();
    let example = String::from_utf8(example.body).unwrap();
    let (without_brace, _) = example.trim_end().rsplit_once('}').unwrap();
    let theirs: Value = serde_json::from_str(without_brace).unwrap();
    let base = cloud.base_url(Service::Dcs);
    for (version, spelling) in [("v1.0", "include_failure"), ("v2", "includeFailure")] {
        let url = format!("{base}/{version}/{TENANT}/instances/status");
        let ours: Value = get(&format!("{url}?{spelling}=true"), &token).await.json().await.unwrap();
        assert_eq!(ours, theirs);
        let ours: Value = get(&url, &token).await.json().await.unwrap();
        assert!(ours.get("createfailed_count").is_none() && ours["redis"].get("createfailed_count").is_none());
    }
    cloud.set_stray_brace(true);
    let url = format!("{base}/v1.0/{TENANT}/instances/status");
    let text = get(&url, &token).await.text().await.unwrap();
    assert!(text.ends_with("}\n}") && serde_json::from_str::<Value>(&text).is_err());

    let member = log_in(&cloud, "demo", "demo-secret", DEMO_PROJECT).await;
    let refused = get(&url, &member).await;
    assert_eq!(refused.status(), 403);
    let refused: Value = refused.json().await.unwrap();
    assert!(refused["error_code"].as_str().unwrap().starts_with("DCS.4") && refused["error_ext_msg"].is_null());
    let refused = get(&url, "nonsense").await;
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.json::<Value>().await.unwrap()["error_code"], "APIGW.0301");
    cloud.fault(Service::Dcs, Fault::throttled().times(1));
    assert_eq!(get(&url, &token).await.status(), 429);
    assert_eq!(get(&url, &token).await.status(), 200);
}

#[tokio::test]
async fn documents_examples_have_the_shapes_of_the_simulation() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let token = operator(&cloud).await;
    cloud.set_servers(TENANT, vec![Server::new("web", cloud.now() - Duration::from_secs(60))]);
    let document = |name: &str| -> Value {
        let example = Recorded::load(&format!("document/{name}")).unwrap();
        serde_json::from_slice(&example.body).unwrap()
    };
    assert_eq!(shape(&engines(&cloud, &token).await.1), shape(&document("heat-services")));
    let url = format!("{}/os-simple-tenant-usage/{TENANT}", cloud.endpoint(Service::Nova));
    let usage: Value = get(&url, &token).await.json().await.unwrap();
    assert_eq!(shape(&usage), shape(&document("nova-usage-sample")));
    assert_eq!(shape(&usage), shape(&document("nova-usage-execution")));
}

#[test]
fn recordings_keep_what_was_asked_and_came() {
    let recorded = Recorded::load("heat/services-all-engines-killed-1st").unwrap();
    assert_eq!((recorded.status, recorded.method.as_str()), (503, "GET"));
    assert_eq!(recorded.took, Duration::from_micros(10_011_501));
    assert_eq!(recorded.header("content-length"), Some("239"));
    assert_eq!(recorded.body.len(), 239);
    assert!(recorded.request_url.ends_with("/services"));
    assert_eq!(recorded::all("heat").unwrap().len(), 29);
    assert!(Recorded::load("heat/nothing").is_err());
}
