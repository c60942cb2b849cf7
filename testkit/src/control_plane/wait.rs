//! Waiting for the state of an object, by a watch: a test goes on the moment it may, and never sleeps.

use std::{
    fmt::Debug,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, anyhow, bail};
use kube::{Api, Resource, runtime::wait::await_condition};
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
    match time::timeout(timeout, await_condition(api, name, remember)).await {
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
