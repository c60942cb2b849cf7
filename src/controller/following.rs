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
        watcher::{self, DefaultBackoff, Event},
    },
};
use tokio::{sync::SetOnce, time::timeout};

use crate::{api_server, roster::Watched};

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A watch that has failed for so long is no interruption that passes.
const BROKEN: Duration = Duration::from_secs(60);
/// How long nothing may come while the CloudTenants are listed: the connection that was taken may be dead.
const LISTING: Duration = Duration::from_secs(15);

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
    let begin = move || api_server::events(api.clone(), api_server::watch()).boxed();
    let first = begin();
    let events = stream::unfold((first, false, begin), |(mut events, listed, begin)| async move {
        let event = if listed {
            events.next().await?
        } else {
            let silent =
                || watcher::Error::WatchStartFailed(kube::Error::Service("the API server does not answer".into()));
            timeout(LISTING, events.next()).await.unwrap_or_else(|_| Some(Err(silent())))?
        };
        let (events, listed) = match &event {
            // What is dropped closes its connection.
            Err(_) => (begin(), false),
            Ok(Event::InitDone) => (events, true),
            Ok(_) => (events, listed),
        };
        Some((event, (events, listed, begin)))
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
    use kube::runtime::reflector::store::Writer;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_list_of_which_nothing_comes_is_given_up_and_begun_anew() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let client = kube::Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap();
        let mut events = std::pin::pin!(events(Api::all(client)));
        for turn in 0..3 {
            let event = timeout(2 * LISTING, events.next()).await.unwrap();
            assert!(matches!(event, Some(Err(watcher::Error::WatchStartFailed(_)))), "{turn}: {event:?}");
        }
    }

    #[test]
    fn a_watch_that_has_only_failed_for_a_minute_is_broken() {
        let tenant = || Watched::read("{}");
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
