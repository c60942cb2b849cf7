//! The controller of CloudTenantSets. It runs only with `--tenant-sets`, and only where the first shard is served, so that
//! one process writes the CloudTenants of a set.
//!
//! A pass over a set is four steps in `pass`: list the projects, read the namespace's CloudTenants, decide
//! ([`crate::decide::set`]), write. Docs: docs/decisions/0063.

mod children;
mod keystones;
mod listing;
mod pace;
mod pass;
mod served;
mod state;
mod write;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::SeqCst},
    time::Duration,
};

use futures::{StreamExt as _, future::join_all, stream};
use keystones::Keystones;
use kube::{Api, Client, Resource as _, runtime::watcher::Event};
use served::Served;
use state::State;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    cluster::{
        api_server::{self, AfterError, Lists},
        context::{Context, SetSettings},
        passes::{self, Begun},
        readiness::{Readiness, Requirement},
        schema,
    },
    decide::set::Claims,
    identity::TenantName,
    share::{Priority, Shares, Sharing, Turn, on_behalf_of},
    watched::{
        object::WatchedSet,
        store::{Store, Writer},
    },
};

/// Wait until the operator checks an insufficient CRD of sets again.
const SCHEMA_RETRY: Duration = Duration::from_secs(30);

/// Wait until the operator checks whether there is room for another set.
const ROOM_RETRY: Duration = Duration::from_secs(300);

/// Number of passes that run at a time. Each may hold 20,000 projects and 100,000 CloudTenants.
const PASSES: u32 = 8;

/// Interval at which the operator drops the state of deleted sets.
const SWEEP: Duration = Duration::from_secs(30);

/// The controller of CloudTenantSets.
pub struct Controller {
    client: Client,
    context: Arc<Context>,
    settings: SetSettings,
    /// The passes that run at a time. A list of projects is in memory for as long as its pass takes.
    turns: Shares,
    /// Those of them that wait for Keystone.
    keystones: Keystones,
    /// The page of CloudTenants that is read.
    pages: Shares,
    served: Served,
    states: Mutex<HashMap<String, Arc<tokio::sync::Mutex<State>>>>,
    /// What each set wants, by its UID.
    claims: Mutex<HashMap<String, Claims>>,
}

/// Serves the sets of these scopes, a namespace each or all, until the shutdown. The process is not ready while the CRD of sets is missing, and
/// serves CloudTenants all the same.
pub async fn run(
    client: Client,
    scopes: Vec<(Option<String>, Api<WatchedSet>)>,
    (context, settings): (Arc<Context>, SetSettings),
    lists: Lists,
    readiness: Readiness,
    shutdown: CancellationToken,
) {
    let _ended = Ended { context: context.clone(), readiness: readiness.clone() };
    if shutdown.run_until_cancelled(until_schema(&client, &readiness)).await.is_none() {
        return;
    }
    let controller = Arc::new(Controller {
        client,
        context,
        settings,
        turns: Shares::new(PASSES, Sharing::LeavesAsMuch),
        keystones: Keystones::default(),
        pages: Shares::new(1, Sharing::Everything),
        served: Served::default(),
        states: Mutex::default(),
        claims: Mutex::default(),
    });
    let watches = scopes.into_iter().map(|scope| controller.clone().watch(scope, &lists, &shutdown));
    let mut sweep = tokio::time::interval(SWEEP);
    let sweeping = async {
        loop {
            sweep.tick().await;
            controller.sweep();
        }
    };
    tokio::select! {
        _ = join_all(watches) => {}
        () = sweeping => {}
    }
}

/// Waits for a sufficient CRD of sets.
async fn until_schema(client: &Client, readiness: &Readiness) {
    let check = || schema::check_sets(client);
    schema::until_sufficient(readiness, Requirement::SetDefinition, SCHEMA_RETRY, check).await;
    readiness.has(Requirement::SetDefinition);
}

/// Clears what concerns sets when the run ends, also after a panic.
struct Ended {
    context: Arc<Context>,
    readiness: Readiness,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.context.sets.clear();
        self.readiness.has(Requirement::SetDefinition);
    }
}

impl Controller {
    /// Follows the sets of a namespace, or of all, until the shutdown.
    async fn watch(
        self: Arc<Self>,
        (namespace, api): (Option<String>, Api<WatchedSet>),
        lists: &Lists,
        shutdown: &CancellationToken,
    ) {
        let mut writer: Writer<WatchedSet> = Writer::default();
        let store = writer.store();
        let (sets, kept) = (self.context.sets.clone(), store.clone());
        let mut added = false;
        let changed = api_server::follow(api, lists.clone(), AfterError::Lists).flat_map(move |event| {
            let changed = event.as_ref().map(|event| writer.apply(event)).unwrap_or_default();
            match &event {
                Err(error) => {
                    let scope = api_server::scope_name(namespace.as_deref());
                    tracing::warn!(%error, "the watch on the CloudTenantSets of {scope}");
                }
                Ok(Event::InitDone) if !added => sets.add(namespace.clone(), kept.clone()),
                Ok(_) => {}
            }
            added |= matches!(event, Ok(Event::InitDone));
            sets.follow(namespace.as_deref(), event.is_ok());
            stream::iter(changed)
        });
        let pass = |name, begun| self.clone().turn(name, begun, store.clone());
        passes::run(std::pin::pin!(changed), pass, shutdown).await;
    }

    /// Runs one pass over a set when its turn comes. Returns when the next one starts.
    async fn turn(self: Arc<Self>, name: Arc<TenantName>, begun: Begun, store: Store<WatchedSet>) -> Option<Duration> {
        let namespace: Arc<str> = name.namespace.as_str().into();
        let turn = Turn::begin(&self.turns, namespace.clone(), Priority::Later);
        let mut turn = self.context.shutdown.run_until_cancelled(turn).await?;
        // Before the look into the store: a later change causes another pass.
        begun.store(true, SeqCst);
        let set = store.get(&name)?;
        if set.meta().deletion_timestamp.is_some() {
            return None;
        }
        let uid = set.meta().uid.clone().unwrap_or_default();
        let span = tracing::info_span!("set", namespace = name.namespace, name = name.name);
        if let Err(full) = self.served.admit(&uid, &name.namespace) {
            // A younger set that is served does not wait for it.
            self.claim(&uid, Claims::Unknown);
            self.refuse(&set, full).instrument(span).await;
            return Some(ROOM_RETRY);
        }
        let is_current = || {
            let now = store.get(&name);
            now.is_some_and(|now| {
                now.meta().deletion_timestamp.is_none()
                    && now.meta().uid == set.meta().uid
                    && now.meta().generation == set.meta().generation
            })
        };
        let pass = self.pass(&set, &is_current, &mut turn).instrument(span);
        Box::pin(on_behalf_of(namespace, pass)).await
    }

    /// Returns the state of the set with this UID. It is empty at first.
    fn state(&self, uid: &str) -> Arc<tokio::sync::Mutex<State>> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.entry(uid.to_owned()).or_default().clone()
    }

    /// What the sets want.
    fn claims(&self) -> HashMap<String, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what a set wants.
    fn claim(&self, uid: &str, claims: Claims) {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned(), claims);
    }

    /// Notes that a list failed. What the set wanted before still counts.
    fn miss_claims(&self, uid: &str) {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let claim = claims.entry(uid.to_owned()).or_insert(Claims::Unknown);
        if matches!(claim, Claims::Waiting) {
            *claim = Claims::Unknown;
        }
    }

    /// Drops the state of deleted sets.
    fn sweep(&self) {
        let sets = self.context.sets.all();
        let alive: std::collections::HashSet<_> = sets.iter().filter_map(|set| set.meta().uid.as_deref()).collect();
        self.served.retain(|uid| alive.contains(uid));
        self.keystones.sweep();
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| alive.contains(uid.as_str()));
        self.states.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| alive.contains(uid.as_str()));
    }
}
