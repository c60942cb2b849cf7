//! The CloudTenants of one watch.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use kube::runtime::watcher::Event;

use crate::{
    identity::TenantName,
    watched::{kept::Kept, object::Watched},
};

type ByName = HashMap<Arc<TenantName>, Arc<Kept>>;

/// The CloudTenants of one watch, as last seen. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Store(Arc<RwLock<ByName>>);

/// Writes the events of a watch into its store.
#[derive(Debug, Default)]
pub struct Writer {
    store: Store,
    /// The objects of a list that is not complete yet.
    list: ByName,
}

impl Store {
    /// Returns a CloudTenant.
    #[must_use]
    pub fn get(&self, name: &TenantName) -> Option<Arc<Kept>> {
        self.read().get(name).cloned()
    }

    /// Returns all CloudTenants.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Kept>> {
        self.read().values().cloned().collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, ByName> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, ByName> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Returns the store.
    #[must_use]
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    /// Applies an event. Returns the CloudTenants that need a pass, each once the store contains its current version. The
    /// store takes over a list only when it is complete, with all that have changed during a gap of the watch.
    pub fn apply(&mut self, event: &Event<Watched>) -> Vec<Arc<TenantName>> {
        match event {
            Event::Init => self.list = ByName::new(),
            Event::InitApply(tenant) => {
                let tenant = kept(tenant, &self.store.read());
                self.list.insert(tenant.name.clone(), Arc::new(tenant));
            }
            Event::InitDone => {
                let mut list = std::mem::take(&mut self.list);
                list.shrink_to_fit();
                let before = std::mem::replace(&mut *self.store.write(), list);
                let stored = self.store.read();
                let needs = stored.values().filter(|tenant| needs_pass(tenant, before.get(&tenant.name)));
                return needs.map(|tenant| tenant.name.clone()).collect();
            }
            Event::Apply(tenant) => {
                let mut stored = self.store.write();
                let tenant = Arc::new(kept(tenant, &stored));
                let name = tenant.name.clone();
                let before = stored.insert(name.clone(), tenant.clone());
                return needs_pass(&tenant, before.as_ref()).then_some(name).into_iter().collect();
            }
            Event::Delete(tenant) => {
                self.store.write().remove(&TenantName::of(kube::Resource::meta(tenant)));
            }
        }
        Vec::new()
    }
}

/// Compresses an object. If it is known, it has the same copy of its name as before.
fn kept(tenant: &Watched, stored: &ByName) -> Kept {
    let mut tenant = Kept::new(tenant);
    if let Some((name, _)) = stored.get_key_value(&tenant.name) {
        tenant.name = name.clone();
    }
    tenant
}

fn needs_pass(tenant: &Kept, before: Option<&Arc<Kept>>) -> bool {
    before.is_none_or(|before| !tenant.needs_no_pass_after(before))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
        let mut writer = Writer::default();
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
            let mut writer = Writer::default();
            let found: usize = listed(first()).iter().chain(&then).map(|event| writer.apply(event).len()).sum();
            assert_eq!(found, 1 + usize::from(needs), "{name}");
        }
    }

    #[test]
    fn what_is_deleted_is_forgotten() {
        let mut writer = Writer::default();
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
