//! Keeps every state that a namespace's CloudTenants go through. In the end kstatus, Flux and Argo CD have to say of
//! each what docs/gitops.md says that they do.

use std::{
    collections::HashSet,
    future::ready,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use cloudtenant_operator::api::CloudTenant;
use futures::StreamExt as _;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
    runtime::{WatchStreamExt as _, watcher},
};
use tokio::task::JoinHandle;

use crate::verdict::judged;

pub struct Witness {
    seen: Arc<Mutex<HashSet<String>>>,
    watching: JoinHandle<()>,
}

impl Witness {
    pub fn of(client: Client, namespace: &str) -> Self {
        // Some tests store what is no CloudTenant by today's schema.
        let kind = ApiResource::erase::<CloudTenant>(&());
        let tenants: Api<DynamicObject> = Api::namespaced_with(client, namespace, &kind);
        let seen: Arc<Mutex<HashSet<String>>> = Arc::default();
        let into = seen.clone();
        let watch = watcher(tenants, watcher::Config::default()).applied_objects();
        let watching = tokio::spawn(watch.for_each(move |tenant| {
            if let Ok(tenant) = tenant {
                let text = serde_json::to_string(&tenant).unwrap();
                into.lock().unwrap_or_else(PoisonError::into_inner).insert(text);
            }
            ready(())
        }));
        Self { seen, watching }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.watching.abort();
        if thread::panicking() {
            return;
        }
        for text in self.seen.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            judged(&serde_json::from_str(&text).unwrap());
        }
    }
}
