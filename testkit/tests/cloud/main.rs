//! The simulated cloud beside the recordings of real services and the examples of their documents.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod behaviour;
mod engines;
mod recordings;

use std::sync::LazyLock;

use jiff::Timestamp;
use reqwest::{Client, Response, redirect::Policy};
use serde_json::{Value, json};
use testkit::cloud::{ADMIN_PROJECT, Service, SimulatedCloud};

/// The tenant of the recordings that has servers.
const TENANT: &str = "19d0118a65504f1f96b57a965386b36a";

fn client_builder() -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().redirect(Policy::none())
}

/// One for all tests; it keeps no connection, which would end with the runtime of the test that opened it.
fn client() -> Client {
    static CLIENT: LazyLock<Client> = LazyLock::new(|| client_builder().pool_max_idle_per_host(0).build().unwrap());
    CLIENT.clone()
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

async fn log_in(cloud: &SimulatedCloud, user: &str, password: &str, project: &str) -> String {
    let body = json!({"auth": {
        "identity": {
            "methods": ["password"],
            "password": {"user": {"name": user, "domain": {"id": "default"}, "password": password}},
        },
        "scope": {"project": {"id": project}},
    }});
    let url = format!("{}/auth/tokens", cloud.auth_url());
    let response = client().post(url).json(&body).send().await.unwrap();
    assert_eq!(response.status(), 201);
    response.headers()["x-subject-token"].to_str().unwrap().to_owned()
}

async fn operator(cloud: &SimulatedCloud) -> String {
    log_in(cloud, "operator", "operator-secret", ADMIN_PROJECT).await
}

async fn get(url: &str, token: &str) -> Response {
    client().get(url).header("x-auth-token", token).send().await.unwrap()
}

async fn engines(cloud: &SimulatedCloud, token: &str) -> (u16, Value) {
    let response = get(&format!("{}/services", cloud.endpoint(Service::Heat)), token).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Host, status and last report of each row, in order.
fn rows(body: &Value) -> Vec<[String; 3]> {
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let services = body["services"].as_array().unwrap().iter();
    let mut rows: Vec<_> =
        services.map(|row| [text(row, "host"), text(row, "status"), text(row, "updated_at")]).collect();
    rows.sort();
    rows
}

/// Keys and types, values left out; a list is the set of its elements' shapes.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
        Value::Array(elements) => {
            let mut shapes: Vec<Value> = elements.iter().map(shape).collect();
            shapes.sort_by_key(Value::to_string);
            shapes.dedup();
            Value::Array(shapes)
        }
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
    }
}
