//! A session's requests, with bounds for each answer.

mod incoming;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{
    HeaderMap, Response,
    header::{CONTENT_ENCODING, HeaderName, HeaderValue, LOCATION},
};
use hyper::body::{Body as _, Incoming as Stream};
use incoming::{Fill, Incoming, most_compressed, most_on_wire};
use reqwest::{Method, Request};
use tokio::time::{Instant as Deadline, timeout};
use url::{Origin, Url};

use super::{
    Answer, CloudConfig, Error, Network, Refusal, answer::Held, aside::aside, clients::Choice, connector::Unanswered,
    hosts::host_of, stream::Sink, tls,
};
use crate::share::{Permit, Priority, Shares, Sharing, namespace};

/// In bytes.
const KIB: usize = 1 << 10;
/// Up to this number of bytes, a body needs no [`Room`]. Most answers are shorter.
const TINY: usize = 16 * KIB;
/// Up to this number of bytes, a body is small. A body that is parsed while it arrives never has more in memory, apart
/// from one piece.
const SMALL: usize = 256 * KIB;
/// The deadline for the rest of a body that is not tiny, and again for the rest of a large one, because other bodies
/// wait for its memory, and calls for its connection.
const LARGE_DEADLINE: Duration = Duration::from_secs(15);
/// For work of a call that has a deadline of its own.
const NO_DEADLINE: Duration = Duration::from_secs(86_400);
/// The maximum number of consecutive redirects.
const REDIRECTS: usize = 3;

/// In bytes: the limit for short answers, such as a service's list of versions.
pub(super) const SHORT: usize = 64 * KIB;

/// In KiB: the memory for large bodies of all clouds together, so that one cloud cannot exhaust the process's memory.
const ROOM: u32 = 32 << 10;
/// In KiB: the same for bodies between [`TINY`] and [`SMALL`], and for the first part of longer ones.
const SMALL_ROOM: u32 = 16 << 10;

/// The memory for bodies. One namespace gets at most half of it, so bodies that do not end leave room for others.
///
/// A large body first has a part of `small`. No body that has a part of `large` waits for `small`.
pub(super) struct Room {
    small: Shares,
    large: Shares,
}

impl Default for Room {
    fn default() -> Self {
        Self { small: Shares::new(SMALL_ROOM, Sharing::LeavesAsMuch), large: Shares::new(ROOM, Sharing::LeavesAsMuch) }
    }
}

impl Room {
    /// Waits until the memory for the first part of a body is available. `length` is the length of the whole body, if
    /// the server says it.
    async fn take_small(&self, length: Option<u64>) -> Permit {
        let length = length.and_then(|bytes| usize::try_from(bytes).ok()).map_or(SMALL, |bytes| bytes.min(SMALL));
        let places = u32::try_from(length.div_ceil(KIB)).unwrap_or(SMALL_ROOM);
        self.small.take(namespace(), places, Priority::BySize(length)).await
    }

    /// Waits until the memory that a body may need is available. Within a namespace, bodies that announce a small size
    /// go first.
    async fn take(&self, memory: usize, announced: Option<u64>) -> Permit {
        let size = announced.and_then(|bytes| usize::try_from(bytes).ok()).map_or(memory, |bytes| bytes.min(memory));
        let places = u32::try_from(memory / KIB).unwrap_or(ROOM);
        self.large.take(namespace(), places, Priority::BySize(size)).await
    }
}

/// The HTTP requests of one session. All sessions with the same TLS setting share the client.
pub(super) struct Http {
    config: Arc<CloudConfig>,
    network: Network,
    /// Allows one large body per session, so that other sessions get memory in between.
    large: Arc<tokio::sync::Mutex<()>>,
}

impl Http {
    pub(super) fn new(config: Arc<CloudConfig>, network: &Network) -> Self {
        Self { config, network: network.clone(), large: Arc::default() }
    }

    /// Returns the complete answer of at most `limit` bytes. Redirects are followed within the request's origin.
    ///
    /// A redirect keeps method, headers and body whatever its status, as in keystoneauth. Browsers change a POST to a
    /// GET, which would break a login. The request contains the token, so a redirect to another origin is refused.
    pub(super) async fn send(&self, limit: usize, request: Request) -> Result<Answer, Error> {
        self.send_prepared::<()>(limit, request, |_| Ok(())).await.map(|(answer, ())| answer)
    }

    /// [`Http::send`] with a sink for a large body of status 2xx, and with `prepare` applied before the request and before
    /// each redirect: a signature covers the path.
    ///
    /// If the sink takes a body, the answer has its end, which the sink has not taken. `limit` is for all other bodies.
    pub(super) async fn send_prepared<S: Sink>(
        &self,
        limit: usize,
        mut request: Request,
        prepare: impl Fn(&mut Request) -> Result<(), Error>,
    ) -> Result<(Answer, S), Error> {
        let most = most_on_wire(S::BODY_LIMIT.map_or(limit, |streamed| limit.max(streamed)));
        let origin = request.url().origin();
        let clients = self.network.clients();
        for _ in 0..=REDIRECTS {
            let route = self.network.route(request.url()).await?;
            self.network.pace().wait(host_of(request.url())).await;
            let choice = clients.choose(&self.network, &self.config, &origin, route).await?;
            prepare(&mut request)?;
            let response = self.execute(&choice, &origin, &request, most).await?;
            let target = is_redirect(response.status().as_u16()).then(|| target(request.url(), response.headers()));
            let Some(target) = target.flatten() else {
                let read = self.read(limit, response).await?;
                if choice.keeps {
                    clients.note(self.network.setting(&self.config), origin, Instant::now());
                }
                return Ok(read);
            };
            if target.origin() != origin {
                break;
            }
            *request.url_mut() = target;
        }
        Err(Error::AddressRefused(Refusal::Redirect))
    }

    /// Returns the head of one answer. Servers close idle connections, so a failure on a pooled connection is retried
    /// once.
    async fn execute(
        &self,
        choice: &Choice,
        origin: &Origin,
        request: &Request,
        most: u64,
    ) -> Result<Response<Stream>, Error> {
        let attempt = self.network.circuits().begin(origin, Instant::now())?;
        let mut answer = choice.client.send(request, most).await;
        if answer.as_ref().is_err_and(is_reset) && choice.may_reuse {
            answer = choice.client.send(request, most).await;
        }
        let failed = answer.as_ref().err().filter(|failed| !failed.was_connected).map(|failed| &failed.error);
        attempt.ended(failed, Instant::now());
        match answer.map_err(|failed| failed.error) {
            Err(Error::TlsFailed(fault)) => Err(tls::explain(fault, request.url(), &self.network).await),
            answer => answer,
        }
    }

    async fn read<S: Sink>(&self, limit: usize, response: Response<Stream>) -> Result<(Answer, S), Error> {
        let announced = response.body().size_hint().exact();
        let streamed = S::BODY_LIMIT.filter(|_| response.status().is_success());
        let limit = streamed.unwrap_or(limit);
        // The length of a compressed body says nothing about its memory.
        let length = announced.filter(|_| !response.headers().contains_key(CONTENT_ENCODING));
        let most = if length.is_some() { limit } else { most_compressed(limit) };
        if announced.is_some_and(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX) > most) {
            return Err(Error::BodyTooLarge);
        }
        let mut incoming = Incoming::new(limit, response);
        let mut room = Held::default();
        if incoming.fill(TINY.min(limit)).await? == Fill::Full {
            room.small = Some(self.network.room().take_small(length).await);
            if within(LARGE_DEADLINE, incoming.fill(SMALL.min(limit))).await? == Fill::Full {
                if limit <= SMALL {
                    return Err(Error::BodyTooLarge);
                }
                if streamed.is_some() {
                    room.large = Some(self.network.room().take(S::MEMORY, announced).await);
                    let sink = pour(limit, &mut incoming).await?;
                    let (status, headers, rest) = incoming.into_parts();
                    return Ok((Answer::of_rest(status, headers, rest, room), sink));
                }
                room.alone = Some(self.large.clone().lock_owned().await);
                room.large = Some(self.network.room().take(limit, announced).await);
                if within(LARGE_DEADLINE, incoming.fill(limit)).await? == Fill::Full {
                    return Err(Error::BodyTooLarge);
                }
            }
        }
        let (status, headers, body) = incoming.into_parts();
        Ok((Answer::new(status, headers, body, room), S::default()))
    }
}

/// Reads a part of a body within this time.
async fn within(deadline: Duration, reading: impl Future<Output = Result<Fill, Error>>) -> Result<Fill, Error> {
    timeout(deadline, reading).await.map_err(|_| Error::Timeout)?
}

/// Passes a body that has more than [`SMALL`] bytes to a sink, part by part. The end of the body stays in the buffer.
///
/// Parsing takes turns with other long texts and does not count for the deadline, which is for the server.
async fn pour<S: Sink>(limit: usize, incoming: &mut Incoming) -> Result<S, Error> {
    let (mut sink, mut taken, mut left) = (S::default(), 0, LARGE_DEADLINE);
    loop {
        let mut part = std::mem::take(incoming.buffer());
        if taken + part.len() > limit {
            return Err(Error::BodyTooLarge);
        }
        let part_length = part.len();
        let parse = move || {
            let length = sink.take(&part);
            part.drain(..length);
            (sink, part, length)
        };
        let length;
        (sink, *incoming.buffer(), length) = aside(part_length, Deadline::now() + NO_DEADLINE, parse).await?;
        taken += length;
        let began = Instant::now();
        let filled = within(left, incoming.fill(SMALL.min(limit - taken))).await?;
        left = left.saturating_sub(began.elapsed());
        if filled == Fill::Ended {
            return Ok(sink);
        }
    }
}

/// Builds a GET request with these headers.
pub(super) fn get(url: Url, headers: &[(&'static str, &str)]) -> Result<Request, Error> {
    let mut request = Request::new(Method::GET, url);
    for (name, value) in headers {
        let header = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
        let (name, value) = header.ok_or(Error::UNSENDABLE)?;
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 305 | 307 | 308)
}

/// The target of a redirect from this URL; `None` without a usable address.
fn target(url: &Url, headers: &HeaderMap) -> Option<Url> {
    let location = headers.get(LOCATION)?.to_str().ok()?;
    let mut target = url.join(location).ok()?;
    // The operator sends no credential but its own.
    target.set_username("").ok()?;
    target.set_password(None).ok()?;
    Some(target)
}

/// Whether the connection ended before the head of an answer: neither a refused connection nor a time-out.
fn is_reset(failed: &Unanswered) -> bool {
    failed.was_connected && failed.error == Error::ConnectionFailed
}
