//! Everything that a tenant is told, with the time of it: by a watch, so nothing that came and went is missed.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use cloudtenant_operator::api::CloudTenant;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use tokio::{sync::watch, task::JoinHandle, time};

use crate::scenario::Seen;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Condition { type_: String, status: String, reason: String },
    Summary(String),
    Event { reason: String, note: String },
}

impl Entry {
    /// What is compared with what must not be seen.
    pub fn word(&self) -> Option<&str> {
        match self {
            Self::Condition { reason, .. } | Self::Event { reason, .. } => Some(reason),
            Self::Summary(_) => None,
        }
    }

    pub fn is(&self, seen: &Seen) -> bool {
        match (self, seen) {
            (Self::Condition { type_, status, reason }, Seen::Condition(a, b, c)) => {
                (type_.as_str(), status.as_str(), reason.as_str()) == (*a, *b, *c)
            }
            (Self::Summary(summary), Seen::Summary(wanted)) => summary == wanted,
            (Self::Event { reason, note }, Seen::Event(wanted, part)) => reason == wanted && note.contains(part),
            _ => false,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Condition { type_, status, reason } => write!(f, "{type_}={status} {reason}"),
            Self::Summary(summary) => write!(f, "engines {summary}"),
            Self::Event { reason, note } => write!(f, "event {reason}: {note}"),
        }
    }
}

pub type Entries = Vec<(Instant, Entry)>;

/// The record of one namespace's only tenant, from its beginning.
pub struct Record {
    entries: watch::Receiver<Entries>,
    tasks: [JoinHandle<()>; 2],
}

impl Record {
    pub fn start(client: &Client, namespace: &str) -> Self {
        let (sender, entries) = watch::channel(Entries::new());
        let add = sender.clone();
        let tenants: Api<CloudTenant> = Api::namespaced(client.clone(), namespace);
        let follow_tenant = async move {
            let mut before = BTreeMap::new();
            let mut tenants = watcher(tenants, watcher::Config::default()).default_backoff().applied_objects().boxed();
            while let Ok(Some(tenant)) = tenants.try_next().await {
                let now = told(&tenant);
                let news: Vec<_> = now.iter().filter(|(key, entry)| before.get(*key) != Some(*entry)).collect();
                let news: Vec<_> = news.into_iter().map(|(_, entry)| (Instant::now(), entry.clone())).collect();
                add.send_modify(|entries| entries.extend(news));
                before = now;
            }
        };
        let events: Api<Event> = Api::namespaced(client.clone(), namespace);
        let follow_events = async move {
            let mut known = HashSet::new();
            let mut events = watcher(events, watcher::Config::default()).default_backoff().applied_objects().boxed();
            while let Ok(Some(event)) = events.try_next().await {
                if known.insert(event.name_any()) {
                    let (reason, note) = (event.reason.unwrap_or_default(), event.note.unwrap_or_default());
                    sender.send_modify(|entries| entries.push((Instant::now(), Entry::Event { reason, note })));
                }
            }
        };
        Self { entries, tasks: [tokio::spawn(follow_tenant), tokio::spawn(follow_events)] }
    }

    pub fn entries(&self) -> Entries {
        self.entries.borrow().clone()
    }

    /// Waits until something holds for all that was seen up to now, and returns what it found.
    pub async fn until<T>(&self, limit: Duration, mut find: impl FnMut(&Entries) -> Option<T>) -> Result<T> {
        let mut entries = self.entries.clone();
        let mut found = None;
        let finding = entries.wait_for(|entries| {
            found = find(entries);
            found.is_some()
        });
        time::timeout(limit, finding).await.context("not in time")??;
        found.context("nothing found")
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn told(tenant: &CloudTenant) -> BTreeMap<String, Entry> {
    let Some(status) = &tenant.status else { return BTreeMap::new() };
    let conditions = status.conditions.iter().map(|condition| {
        let (type_, status, reason) = (condition.type_.clone(), condition.status.clone(), condition.reason.clone());
        (condition.type_.clone(), Entry::Condition { type_, status, reason })
    });
    let summary = status.engines.iter().map(|engines| (String::new(), Entry::Summary(engines.summary.clone())));
    conditions.chain(summary).collect()
}
