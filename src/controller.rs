//! The watch on CloudTenants, and what runs over it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    runtime::{
        Config, Controller, Predicate as _, PredicateConfig, WatchStreamExt as _,
        controller::Action,
        predicates,
        reflector::{self, ObjectRef, store::Writer},
        watcher,
    },
};
use tokio::sync::{SetOnce, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    context::Context,
    identity::TenantName,
    metrics::Metrics,
    reconcile::{Watched, reconcile},
};

/// Passes at the same time.
const CONCURRENCY: u16 = 64;

/// How often what belongs to deleted tenants is forgotten.
const SWEEP: Duration = Duration::from_secs(30);

/// The controller, before it runs.
pub struct Operator {
    client: Client,
    /// `None`: all namespaces.
    namespace: Option<String>,
    instance: String,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
}

impl Operator {
    /// An operator of one namespace, or of all. `instance` names this process in events.
    #[must_use]
    pub fn new(
        client: Client,
        namespace: Option<String>,
        instance: String,
        metrics: Arc<Metrics>,
        shutdown: CancellationToken,
    ) -> Self {
        Self { client, namespace, instance, metrics, shutdown }
    }

    /// Runs until the shutdown. `ready` is called once the tenants are known.
    pub async fn run(self, ready: impl FnOnce() + Send + 'static) {
        let (wake, woken) = mpsc::channel(1024);
        let context = Arc::new(Context::new(&self.client, &self.instance, self.metrics, wake, self.shutdown.clone()));
        let api: Api<Watched> = match &self.namespace {
            Some(namespace) => Api::namespaced(self.client, namespace),
            None => Api::all(self.client),
        };
        let writer = Writer::<Watched>::default();
        let store = writer.as_reader();
        // Not the store's own `wait_until_ready`: it wakes only one of those who wait, and the controller does.
        let listed = Arc::new(SetOnce::new());
        let tell_listed = listed.clone();
        let watch = watcher(api, watcher::Config::default().streaming_lists())
            .default_backoff()
            .modify(|tenant| {
                // They are half of an object's bytes, and nobody here reads them.
                tenant.managed_fields_mut().clear();
            })
            .reflect(writer)
            .inspect_ok(move |event| {
                if matches!(event, watcher::Event::InitDone) {
                    // Only the first time counts.
                    let _ = tell_listed.set(());
                }
            })
            .applied_objects()
            .predicate_filter(predicates::generation.combine(predicates::annotations), PredicateConfig::default());
        let (context_of_sweep, store_of_sweep) = (context.clone(), store.clone());
        let beside = tokio::spawn(async move {
            listed.wait().await;
            ready();
            sweep(context_of_sweep, store_of_sweep).await;
        });
        Controller::for_stream(watch, store)
            .with_config(Config::default().concurrency(CONCURRENCY))
            .reconcile_on(wakes(woken))
            .graceful_shutdown_on(self.shutdown.cancelled_owned())
            .run(traced, |_, _, _| Action::requeue(SWEEP), context)
            .for_each(|result| async {
                if let Err(error) = result {
                    tracing::debug!(%error, "the controller's queue");
                }
            })
            .await;
        beside.abort();
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
async fn sweep(context: Arc<Context>, store: reflector::Store<Watched>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let alive: HashSet<_> = store.state().iter().filter_map(|tenant| tenant.uid()).collect();
        context.retain(|uid| alive.contains(uid));
    }
}
