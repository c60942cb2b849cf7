//! Selects the tenants that need a pass from the events of a watch.

use std::sync::Arc;

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use kube::runtime::{
    reflector::Store,
    watcher::{self, Event},
};

use crate::watched::roster::Watched;

/// Returns the new and changed tenants, each once the store contains its current version. The store takes over a list
/// only when it is complete. A tenant looked up before that would be missing and get no pass.
pub(super) fn changes(
    events: impl Stream<Item = Result<Event<Watched>, watcher::Error>>,
    store: Store<Watched>,
) -> impl Stream<Item = Result<Watched, watcher::Error>> {
    let changed = move |event| {
        stream::iter(match event {
            Ok(Event::Apply(tenant)) => vec![Ok(Arc::new(tenant))],
            Ok(Event::InitDone) => store.state().into_iter().map(Ok).collect(),
            // The controller would pause after an error and wake no tenant meanwhile. The watch itself has already
            // paused.
            Ok(Event::Init | Event::InitApply(_) | Event::Delete(_)) | Err(_) => Vec::new(),
        })
    };
    events.flat_map(changed).map_ok(Arc::unwrap_or_clone)
}

#[cfg(test)]
mod tests {
    use kube::{
        Resource as _, ResourceExt as _,
        runtime::{
            WatchStreamExt as _,
            reflector::{ObjectRef, store::Writer},
        },
    };
    use serde_json::json;

    use super::*;

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
            let tenant = tenant.unwrap();
            let stored = store.get(&ObjectRef::from_obj(&tenant));
            let stored = stored.and_then(|stored| stored.meta().generation).unwrap_or_default();
            format!("{} {:?} {stored}", tenant.name_any(), tenant.meta().generation.unwrap_or_default())
        });
        let mut found: Vec<_> = found.collect().await;
        // A list has no order.
        found[2..4].sort();
        assert_eq!(found, ["a 1 1", "b 1 1", "a 2 2", "c 1 1", "c 2 2"]);
    }
}
