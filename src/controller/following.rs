//! A watch on CloudTenants, how far it has got, and whether it goes on.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt as _, stream};
use kube::{
    Api,
    runtime::{
        WatchStreamExt as _,
        reflector::Store,
        utils::Backoff,
        watcher::{self, DefaultBackoff, Event, watcher},
    },
};
use tokio::sync::SetOnce;

use crate::roster::Watched;

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A watch that has failed for so long is no interruption that passes.
const BROKEN: Duration = Duration::from_secs(60);
/// How long a watch lasts, in seconds, until it is begun anew: one whose connection is dead goes unnoticed no longer.
const LASTS: u32 = 60;

/// One watch, as others see it.
#[derive(Clone)]
pub(super) struct Following {
    pub(super) namespace: Option<String>,
    pub(super) store: Store<Watched>,
    /// Not the store's own `wait_until_ready`: it wakes only one of those who wait, and the controller does.
    pub(super) listed: Arc<SetOnce<()>>,
    failing_since: Arc<Mutex<Option<Instant>>>,
}

impl Following {
    pub(super) fn new(namespace: Option<String>, store: Store<Watched>) -> Self {
        Self { namespace, store, listed: Arc::default(), failing_since: Arc::default() }
    }

    pub(super) fn name(&self) -> String {
        self.namespace.as_ref().map_or_else(|| "all namespaces".to_owned(), |name| format!("namespace {name}"))
    }

    pub(super) fn is_listed(&self) -> bool {
        self.listed.initialized()
    }

    /// Whether the watch has only failed for a while.
    pub(super) fn is_broken(&self, now: Instant) -> bool {
        let since = *self.failing_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| now.saturating_duration_since(since) >= BROKEN)
    }

    pub(super) fn note(&self, event: &Result<Event<Watched>, watcher::Error>, now: Instant) {
        let mut failing_since = self.failing_since.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Err(error) => {
                failing_since.get_or_insert(now);
                tracing::warn!(%error, "the watch on the CloudTenants of {}", self.name());
            }
            // A list that has begun may still break off.
            Ok(Event::Init | Event::InitApply(_)) => {}
            Ok(Event::InitDone) => {
                *failing_since = None;
                // Only the first time counts.
                let _ = self.listed.set(());
            }
            Ok(Event::Apply(_) | Event::Delete(_)) => *failing_since = None,
        }
    }
}

/// The events of a watch. After an error it lists anew, since a watch that is merely resumed does not tell that it
/// goes on.
pub(super) fn events(api: Api<Watched>) -> impl Stream<Item = Result<Event<Watched>, watcher::Error>> {
    let begin = move || {
        let config = watcher::Config::default().streaming_lists().timeout(LASTS);
        watcher(api.clone(), config).boxed()
    };
    let first = begin();
    let events = stream::unfold((first, begin), |(mut events, begin)| async move {
        let event = events.next().await?;
        let events = if event.is_err() { begin() } else { events };
        Some((event, (events, begin)))
    });
    events.backoff(Pauses::default())
}

/// The pauses between two tries: kube's own, but no longer than [`LONGEST_PAUSE`].
#[derive(Default)]
struct Pauses(DefaultBackoff);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|pause| pause.min(LONGEST_PAUSE))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use kube::{
        core::{DeserializeGuard, ObjectMeta, error_boundary::InvalidObject},
        runtime::reflector::store::Writer,
    };

    use super::*;

    #[test]
    fn a_watch_that_has_only_failed_for_a_minute_is_broken() {
        let tenant = || DeserializeGuard(Err(InvalidObject { error: String::new(), metadata: ObjectMeta::default() }));
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let following = Following::new(None, Writer::default().as_reader());
        for (name, second, event, broken) in [
            ("an error", 0, Some(Err(watcher::Error::NoResourceVersion)), false),
            ("it has begun to list", 30, Some(Ok(Event::Init)), false),
            ("and broke off", 59, Some(Err(watcher::Error::NoResourceVersion)), false),
            ("for a minute", 60, None, true),
            ("it has begun again", 70, Some(Ok(Event::Init)), true),
            ("and lists", 71, Some(Ok(Event::InitApply(tenant()))), true),
            ("all of them", 72, Some(Ok(Event::InitDone)), false),
            ("nothing happens", 1000, None, false),
            ("an error", 1001, Some(Err(watcher::Error::NoResourceVersion)), false),
            ("something happens", 1031, Some(Ok(Event::Apply(tenant()))), false),
            ("an error later", 1062, Some(Err(watcher::Error::NoResourceVersion)), false),
        ] {
            if let Some(event) = event {
                following.note(&event, at(second));
            }
            assert_eq!(following.is_broken(at(second)), broken, "{name}");
        }
        assert!(following.is_listed());
    }
}
