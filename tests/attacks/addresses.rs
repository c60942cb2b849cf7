//! Addresses that a tenant makes the operator call, to get where only the operator's Pod can get.

use std::{
    net::TcpListener,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use axum::{Router, body::Body, http::Uri, response::Response};
use cloudtenant_operator::api::CloudTenant;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, api::PostParams};
use serde_json::{Value, json};
use testkit::{control_plane::wait, operator::Operator};

use crate::{
    hostile::token,
    scene::{ACCOUNT, PROGRAM, PROJECT, secret, shared, tenant},
};

const SOON: Duration = Duration::from_secs(60);
const PAGE: &str = include_str!("../../docs/attacks.md");

/// What follows "is not called, since". A name that this machine's resolver does not know is no address either.
pub enum Verdict {
    Refused(&'static str),
    RefusedOrUnknown(&'static str),
}

use Verdict::{Refused, RefusedOrUnknown};

const LOOPBACK: &str = "its address is a loopback address";
const LINK_LOCAL: &str = "its address is a link-local address";
const METADATA: &str = "its address is the address of a cloud's metadata service";
const UNSPECIFIED: &str = "its address is an unspecified address";
const API_SERVER: &str = "its address is the address of the Kubernetes API server";
const REDIRECT: &str = "the service redirected to another address";

/// PORT is that of a server on 127.0.0.1 and ::1, API that of the API server, and ATTACKER a server that may be called.
pub const AUTH_URLS: &[(&str, Verdict)] = &[
    ("http://127.0.0.1:PORT/v3", Refused(LOOPBACK)),
    ("http://127.1:PORT/v3", Refused(LOOPBACK)),
    ("http://2130706433:PORT/v3", Refused(LOOPBACK)),
    ("http://0x7f.1:PORT/v3", Refused(LOOPBACK)),
    ("http://017700000001:PORT/v3", Refused(LOOPBACK)),
    ("http://１２７.0.0.1:PORT/v3", Refused(LOOPBACK)),
    ("http://localhost:PORT/v3", Refused(LOOPBACK)),
    ("http://LOCALHOST:PORT/v3", Refused(LOOPBACK)),
    ("http://localhost.:PORT/v3", RefusedOrUnknown(LOOPBACK)),
    ("http://[::1]:PORT/v3", Refused(LOOPBACK)),
    ("http://[::ffff:127.0.0.1]:PORT/v3", Refused(LOOPBACK)),
    ("http://[::127.0.0.1]:PORT/v3", Refused(LOOPBACK)),
    ("http://[64:ff9b::7f00:1]:PORT/v3", Refused(LOOPBACK)),
    ("http://[64:ff9b:1::7f00:1]:PORT/v3", Refused(LOOPBACK)),
    ("http://[2002:7f00:1::]:PORT/v3", Refused(LOOPBACK)),
    ("http://[2001:0:4136:e378:8000:63bf:80ff:fffe]:PORT/v3", Refused(LOOPBACK)),
    ("http://0.0.0.0:PORT/v3", Refused(UNSPECIFIED)),
    ("http://[::]:PORT/v3", Refused(UNSPECIFIED)),
    ("http://169.254.169.254/v3", Refused(LINK_LOCAL)),
    ("http://[64:ff9b::a9fe:a9fe]/v3", Refused(LINK_LOCAL)),
    ("http://[fe80::1]/v3", Refused(LINK_LOCAL)),
    ("http://100.100.100.200/v3", Refused(METADATA)),
    ("http://168.63.129.16/v3", Refused(METADATA)),
    ("http://[fd00:ec2::254]/v3", Refused(METADATA)),
    ("https://127.0.0.1:API/v3", Refused(API_SERVER)),
    ("http://ATTACKER/to-metadata/v3", Refused(REDIRECT)),
    ("http://ATTACKER/to-loopback/v3", Refused(REDIRECT)),
];

/// Addresses that a login's catalogue has for Heat.
const CATALOGUE: &[(&str, &str)] = &[("http://127.0.0.1:PORT", LOOPBACK), ("http://[::ffff:a9fe:a9fe]", LINK_LOCAL)];

/// Counts what connects to 127.0.0.1 and ::1 at one port.
struct Forbidden {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Forbidden {
    fn start() -> Self {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        // A machine may have no IPv6.
        for listener in [Some(first), TcpListener::bind(("::1", port)).ok()].into_iter().flatten() {
            let connections = connections.clone();
            thread::spawn(move || {
                for _ in listener.incoming() {
                    connections.fetch_add(1, SeqCst);
                }
            });
        }
        Self { port, connections }
    }
}

/// A server on 127.0.0.3, which the operator of this test may call.
async fn attacker(port: u16) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.3:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let catalogue = |url: &str| token(&url.replace("PORT", &port.to_string()), "/v1", "tenant");
    let tokens: Vec<_> = CATALOGUE.iter().map(|(url, _)| catalogue(url)).collect();
    let app = Router::new().fallback(move |uri: Uri| {
        let answer = match uri.path().split('/').nth(1).unwrap() {
            "to-metadata" => redirect("http://169.254.169.254/latest/meta-data"),
            "to-loopback" => redirect(&format!("http://127.0.0.1:{port}/v3/auth/tokens")),
            number => {
                let token = tokens[number.parse::<usize>().unwrap()].clone();
                Response::builder().status(201).header("x-subject-token", "t").body(Body::from(token)).unwrap()
            }
        };
        std::future::ready(answer)
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn redirect(to: &str) -> Response {
    Response::builder().status(307).header("location", to).body(Body::empty()).unwrap()
}

pub async fn add(client: &Client, namespace: &str, name: &str, auth_url: &str) {
    let auth = format!("username: u, password: p, user_domain_id: d, project_id: {PROJECT}");
    let yaml = format!("clouds: {{openstack: {{auth: {{auth_url: '{auth_url}', {auth}}}}}}}");
    let secret: Secret = serde_json::from_value(secret(name, &[("clouds.yaml", yaml.as_bytes())])).unwrap();
    Api::namespaced(client.clone(), namespace).create(&PostParams::default(), &secret).await.unwrap();
    let tenant: CloudTenant = serde_json::from_value(tenant(name, name, &json!({}))).unwrap();
    Api::namespaced(client.clone(), namespace).create(&PostParams::default(), &tenant).await.unwrap();
}

/// The reason and the message of a condition, and whether the CloudTenant is Stalled.
fn condition(tenant: &CloudTenant, name: &str) -> (String, String, bool) {
    let status = serde_json::to_value(&tenant.status).unwrap();
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let find = |name: &str| conditions.iter().find(|condition| condition["type"] == name).cloned();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found = find(name).unwrap_or_default();
    (text(&found["reason"]), text(&found["message"]), find("Stalled").is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_only_the_operator_reaches() {
    let control_plane = shared().await;
    let client = control_plane.client().await.unwrap();
    let namespace = control_plane.namespace("addresses").await.unwrap();
    let kubeconfig = control_plane.kubeconfig_for_service_account(ACCOUNT.namespace, ACCOUNT.name).await.unwrap();
    let server = kubeconfig.clusters[0].cluster.as_ref().unwrap().server.clone().unwrap();
    let api = server.trim_end_matches('/').rsplit(':').next().unwrap().to_owned();
    let forbidden = Forbidden::start();
    let attacker = attacker(forbidden.port).await;
    let fill = |url: &str| {
        let url = url.replace("PORT", &forbidden.port.to_string());
        url.replace("API", &api).replace("ATTACKER", &attacker)
    };
    let mut expected = Vec::new();
    for (number, (url, verdict)) in AUTH_URLS.iter().enumerate() {
        let name = format!("url-{number}");
        add(&client, &namespace, &name, &fill(url)).await;
        let (since, unknown) = match verdict {
            Refused(since) => (*since, false),
            RefusedOrUnknown(since) => (*since, true),
        };
        expected.push((name, *url, "CachesHealthy", since, unknown));
    }
    for (number, (url, since)) in CATALOGUE.iter().enumerate() {
        let name = format!("catalogue-{number}");
        add(&client, &namespace, &name, &format!("http://{attacker}/{number}/v3")).await;
        expected.push((name, *url, "EnginesHealthy", *since, false));
    }
    let environment = [("WATCH_NAMESPACE", namespace.as_str()), ("ALLOW_CLOUD_CIDR", "127.0.0.3/32")];
    let _operator = Operator::start_with(&kubeconfig, Path::new(PROGRAM), &environment).await.unwrap();

    let mut missing = Vec::new();
    for (name, url, type_, since, unknown) in expected {
        let tenants: Api<CloudTenant> = Api::namespaced(client.clone(), &namespace);
        let told = |tenant: &CloudTenant| !matches!(condition(tenant, type_).0.as_str(), "" | "Progressing");
        let tenant = wait::until(tenants, &name, "has been visited", SOON, told).await.unwrap();
        let (reason, message, stalled) = condition(&tenant, type_);
        let refused = reason == "AddressRefused" && message.contains(&format!(" is not called, since {since}: "));
        let unresolved = unknown && reason == "DNSFailed";
        assert!(refused && stalled || unresolved, "{url}: {reason} {message}");
        for address in ["127.0.0.1", "169.254.169.254", "::1", &forbidden.port.to_string()] {
            assert!(!message.contains(address), "{url}: {message}");
        }
        let row = format!("| `{url}` | {since} |");
        if !PAGE.contains(&row) {
            missing.push(row);
        }
    }
    assert_eq!(forbidden.connections.load(SeqCst), 0, "the operator connected");
    assert!(missing.is_empty(), "docs/attacks.md lacks these rows:\n{}", missing.join("\n"));
}
