//! The progress and health of a watch on CloudTenants.

use std::{
    error::Error as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::Stream;
use kube::{
    Api,
    runtime::watcher::{self, Event},
};
use tokio::sync::SetOnce;

use crate::{
    cluster::api_server::{self, AfterError, Lists},
    watched::{kept::Kept, object::Watched, store::Store},
};

/// Time after which a failing watch counts as lost.
const BROKEN: Duration = Duration::from_secs(60);

/// Length in bytes of the error that `/readyz` shows.
const WHY: usize = 500;

/// The state of a watch, shared with the controller.
#[derive(Clone)]
pub(super) struct Following {
    pub(super) namespace: Option<String>,
    pub(super) store: Store<Kept>,
    /// The store's own `wait_until_ready` wakes only one waiter, and the controller is already waiting.
    pub(super) listed: Arc<SetOnce<()>>,
    failing: Arc<Mutex<Option<Failing>>>,
}

/// Since when, and why, every attempt of a watch has failed.
struct Failing {
    since: Instant,
    why: String,
    /// The API server refuses the watch: the namespace or the right is gone.
    refused: bool,
}

impl Following {
    pub(super) fn new(namespace: Option<String>, store: Store<Kept>) -> Self {
        Self { namespace, store, listed: Arc::default(), failing: Arc::default() }
    }

    pub(super) fn name(&self) -> String {
        api_server::scope_name(self.namespace.as_deref())
    }

    pub(super) fn is_listed(&self) -> bool {
        self.listed.initialized()
    }

    /// Whether the namespace is lost: its watch is refused or has failed for [`BROKEN`]. The operator keeps trying.
    pub(super) fn is_lost(&self, now: Instant) -> bool {
        let lost = |failing: &Failing| failing.refused || now.saturating_duration_since(failing.since) >= BROKEN;
        self.lock().as_ref().is_some_and(lost)
    }

    /// Whether the API server refuses the watch, so that it refuses all else in this namespace too.
    pub(super) fn is_refused(&self) -> bool {
        self.lock().as_ref().is_some_and(|failing| failing.refused)
    }

    /// Returns why the watch fails. `None` if it works.
    pub(super) fn why(&self) -> Option<String> {
        self.lock().as_ref().map(|failing| failing.why.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, event: &Result<Event<Watched>, watcher::Error>, now: Instant) {
        let mut failing = self.lock();
        match event {
            Err(error) => {
                let since = failing.as_ref().map_or(now, |failing| failing.since);
                *failing = Some(Failing { since, why: shortened(&full(error)), refused: is_refused(error) });
                tracing::warn!(%error, "the watch on the CloudTenants of {}", self.name());
            }
            // A list that has begun may still fail.
            Ok(Event::Init | Event::InitApply(_)) => {}
            Ok(Event::InitDone) => {
                *failing = None;
                // Only the first call has an effect.
                let _ = self.listed.set(());
            }
            Ok(Event::Apply(_) | Event::Delete(_)) => *failing = None,
        }
    }
}

/// Returns the events of a watch. It lists again after each error.
pub(super) fn events(api: Api<Watched>, lists: Lists) -> impl Stream<Item = Result<Event<Watched>, watcher::Error>> {
    api_server::follow(api, lists, AfterError::Lists)
}

/// Whether the API server refuses the watch.
fn is_refused(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => api_server::is_refused(error),
        WatchError(status) => api_server::is_refusal(status.code),
        NoResourceVersion => false,
    }
}

/// Formats an error with its causes.
fn full(error: &watcher::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Truncates the text to [`WHY`] bytes.
fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(WHY)].to_owned()
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_list_without_data_times_out_and_starts_again() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let client = kube::Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap();
        let mut events = std::pin::pin!(events(Api::all(client), Lists::default()));
        for turn in 0..3 {
            let mut event = tokio::time::timeout(2 * api_server::LISTING, events.next()).await.unwrap();
            // A list in pages begins before the API server answers.
            if matches!(event, Some(Ok(Event::Init))) {
                event = tokio::time::timeout(2 * api_server::LISTING, events.next()).await.unwrap();
            }
            assert!(matches!(event, Some(Err(watcher::Error::WatchStartFailed(_)))), "{turn}: {event:?}");
        }
    }

    #[test]
    fn a_namespace_is_lost_once_its_watch_is_refused_or_has_failed_for_a_minute() {
        let tenant = || Watched::read("{}");
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let following = Following::new(None, Store::default());
        let answer = |code: u16, message: &str| {
            let status = serde_json::json!({ "code": code, "message": message, "status": "Failure", "reason": "" });
            watcher::Error::WatchStartFailed(kube::Error::Api(serde_json::from_value(status).unwrap()))
        };
        for (name, second, event, lost) in [
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
            ("the right is gone", 1063, Some(Err(answer(403, "forbidden"))), true),
            ("the right is back", 1070, Some(Ok(Event::InitDone)), false),
            ("the API server starts", 1071, Some(Err(answer(503, "starting"))), false),
        ] {
            if let Some(event) = event {
                following.note(&event, at(second));
            }
            assert_eq!(following.is_lost(at(second)), lost, "{name}");
        }
        assert!(following.is_listed());
        assert!(following.why().is_some());
        following.note(&Ok(Event::InitDone), at(2000));
        assert!(following.why().is_none());
        following.note(&Err(answer(422, "sendInitialEvents is forbidden")), at(2001));
        let why = following.why().unwrap();
        assert!(why.contains("sendInitialEvents is forbidden"), "the API server's own words: {why}");
    }
}
