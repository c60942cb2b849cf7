//! The CloudTenants that this process watches, as its watches know them: none unless it leads.

use std::sync::{Arc, PoisonError, RwLock};

use kube::{core::DeserializeGuard, runtime::reflector::Store};

use crate::api::CloudTenant;

/// A tenant as the watch brings it: one that cannot be read stops nobody else.
pub type Watched = DeserializeGuard<CloudTenant>;

/// The stores of all watches.
#[derive(Clone, Default)]
pub struct Roster(Arc<RwLock<Vec<Store<Watched>>>>);

impl Roster {
    /// One more watch, whose first list is complete.
    pub fn add(&self, store: Store<Watched>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(store);
    }

    /// From now on nothing is watched.
    pub fn clear(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Watched>> {
        let stores = self.0.read().unwrap_or_else(PoisonError::into_inner);
        stores.iter().flat_map(Store::state).collect()
    }
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Roster").field(&self.all().len()).finish()
    }
}
