//! The CloudTenants that this process watches. A process that is not the leader has none.

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
    /// Adds a watch whose first list is complete. The watch on all namespaces has no name.
    pub fn add(&self, namespace: Option<String>, store: Store<Watched>) {
        self.write().push(NamespaceStore { namespace, store, followed: true });
    }

    /// Records whether a watch works. The tenants of one that does not are outdated.
    pub fn follow(&self, namespace: Option<&str>, followed: bool) {
        self.write().iter_mut().filter(|entry| entry.namespace.as_deref() == namespace).for_each(|entry| {
            entry.followed = followed;
        });
    }

    /// Removes all watches.
    pub fn clear(&self) {
        self.write().clear();
    }

    /// Returns all tenants.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Watched>> {
        self.read().iter().flat_map(|entry| entry.store.state()).collect()
    }

    /// Returns the tenants whose watch works.
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
