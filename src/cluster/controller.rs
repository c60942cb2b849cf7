//! The watch on CloudTenants and its controller.

mod following;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use following::Following;
use futures::{
    StreamExt as _,
    future::join_all,
    stream::{self, FuturesUnordered},
};
use jiff::Timestamp;
use kube::{
    Api, Client, Resource as _,
    runtime::watcher::{self, Event},
};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    cluster::{
        api_server::{self, Lists},
        context::{Context, Settings},
        leader::Mandate,
        observe::InPlace,
        passes::{self, Begun},
        readiness::{Readiness, Requirement},
        reconcile::{Reconciled, reconcile},
        secret_watch, sets,
    },
    identity::TenantName,
    metrics::Metrics,
    shard::Shard,
    share::{Priority, Turn, on_behalf_of},
    watched::{
        kept::Kept,
        object::Watched,
        roster::Roster,
        store::{Store, Writer},
    },
};

type Routes = HashMap<Option<String>, mpsc::Sender<TenantName>>;

/// Number of wake-ups that wait in a channel.
const WAKES: usize = 1024;

/// Interval at which the operator checks the state of the watches.
const CHECK: Duration = Duration::from_secs(5);

/// Interval at which the operator drops the state of deleted tenants.
const SWEEP: Duration = Duration::from_secs(30);

/// The controller. It runs each time that this process becomes the leader.
pub struct Operator {
    client: Client,
    settings: Settings,
    metrics: Arc<Metrics>,
    roster: Roster,
    lists: Lists,
}

/// A watch on CloudTenants that does not run yet.
struct Watch {
    api: Api<Watched>,
    writer: Writer<Kept>,
    following: Following,
    lists: Lists,
    shard: Shard,
    woken: mpsc::Receiver<TenantName>,
}

impl Operator {
    /// Creates an operator. While it runs, the roster contains the tenants that it watches.
    #[must_use]
    pub fn new(client: Client, settings: Settings, metrics: Arc<Metrics>, roster: Roster) -> Self {
        Self { client, settings, metrics, roster, lists: Lists::default() }
    }

    /// The shard whose CloudTenants it serves.
    #[must_use]
    pub const fn shard(&self) -> Shard {
        self.settings.shard
    }

    /// Runs until the shutdown, and is ready once all tenants are listed. It writes nothing after the mandate's end.
    pub async fn run(&self, mandate: Mandate, readiness: Readiness, shutdown: CancellationToken) {
        let (wake, woken) = mpsc::channel(WAKES);
        let context = Context::new(&self.client, &self.settings, mandate, self.metrics.clone(), wake, shutdown.clone());
        let context = Arc::new(context);
        let (routes, watches) = self.watches();
        let mut beside = JoinSet::new();
        beside.spawn(route(woken, routes));
        if self.settings.watch_secrets {
            let client = api_server::metadata_only(&self.client);
            for secrets in scoped(&client, &self.settings.namespaces) {
                beside.spawn(secret_watch::follow(secrets, self.lists.clone(), context.clone(), self.roster.clone()));
            }
        }
        // Cancelled when no pass over a set is under way any more.
        let sets_ended = CancellationToken::new();
        let ended = sets_ended.clone().drop_guard();
        if let Some(settings) = self.settings.sets.clone().filter(|_| self.shard().index() == 0) {
            let served = (context.clone(), settings);
            let (client, lists) = (self.client.clone(), self.lists.clone());
            let scopes = self.namespaces().into_iter().zip(scoped(&client, &self.settings.namespaces)).collect();
            let serving = sets::run(client, scopes, served, lists, readiness.clone(), shutdown.clone());
            let stopped = shutdown.clone();
            beside.spawn(async move {
                serving.await;
                drop(ended);
                if stopped.is_cancelled() {
                    // This is no failure: passes over CloudTenants may still be under way.
                    std::future::pending::<()>().await;
                }
            });
        } else {
            drop(ended);
        }
        self.watch(watches, (beside, sets_ended), context, readiness, shutdown).await;
    }

    /// Runs the watches until the shutdown, or until a task beside them ends. Without these tasks no tenant would wake.
    async fn watch(
        &self,
        watches: Vec<Watch>,
        (mut beside, sets_ended): (JoinSet<()>, CancellationToken),
        context: Arc<Context>,
        readiness: Readiness,
        shutdown: CancellationToken,
    ) {
        let followings: Vec<_> = watches.iter().map(|watch| watch.following.clone()).collect();
        let _ended = Ended { operator: self, readiness: &readiness };
        let watching = join_all(watches.into_iter().map(|watch| watch.run(context.clone(), shutdown.clone())));
        let watching = async {
            watching.await;
            sets_ended.cancelled().await;
        };
        tokio::select! {
            () = watching => {}
            () = self.keep_roster(&followings, &readiness, &context) => {}
            () = broke_off(&mut beside) => {}
        }
    }

    /// Keeps the roster and the readiness current, and drops the state of deleted tenants. It never ends.
    async fn keep_roster(&self, followings: &[Following], readiness: &Readiness, context: &Context) {
        let mut listed: FuturesUnordered<_> = followings
            .iter()
            .map(|following| async move {
                following.listed.wait().await;
                following
            })
            .collect();
        let mut check = tokio::time::interval(CHECK);
        let mut sweep = tokio::time::interval_at(Instant::now() + SWEEP, SWEEP);
        loop {
            let lacks = lacks(followings, Instant::now().into_std());
            match &lacks {
                None => readiness.has(Requirement::Tenants),
                Some(lacks) => readiness.lacks(Requirement::Tenants, lacks),
            }
            self.metrics.synced(self.shard(), lacks.is_none());
            tokio::select! {
                Some(following) = listed.next() => {
                    self.roster.add(following.namespace.clone(), following.store.clone());
                }
                _ = check.tick() => {
                    for following in followings {
                        let watched = following.is_listed() && !following.is_lost(Instant::now().into_std());
                        self.roster.follow(following.namespace.as_deref(), watched);
                        if let Some(namespace) = &following.namespace {
                            self.metrics.watched(self.shard(), namespace, watched);
                            context.lose(namespace, following.is_refused());
                        }
                    }
                }
                _ = sweep.tick() => {
                    context.retain(&self.roster.all());
                }
            }
        }
    }

    /// The namespaces of the watches. The watch on all namespaces has no name.
    fn namespaces(&self) -> Vec<Option<String>> {
        match &self.settings.namespaces[..] {
            [] => vec![None],
            namespaces => namespaces.iter().cloned().map(Some).collect(),
        }
    }

    /// Returns a watch per namespace and the channel to each. The watch on all namespaces has no name.
    fn watches(&self) -> (Routes, Vec<Watch>) {
        let (names, apis) = (self.namespaces(), scoped(&self.client, &self.settings.namespaces));
        let watch = |(name, api)| {
            let (wake, woken) = mpsc::channel(WAKES);
            let writer = Writer::default();
            let following = Following::new(Clone::clone(&name), writer.store());
            let (lists, shard) = (self.lists.clone(), self.shard());
            ((name, wake), Watch { api, writer, following, lists, shard, woken })
        };
        names.into_iter().zip(apis).map(watch).unzip()
    }
}

impl Watch {
    async fn run(self, context: Arc<Context>, shutdown: CancellationToken) {
        let store = self.following.store.clone();
        let (watching, shard, mut writer) = (context.clone(), self.shard, self.writer);
        let changed = following::events(self.api, self.lists)
            // Objects of other shards are not kept.
            .filter(move |event| std::future::ready(concerns(shard, event)))
            .flat_map(move |event| {
                let changed = event.as_ref().map(|event| writer.apply(event)).unwrap_or_default();
                self.following.note(&event, std::time::Instant::now());
                if let Ok(Event::Apply(tenant)) = &event {
                    let metadata = tenant.meta();
                    watching.brought(metadata.uid.as_deref(), metadata.resource_version.as_deref());
                }
                stream::iter(changed)
            });
        let triggers = stream::select(changed, wakes(self.woken));
        let pass = |name, begun| pass(name, begun, store.clone(), context.clone());
        passes::run(triggers, pass, &shutdown).await;
    }
}

/// Whether an event is about a CloudTenant of this shard, or about the watch itself.
fn concerns(shard: Shard, event: &Result<Event<Watched>, watcher::Error>) -> bool {
    match event {
        Ok(Event::Apply(tenant) | Event::Delete(tenant) | Event::InitApply(tenant)) => {
            shard.owns(tenant.meta().uid.as_deref().unwrap_or_default())
        }
        Ok(Event::Init | Event::InitDone) | Err(_) => true,
    }
}

/// Waits until one of the tasks ends, which none of them should do before all are dropped.
async fn broke_off(tasks: &mut JoinSet<()>) {
    let Some(ended) = tasks.join_next().await else { return std::future::pending().await };
    // The error's own text may quote data. The panic hook has logged the location.
    let panicked = ended.is_err_and(|error| error.is_panic());
    tracing::error!(panicked, "a task of the controller ended, so the process ends and is to be restarted");
}

/// Returns what prevents readiness: a namespace without its first list, or the loss of all namespaces. A single lost
/// namespace affects only itself; a metric and the log name it.
fn lacks(followings: &[Following], now: std::time::Instant) -> Option<String> {
    let part = |what: &str, which: &dyn Fn(&&Following) -> bool| {
        let followings: Vec<_> = followings.iter().filter(which).collect();
        let names: BTreeSet<_> = followings.iter().map(|following| following.name()).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        // Watches that fail together mostly have the same cause.
        let why = followings.iter().find_map(|following| following.why());
        let why = why.unwrap_or_else(|| "look at the log".to_owned());
        (!names.is_empty()).then(|| format!("the CloudTenants of {names} {what}: {why}"))
    };
    if followings.iter().all(|following| following.is_lost(now)) {
        let unlisted = part("cannot be listed", &|following| !following.is_listed());
        let broken = part("cannot be watched any more", &|following| following.is_listed());
        let lacks: Vec<_> = unlisted.into_iter().chain(broken).collect();
        return Some(lacks.join("; "));
    }
    part("have not been listed yet", &|following| !following.is_listed() && !following.is_lost(now))
}

/// Clears the roster and the requirement of listed tenants when the run ends, also after a panic.
struct Ended<'a> {
    operator: &'a Operator,
    readiness: &'a Readiness,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.operator.roster.clear();
        self.operator.metrics.synced(self.operator.shard(), false);
        self.readiness.has(Requirement::Tenants);
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

/// Passes each tenant's wake-up to its watch.
async fn route(mut woken: mpsc::Receiver<TenantName>, routes: Routes) {
    while let Some(tenant) = woken.recv().await {
        let route = routes.get(&Some(tenant.namespace.clone())).or_else(|| routes.get(&None));
        if let Some(route) = route {
            // This fails only if the watch has ended. Then this task ends soon too.
            let _ = route.send(tenant).await;
        }
    }
}

/// Runs one pass over a tenant when its turn comes. Returns when the next one starts.
async fn pass(name: Arc<TenantName>, begun: Begun, store: Store<Kept>, context: Arc<Context>) -> Option<Duration> {
    let namespace: Arc<str> = name.namespace.as_str().into();
    let mut place = None;
    loop {
        let priority = match &place {
            None => {
                let tenant = store.get(&name);
                context.priority(tenant.as_ref().and_then(|tenant| tenant.uid.as_deref()).unwrap_or_default())
            }
            Some(_) => Priority::Begun,
        };
        // Boxed, as the wait for a cloud: a future that is an argument takes its memory several times, and at a start
        // all passes wait.
        let turn = Box::pin(Turn::begin(&context.turns, namespace.clone(), priority));
        let turn = context.shutdown.run_until_cancelled(turn).await?;
        // Before the look into the store: a later change causes another pass.
        begun.store(true, SeqCst);
        // A tenant may have been deleted while it was queued.
        let tenant = store.get(&name)?;
        // Boxed, so that a tenant in a queue needs no memory for a pass.
        let span = tracing::info_span!("tenant", namespace = name.namespace, name = name.name);
        let began = Timestamp::now();
        let pass = reconcile(tenant, context.clone(), (turn, place)).instrument(span.clone());
        match Box::pin(on_behalf_of(namespace.clone(), pass)).await {
            Reconciled::Ended(next) => {
                if let Some(tenant) = store.get(&name) {
                    context.brought(tenant.uid.as_deref(), tenant.resource_version.as_deref());
                }
                tracing::debug!(parent: &span, took = ?Timestamp::now().duration_since(began), "pass");
                return next;
            }
            Reconciled::Waits(cloud, priority) => {
                // The pass starts again from its beginning, so a change until then needs no other pass.
                begun.store(false, SeqCst);
                let wait = Box::pin(InPlace::at(cloud, priority));
                place = Some(context.shutdown.run_until_cancelled(wait).await?);
            }
        }
    }
}

fn wakes(mut woken: mpsc::Receiver<TenantName>) -> impl futures::Stream<Item = Arc<TenantName>> {
    stream::poll_fn(move |context| woken.poll_recv(context).map(|tenant| tenant.map(Arc::new)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At a start all passes wait for their turns, or for their clouds.
    #[test]
    fn a_pass_that_waits_needs_little_memory() {
        fn size<A, B, C, D, F>(_: impl FnOnce(A, B, C, D) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size(pass) <= 384, "{} bytes", size(pass));
    }

    /// A task beside the watches, and whether the controller ends with it.
    #[tokio::test]
    async fn the_controller_ends_with_a_task_beside_its_watches() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Nothing listens on this port, so the watches retry forever.
        let client = Client::try_from(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
        type Task = fn(&mut JoinSet<()>);
        let tasks: [(&str, Task, bool); 4] = [
            ("it panics", |tasks| drop(tasks.spawn(async { panic!("on purpose") })), true),
            (
                "one of two panics",
                |tasks| {
                    tasks.spawn(std::future::pending());
                    tasks.spawn(async { panic!("on purpose") });
                },
                true,
            ),
            ("it ends", |tasks| drop(tasks.spawn(async {})), true),
            ("it goes on", |tasks| drop(tasks.spawn(std::future::pending())), false),
        ];
        for (name, spawn, ends) in tasks {
            let (metrics, roster) = (Arc::new(Metrics::new()), Roster::default());
            let operator = Operator::new(client.clone(), Settings::default(), metrics.clone(), roster);
            let (stop, (wake, _woken)) = (CancellationToken::new(), mpsc::channel(1));
            let mandate = Mandate::unlimited();
            let context = Context::new(&client, &operator.settings, mandate, metrics, wake, stop.clone());
            let (_, watches) = operator.watches();
            let mut beside = JoinSet::new();
            spawn(&mut beside);
            let run = operator.watch(
                watches,
                (beside, CancellationToken::new()),
                Arc::new(context),
                Readiness::default(),
                stop,
            );
            let ended = tokio::time::timeout(Duration::from_millis(500), run).await;
            assert_eq!(ended.is_ok(), ends, "{name}");
        }
    }

    #[test]
    fn an_event_concerns_one_shard_and_one_about_the_watch_all() {
        let [first, second] = ["0/2", "1/2"].map(|shard| shard.parse::<Shard>().unwrap());
        let of = |uid: &str| Watched::read(&format!(r#"{{"metadata":{{"name":"a"{uid}}}}}"#));
        let mut found = BTreeSet::new();
        for uid in ["", r#","uid":null"#, r#","uid":"u""#, r#","uid":"v""#, r#","uid":"w""#, r#","uid":"x""#] {
            for event in [Event::Apply(of(uid)), Event::Delete(of(uid)), Event::InitApply(of(uid))] {
                let event = Ok(event);
                assert!(concerns(first, &event) != concerns(second, &event), "{uid}");
                assert!(concerns(Shard::default(), &event), "{uid}");
                found.insert(concerns(first, &event));
            }
        }
        assert_eq!(found.len(), 2, "both shards have some");
        for event in [Ok(Event::Init), Ok(Event::InitDone), Err(watcher::Error::NoResourceVersion)] {
            assert!(concerns(first, &event) && concerns(second, &event));
        }
    }
}
