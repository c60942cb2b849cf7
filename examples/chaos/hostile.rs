//! CloudTenants that mean harm, among the honest ones. Each has the reasons that the pages promise, and costs the
//! others nothing.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    kubernetes::{Kubernetes, Shared, locked},
    truth::State,
    world::{Cloud, QUIET, tenant},
};

/// Seconds until they have their reasons: two time-outs of a login, with their retries.
const BOUND: f64 = 120.0;

/// A name, the keys of its Secret, and the reasons of the three conditions.
type Row<'a> = (&'a str, Option<Value>, [Vec<String>; 3]);

fn yaml(auth_url: &str) -> String {
    format!(
        "clouds: {{openstack: {{auth: {{auth_url: '{auth_url}', username: u, password: chaos-hostile, \
         user_domain_id: d, project_id: p}}}}}}"
    )
}

/// Creates them all.
///
/// # Errors
/// The API server does not take them.
pub async fn create(kubernetes: &Kubernetes, shared: &Shared, quiet: &Cloud) -> Result<()> {
    // It accepts, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let address = silent.local_addr()?;
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((connection, _)) = silent.accept().await {
            kept.push(connection);
        }
    });
    let bombs = format!("a: &a [{}]\nb: [*a, *a]\nclouds: *b\n", "x, ".repeat(10_000));
    let failed = |words: &[&str]| {
        [words.to_vec(), words.to_vec(), words.to_vec()]
            .map(|words| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    };
    let unknown_project = ["AllEnginesUp", "ProjectNotFound", "ProjectNotFound"].map(|word| vec![word.to_owned()]);
    let rows: [Row<'_>; 8] = [
        ("no-secret", None, failed(&["SecretNotFound"])),
        ("no-key", Some(json!({ "other": "x" })), failed(&["SecretKeyMissing"])),
        ("aliases", Some(json!({ "clouds.yaml": bombs })), failed(&["InvalidCloudConfig", "CloudNotFound"])),
        ("no-cloud", Some(json!({ "clouds.yaml": "clouds: {other: {}}" })), failed(&["CloudNotFound"])),
        ("metadata", Some(json!({ "clouds.yaml": yaml("http://169.254.169.254/v3") })), failed(&["AddressRefused"])),
        ("nobody", Some(json!({ "clouds.yaml": yaml("http://127.0.0.1:9/v3") })), failed(&["ConnectionFailed"])),
        (
            "silent",
            Some(json!({ "clouds.yaml": yaml(&format!("http://{address}/v3")) })),
            failed(&["Timeout", "ConnectionFailed"]),
        ),
        ("project", Some(json!({ "clouds.yaml": quiet.sim.clouds_yaml("openstack") })), unknown_project),
    ];
    locked(shared).keep_secret("chaos-hostile");
    for (name, secret, words) in rows {
        let name = format!("hostile-{name}");
        if let Some(keys) = &secret {
            kubernetes.secret(&name, Some(keys)).await?;
        }
        let states = words.map(|words| State {
            words: words.into_iter().collect(),
            // A first failure is no verdict.
            meanwhile: BTreeSet::from(["Progressing".to_owned()]),
            fact: None,
        });
        locked(shared).add(&name, QUIET, 1.0, states, BOUND);
        let mut object = tenant(&name, "nobodys-project", &name, &json!({}));
        object["metadata"]["annotations"] = json!({ "example.com/long": "x".repeat(100_000) });
        kubernetes.apply(&object).await?;
    }
    Ok(())
}
