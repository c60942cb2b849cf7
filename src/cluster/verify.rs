//! The check behind `helm test`. All Pods of an installed operator must be ready. Its account must have the rights that
//! it needs, and no unneeded right to list Secrets.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use k8s_openapi::api::authorization::v1::{SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{Api, Client, api::PostParams};

use crate::cluster::rights::{Duties, rights, told};

/// Longest wait for an answer of the operator.
const DEADLINE: Duration = Duration::from_secs(10);
/// Number of consecutive answers that must say "ready". Each uses a new connection, which the Service sends to any Pod.
/// The check misses one unready Pod of two in 1 of 4 thousand million runs, and one of three in 1 of 400,000.
const ANSWERS: u32 = 32;
/// Time for which the check repeats failed requests. A Pod that an upgrade ends stays in the Service for a while.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// Reports each finding and returns whether all is correct.
///
/// # Errors
/// The Kubernetes API does not answer.
pub async fn verify(client: Client, url: &str, duties: &Duties, report: impl Fn(&str)) -> anyhow::Result<bool> {
    let mut correct = true;
    match ready(url, PATIENCE).await {
        Ok(()) => report(&format!("ready: {url}")),
        Err(error) => {
            correct = false;
            report(&format!("NOT READY: {error:#}"));
        }
    }
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client);
    for (right, needed) in rights(duties) {
        let named = told(&right);
        let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(right), ..Default::default() };
        let review = SelfSubjectAccessReview { spec, ..Default::default() };
        let reviewed = reviews.create(&PostParams::default(), &review).await.context("the account's rights")?;
        let allowed = reviewed.status.is_some_and(|status| status.allowed);
        correct &= allowed == needed;
        report(&match (allowed, needed) {
            (true, true) => format!("may {named}"),
            (false, false) => format!("may not {named}, as it should be"),
            (false, true) => format!("MAY NOT {named}, and has to: look at the account's roles"),
            (true, false) => format!("MAY {named}, and should not: look at the account's roles"),
        });
    }
    Ok(correct)
}

async fn ready(url: &str, patience: Duration) -> anyhow::Result<()> {
    // The operator is in the same cluster, so no proxy applies. Connections are not reused, since the next may lead to
    // another Pod.
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(DEADLINE).build()?;
    let url = format!("{}/readyz", url.trim_end_matches('/'));
    let began = Instant::now();
    loop {
        match all_ready(&client, &url).await {
            Err(_) if began.elapsed() < patience => tokio::time::sleep(PAUSE).await,
            done => return done,
        }
    }
}

async fn all_ready(client: &reqwest::Client, url: &str) -> anyhow::Result<()> {
    for _ in 0..ANSWERS {
        let answer = client.get(url).send().await.with_context(|| url.to_owned())?;
        let status = answer.status();
        if !status.is_success() {
            bail!("{url}: {status} {}", answer.text().await.unwrap_or_default());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
    };

    use super::*;

    /// A Service that sends each connection to another Pod, with a counter of the connections. `lacks` determines what
    /// the Pod lacks by the connection's number.
    fn service(lacks: fn(usize) -> Option<&'static str>) -> (String, Arc<AtomicUsize>) {
        // reqwest is built without a TLS provider of its own. Another test may have installed one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        thread::spawn(move || {
            for mut connection in listener.incoming().map(Result::unwrap) {
                let lacks = lacks(counted.fetch_add(1, Ordering::Relaxed));
                let answer = lacks.map_or_else(
                    || "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(),
                    |what| format!("HTTP/1.1 503 Unavailable\r\ncontent-length: {}\r\n\r\n{what}", what.len()),
                );
                thread::spawn(move || {
                    // A request arrives in one piece.
                    while connection.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {
                        connection.write_all(answer.as_bytes()).unwrap();
                    }
                });
            }
        });
        (url, connections)
    }

    #[tokio::test]
    async fn a_pod_that_is_not_ready_is_found_behind_one_that_is() {
        let (url, _) = service(|connection| (connection == 5).then_some("cannot list CloudTenants"));
        let error = ready(&url, Duration::ZERO).await.unwrap_err().to_string();
        assert!(error.contains("/readyz: 503") && error.contains("cannot list CloudTenants"), "{error}");
        let (url, connections) = service(|_| None);
        ready(&url, Duration::ZERO).await.unwrap();
        assert_eq!(connections.load(Ordering::Relaxed), ANSWERS as usize, "each on a connection of its own");
    }

    #[tokio::test]
    async fn a_pod_that_terminates_meanwhile_is_waited_for() {
        let (url, _) = service(|connection| (connection == 1).then_some("stopping"));
        ready(&url, PATIENCE).await.unwrap();
    }
}
