//! Lists the existing objects at the start of a watch: as a stream, or in pages if streams do not work.

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{Stream, StreamExt as _, stream, stream::BoxStream};
use kube::{
    Api, Error as Call, Resource,
    runtime::{
        WatchStreamExt as _,
        utils::Backoff,
        watcher::{self, DefaultBackoff, Error, Event},
    },
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Longest silence during a list. After that the connection may be dead.
pub const LISTING: Duration = Duration::from_secs(15);

/// Objects in a page. One object can have more than 1 MiB, and a page is in memory twice.
const PAGE: u32 = 20;

/// Length of a watch in seconds, after which the next one begins. It bounds the silence of a watch without events.
pub(super) const WATCH: u32 = 30;

/// The kind of list that all watches of this process use. It is the one that last worked.
///
/// Streams are the first choice because they cost the API server less memory. API servers 1.31 and 1.33, or without the
/// feature gate `WatchList`, refuse them. Some proxies lose the bookmark that ends the list.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    paged: Arc<AtomicBool>,
    fields: Option<String>,
    only_streams: bool,
}

/// A kind of list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Streamed,
    Paged,
}

/// How a watch continues after an error that follows a complete list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterError {
    /// It lists again. A watch that merely resumes sends nothing that proves that it works.
    Lists,
    /// It resumes where it was.
    Resumes,
}

impl Lists {
    /// Watches the objects that match this field selector, and never lists them: that would need the right to list.
    #[must_use]
    pub fn only_streams(fields: String) -> Self {
        Self { paged: Arc::default(), fields: Some(fields), only_streams: true }
    }

    fn remembered(&self) -> List {
        if self.paged.load(Ordering::Relaxed) { List::Paged } else { List::Streamed }
    }

    fn remember(&self, list: List) {
        if self.paged.swap(list == List::Paged, Ordering::Relaxed) != (list == List::Paged) {
            tracing::info!(?list, "the API server's lists are read this way from now on");
        }
    }
}

impl List {
    fn config(self) -> watcher::Config {
        let config = watcher::Config::default().timeout(WATCH).page_size(PAGE);
        if self == Self::Streamed { config.streaming_lists() } else { config }
    }

    const fn other(self) -> Self {
        match self {
            Self::Streamed => Self::Paged,
            Self::Paged => Self::Streamed,
        }
    }

    /// Returns the kind of list to use after this error. Unrelated errors change nothing: no connection, a missing
    /// right, an overload, a starting server.
    fn after(self, error: &Error) -> Self {
        let unsuitable = match error {
            Error::InitialListFailed(error) | Error::WatchStartFailed(error) | Error::WatchFailed(error) => match error
            {
                Call::Api(status) => is_unsuitable(status.code),
                Call::SerdeError(_) | Call::ReadEvents(_) | Call::LinesCodecMaxLineLengthExceeded => true,
                _ => false,
            },
            Error::WatchError(status) => is_unsuitable(status.code),
            Error::NoResourceVersion => true,
        };
        if unsuitable { self.other() } else { self }
    }
}

/// API server 1.31 answers 422 if the feature gate is off. Servers and proxies that do not know the parameter may
/// answer 400. 404 means a missing CRD.
const fn is_unsuitable(code: u16) -> bool {
    matches!(code, 400 | 405 | 406 | 413 | 415 | 422 | 501)
}

/// Whether the API server denies the right, or has no such namespace or CRD. That may be so for one namespace alone.
#[must_use]
pub const fn is_refused(error: &Call) -> bool {
    match error {
        Call::Api(status) => is_refusal(status.code),
        _ => false,
    }
}

/// The same of an answer's code.
#[must_use]
pub const fn is_refusal(code: u16) -> bool {
    matches!(code, 403 | 404)
}

struct Watch<K> {
    events: BoxStream<'static, Result<Event<K>, Error>>,
    list: List,
    /// Whether something other than silence showed that the other kind of list does not work.
    is_certain: bool,
    begun: bool,
    listed: bool,
}

impl<K> Watch<K>
where
    K: Resource<DynamicType: Default> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    fn begin(api: &Api<K>, lists: &Lists, list: List) -> Self {
        let config = watcher::Config { field_selector: lists.fields.clone(), ..list.config() };
        let events = super::events(api.clone(), config).boxed();
        Self { events, list, is_certain: true, begun: false, listed: false }
    }
}

/// Returns the events of a watch, with a pause after each error. If a list does not complete, the next one is of the other
/// kind.
pub fn follow<K>(api: Api<K>, lists: Lists, after_error: AfterError) -> impl Stream<Item = Result<Event<K>, Error>>
where
    K: Resource<DynamicType: Default> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let first = Watch::begin(&api, &lists, lists.remembered());
    let events = stream::unfold((first, api, lists), move |(mut watch, api, lists)| async move {
        let next =
            if watch.listed { Ok(watch.events.next().await) } else { timeout(LISTING, watch.events.next()).await };
        // A connection may be dead, or the API server overloaded: silence before the first answer proves nothing.
        let is_certain = next.is_ok() || watch.begun && watch.list == List::Streamed;
        let (event, again) = match next {
            Err(_) => (Err(broken("the API server sends nothing while it lists")), Some(watch.list.other())),
            Ok(event) => match event? {
                Ok(Event::Init) if watch.begun => {
                    (Err(broken("the API server's list ended before it was complete")), Some(watch.list.other()))
                }
                Err(error) if !watch.listed => {
                    let list = watch.list.after(&error);
                    (Err(error), Some(list))
                }
                Err(error) => (Err(error), (after_error == AfterError::Lists).then_some(watch.list)),
                event => (event, None),
            },
        };
        match (&event, again) {
            // Dropping the old watch closes its connection.
            (_, Some(list)) => {
                let list = if lists.only_streams { List::Streamed } else { list };
                let is_certain = if list == watch.list { watch.is_certain } else { is_certain };
                watch = Watch { is_certain, ..Watch::begin(&api, &lists, list) };
            }
            (Ok(Event::Init), None) => (watch.begun, watch.listed) = (true, false),
            (Ok(Event::InitDone), None) => {
                (watch.begun, watch.listed) = (false, true);
                if watch.is_certain {
                    lists.remember(watch.list);
                }
            }
            _ => {}
        }
        Some((event, (watch, api, lists)))
    });
    events.backoff(Pauses::default())
}

/// The pauses between two attempts: kube's own, up to [`LONGEST_PAUSE`]. They start again after two minutes without an
/// error. An event does not reset them, because a list begins with one before the API server has answered.
#[derive(Default)]
struct Pauses(DefaultBackoff);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|pause| pause.min(LONGEST_PAUSE))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {}
}

fn broken(why: &'static str) -> Error {
    Error::WatchStartFailed(Call::Service(why.into()))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::{
        Router,
        body::Body,
        http::Uri,
        response::{IntoResponse, Response},
    };
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    const OBJECT: &str = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","resourceVersion":"5"}}"#;

    /// How a server answers a streamed list.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Server {
        Streams,
        Refuses,
        LosesTheBookmark,
        EndsEarly,
        Starts,
        SaysNothing,
    }

    async fn answer(server: Server, uri: Uri, requests: Arc<Mutex<Vec<&'static str>>>) -> Response {
        let query = uri.query().unwrap_or_default();
        let added = format!("{{\"type\":\"ADDED\",\"object\":{OBJECT}}}\n");
        let end = r#"{"type":"BOOKMARK","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"6","annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
        let stays = |text: String| {
            let begin = stream::once(async move { Ok::<_, std::io::Error>(text) });
            Body::from_stream(begin.chain(stream::pending())).into_response()
        };
        let status = |code: u16| {
            let body = format!(
                r#"{{"kind":"Status","apiVersion":"v1","status":"Failure","code":{code},"message":"no","reason":"Invalid","metadata":{{}}}}"#
            );
            (axum::http::StatusCode::from_u16(code).unwrap(), body).into_response()
        };
        let streamed = query.contains("sendInitialEvents=true");
        let paged = !query.contains("watch=true");
        if streamed || paged {
            requests.lock().unwrap().push(if streamed { "streamed" } else { "paged" });
        }
        match server {
            _ if paged => format!(
                r#"{{"kind":"ConfigMapList","apiVersion":"v1","metadata":{{"resourceVersion":"6"}},"items":[{OBJECT}]}}"#
            )
            .into_response(),
            _ if !streamed => stays(String::new()),
            Server::Streams => stays(format!("{added}{end}\n")),
            Server::Refuses => status(422),
            Server::LosesTheBookmark => stays(added),
            Server::EndsEarly => added.into_response(),
            Server::Starts => status(503),
            Server::SaysNothing => std::future::pending().await,
        }
    }

    /// For each server: the lists until one is complete, and the first list of the next watch in this process.
    #[tokio::test(start_paused = true)]
    async fn a_list_that_fails_as_a_stream_is_read_in_pages() {
        for (server, expected) in [
            (Server::Streams, &["streamed", "streamed"][..]),
            (Server::Refuses, &["streamed", "paged", "paged"]),
            (Server::LosesTheBookmark, &["streamed", "paged", "paged"]),
            // kube requests another stream before it reports the end of the first one.
            (Server::EndsEarly, &["streamed", "streamed", "paged", "paged"]),
            (Server::SaysNothing, &["streamed", "paged", "streamed", "paged"]),
            (Server::Starts, &["streamed", "streamed", "streamed", "streamed"]),
        ] {
            let requests = Arc::<Mutex<Vec<&'static str>>>::default();
            let recorded = requests.clone();
            let app = Router::new().fallback(async move |uri: Uri| answer(server, uri, recorded).await);
            let client = testkit::router::kube_client(app).await.unwrap();
            let lists = Lists::default();
            for _ in 0..2 {
                let events = follow(Api::<ConfigMap>::all(client.clone()), lists.clone(), AfterError::Lists);
                let mut events = std::pin::pin!(events);
                for _ in 0..10 {
                    if matches!(events.next().await.unwrap(), Ok(Event::InitDone)) {
                        break;
                    }
                    if server == Server::Starts && requests.lock().unwrap().len().is_multiple_of(2) {
                        break;
                    }
                }
            }
            assert_eq!(*requests.lock().unwrap(), expected, "{server:?}");
        }
    }

    #[test]
    fn a_denied_right_and_a_missing_namespace_are_refusals() {
        for (code, refused) in [
            (400, false),
            (401, false),
            (403, true),
            (404, true),
            (410, false),
            (422, false),
            (429, false),
            (503, false),
        ] {
            let status = format!(r#"{{"status":"Failure","code":{code},"message":"m","reason":"r"}}"#);
            assert_eq!(is_refused(&Call::Api(serde_json::from_str(&status).unwrap())), refused, "{code}");
        }
        assert!(!is_refused(&Call::Service("no connection".into())));
    }

    #[test]
    fn only_errors_of_the_kind_of_list_change_it() {
        let api = |code: u16| {
            let status = format!(r#"{{"status":"Failure","code":{code},"message":"m","reason":"r"}}"#);
            Error::WatchStartFailed(Call::Api(serde_json::from_str(&status).unwrap()))
        };
        for (code, changes) in [
            (400, true),
            (401, false),
            (403, false),
            (404, false),
            (405, true),
            (410, false),
            (422, true),
            (429, false),
            (500, false),
            (501, true),
            (503, false),
        ] {
            for list in [List::Streamed, List::Paged] {
                assert_eq!(list.after(&api(code)) != list, changes, "{code} {list:?}");
            }
        }
        assert_eq!(List::Streamed.after(&broken("no connection")), List::Streamed);
    }
}
