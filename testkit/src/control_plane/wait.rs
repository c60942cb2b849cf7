//! Waiting for the state of an object, by a watch: a test goes on the moment it may, and never sleeps.

use std::{
    fmt::Debug,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, anyhow, bail};
use kube::{
    Api, Resource,
    runtime::{wait, watcher},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time;

/// Waits until an object exists and `condition` holds for it, and returns it as it was then.
///
/// `description` completes the sentence "the object …", for the error.
///
/// # Errors
/// The time is over: the error shows the object as it was last seen.
pub async fn until<K>(
    api: Api<K>,
    name: &str,
    description: &str,
    timeout: Duration,
    condition: impl Fn(&K) -> bool,
) -> Result<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Serialize + Send + 'static,
{
    watch(api, name, description, timeout, |object| object.is_some_and(&condition))
        .await?
        .ok_or_else(|| anyhow!("{name}: the watch ended without the object"))
}

/// Waits until there is no object of this name.
///
/// # Errors
/// The time is over: the error shows the object as it was last seen.
pub async fn until_gone<K>(api: Api<K>, name: &str, timeout: Duration) -> Result<()>
where
    K: Resource + Clone + Debug + DeserializeOwned + Serialize + Send + 'static,
{
    watch(api, name, "is gone", timeout, |object| object.is_none()).await.map(drop)
}

async fn watch<K>(
    api: Api<K>,
    name: &str,
    description: &str,
    timeout: Duration,
    condition: impl Fn(Option<&K>) -> bool,
) -> Result<Option<K>>
where
    K: Resource + Clone + Debug + DeserializeOwned + Serialize + Send + 'static,
{
    let last_seen = Mutex::new(None);
    let remember = |object: Option<&K>| {
        *last_seen.lock().unwrap_or_else(PoisonError::into_inner) = object.cloned();
        condition(object)
    };
    let path = format!("{}/{name}", api.resource_url());
    let watching = async {
        loop {
            match wait::await_condition(api.clone(), name, &remember).await {
                Err(error) if comes_later(&error) => time::sleep(Duration::from_millis(50)).await,
                done => return done,
            }
        }
    };
    match time::timeout(timeout, watching).await {
        Ok(Ok(object)) => Ok(object),
        Ok(Err(error)) => Err(anyhow!(error).context(format!("watch {path}"))),
        Err(_) => {
            let last_seen = last_seen.into_inner().unwrap_or_else(PoisonError::into_inner);
            let last_seen = match &last_seen {
                Some(object) => serde_json::to_string_pretty(object)?,
                None => "no object".to_owned(),
            };
            bail!("{path}: not true within {timeout:?}: \"{description}\"; last seen:\n{last_seen}")
        }
    }
}

/// The API server lists nothing for a moment after a definition has changed.
fn comes_later(error: &wait::Error) -> bool {
    let wait::Error::ProbeFailed(error) = error;
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 429,
        watcher::Error::WatchError(status) => status.code == 429,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn only_what_the_api_server_refuses_for_now_comes_later() {
        let refused = |code| {
            let status = Status::failure("storage is (re)initializing", "TooManyRequests").with_code(code);
            wait::Error::ProbeFailed(watcher::Error::InitialListFailed(kube::Error::Api(status.boxed())))
        };
        assert!(comes_later(&refused(429)));
        assert!(!comes_later(&refused(403)));
        assert!(!comes_later(&wait::Error::ProbeFailed(watcher::Error::NoResourceVersion)));
    }
}
