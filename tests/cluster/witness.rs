//! Keeps every state that a namespace's CloudTenants go through. In the end kstatus, Flux and Argo CD have to say of
//! each what docs/gitops.md says that they do.
//!
//! A test that has seen a state expects it of the witness too. So a watch that broke, and the states that were lost by
//! it, fail the test; but not where the API server forgot them, as it does when a definition is replaced.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::ready,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use cloudtenant_operator::api::CloudTenant;
use futures::StreamExt as _;
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{ApiResource, DynamicObject},
    config::Kubeconfig,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use serde_json::Value;
use tokio::{runtime, sync::oneshot, time};

use crate::verdict::judged;

/// How long it may be behind the test, and take to begin.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Witness {
    namespace: String,
    seen: Arc<Mutex<Seen>>,
    wanted: Mutex<BTreeSet<State>>,
    /// When this is dropped, the watch ends.
    _stop: oneshot::Sender<()>,
}

/// A CloudTenant's name, and the version of one of its states.
type State = (String, String);

#[derive(Default)]
struct Seen {
    states: BTreeMap<State, Value>,
    errors: Vec<String>,
    /// The API server has no older states than it lists next.
    expired: bool,
    /// Each CloudTenant's version in the list after that.
    relisted: BTreeMap<String, u64>,
}

impl Seen {
    fn has(&self, state: &State) -> bool {
        let forgotten = |version: u64| self.relisted.get(&state.0).is_some_and(|&listed| version < listed);
        self.states.contains_key(state) || state.1.parse().is_ok_and(forgotten)
    }

    fn take(&mut self, event: watcher::Result<Event<DynamicObject>>) {
        match event {
            Ok(Event::Apply(tenant)) => self.keep(tenant),
            Ok(Event::InitApply(tenant)) => {
                if self.expired {
                    let version = tenant.resource_version().unwrap().parse().unwrap();
                    self.relisted.insert(tenant.name_any(), version);
                }
                self.keep(tenant);
            }
            Ok(Event::InitDone) => self.expired = false,
            Ok(Event::Init | Event::Delete(_)) => {}
            Err(error) => {
                self.expired |= matches!(&error, watcher::Error::WatchError(status) if status.code == 410);
                self.errors.push(error.to_string());
            }
        }
    }

    fn keep(&mut self, tenant: DynamicObject) {
        let state = (tenant.name_any(), tenant.resource_version().unwrap());
        self.states.insert(state, serde_json::to_value(tenant).unwrap());
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Witness {
    /// Has seen all that there is when it returns, and sees from then on all that comes.
    pub async fn of(kubeconfig: Kubeconfig, namespace: &str) -> Self {
        Self::within(PATIENCE, kubeconfig, namespace).await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn within(patience: Duration, kubeconfig: Kubeconfig, namespace: &str) -> Result<Self, String> {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let (listed, has_listed) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let witness =
            Self { namespace: namespace.to_owned(), seen: seen.clone(), wanted: Mutex::default(), _stop: stop };
        let namespace = namespace.to_owned();
        // In a runtime of its own: the test's does nothing while the witness is waited for in the end.
        thread::spawn(move || {
            let watching = async {
                tokio::select! {
                    () = watch(kubeconfig, &namespace, &seen, listed) => {}
                    _ = stopped => {}
                }
            };
            runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(watching);
        });
        match time::timeout(patience, has_listed).await {
            Ok(Ok(())) => Ok(witness),
            _ => Err(format!("the witness cannot list CloudTenants: {:?}", locked(&witness.seen).errors)),
        }
    }

    /// The test has seen this state.
    pub fn expect(&self, tenant: &CloudTenant) {
        if tenant.namespace().as_ref() == Some(&self.namespace) {
            locked(&self.wanted).insert((tenant.name_any(), tenant.resource_version().unwrap()));
        }
    }

    /// All states, or which one that is expected has not been seen.
    fn testimony(&self, patience: Duration) -> Result<Vec<Value>, String> {
        let began = Instant::now();
        loop {
            let seen = locked(&self.seen);
            let wanted = locked(&self.wanted);
            let missed: Vec<_> = wanted.iter().filter(|state| !seen.has(state)).collect();
            if missed.is_empty() {
                return Ok(seen.states.values().cloned().collect());
            }
            if began.elapsed() >= patience {
                return Err(format!("the witness has not seen {missed:?}; its watch: {:?}", seen.errors));
            }
            drop((seen, wanted));
            thread::sleep(Duration::from_millis(20));
        }
    }
}

async fn watch(kubeconfig: Kubeconfig, namespace: &str, seen: &Mutex<Seen>, listed: oneshot::Sender<()>) {
    let config = Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
    // Some tests store what is no CloudTenant by today's schema.
    let kind = ApiResource::erase::<CloudTenant>(&());
    let tenants: Api<DynamicObject> = Api::namespaced_with(Client::try_from(config).unwrap(), namespace, &kind);
    let mut listed = Some(listed);
    let events = watcher::watcher(tenants, watcher::Config::default()).default_backoff();
    let keep = events.for_each(|event| {
        let done = matches!(event, Ok(Event::InitDone));
        locked(seen).take(event);
        if done && let Some(listed) = listed.take() {
            // Nobody waits any more where this fails.
            let _ = listed.send(());
        }
        ready(())
    });
    keep.await;
}

impl Drop for Witness {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        for state in self.testimony(PATIENCE).unwrap_or_else(|error| panic!("{error}")) {
            judged(&state);
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::api::PostParams;
    use serde_json::json;

    use super::*;
    use crate::lab::{shared, tenant};

    #[tokio::test]
    async fn a_state_that_was_seen_is_told_and_one_that_was_not_is_missed() {
        let control_plane = shared().await;
        let namespace = control_plane.namespace("witness").await.unwrap();
        let witness = Witness::of(control_plane.kubeconfig(), &namespace).await;
        assert_eq!(witness.testimony(Duration::ZERO), Ok(vec![]));
        let tenants: Api<CloudTenant> = Api::namespaced(control_plane.client().await.unwrap(), &namespace);
        let tenant: CloudTenant = serde_json::from_value(tenant("shop", &json!({}))).unwrap();
        let mut tenant = tenants.create(&PostParams::default(), &tenant).await.unwrap();
        witness.expect(&tenant);
        assert_eq!(witness.testimony(PATIENCE).unwrap()[0]["metadata"]["name"], "shop");
        tenant.metadata.resource_version = Some("1".to_owned());
        witness.expect(&tenant);
        let missed = witness.testimony(Duration::ZERO).unwrap_err();
        assert!(missed.contains("has not seen [(\"shop\", \"1\")]"), "{missed}");
        locked(&witness.wanted).clear();
    }

    #[test]
    fn what_the_api_server_forgot_is_not_missed() {
        let shop = |version: &str| {
            let object = json!({"metadata": {"name": "shop", "resourceVersion": version}});
            serde_json::from_value::<DynamicObject>(object).unwrap()
        };
        let state = |version: &str| ("shop".to_owned(), version.to_owned());
        let broken = |code| {
            let status = kube::core::Status { code, ..kube::core::Status::default() };
            Err(watcher::Error::WatchError(status.boxed()))
        };
        for (name, error, lost) in [("forgotten", broken(410), false), ("lost by the watch", broken(500), true)] {
            let mut seen = Seen::default();
            for event in [Ok(Event::Apply(shop("3"))), error, Ok(Event::Init), Ok(Event::InitApply(shop("7")))] {
                seen.take(event);
            }
            seen.take(Ok(Event::InitDone));
            assert_eq!(seen.has(&state("5")), !lost, "{name}");
            assert_eq!([seen.has(&state("3")), seen.has(&state("7")), seen.has(&state("8"))], [true, true, false]);
        }
    }

    #[tokio::test]
    async fn one_that_may_not_look_says_so() {
        let control_plane = shared().await;
        let namespace = control_plane.namespace("blind").await.unwrap();
        let account = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: nobody}}";
        control_plane.apply_yaml(Some(&namespace), account).await.unwrap();
        let kubeconfig = control_plane.kubeconfig_for_service_account(&namespace, "nobody").await.unwrap();
        let blind = Witness::within(Duration::from_secs(1), kubeconfig, &namespace).await;
        let error = blind.err().unwrap();
        assert!(error.contains("cannot list") && error.contains("forbidden"), "{error}");
    }
}
