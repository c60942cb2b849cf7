//! Whether a process that stands by could work if it led: a Pod that could not must not take the place of one that can.

use std::time::Duration;

use kube::{Api, Client, api::ListParams};

use crate::{
    api::CloudTenant,
    server::{Part, Readiness},
};

/// How soon what failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// How long the API server may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Returns once the CloudTenants of all these namespaces could be listed, of all if none is named. Until then the
/// readiness says which ones could not.
pub async fn until_allowed(client: Client, namespaces: Vec<String>, readiness: Readiness) {
    readiness.lacks(Part::Rights, "no CloudTenants have been listed yet");
    let mut apis: Vec<(String, Api<CloudTenant>)> = namespaces
        .into_iter()
        .map(|name| (format!("namespace {name}"), Api::namespaced(client.clone(), &name)))
        .collect();
    if apis.is_empty() {
        apis.push(("all namespaces".to_owned(), Api::all(client)));
    }
    loop {
        let mut failed = Vec::new();
        let mut whys = Vec::new();
        for (name, api) in apis {
            let one = ListParams::default().limit(1);
            let why = match tokio::time::timeout(DEADLINE, api.list_metadata(&one)).await {
                Ok(Ok(_)) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer in time".to_owned(),
            };
            whys.push(format!("the CloudTenants of {name} cannot be listed: {why}"));
            failed.push((name, api));
        }
        if failed.is_empty() {
            return readiness.has(Part::Rights);
        }
        readiness.lacks(Part::Rights, &whys.join("; "));
        apis = failed;
        tokio::time::sleep(RETRY).await;
    }
}
