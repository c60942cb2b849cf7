//! The objects that this process watches. A process that is not the leader has none.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use crate::watched::object::WatchedSet;
use crate::watched::{kept::Kept, store::Store};

/// The CloudTenants.
pub type Roster = Stores<Kept>;

/// The CloudTenantSets.
pub type Sets = Stores<WatchedSet>;

/// The stores of all watches on a kind of objects, or of those of one shard.
pub struct Stores<K> {
    stores: Arc<RwLock<Vec<NamespaceStore<K>>>>,
    /// The index of the shard. `None` means all shards.
    shard: Option<u32>,
}

struct NamespaceStore<K> {
    shard: u32,
    namespace: Option<String>,
    store: Store<K>,
    followed: bool,
}

impl<K> NamespaceStore<K> {
    fn is_in(&self, part: &Stores<K>) -> bool {
        part.shard.is_none_or(|shard| shard == self.shard)
    }
}

impl<K> Default for Stores<K> {
    fn default() -> Self {
        Self { stores: Arc::default(), shard: None }
    }
}

impl<K> Clone for Stores<K> {
    fn clone(&self) -> Self {
        Self { stores: self.stores.clone(), shard: self.shard }
    }
}

impl<K> Stores<K> {
    /// Returns the part for the shard with this index. Its watches are also in the whole.
    #[must_use]
    pub fn part(&self, shard: u32) -> Self {
        Self { shard: Some(shard), ..self.clone() }
    }

    /// Adds a watch whose first list is complete. The watch on all namespaces has no name.
    pub fn add(&self, namespace: Option<String>, store: Store<K>) {
        let shard = self.shard.unwrap_or_default();
        self.write().push(NamespaceStore { shard, namespace, store, followed: true });
    }

    /// Records whether a watch works. The objects of one that does not are outdated.
    pub fn follow(&self, namespace: Option<&str>, followed: bool) {
        let is_meant = |entry: &&mut NamespaceStore<K>| entry.is_in(self) && entry.namespace.as_deref() == namespace;
        self.write().iter_mut().filter(is_meant).for_each(|entry| entry.followed = followed);
    }

    /// Removes all watches.
    pub fn clear(&self) {
        self.write().retain(|entry| !entry.is_in(self));
    }

    /// Returns all objects.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<K>> {
        self.read().iter().filter(|entry| entry.is_in(self)).flat_map(|entry| entry.store.all()).collect()
    }

    /// Returns the objects whose watch works.
    #[must_use]
    pub fn followed(&self) -> Vec<Arc<K>> {
        self.read()
            .iter()
            .filter(|entry| entry.is_in(self) && entry.followed)
            .flat_map(|entry| entry.store.all())
            .collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<NamespaceStore<K>>> {
        self.stores.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<NamespaceStore<K>>> {
        self.stores.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> std::fmt::Debug for Stores<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Stores").field(&self.all().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;

    use super::*;
    use crate::watched::{object::Watched, store::Writer};

    #[test]
    fn a_part_changes_only_its_own_watches() {
        let whole = Roster::default();
        let parts = [whole.part(0), whole.part(1)];
        for (part, names) in parts.iter().zip([&["a", "b"][..], &["c"]]) {
            let mut writer = Writer::default();
            for name in names {
                let tenant = Watched::read(&format!(r#"{{"metadata":{{"name":"{name}"}}}}"#));
                writer.apply(&Event::Apply(tenant));
            }
            part.add(Some("n".to_owned()), writer.store());
        }
        let sizes = || [&whole, &parts[0], &parts[1]].map(|roster| (roster.all().len(), roster.followed().len()));
        assert_eq!(sizes(), [(3, 3), (2, 2), (1, 1)]);
        parts[0].follow(Some("n"), false);
        assert_eq!(sizes(), [(3, 1), (2, 0), (1, 1)]);
        parts[0].clear();
        assert_eq!(sizes(), [(1, 1), (0, 0), (1, 1)]);
        whole.clear();
        assert_eq!(sizes(), [(0, 0); 3]);
    }
}
