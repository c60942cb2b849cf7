//! Selects the objects that need a pass from the events of a watch.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use futures::{Stream, StreamExt as _, stream};
use kube::{
    Resource,
    runtime::{
        reflector::Store,
        watcher::{self, Event},
    },
};

use crate::identity::TenantName;

/// What each object of the store was like at its last change. kube's own filter remembers deleted objects for hours, so
/// a loop of creations and deletions would take memory.
#[derive(Default)]
struct Known(HashMap<TenantName, u64>);

impl Known {
    /// Returns the object's name if its identity, generation or annotations have changed. Status and other metadata do
    /// not matter.
    fn changed(&mut self, object: &impl Resource) -> Option<TenantName> {
        let metadata = object.meta();
        let mut hasher = DefaultHasher::new();
        (&metadata.uid, metadata.generation, &metadata.annotations).hash(&mut hasher);
        let (name, now) = (TenantName::of(metadata), hasher.finish());
        (self.0.insert(name.clone(), now) != Some(now)).then_some(name)
    }

    /// Returns the objects that an event has changed.
    fn after<K>(&mut self, event: Event<K>, store: &Store<K>) -> Vec<TenantName>
    where
        K: Resource<DynamicType = ()> + Clone + 'static,
    {
        match event {
            Event::Apply(object) => self.changed(&object).into_iter().collect(),
            Event::InitDone => {
                let listed = store.state();
                // What the list lacks was deleted during a gap of the watch.
                let mut last = std::mem::take(self);
                for object in &listed {
                    self.0.extend(last.0.remove_entry(&TenantName::of(object.meta())));
                }
                listed.iter().filter_map(|object| self.changed(&**object)).collect()
            }
            Event::Delete(object) => {
                self.0.remove(&TenantName::of(object.meta()));
                Vec::new()
            }
            Event::Init | Event::InitApply(_) => Vec::new(),
        }
    }
}

/// Returns the new and changed objects, each once the store contains its current version. The store takes over a list
/// only when it is complete. An object looked up before that would be missing and get no pass.
pub(super) fn changes<K>(
    events: impl Stream<Item = Result<Event<K>, watcher::Error>>,
    store: Store<K>,
) -> impl Stream<Item = TenantName>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let mut known = Known::default();
    events.flat_map(move |event| stream::iter(event.map(|event| known.after(event, &store)).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use kube::runtime::{
        WatchStreamExt as _,
        reflector::{ObjectRef, store::Writer},
    };
    use serde_json::json;

    use super::*;
    use crate::watched::roster::Watched;

    fn tenant(name: &str, generation: i64) -> Watched {
        Watched::read(&json!({ "metadata": { "name": name, "generation": generation } }).to_string())
    }

    #[tokio::test]
    async fn the_store_has_the_current_version_of_each_tenant() {
        let events = [
            Ok(Event::Init),
            Ok(Event::InitApply(tenant("a", 1))),
            Ok(Event::InitDone),
            Ok(Event::Apply(tenant("b", 1))),
            Ok(Event::Delete(tenant("b", 1))),
            Err(watcher::Error::NoResourceVersion),
            // The watch was too far behind. During the gap, one tenant changed and another one was created.
            Ok(Event::Init),
            Ok(Event::InitApply(tenant("a", 2))),
            Ok(Event::InitApply(tenant("c", 1))),
            Ok(Event::InitDone),
            Ok(Event::Apply(tenant("c", 2))),
        ];
        let writer = Writer::default();
        let store = writer.as_reader();
        let found = changes(stream::iter(events).reflect(writer), store.clone());
        let found = found.map(|tenant| {
            let stored = store.get(&ObjectRef::new(&tenant.name));
            let stored = stored.and_then(|stored| stored.meta().generation).unwrap_or_default();
            format!("{} {stored}", tenant.name)
        });
        let mut found: Vec<_> = found.collect().await;
        // A list has no order.
        found[2..4].sort();
        assert_eq!(found, ["a 1", "b 1", "a 2", "c 1", "c 2"]);
    }

    /// Each line: what happens to the tenant after a first list with it | whether it needs a pass.
    #[tokio::test]
    async fn a_tenant_needs_a_pass_if_its_identity_its_spec_or_an_annotation_changes() {
        let with = |uid: &str, generation: i64, requested: &str, version: &str| {
            let annotations = json!({ "reconcile.fluxcd.io/requestedAt": requested });
            let metadata = json!({
                "name": "a", "uid": uid, "generation": generation, "resourceVersion": version, "annotations": annotations,
            });
            Watched::read(&json!({ "metadata": metadata }).to_string())
        };
        let first = || with("u", 1, "r", "1");
        let listed = |tenant| vec![Ok(Event::Init), Ok(Event::InitApply(tenant)), Ok(Event::InitDone)];
        for (name, then, needs) in [
            ("the same", vec![Ok(Event::Apply(first()))], false),
            ("its status", vec![Ok(Event::Apply(with("u", 1, "r", "2")))], false),
            ("its spec", vec![Ok(Event::Apply(with("u", 2, "r", "2")))], true),
            ("its annotation", vec![Ok(Event::Apply(with("u", 1, "s", "2")))], true),
            ("its identity", vec![Ok(Event::Apply(with("v", 1, "r", "2")))], true),
            ("listed again", listed(first()), false),
            ("listed again with a change", listed(with("u", 2, "r", "2")), true),
            ("deleted", vec![Ok(Event::Delete(first()))], false),
            ("deleted and created", vec![Ok(Event::Delete(first())), Ok(Event::Apply(first()))], true),
        ] {
            let writer = Writer::default();
            let store = writer.as_reader();
            let events = listed(first()).into_iter().chain(then);
            let found: Vec<_> = changes(stream::iter(events).reflect(writer), store).collect().await;
            assert_eq!(found.len(), 1 + usize::from(needs), "{name}");
        }
    }

    #[test]
    fn what_is_deleted_is_forgotten() {
        let (mut known, mut writer) = (Known::default(), Writer::<Watched>::default());
        let store = writer.as_reader();
        let mut count_after = |event: Event<Watched>| {
            writer.apply_watcher_event(&event);
            known.after(event, &store);
            known.0.len()
        };
        for number in 0..100 {
            let new = tenant(&number.to_string(), 1);
            assert_eq!(count_after(Event::Apply(new.clone())), 1);
            assert_eq!(count_after(Event::Delete(new)), 0);
        }
        count_after(Event::Apply(tenant("a", 1)));
        count_after(Event::Init);
        count_after(Event::InitApply(tenant("b", 1)));
        assert_eq!(count_after(Event::InitDone), 1, "a was deleted during a gap");
    }
}
