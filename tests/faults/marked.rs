//! Secrets that the matrix does not have: access keys, user information in URLs, Secrets that are no YAML, and answers
//! of the API server that nobody can read. Whatever comes of them is searched.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Bytes, http::StatusCode};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use cloudtenant_operator::{
    api::CloudTenantSpec,
    budget::Budget,
    cluster::secrets::Secrets,
    identity::{TenantId, TenantName},
    metrics::Metrics,
    observation::ProbeKind,
    openstack::{CloudConfig, Network, Session},
    probe,
    target::Target,
};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::{Value, json};
use testkit::{
    cloud::{ADMIN_PROJECT, Fault, Service, SimulatedCloud},
    router::kube_client,
};

use crate::secrets::{MARK, search};

/// As a cell of the matrix.
pub const NAME: &str = "marked secrets";

const ACCESS: &str = "AKIDEXAMPLE";

fn target(cloud_name: &str) -> Target {
    let reference = json!({ "secretName": "s", "cloudName": cloud_name });
    let spec = json!({ "projectID": ADMIN_PROJECT, "cloudCredentialsRef": reference, "timeout": "2s" });
    Target::new(&serde_json::from_value::<CloudTenantSpec>(spec).unwrap()).unwrap()
}

/// Everything that comes of a clouds.yaml is searched. Returns whether a probe got its answer.
async fn use_entry(name: &str, yaml: &str) -> bool {
    let config = match CloudConfig::parse(yaml, "c", None, None) {
        Ok(config) => Arc::new(config),
        Err(error) => {
            search(name, &format!("{error} {error:?} {:?}", probe::failure::of_config(&error)));
            return false;
        }
    };
    let metrics = Arc::new(Metrics::new());
    let network = Network::default().allowing_loopback().with_connect_timeout(Duration::from_secs(2));
    let session = Session::new(config.clone(), &network, metrics.clone()).unwrap();
    session.used_by("team");
    let mut answered = false;
    for kind in ProbeKind::ALL {
        let outcome = probe::ask(kind, &session, &target("c"), None, Timestamp::now()).await;
        answered |= matches!(outcome, cloudtenant_operator::observation::Outcome::Seen(_));
        search(name, &format!("{outcome:?}"));
    }
    search(name, &format!("{config:?} {session:?} {}", metrics.encode()));
    answered
}

/// What a service does with a signed request, which it may repeat. `None`: it answers.
fn faults(request: &str) -> Vec<Option<Fault>> {
    let echo = json!({ "error_code": "APIGW.0301", "error_msg": format!("Incorrect IAM authentication: {request}") });
    let statuses = [401, 403, 404, 429, 500, 503].map(|code| Some(Fault::status(code, echo.to_string())));
    let others = [None, Some(Fault::Body(format!("<html>{MARK}token</html>").into_bytes())), Some(Fault::Reset)];
    others.into_iter().chain(statuses).collect()
}

/// A name, a clouds.yaml, and what a request contains of it.
fn access_key(cloud: &SimulatedCloud, entry: usize, secret: &str, token: &str) -> (&'static str, String, String) {
    let more = [("security_token", token)];
    let key =
        |access: &str, secret: &str, more: &[(&str, &str)]| cloud.clouds_yaml_access_key("c", access, secret, more);
    match entry {
        0 => ("an access key", key(ACCESS, secret, &[]), ACCESS.to_owned()),
        1 => ("a temporary access key", key("AKIDTEMPORARY", secret, &more), token.to_owned()),
        2 => ("a wrong secret key", key(ACCESS, &format!("{secret}-wrong"), &[]), ACCESS.to_owned()),
        3 => ("a token that the key has not", key(ACCESS, secret, &more), token.to_owned()),
        4 => {
            let beside = format!("    access_key: {ACCESS}\n    secret_key: {secret}\n");
            ("an access key beside a password", cloud.clouds_yaml("c") + &beside, ACCESS.to_owned())
        }
        _ => {
            let yaml = key(ACCESS, "x", &[]).replace("\"x\"", &format!("[{secret}]"));
            ("a key that is no text", yaml, ACCESS.to_owned())
        }
    }
}

/// Access keys, lasting and temporary ones, alone and beside a password; with the right and a wrong secret.
async fn access_keys() {
    let (secret, token) = (format!("{MARK}sk"), format!("{MARK}security-token"));
    let mut cells = Vec::new();
    for entry in 0..6 {
        for fault in 0..faults("").len() {
            cells.push((entry, fault));
        }
    }
    let cells = stream::iter(cells).map(|(entry, number)| {
        let (secret, token) = (&secret, &token);
        async move {
            let cloud = SimulatedCloud::start().await.unwrap();
            cloud.change_password(&format!("{MARK}password"));
            cloud.add_access_key(ACCESS, secret, None);
            cloud.add_access_key("AKIDTEMPORARY", secret, Some(token));
            let (name, yaml, sent) = access_key(&cloud, entry, secret, token);
            if let Some(fault) = &faults(&sent)[number] {
                Service::ALL.into_iter().for_each(|service| cloud.fault(service, fault.clone()));
            }
            use_entry(&format!("{name}, fault {number}"), &yaml).await
        }
    });
    let answered = cells.buffer_unordered(16).filter(|answered| std::future::ready(*answered)).count().await;
    assert!(answered >= 2, "no signed request was answered");
}

/// User information in each URL that a Secret or a cloud may contain.
async fn user_information() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let with = |url: &str| url.replace("http://", &format!("http://user:{MARK}pw@"));
    let plain = cloud.clouds_yaml("c");
    let (auth_url, heat) = (cloud.auth_url(), cloud.base_url(Service::Heat).to_owned());
    let override_of = |key: &str, url: &str| format!("{plain}    {key}_endpoint_override: '{url}'\n");
    let entries = [
        ("auth_url", plain.replace(&auth_url, &with(&auth_url))),
        ("an auth_url without a host", plain.replace(&auth_url, &format!("http://user:{MARK}pw@"))),
        ("an auth_url with a bad port", plain.replace(&auth_url, &format!("http://user:{MARK}pw@h:99999/v3"))),
        ("an auth_url with another scheme", plain.replace(&auth_url, &format!("ftp://user:{MARK}pw@h/v3"))),
        ("a query", plain.replace(&auth_url, &format!("{auth_url}?token={MARK}t"))),
        ("an override", override_of("orchestration", &format!("{}/v1/%(project_id)s", with(&heat)))),
        ("an override that is no URL", override_of("dcs", &format!("//user:{MARK}pw@"))),
        ("an override of Keystone", override_of("identity", &with(&auth_url))),
    ];
    let uses = stream::iter(&entries).map(|(name, yaml)| use_entry(name, yaml));
    uses.buffer_unordered(16).collect::<Vec<_>>().await;
    // And in a login's catalogue.
    let url = format!("http://user:{MARK}pw@127.0.0.1:9/v1/{ADMIN_PROJECT}?secret={MARK}q");
    let service = |kind: &str| json!({ "type": kind, "endpoints": [{ "interface": "public", "region": "RegionOne", "url": url }] });
    let services = ["orchestration", "dcs", "compute"].map(service);
    let token = json!({ "token": {
        "expires_at": "2099-01-01T00:00:00Z", "project": { "id": ADMIN_PROJECT, "name": "admin" }, "catalog": services,
    }});
    let headers = vec![("X-Subject-Token".to_owned(), format!("{MARK}token"))];
    let content_type = "application/json".to_owned();
    cloud.fault(Service::Keystone, Fault::Status { code: 201, body: token.to_string().into(), content_type, headers });
    use_entry("a catalogue", &plain).await;
}

/// A Secret as the API server returns it, with these bytes in `clouds.yaml`.
fn secret(yaml: &[u8]) -> Value {
    let data = BASE64_STANDARD.encode(yaml);
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s", "resourceVersion": "1" },
        "data": { "clouds.yaml": data },
    })
}

/// Whatever the API server answers for a Secret.
fn answers() -> Vec<(&'static str, u16, Vec<u8>)> {
    let marked = format!("{MARK}secret");
    let yaml = |text: String| secret(text.as_bytes()).to_string().into_bytes();
    let good = secret(format!("clouds: {{c: {{password: {marked}}}}}").as_bytes()).to_string();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut object = secret(marked.as_bytes());
        change(&mut object);
        object.to_string().into_bytes()
    };
    let status = |message: &str| json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "InternalError", "message": message });
    vec![
        ("no YAML", 200, yaml(marked.clone())),
        ("an open bracket", 200, yaml(format!("clouds: {{c: [{marked}"))),
        ("a tab", 200, yaml(format!("clouds:\n\tc: {marked}"))),
        ("an unknown alias", 200, yaml(format!("clouds: {{c: *{marked}}}"))),
        ("an unknown tag", 200, yaml(format!("clouds: {{c: !<{marked}> {marked}}}"))),
        ("a list", 200, yaml(format!("clouds: [{marked}]"))),
        ("a text in the place of an entry", 200, yaml(format!("clouds: {{c: {marked}}}"))),
        ("a number in the place of a password", 200, yaml(format!("clouds: {{c: {{auth: {{{marked}: 1}}}}}}"))),
        (
            "a key that is the secret",
            200,
            yaml(format!("clouds: {{c: {{auth: {{auth_url: 'http://k/v3', {marked}: x}}}}}}")),
        ),
        ("no UTF-8", 200, secret(&[b"\xff\xfe", marked.as_bytes()].concat()).to_string().into()),
        ("NUL", 200, secret(&[b"clouds: \0", marked.as_bytes()].concat()).to_string().into()),
        ("no base64", 200, changed(&|object| object["data"]["clouds.yaml"] = format!("*{marked}*").into())),
        ("a list in the place of base64", 200, changed(&|object| object["data"]["clouds.yaml"] = json!([marked]))),
        ("a text in the place of data", 200, changed(&|object| object["data"] = json!(marked))),
        ("metadata that is a text", 200, changed(&|object| object["metadata"] = json!(marked))),
        (
            "an annotation that is the secret",
            200,
            changed(&|object| {
                object["metadata"]["annotations"] =
                    json!({ "cloudtenant.dev/projects": [marked], "last-applied": marked });
            }),
        ),
        ("half an object", 200, good.as_bytes()[..good.len() - 5].to_vec()),
        ("a text", 200, json!(good).to_string().into()),
        ("plain text", 200, marked.clone().into()),
        ("bytes that are no UTF-8", 200, [b"{\xff", good.as_bytes()].concat()),
        ("nothing", 200, Vec::new()),
        ("a refusal that is no Status", 403, good.clone().into()),
        ("a failure that is no Status", 500, good.clone().into()),
        ("a failure that is plain text", 502, marked.clone().into()),
        ("a Status", 500, status("etcdserver: request timed out").to_string().into()),
        ("a redirection", 302, good.into()),
    ]
}

/// Everything that comes of these Secrets is searched.
async fn unreadable() {
    let metadata = TenantName { namespace: "n".to_owned(), name: "t".to_owned() };
    for (name, status, body) in answers() {
        let answer = move || std::future::ready((StatusCode::from_u16(status).unwrap(), Bytes::from(body.clone())));
        let client = kube_client(Router::new().fallback(answer)).await.unwrap();
        let secrets = Secrets::new(client, 0, Budget::default());
        let id = TenantId { uid: "u".to_owned(), generation: 1, name: metadata.clone() };
        for entry in ["c", "openstack"] {
            let found = secrets.config(&id, &target(entry), entry).await;
            assert!(found.is_err(), "{name}: it was read");
            search(name, &format!("{found:?}"));
        }
    }
}

/// Uses each of these, beside the matrix.
pub async fn run() {
    tokio::join!(access_keys(), user_information(), unreadable());
}
