//! The queries under way, shared fairly between hosts and namespaces: docs/decisions/0041.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::timeout;

use crate::{
    observation::{EngineList, EngineRow},
    share::{Permit, Priority, Shares, Sharing, on_behalf_of},
};

/// Queries under way, of one namespace at most half. Each takes some 30 KiB, most of it for its connection.
const QUERIES: u32 = 512;

/// Queries for Heat's engines under way, of one namespace at most half. They have places of their own, because each may
/// take a minute, and there is only one for each credential.
const ENGINES: u32 = 2048;

/// Passes that wait for their cloud, of one namespace at most half. They take memory, and one that begins before its
/// queries can begin would give up its wait before their answers.
const WAITING: u32 = 512;

/// Passes that wait for one host, at least this number. It is the number of queries if that is higher.
const WAITING_AT_HOST: u32 = 64;

/// Queries for the engines of one host that began less than [`PROMPT`] ago, of one namespace at most half. A Heat that
/// answers promptly therefore has few connections at a time, however many credentials there are.
const NEW_ENGINES: u32 = 128;

/// After this time, a query for Heat's engines leaves its place among the new ones to another query.
const PROMPT: Duration = Duration::from_millis(250);

/// Lists of engines of one host with which a new one is compared. A host has one for each region, and another one
/// whenever an engine has reported.
const LISTS: usize = 8;

/// Engines in a list that is compared, at most, so that a comparison is short.
const LONGEST_LIST: usize = 64;

/// All queries under way. Clones share them.
#[derive(Debug, Clone)]
pub struct Calls {
    queries: Shares,
    engines: Shares,
    waiting: Shares,
    for_each_host: u32,
    hosts: Arc<Mutex<HashMap<String, Weak<Host>>>>,
}

/// The queries under way at one host.
#[derive(Debug)]
struct Host {
    queries: Shares,
    new_engines: Shares,
    waiting: Shares,
    /// The number of queries that have ended, for engines not included.
    ended: AtomicU64,
    /// The records of the latest different lists of engines, the latest last.
    lists: Mutex<VecDeque<Weak<Box<[EngineRow]>>>>,
}

/// The right of a pass to wait for its cloud. It ends when this is dropped.
#[derive(Debug)]
pub struct Place {
    _permits: [Permit; 2],
    host: Arc<Host>,
    /// The number of ended queries when it was last asked for.
    ended: u64,
}

impl Place {
    /// Whether a query at the host has ended since the last call of this.
    pub(super) fn is_served(&mut self) -> bool {
        let ended = self.host.ended.load(Relaxed);
        std::mem::replace(&mut self.ended, ended) != ended
    }
}

/// The queries of one cloud.
#[derive(Debug, Clone)]
pub(super) struct HostCalls {
    queries: Shares,
    engines: Shares,
    waiting: Shares,
    host: Arc<Host>,
}

impl Calls {
    /// Creates free places, this number of them for each host of a cloud.
    #[must_use]
    pub fn new(for_each_host: u32) -> Self {
        Self {
            queries: Shares::new(QUERIES, Sharing::LeavesAsMuch),
            engines: Shares::new(ENGINES, Sharing::LeavesAsMuch),
            waiting: Shares::new(WAITING, Sharing::LeavesAsMuch),
            for_each_host,
            hosts: Arc::default(),
        }
    }

    /// Returns the queries of the clouds at this host.
    pub(super) fn at(&self, host: &str) -> HostCalls {
        let mut hosts = self.lock();
        let known = hosts.get(host).and_then(Weak::upgrade);
        let host = known.unwrap_or_else(|| {
            let shares = |places| Shares::new(places, Sharing::LeavesAsMuch);
            let known = Arc::new(Host {
                queries: shares(self.for_each_host),
                new_engines: shares(NEW_ENGINES),
                waiting: shares(self.for_each_host.max(WAITING_AT_HOST)),
                ended: AtomicU64::new(0),
                lists: Mutex::default(),
            });
            hosts.insert(host.to_owned(), Arc::downgrade(&known));
            known
        });
        let [queries, engines, waiting] = [&self.queries, &self.engines, &self.waiting].map(Clone::clone);
        HostCalls { queries, engines, waiting, host }
    }

    /// Forgets the hosts that no cloud uses.
    pub(super) fn sweep(&self) {
        self.lock().retain(|_, host| host.strong_count() > 0);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Weak<Host>>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HostCalls {
    /// Runs a query for a namespace once it may begin. Its deadline begins then, too. Until then it takes little memory.
    pub(super) async fn query<F: Future>(
        &self,
        namespace: Arc<str>,
        priority: Priority,
        query: impl FnOnce() -> F,
    ) -> F::Output {
        // The host comes first: queries that wait for a host that does not answer keep no place from other hosts.
        let _host = self.host.queries.one(namespace.clone(), priority).await;
        let _place = self.queries.one(namespace.clone(), priority).await;
        let output = Box::pin(on_behalf_of(namespace, query())).await;
        self.host.ended.fetch_add(1, Relaxed);
        output
    }

    /// Returns the list, sharing its records with an equal one that another credential of the host got lately. All of
    /// them see the same engines, and each keeps a list.
    pub(super) fn sharing(&self, list: Arc<EngineList>) -> Arc<EngineList> {
        if list.rows.len() > LONGEST_LIST {
            return list;
        }
        let mut lists = self.host.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.retain(|known| known.strong_count() > 0);
        let equal = lists.iter().rev().filter_map(Weak::upgrade).find(|known| *known == list.rows);
        if let Some(rows) = equal {
            return Arc::new(EngineList { rows, cloud_now: list.cloud_now });
        }
        if lists.len() == LISTS {
            lists.pop_front();
        }
        lists.push_back(Arc::downgrade(&list.rows));
        list
    }

    /// Waits until a pass of a namespace may begin to wait for its cloud.
    pub(super) async fn wait(&self, namespace: Arc<str>, priority: Priority) -> Place {
        let permit = self.host.waiting.one(namespace.clone(), priority).await;
        let permits = [permit, self.waiting.one(namespace, priority).await];
        Place { _permits: permits, host: self.host.clone(), ended: self.host.ended.load(Relaxed) }
    }

    /// Runs a query for Heat's engines for a namespace once it may begin. It does not take a place of other queries.
    pub(super) async fn engines<F: Future>(&self, namespace: Arc<str>, query: impl FnOnce() -> F) -> F::Output {
        let _place = self.engines.one(namespace.clone(), Priority::Later).await;
        let new = self.host.new_engines.one(namespace.clone(), Priority::Later).await;
        let mut query = Box::pin(on_behalf_of(namespace, query()));
        if let Ok(output) = timeout(PROMPT, &mut query).await {
            return output;
        }
        drop(new);
        query.await
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    /// Starts queries that do not end. Returns how many have begun.
    fn start(calls: &[HostCalls], namespace: &str, number: usize) -> (usize, impl Sized + use<>) {
        let begun = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let queries: Vec<_> = (0..number)
            .map(|number| {
                let (calls, begun, namespace) = (calls[number % calls.len()].clone(), begun.clone(), namespace.into());
                let query = async move {
                    calls
                        .query(namespace, Priority::Later, || {
                            begun.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                            std::future::pending::<()>()
                        })
                        .await;
                };
                let mut query = Box::pin(query);
                // Free places are given at once, so one poll suffices.
                assert!((&mut query).now_or_never().is_none());
                query
            })
            .collect();
        (begun.load(std::sync::atomic::Ordering::SeqCst), queries)
    }

    #[test]
    fn a_host_or_a_namespace_that_hangs_leaves_places_for_the_others() {
        let calls = Calls::new(100);
        let [sick, well] = ["sick", "well"].map(|host| calls.at(host));
        let (begun, _sick) = start(std::slice::from_ref(&sick), "a", 1000);
        assert_eq!(begun, 50, "half of the host's");
        let (begun, _well) = start(std::slice::from_ref(&well), "a", 20);
        assert_eq!(begun, 20, "the same namespace at another host");
        let (begun, _other) = start(&[sick], "b", 10);
        assert_eq!(begun, 10, "another namespace at the same host");
        let hosts: Vec<_> = (0..100).map(|number| calls.at(&format!("host-{number}"))).collect();
        let (begun, _many) = start(&hosts, "a", 1000);
        assert!((begun + 70) as u32 <= QUERIES / 2, "half of all, {begun}");
        let (begun, _others) = start(&[well], "c", 20);
        assert_eq!(begun, 20, "another namespace at another host");
    }

    #[test]
    fn passes_that_wait_for_one_host_leave_places_for_other_hosts_and_namespaces() {
        for (queries, most) in [(1, 32), (64, 32), (200, 100)] {
            let calls = Calls::new(queries);
            let [sick, well] = ["sick", "well"].map(|host| calls.at(host));
            let take =
                |calls: &HostCalls, namespace: &str| calls.wait(namespace.into(), Priority::Later).now_or_never();
            let held: Vec<_> = (0..1000).map_while(|_| take(&sick, "a")).collect();
            assert_eq!(held.len(), most, "half of the host's");
            assert!(take(&well, "a").is_some() && take(&sick, "b").is_some(), "{queries}");
            drop(held);
            let mut place = take(&sick, "a").unwrap();
            assert!(!place.is_served());
            assert_eq!(sick.query("a".into(), Priority::Later, || std::future::ready(7)).now_or_never(), Some(7));
            assert_eq!([place.is_served(), place.is_served()], [true, false], "{queries}");
        }
    }

    /// A restart at a busy host: CloudTenants without any result go before those that already have one.
    #[test]
    fn first_passes_and_their_queries_go_before_later_ones() {
        let calls = Calls::new(1).at("busy");
        let wait = |priority| Box::pin(calls.wait("a".into(), priority));
        let mut held: Vec<_> = (0..32).map_while(|_| wait(Priority::Later).now_or_never()).collect();
        let (mut later, mut first) = (wait(Priority::Later), wait(Priority::First));
        assert!((&mut later).now_or_never().is_none() && (&mut first).now_or_never().is_none());
        held.pop();
        assert!((&mut later).now_or_never().is_none() && (&mut first).now_or_never().is_some());

        let (ended, query) = tokio::sync::oneshot::channel::<()>();
        let ask = |priority| Box::pin(calls.query("a".into(), priority, || std::future::ready(())));
        let mut under_way = Box::pin(calls.query("a".into(), Priority::Later, || query));
        assert!((&mut under_way).now_or_never().is_none());
        let (mut later, mut first) = (ask(Priority::Later), ask(Priority::First));
        assert!((&mut later).now_or_never().is_none() && (&mut first).now_or_never().is_none());
        drop(ended);
        assert!((&mut under_way).now_or_never().is_some());
        assert!((&mut later).now_or_never().is_none() && (&mut first).now_or_never().is_some());
        assert!((&mut later).now_or_never().is_some());
    }

    /// Each line: how long Heat takes in milliseconds | calls under way at once, of 300 | when the last one has begun.
    #[tokio::test(start_paused = true)]
    async fn a_heat_that_answers_promptly_gets_few_calls_at_a_time_and_a_slow_one_gets_all_soon() {
        for (takes, most, last) in [(1, 64, 4), (100, 64, 400), (100_000, 300, 1000)] {
            let calls = Calls::new(1).at("heat");
            let (under_way, began) = (std::cell::RefCell::new((0, 0)), tokio::time::Instant::now());
            let last_began = std::cell::Cell::new(Duration::ZERO);
            let queries = (0..300).map(|_| {
                calls.engines("a".into(), || async {
                    under_way.borrow_mut().0 += 1;
                    let now = under_way.borrow().0;
                    let most = under_way.borrow().1.max(now);
                    under_way.borrow_mut().1 = most;
                    last_began.set(began.elapsed());
                    tokio::time::sleep(Duration::from_millis(takes)).await;
                    under_way.borrow_mut().0 -= 1;
                })
            });
            futures::future::join_all(queries).await;
            assert_eq!(under_way.borrow().1, most, "{takes} ms");
            assert!(last_began.get() <= Duration::from_millis(last + 10), "{takes} ms: {:?}", last_began.get());
        }
    }

    #[test]
    fn equal_lists_of_one_host_share_their_records() {
        let calls = Calls::new(1);
        let [one, other] = ["one", "other"].map(|host| calls.at(host));
        let list = |engine: usize| {
            let body = format!(r#"{{"services": [{{"id": "{engine}", "host": "h", "status": "up"}}]}}"#);
            let now = jiff::Timestamp::from_second(1_000_000).unwrap();
            match crate::probe::engines::parse(200, body.as_bytes(), now, now) {
                Some(Ok(crate::observation::engine_answers::EngineAnswer::Listed(list))) => list,
                answer => panic!("{answer:?}"),
            }
        };
        let kept: Vec<_> = (0..=LISTS).map(|engine| one.sharing(list(engine))).collect();
        for (host, engine, is_shared) in [(&one, LISTS, true), (&one, 1, true), (&one, 0, false), (&other, 1, false)] {
            let shared = host.sharing(list(engine));
            assert_eq!(shared, kept[engine]);
            assert_eq!(Arc::ptr_eq(&shared.rows, &kept[engine].rows), is_shared, "{engine}");
        }
        assert!(one.host.lists.lock().unwrap().len() <= LISTS);
        drop(kept);
        one.sharing(list(1));
        assert_eq!(one.host.lists.lock().unwrap().len(), 1, "nobody keeps the others");
    }

    #[test]
    fn hosts_without_clouds_are_forgotten() {
        let calls = Calls::new(1);
        let used = calls.at("used");
        drop(calls.at("unused"));
        calls.sweep();
        assert_eq!(calls.lock().keys().collect::<Vec<_>>(), ["used"]);
        assert!(Arc::ptr_eq(&used.host, &calls.at("used").host));
    }
}
