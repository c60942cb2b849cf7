//! How far a watch on CloudTenants has got, and whether it goes on.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use kube::runtime::{
    reflector::Store,
    utils::Backoff,
    watcher::{self, DefaultBackoff, Event},
};
use tokio::sync::SetOnce;

use crate::roster::Watched;

/// The longest pause between two tries, a try itself takes up to ten seconds more: see [`QUIET`].
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// After so long without an error a watch goes on: one that nothing happens on says nothing.
const QUIET: Duration = Duration::from_secs(40);
/// Errors over so long are no interruption that passes.
const BROKEN: Duration = Duration::from_secs(60);

/// One watch, as others see it.
#[derive(Clone)]
pub(super) struct Following {
    pub(super) namespace: Option<String>,
    pub(super) store: Store<Watched>,
    /// Not the store's own `wait_until_ready`: it wakes only one of those who wait, and the controller does.
    pub(super) listed: Arc<SetOnce<()>>,
    pulse: Arc<Mutex<Pulse>>,
}

/// When errors came: the first and the last of a row.
#[derive(Debug, Default)]
struct Pulse(Option<(Instant, Instant)>);

impl Following {
    pub(super) fn new(namespace: Option<String>, store: Store<Watched>) -> Self {
        Self { namespace, store, listed: Arc::default(), pulse: Arc::default() }
    }

    pub(super) fn name(&self) -> String {
        self.namespace.as_ref().map_or_else(|| "all namespaces".to_owned(), |name| format!("namespace {name}"))
    }

    pub(super) fn is_listed(&self) -> bool {
        self.listed.initialized()
    }

    /// Whether the watch has only failed for a while.
    pub(super) fn is_broken(&self, now: Instant) -> bool {
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner).is_broken(now)
    }

    pub(super) fn note(&self, event: &Result<Event<Watched>, watcher::Error>) {
        if matches!(event, Ok(Event::InitDone)) {
            // Only the first time counts.
            let _ = self.listed.set(());
        }
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner).note(event.is_ok(), Instant::now());
    }
}

impl Pulse {
    fn note(&mut self, ok: bool, now: Instant) {
        let row = self.0.filter(|(_, last)| now.saturating_duration_since(*last) < QUIET);
        self.0 = (!ok).then(|| (row.map_or(now, |(first, _)| first), now));
    }

    fn is_broken(&self, now: Instant) -> bool {
        self.0.is_some_and(|(first, last)| {
            last.saturating_duration_since(first) >= BROKEN && now.saturating_duration_since(last) < QUIET
        })
    }
}

/// The pauses between two tries: kube's own, but no longer than [`LONGEST_PAUSE`].
#[derive(Default)]
pub(super) struct Pauses(DefaultBackoff);

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
    use super::*;

    #[test]
    fn a_row_of_errors_is_a_broken_watch() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut pulse = Pulse::default();
        for (name, second, ok, broken) in [
            ("an error", 0, Some(false), false),
            ("more of them", 30, Some(false), false),
            ("still more", 59, Some(false), false),
            ("for a minute", 60, Some(false), true),
            ("nothing since", 99, None, true),
            ("nothing for so long that it goes on", 100, None, false),
            ("an error much later begins anew", 130, Some(false), false),
            ("and more", 160, Some(false), false),
            ("something has happened between", 161, Some(true), false),
            ("an error", 165, Some(false), false),
            ("in the row from there", 200, Some(false), false),
            ("for a minute", 225, Some(false), true),
            ("and something happens", 226, Some(true), false),
        ] {
            if let Some(ok) = ok {
                pulse.note(ok, at(second));
            }
            assert_eq!(pulse.is_broken(at(second)), broken, "{name}");
        }
    }
}
