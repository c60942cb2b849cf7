//! The objects of one watch.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use kube::{Resource, runtime::watcher::Event};

use crate::{identity::TenantName, watched::object::WatchedSet};

/// What a store keeps of each object.
pub trait Keep: Sized {
    /// The object, as the watch brings it.
    type Seen: Resource<DynamicType = ()>;

    /// Returns what is kept of an object with this name.
    fn keep(seen: &Self::Seen, name: Arc<TenantName>) -> Self;

    /// Whether this is the same object with the same spec and annotations. Status and other metadata do not matter.
    fn needs_no_pass_after(&self, before: &Self) -> bool;
}

impl Keep for WatchedSet {
    type Seen = Self;

    fn keep(seen: &Self, _: Arc<TenantName>) -> Self {
        seen.clone()
    }

    fn needs_no_pass_after(&self, before: &Self) -> bool {
        let (now, before) = (self.meta(), before.meta());
        (&now.uid, now.generation, &now.annotations) == (&before.uid, before.generation, &before.annotations)
    }
}

type ByName<K> = HashMap<Arc<TenantName>, Arc<K>>;

/// The objects of one watch, as last seen. Clones share them.
#[derive(Debug)]
pub struct Store<K>(Arc<RwLock<ByName<K>>>);

/// Writes the events of a watch into its store.
#[derive(Debug)]
pub struct Writer<K> {
    store: Store<K>,
    /// The objects of a list that is not complete yet.
    list: ByName<K>,
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K> Clone for Store<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> Default for Writer<K> {
    fn default() -> Self {
        Self { store: Store::default(), list: ByName::new() }
    }
}

impl<K> Store<K> {
    /// Returns an object.
    #[must_use]
    pub fn get(&self, name: &TenantName) -> Option<Arc<K>> {
        self.read().get(name).cloned()
    }

    /// Returns all objects.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<K>> {
        self.read().values().cloned().collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, ByName<K>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, ByName<K>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Keep> Writer<K> {
    /// Returns the store.
    #[must_use]
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// Applies an event. Returns the names of the objects that need a pass, each once the store contains its current
    /// version. The store takes over a list only when it is complete, with all that have changed during a gap of the
    /// watch.
    pub fn apply(&mut self, event: &Event<K::Seen>) -> Vec<Arc<TenantName>> {
        match event {
            Event::Init => self.list = ByName::new(),
            Event::InitApply(seen) => {
                let name = shared_name(seen, &self.store.read());
                self.list.insert(name.clone(), Arc::new(K::keep(seen, name)));
            }
            Event::InitDone => {
                let mut list = std::mem::take(&mut self.list);
                list.shrink_to_fit();
                let before = std::mem::replace(&mut *self.store.write(), list);
                let stored = self.store.read();
                let needs = stored.iter().filter(|(name, object)| needs_pass(&***object, before.get(*name)));
                return needs.map(|(name, _)| name.clone()).collect();
            }
            Event::Apply(seen) => {
                let name = shared_name(seen, &self.store.read());
                let object = Arc::new(K::keep(seen, name.clone()));
                let before = self.store.write().insert(name.clone(), object.clone());
                return needs_pass(&*object, before.as_ref()).then_some(name).into_iter().collect();
            }
            Event::Delete(seen) => {
                self.store.write().remove(&TenantName::of(seen.meta()));
            }
        }
        Vec::new()
    }
}

/// Returns the object's name. If the object is known, it is the same copy of the name as before.
fn shared_name<K>(seen: &impl Resource, stored: &ByName<K>) -> Arc<TenantName> {
    let name = TenantName::of(seen.meta());
    stored.get_key_value(&name).map_or_else(|| Arc::new(name), |(name, _)| name.clone())
}

fn needs_pass<K: Keep>(object: &K, before: Option<&Arc<K>>) -> bool {
    before.is_none_or(|before| !object.needs_no_pass_after(before))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::watched::{kept::Kept, object::Watched};

    fn tenant(name: &str, generation: i64) -> Watched {
        Watched::read(&json!({ "metadata": { "name": name, "generation": generation } }).to_string())
    }

    #[test]
    fn the_store_has_the_current_version_of_each_tenant_that_needs_a_pass() {
        let events = [
            Event::Init,
            Event::InitApply(tenant("a", 1)),
            Event::InitDone,
            Event::Apply(tenant("b", 1)),
            Event::Delete(tenant("b", 1)),
            // The watch was too far behind. During the gap, one tenant changed and another one was created.
            Event::Init,
            Event::InitApply(tenant("a", 2)),
            Event::InitApply(tenant("c", 1)),
            Event::InitDone,
            Event::Apply(tenant("c", 2)),
        ];
        let mut writer = Writer::<Kept>::default();
        let mut found = Vec::new();
        for event in &events {
            for name in writer.apply(event) {
                let generation = writer.store().get(&name).and_then(|stored| stored.generation);
                found.push(format!("{} {}", name.name, generation.unwrap_or_default()));
            }
        }
        // A list has no order.
        found[2..4].sort();
        assert_eq!(found, ["a 1", "b 1", "a 2", "c 1", "c 2"]);
    }

    /// Each line: what happens to the tenant after a first list with it | whether it needs a pass.
    #[test]
    fn a_tenant_needs_a_pass_if_it_is_new_or_has_changed() {
        let listed = |tenant| vec![Event::Init, Event::InitApply(tenant), Event::InitDone];
        let first = || tenant("a", 1);
        for (name, then, needs) in [
            ("the same", vec![Event::Apply(first())], false),
            ("its spec", vec![Event::Apply(tenant("a", 2))], true),
            ("listed again", listed(first()), false),
            ("listed again with a change", listed(tenant("a", 2)), true),
            ("deleted", vec![Event::Delete(first())], false),
            ("deleted and created", vec![Event::Delete(first()), Event::Apply(first())], true),
        ] {
            let mut writer = Writer::<Kept>::default();
            let found: usize = listed(first()).iter().chain(&then).map(|event| writer.apply(event).len()).sum();
            assert_eq!(found, 1 + usize::from(needs), "{name}");
        }
    }

    #[test]
    fn what_is_deleted_is_forgotten() {
        let mut writer = Writer::<Kept>::default();
        let mut count_after = |event: Event<Watched>| {
            writer.apply(&event);
            writer.store().all().len()
        };
        for number in 0..100 {
            let new = tenant(&number.to_string(), 1);
            assert_eq!(count_after(Event::Apply(new.clone())), 1);
            assert_eq!(count_after(Event::Delete(new)), 0);
        }
        count_after(Event::Apply(tenant("a", 1)));
        count_after(Event::Init);
        assert_eq!(count_after(Event::InitApply(tenant("b", 1))), 1, "a list that is not complete is not used");
        assert_eq!(count_after(Event::InitDone), 1, "a was deleted during a gap");
    }
}
