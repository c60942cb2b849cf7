//! The queries under way, shared fairly between hosts and namespaces: docs/decisions/0041.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use crate::share::{Priority, Shares, Sharing, on_behalf_of};

/// Queries under way, of one namespace at most half. Each takes some 30 KiB, most of it for its connection.
const QUERIES: u32 = 512;

/// Queries for Heat's engines under way, of one namespace at most half. They have places of their own, because each may
/// take a minute, and there is only one for each credential.
const ENGINES: u32 = 2048;

/// All queries under way. Clones share them.
#[derive(Debug, Clone)]
pub struct Calls {
    queries: Shares,
    engines: Shares,
    for_each_host: u32,
    hosts: Arc<Mutex<HashMap<String, Weak<Shares>>>>,
}

/// The queries of one cloud.
#[derive(Debug, Clone)]
pub(super) struct HostCalls {
    queries: Shares,
    engines: Shares,
    host: Arc<Shares>,
}

impl Calls {
    /// Creates free places, this number of them for each host of a cloud.
    #[must_use]
    pub fn new(for_each_host: u32) -> Self {
        Self {
            queries: Shares::new(QUERIES, Sharing::LeavesAsMuch),
            engines: Shares::new(ENGINES, Sharing::LeavesAsMuch),
            for_each_host,
            hosts: Arc::default(),
        }
    }

    /// Returns the queries of the clouds at this host.
    pub(super) fn at(&self, host: &str) -> HostCalls {
        let mut hosts = self.lock();
        let known = hosts.get(host).and_then(Weak::upgrade);
        let host = known.unwrap_or_else(|| {
            let shares = Arc::new(Shares::new(self.for_each_host, Sharing::LeavesAsMuch));
            hosts.insert(host.to_owned(), Arc::downgrade(&shares));
            shares
        });
        HostCalls { queries: self.queries.clone(), engines: self.engines.clone(), host }
    }

    /// Forgets the hosts that no cloud uses.
    pub(super) fn sweep(&self) {
        self.lock().retain(|_, shares| shares.strong_count() > 0);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Weak<Shares>>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HostCalls {
    /// Runs a query for a namespace once it may begin. Its deadline begins then, too. Until then it takes little memory.
    pub(super) async fn query<F: Future>(&self, namespace: Arc<str>, query: impl FnOnce() -> F) -> F::Output {
        // The host comes first: queries that wait for a host that does not answer keep no place from other hosts.
        let _host = self.host.one(namespace.clone(), Priority::Later).await;
        let _place = self.queries.one(namespace.clone(), Priority::Later).await;
        Box::pin(on_behalf_of(namespace, query())).await
    }

    /// The same for a query for Heat's engines.
    pub(super) async fn engines<F: Future>(&self, namespace: Arc<str>, query: impl FnOnce() -> F) -> F::Output {
        let _place = self.engines.one(namespace.clone(), Priority::Later).await;
        Box::pin(on_behalf_of(namespace, query())).await
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
                        .query(namespace, || {
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
    fn hosts_without_clouds_are_forgotten() {
        let calls = Calls::new(1);
        let used = calls.at("used");
        drop(calls.at("unused"));
        calls.sweep();
        assert_eq!(calls.lock().keys().collect::<Vec<_>>(), ["used"]);
        assert!(Arc::ptr_eq(&used.host, &calls.at("used").host));
    }
}
