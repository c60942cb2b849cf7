//! What `helm test` runs: whether an installed operator is ready, and whether its account has the rights that it
//! needs and no right to list Secrets that it does not.

use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::authorization::v1::{SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{Api, Client, api::PostParams};

use crate::rights::{Duties, rights, told};

/// How long the operator may take to answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Tells each finding, and whether all is as it should be.
///
/// # Errors
/// The Kubernetes API does not answer.
pub async fn verify(client: Client, url: &str, duties: &Duties, tell: impl Fn(&str)) -> anyhow::Result<bool> {
    let mut fine = true;
    match ready(url).await {
        Ok(()) => tell(&format!("ready: {url}")),
        Err(error) => {
            fine = false;
            tell(&format!("NOT READY: {error:#}"));
        }
    }
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client);
    for (right, needed) in rights(duties) {
        let named = told(&right);
        let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(right), ..Default::default() };
        let review = SelfSubjectAccessReview { spec, ..Default::default() };
        let reviewed = reviews.create(&PostParams::default(), &review).await.context("the account's rights")?;
        let allowed = reviewed.status.is_some_and(|status| status.allowed);
        fine &= allowed == needed;
        tell(&match (allowed, needed) {
            (true, true) => format!("may {named}"),
            (false, false) => format!("may not {named}, as it should be"),
            (false, true) => format!("MAY NOT {named}, and has to: look at the account's roles"),
            (true, false) => format!("MAY {named}, and should not: look at the account's roles"),
        });
    }
    Ok(fine)
}

async fn ready(url: &str) -> anyhow::Result<()> {
    // Nothing of a proxy: it is the neighbour.
    let client = reqwest::Client::builder().no_proxy().timeout(DEADLINE).build()?;
    let url = format!("{}/readyz", url.trim_end_matches('/'));
    let answer = client.get(&url).send().await.with_context(|| url.clone())?;
    let status = answer.status();
    if !status.is_success() {
        bail!("{url}: {status} {}", answer.text().await.unwrap_or_default());
    }
    Ok(())
}
