//! The watch on CloudTenants, and what runs over it.

mod changes;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _, future::join_all, stream::FuturesUnordered};
use jiff::Timestamp;
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    runtime::{
        Config, Controller, Predicate as _, PredicateConfig, WatchStreamExt as _,
        controller::{self, Action},
        predicates,
        reflector::{ObjectRef, Store, store::Writer},
        watcher,
    },
};
use tokio::{
    sync::{SetOnce, mpsc},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    context::{Context, PASSES, Settings},
    identity::TenantName,
    leader::Mandate,
    metrics::Metrics,
    reconcile::reconcile,
    roster::{Roster, Watched},
    secret_watch,
    server::Readiness,
};

type Routes = HashMap<Option<String>, mpsc::Sender<TenantName>>;

/// Who is to look again and has not been told yet.
const WAKES: usize = 1024;

/// How often what belongs to deleted tenants is forgotten.
const SWEEP: Duration = Duration::from_secs(30);

/// The controller, which may run several times in a process' life: each time that it leads.
pub struct Operator {
    client: Client,
    settings: Settings,
    metrics: Arc<Metrics>,
    roster: Roster,
}

/// One watch on CloudTenants, before it runs.
struct Watch {
    api: Api<Watched>,
    writer: Writer<Watched>,
    namespace: Option<String>,
    listed: Arc<SetOnce<()>>,
    woken: mpsc::Receiver<TenantName>,
}

/// A watch's first list.
struct Listing {
    namespace: Option<String>,
    store: Store<Watched>,
    /// Not the store's own `wait_until_ready`: it wakes only one of those who wait, and the controller does.
    listed: Arc<SetOnce<()>>,
}

impl Listing {
    fn name(&self) -> String {
        self.namespace.as_ref().map_or_else(|| "all namespaces".to_owned(), |name| format!("namespace {name}"))
    }

    async fn done(self) -> Self {
        self.listed.wait().await;
        self
    }
}

impl Operator {
    /// An operator. While it runs, the roster has the tenants that it watches.
    #[must_use]
    pub const fn new(client: Client, settings: Settings, metrics: Arc<Metrics>, roster: Roster) -> Self {
        Self { client, settings, metrics, roster }
    }

    /// Runs until the shutdown. Nothing is written outside of the mandate. It is ready once all tenants are known.
    pub async fn run(&self, mandate: Mandate, readiness: Readiness, shutdown: CancellationToken) {
        let (wake, woken) = mpsc::channel(WAKES);
        let context = Context::new(&self.client, &self.settings, mandate, self.metrics.clone(), wake, shutdown.clone());
        let context = Arc::new(context);
        let (routes, watches) = self.watches();
        let listings = watches.iter().map(Watch::listing).collect();
        let mut beside = JoinSet::new();
        beside.spawn(route(woken, routes));
        if self.settings.watch_secrets {
            for secrets in scoped(&self.client, &self.settings.namespaces) {
                beside.spawn(secret_watch::follow(secrets, context.clone(), self.roster.clone()));
            }
        }
        let _ended = Ended(self);
        let watching = join_all(watches.into_iter().map(|watch| watch.run(context.clone(), shutdown.clone())));
        tokio::select! {
            _ = watching => {}
            () = self.keep_roster(listings, &readiness, &context) => {}
        }
    }

    /// Takes in whose tenants are known, and forgets what belonged to deleted ones. Never ends.
    async fn keep_roster(&self, listings: Vec<Listing>, readiness: &Readiness, context: &Context) {
        let mut missing: BTreeSet<_> = listings.iter().map(Listing::name).collect();
        let mut listed: FuturesUnordered<_> = listings.into_iter().map(Listing::done).collect();
        let mut sweep = tokio::time::interval_at(Instant::now() + SWEEP, SWEEP);
        loop {
            if missing.is_empty() {
                readiness.ready();
            } else {
                let names = missing.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                readiness.lacks(&format!("the CloudTenants of {names} have not been listed yet: look at the log"));
            }
            self.metrics.synced(missing.is_empty());
            tokio::select! {
                Some(listing) = listed.next() => {
                    missing.remove(&listing.name());
                    self.roster.add(listing.store);
                }
                _ = sweep.tick() => {
                    let alive: HashSet<_> = self.roster.all().iter().filter_map(|tenant| tenant.uid()).collect();
                    context.retain(|uid| alive.contains(uid));
                }
            }
        }
    }

    /// A watch for each namespace, and who is woken there; the one of all namespaces goes by no name.
    fn watches(&self) -> (Routes, Vec<Watch>) {
        let namespaces = &self.settings.namespaces;
        let names: Vec<_> =
            if namespaces.is_empty() { vec![None] } else { namespaces.iter().cloned().map(Some).collect() };
        let apis = scoped(&self.client, namespaces);
        let watch = |(name, api)| {
            let (wake, woken) = mpsc::channel(WAKES);
            let watch =
                Watch { api, writer: Writer::default(), namespace: Clone::clone(&name), listed: Arc::default(), woken };
            ((name, wake), watch)
        };
        names.into_iter().zip(apis).map(watch).unzip()
    }
}

impl Watch {
    fn listing(&self) -> Listing {
        Listing { namespace: self.namespace.clone(), store: self.writer.as_reader(), listed: self.listed.clone() }
    }

    async fn run(self, context: Arc<Context>, shutdown: CancellationToken) {
        let store = self.writer.as_reader();
        let watch = watcher(self.api, watcher::Config::default().streaming_lists())
            .default_backoff()
            .modify(|tenant| {
                // They are half of an object's bytes, and nobody here reads them.
                tenant.managed_fields_mut().clear();
            })
            .reflect(self.writer)
            .inspect_ok(move |event| {
                if matches!(event, watcher::Event::InitDone) {
                    // Only the first time counts.
                    let _ = self.listed.set(());
                }
            });
        let watch = changes::changes(watch, store.clone())
            .predicate_filter(predicates::generation.combine(predicates::annotations), PredicateConfig::default());
        Controller::for_stream(watch, store)
            .with_config(Config::default().concurrency(PASSES))
            .reconcile_on(wakes(self.woken))
            .graceful_shutdown_on(shutdown.cancelled_owned())
            .run(traced, |_, _, _| Action::requeue(SWEEP), context)
            .for_each(|result| async {
                match result {
                    Ok(_) => {}
                    // It was deleted while it was queued.
                    Err(error @ controller::Error::ObjectNotFound(_)) => tracing::debug!(%error, "gone"),
                    Err(error) => tracing::warn!(%error, "the watch on CloudTenants"),
                }
            })
            .await;
    }
}

/// Nothing is watched any more when the run ends, however it ends.
struct Ended<'a>(&'a Operator);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.roster.clear();
        self.0.metrics.synced(false);
    }
}

fn scoped<K>(client: &Client, namespaces: &[String]) -> Vec<Api<K>>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
{
    if namespaces.is_empty() {
        return vec![Api::all(client.clone())];
    }
    namespaces.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect()
}

/// Tells each watch which of its tenants have to look again.
async fn route(mut woken: mpsc::Receiver<TenantName>, routes: Routes) {
    while let Some(tenant) = woken.recv().await {
        let route = routes.get(&Some(tenant.namespace.clone())).or_else(|| routes.get(&None));
        if let Some(route) = route {
            // Its watch has ended where this fails, and so will this.
            let _ = route.send(tenant).await;
        }
    }
}

async fn traced(tenant: Arc<Watched>, context: Arc<Context>) -> Result<Action, std::convert::Infallible> {
    let span = tracing::info_span!(
        "tenant",
        namespace = tenant.meta().namespace.as_deref().unwrap_or_default(),
        name = tenant.meta().name.as_deref().unwrap_or_default(),
    );
    // Several watches share the passes.
    let _turn = context.passes.clone().acquire_owned().await;
    let began = Timestamp::now();
    let done = reconcile(tenant, context).instrument(span.clone()).await;
    tracing::debug!(parent: &span, took = ?Timestamp::now().duration_since(began), "pass");
    done
}

fn wakes(mut woken: mpsc::Receiver<TenantName>) -> impl futures::Stream<Item = ObjectRef<Watched>> {
    futures::stream::poll_fn(move |context| woken.poll_recv(context))
        .map(|tenant| ObjectRef::new(&tenant.name).within(&tenant.namespace))
}
