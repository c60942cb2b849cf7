//! Checks that a standby has the rights to take over, so that it becomes Ready only if it can.

use std::time::Duration;

use kube::{
    Client, Resource as _,
    api::{ListParams, Request},
};

use crate::{
    api::CloudTenant,
    cluster::{
        api_server,
        readiness::{Readiness, Requirement},
    },
};

/// Wait before the standby retries.
const RETRY: Duration = Duration::from_secs(5);

/// Longest wait for the API server.
const DEADLINE: Duration = Duration::from_secs(10);

/// Returns once the CloudTenants of these namespaces (all if empty) can be listed. Until then, the readiness names
/// those that cannot. A refused namespace, which may be gone, prevents nothing while another one can be listed.
pub async fn until_allowed(client: Client, namespaces: Vec<String>, readiness: Readiness) {
    readiness.lacks(Requirement::Rights, "no CloudTenants have been listed yet");
    let mut paths: Vec<(String, String)> = namespaces
        .into_iter()
        .map(|name| (format!("namespace {name}"), CloudTenant::url_path(&(), Some(&name))))
        .collect();
    if paths.is_empty() {
        paths.push(("all namespaces".to_owned(), CloudTenant::url_path(&(), None)));
    }
    let all = paths.len();
    loop {
        let mut failed = Vec::new();
        let mut whys = Vec::new();
        let mut refused = 0;
        for (name, path) in paths {
            let why = match tokio::time::timeout(DEADLINE, list_one(&client, &path)).await {
                Ok(Ok(_)) => continue,
                Ok(Err(error)) => {
                    refused += usize::from(api_server::is_refused(&error));
                    error.to_string()
                }
                Err(_) => "no answer in time".to_owned(),
            };
            whys.push(format!("the CloudTenants of {name} cannot be listed: {why}"));
            failed.push((name, path));
        }
        if failed.len() == refused && refused < all {
            whys.iter().for_each(|why| tracing::warn!("{why}"));
            return readiness.has(Requirement::Rights);
        }
        readiness.lacks(Requirement::Rights, &whys.join("; "));
        paths = failed;
        tokio::time::sleep(RETRY).await;
    }
}

/// Only the status of the answer matters, so the list is not parsed.
async fn list_one(client: &Client, path: &str) -> Result<(), kube::Error> {
    let request = Request::new(path).list_metadata(&ListParams::default().limit(1));
    client.request_text(request.map_err(kube::Error::BuildRequest)?).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The API server's answers for namespaces a, b and c, and whether the standby could take over.
    #[tokio::test(start_paused = true)]
    async fn a_refused_namespace_prevents_nothing_while_another_can_be_listed() {
        for (codes, allowed) in [
            ([200, 200, 200], true),
            ([200, 403, 200], true),
            ([403, 403, 200], true),
            ([403, 403, 403], false),
            ([200, 403, 503], false),
            ([200, 200, 500], false),
        ] {
            let server = axum::Router::new().fallback(async move |uri: axum::http::Uri| {
                let index = ["/a/", "/b/", "/c/"].iter().position(|name| uri.path().contains(name)).unwrap();
                let code: u16 = codes[index];
                let status =
                    format!(r#"{{"kind":"Status","status":"Failure","code":{code},"message":"","reason":""}}"#);
                (axum::http::StatusCode::from_u16(code).unwrap(), status)
            });
            let client = testkit::router::kube_client(server).await.unwrap();
            let namespaces = ["a", "b", "c"].map(str::to_owned).to_vec();
            let could = until_allowed(client, namespaces, Readiness::default());
            assert_eq!(tokio::time::timeout(3 * RETRY, could).await.is_ok(), allowed, "{codes:?}");
        }
    }

    #[tokio::test]
    async fn the_list_is_not_parsed() {
        let deep =
            format!(r#"{{"items":[{{"metadata":{{"managedFields":{}{}}}}}]}}"#, "[".repeat(150), "]".repeat(150));
        let server = axum::Router::new().fallback(async move || deep);
        let client = testkit::router::kube_client(server).await.unwrap();
        for path in ["all namespaces", "one namespace"] {
            let namespaces = (path == "one namespace").then(|| "n".to_owned()).into_iter().collect();
            let allowed = until_allowed(client.clone(), namespaces, Readiness::default());
            assert!(tokio::time::timeout(RETRY, allowed).await.is_ok(), "{path}");
        }
    }
}
