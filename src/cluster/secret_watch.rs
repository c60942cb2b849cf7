//! With the right to watch Secrets, the operator acts on a changed Secret at once instead of at its next read. It
//! watches only metadata. It reads contents only of Secrets that CloudTenants name.

use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Resource as _, runtime::watcher};

use crate::{
    cluster::{
        api_server::{self, AfterError, Lists},
        context::Context,
    },
    identity::TenantName,
    watched::{object::Outline, roster::Roster},
};

/// Follows the Secrets without end. While the watch is broken, the operator reads Secrets as often as without one.
/// After a new list it reads all again, because deleted Secrets are not in the list.
pub async fn follow(api: Api<Outline<Secret>>, lists: Lists, context: Arc<Context>, roster: Roster) {
    let mut events = std::pin::pin!(api_server::follow(api, lists, AfterError::Resumes));
    let mut listens = false;
    while let Some(event) = events.next().await {
        let (works, secret) = match event {
            // This also holds after an error: a watch that resumes lists nothing and has missed nothing.
            Ok(watcher::Event::Apply(secret) | watcher::Event::Delete(secret)) => (true, Some((secret, true))),
            Ok(watcher::Event::InitApply(secret)) => (listens, Some((secret, false))),
            Ok(watcher::Event::Init) => (false, None),
            Ok(watcher::Event::InitDone) => {
                context.secrets.expire_all();
                (true, None)
            }
            Err(error) => {
                tracing::warn!(%error, "the watch on Secrets");
                (false, None)
            }
        };
        if works != listens {
            context.secrets.listens(works);
            listens = works;
        }
        if let Some((secret, is_change)) = secret {
            changed(&secret, is_change, &context, &roster).await;
        }
    }
}

/// `is_change` means that the Secret has just changed. Otherwise it is in a list, and matters only if its version
/// differs from the known one.
async fn changed(secret: &Outline<Secret>, is_change: bool, context: &Context, roster: &Roster) {
    let meta = secret.meta();
    let (Some(namespace), Some(name)) = (&meta.namespace, &meta.name) else { return };
    let known = context.secrets.known(namespace, name);
    let same = known.is_some() && known == Some(meta.resource_version.clone());
    if same || (known.is_none() && !is_change) {
        return;
    }
    context.secrets.expire(namespace, name);
    let concerned = roster.all().into_iter().filter_map(|tenant| {
        let named = tenant.secret_name() == Some(name);
        (named && tenant.name.namespace == *namespace).then(|| TenantName::clone(&tenant.name))
    });
    for tenant in concerned.collect::<Vec<_>>() {
        let _ = context.wake.send(tenant).await;
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, http::HeaderMap};
    use tokio::sync::mpsc;

    use super::*;
    use crate::cluster::api_server::metadata_only;

    /// Contents of Secrets that no CloudTenant names must not come into this process.
    #[tokio::test]
    async fn only_metadata_of_secrets_is_requested() {
        let (accepts, mut accepted) = mpsc::unbounded_channel();
        let app = Router::new().fallback(async move |headers: HeaderMap| {
            let accept = headers.get_all("accept").iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>();
            accepts.send(accept.join(",")).unwrap();
            axum::http::StatusCode::UNPROCESSABLE_ENTITY
        });
        let client = testkit::router::kube_client(app).await.unwrap();
        let api: Api<Outline<Secret>> = Api::all(metadata_only(&client));
        let mut events = std::pin::pin!(api_server::follow(api, Lists::default(), AfterError::Resumes));
        for kind in ["a stream", "a page"] {
            while !matches!(events.next().await, Some(Err(_))) {}
            let accept = accepted.recv().await.unwrap();
            assert!(accept.split(',').all(|range| range.contains("as=PartialObjectMetadata")), "{kind}: {accept}");
        }
    }
}
