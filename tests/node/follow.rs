//! What happens to the Lease and to events, with the time of it: by watches, so that nothing is missed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt as _, watcher},
};
use tokio::{sync::watch, task::JoinHandle, time};

/// One state of the Lease.
#[derive(Debug, Clone)]
pub struct Held {
    pub at: Instant,
    pub by: String,
}

/// All states of a Lease from when this was started.
pub struct Leaders {
    states: watch::Receiver<Vec<Held>>,
    task: JoinHandle<()>,
}

impl Leaders {
    pub fn follow(client: &Client, namespace: &str, name: &str) -> Self {
        let (sender, states) = watch::channel(Vec::new());
        let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
        let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let task = tokio::spawn(async move {
            let mut leases = watcher(api, only).default_backoff().applied_objects().boxed();
            while let Ok(Some(lease)) = leases.try_next().await {
                let by = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
                sender.send_modify(|states| states.push(Held { at: Instant::now(), by }));
            }
        });
        Self { states, task }
    }

    /// The first state from then on that will do.
    pub async fn from(&self, then: Instant, limit: Duration, will_do: impl Fn(&Held) -> bool) -> Result<Held> {
        let find = |states: &Vec<Held>| states.iter().find(|held| held.at >= then && will_do(held)).cloned();
        let mut states = self.states.clone();
        match time::timeout(limit, states.wait_for(|states| find(states).is_some())).await {
            Ok(states) => find(&*states?).context("the Lease changed meanwhile"),
            Err(_) => Err(anyhow!("not within {limit:?}; the Lease's last state: {:?}", self.states.borrow().last())),
        }
    }
}

impl Drop for Leaders {
    fn drop(&mut self) {
        self.task.abort();
    }
}
