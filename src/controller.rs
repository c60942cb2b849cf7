//! The watch on CloudTenants, and what runs over it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _, future::join_all};
use jiff::Timestamp;
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    runtime::{
        Config, Controller, Predicate as _, PredicateConfig, WatchStreamExt as _,
        controller::Action,
        predicates,
        reflector::{ObjectRef, store::Writer},
        watcher,
    },
};
use tokio::{
    sync::{SetOnce, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    context::{Context, Settings},
    identity::TenantName,
    leader::Mandate,
    metrics::Metrics,
    reconcile::reconcile,
    roster::{Roster, Watched},
    secret_watch,
};

type Routes = HashMap<Option<String>, mpsc::Sender<TenantName>>;

/// Passes at the same time.
const CONCURRENCY: u16 = 64;

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
    /// Not the store's own `wait_until_ready`: it wakes only one of those who wait, and the controller does.
    listed: Arc<SetOnce<()>>,
    woken: mpsc::Receiver<TenantName>,
}

impl Operator {
    /// An operator. While it runs, the roster has the tenants that it watches.
    #[must_use]
    pub const fn new(client: Client, settings: Settings, metrics: Arc<Metrics>, roster: Roster) -> Self {
        Self { client, settings, metrics, roster }
    }

    /// Runs until the shutdown. Nothing is written outside of the mandate. `ready` is called once the tenants are
    /// known.
    pub async fn run(&self, mandate: Mandate, ready: impl FnOnce() + Send + 'static, shutdown: CancellationToken) {
        let (wake, woken) = mpsc::channel(WAKES);
        let context = Context::new(&self.client, &self.settings, mandate, self.metrics.clone(), wake, shutdown.clone());
        let context = Arc::new(context);
        let (routes, watches) = self.watches();
        let stores: Vec<_> = watches.iter().map(|watch| watch.writer.as_reader()).collect();
        let listed: Vec<_> = watches.iter().map(|watch| watch.listed.clone()).collect();
        let (context_of_sweep, roster) = (context.clone(), self.roster.clone());
        let mut beside = JoinSet::new();
        beside.spawn(route(woken, routes));
        beside.spawn(async move {
            for listed in listed {
                listed.wait().await;
            }
            roster.set(stores);
            ready();
            sweep(context_of_sweep, roster).await;
        });
        if self.settings.watch_secrets {
            for secrets in scoped(&self.client, &self.settings.namespaces) {
                beside.spawn(secret_watch::follow(secrets, context.clone(), self.roster.clone()));
            }
        }
        // With a watch for each namespace they share the passes among them.
        let concurrency = CONCURRENCY.div_ceil(u16::try_from(watches.len()).unwrap_or(CONCURRENCY)).max(1);
        let _roster = Emptied(&self.roster);
        join_all(watches.into_iter().map(|watch| watch.run(concurrency, context.clone(), shutdown.clone()))).await;
    }

    /// A watch for each namespace, and who is woken there; the one of all namespaces goes by no name.
    fn watches(&self) -> (Routes, Vec<Watch>) {
        let namespaces = &self.settings.namespaces;
        let names: Vec<_> =
            if namespaces.is_empty() { vec![None] } else { namespaces.iter().cloned().map(Some).collect() };
        let apis = scoped(&self.client, namespaces);
        let watch = |(name, api)| {
            let (wake, woken) = mpsc::channel(WAKES);
            ((name, wake), Watch { api, writer: Writer::default(), listed: Arc::default(), woken })
        };
        names.into_iter().zip(apis).map(watch).unzip()
    }
}

impl Watch {
    async fn run(self, concurrency: u16, context: Arc<Context>, shutdown: CancellationToken) {
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
            })
            .applied_objects()
            .predicate_filter(predicates::generation.combine(predicates::annotations), PredicateConfig::default());
        Controller::for_stream(watch, store)
            .with_config(Config::default().concurrency(concurrency))
            .reconcile_on(wakes(self.woken))
            .graceful_shutdown_on(shutdown.cancelled_owned())
            .run(traced, |_, _, _| Action::requeue(SWEEP), context)
            .for_each(|result| async {
                if let Err(error) = result {
                    tracing::debug!(%error, "the controller's queue");
                }
            })
            .await;
    }
}

/// Empties the roster when the run ends, however it ends.
struct Emptied<'a>(&'a Roster);

impl Drop for Emptied<'_> {
    fn drop(&mut self) {
        self.0.set(Vec::new());
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
    let began = Timestamp::now();
    let done = reconcile(tenant, context).instrument(span.clone()).await;
    tracing::debug!(parent: &span, took = ?Timestamp::now().duration_since(began), "pass");
    done
}

fn wakes(mut woken: mpsc::Receiver<TenantName>) -> impl futures::Stream<Item = ObjectRef<Watched>> {
    futures::stream::poll_fn(move |context| woken.poll_recv(context))
        .map(|tenant| ObjectRef::new(&tenant.name).within(&tenant.namespace))
}

/// Runs once the tenants are known.
async fn sweep(context: Arc<Context>, roster: Roster) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let alive: HashSet<_> = roster.all().iter().filter_map(|tenant| tenant.uid()).collect();
        context.retain(|uid| alive.contains(uid));
    }
}
