//! The CloudTenants that this process watches. A process that is not the leader has none.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::watched::{kept::Kept, store::Store};

/// The stores of all watches, or of those of one shard.
#[derive(Clone, Default)]
pub struct Roster {
    stores: Arc<RwLock<Vec<NamespaceStore>>>,
    /// The index of the shard. `None` means all shards.
    shard: Option<u32>,
}

struct NamespaceStore {
    shard: u32,
    namespace: Option<String>,
    store: Store,
    followed: bool,
}

impl NamespaceStore {
    fn is_in(&self, roster: &Roster) -> bool {
        roster.shard.is_none_or(|shard| shard == self.shard)
    }
}

impl Roster {
    /// Returns the part for the shard with this index. Its watches are also in the whole.
    #[must_use]
    pub fn part(&self, shard: u32) -> Self {
        Self { shard: Some(shard), ..self.clone() }
    }

    /// Adds a watch whose first list is complete. The watch on all namespaces has no name.
    pub fn add(&self, namespace: Option<String>, store: Store) {
        let shard = self.shard.unwrap_or_default();
        self.write().push(NamespaceStore { shard, namespace, store, followed: true });
    }

    /// Records whether a watch works. The tenants of one that does not are outdated.
    pub fn follow(&self, namespace: Option<&str>, followed: bool) {
        let is_meant = |entry: &&mut NamespaceStore| entry.is_in(self) && entry.namespace.as_deref() == namespace;
        self.write().iter_mut().filter(is_meant).for_each(|entry| entry.followed = followed);
    }

    /// Removes all watches.
    pub fn clear(&self) {
        self.write().retain(|entry| !entry.is_in(self));
    }

    /// Returns all tenants.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Kept>> {
        self.read().iter().filter(|entry| entry.is_in(self)).flat_map(|entry| entry.store.all()).collect()
    }

    /// Returns the tenants whose watch works.
    #[must_use]
    pub fn followed(&self) -> Vec<Arc<Kept>> {
        self.read()
            .iter()
            .filter(|entry| entry.is_in(self) && entry.followed)
            .flat_map(|entry| entry.store.all())
            .collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<NamespaceStore>> {
        self.stores.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<NamespaceStore>> {
        self.stores.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Roster").field(&self.all().len()).finish()
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
