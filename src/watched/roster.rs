//! The CloudTenants that this process watches, as its watches know them: none unless it leads.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use kube::runtime::reflector::Store;

pub use crate::watched::object::Watched;

/// The stores of all watches.
#[derive(Clone, Default)]
pub struct Roster(Arc<RwLock<Vec<NamespaceStore>>>);

struct NamespaceStore {
    namespace: Option<String>,
    store: Store<Watched>,
    followed: bool,
}

impl Roster {
    /// One more watch, whose first list is complete; the one of all namespaces goes by no name.
    pub fn add(&self, namespace: Option<String>, store: Store<Watched>) {
        self.write().push(NamespaceStore { namespace, store, followed: true });
    }

    /// Whether a watch goes on. One that does not knows its tenants as they have been.
    pub fn follow(&self, namespace: Option<&str>, followed: bool) {
        self.write().iter_mut().filter(|entry| entry.namespace.as_deref() == namespace).for_each(|entry| {
            entry.followed = followed;
        });
    }

    /// From now on nothing is watched.
    pub fn clear(&self) {
        self.write().clear();
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Watched>> {
        self.read().iter().flat_map(|entry| entry.store.state()).collect()
    }

    /// Those that are known as they are.
    #[must_use]
    pub fn followed(&self) -> Vec<Arc<Watched>> {
        self.read().iter().filter(|entry| entry.followed).flat_map(|entry| entry.store.state()).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<NamespaceStore>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<NamespaceStore>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Roster").field(&self.all().len()).finish()
    }
}
