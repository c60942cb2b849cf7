//! Services that misbehave, and the layer through which every request passes.

use std::{collections::BTreeMap, io::Write, sync::Arc, time::Duration};

use axum::{
    body::{self, Body},
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};

use super::{Service, SimulatedCloud, answer, log::RequestSeen, state::Shared};

/// How a service misbehaves.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Answers with this instead of its own.
    Status {
        /// The status.
        code: u16,
        /// The body.
        body: Vec<u8>,
        /// The `Content-Type` header.
        content_type: String,
        /// Further headers.
        headers: Vec<(String, String)>,
    },
    /// Answers late, by real time; what else is wrong applies afterwards.
    Delay(Duration),
    /// Never answers.
    Hang,
    /// Closes the connection without an answer.
    Reset,
    /// Answers 200 with these bytes as JSON.
    Body(Vec<u8>),
    /// The fault, this many times; then no more.
    Times(usize, Box<Self>),
    /// Refuses connections until the faults are cleared, and then listens on the same port. Those open are closed.
    /// It is of the whole service: within `Times` it is a `Reset`.
    Unreachable,
}

impl Fault {
    /// A JSON answer with this status.
    #[must_use]
    pub fn status(code: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Status { code, body: body.into(), content_type: "application/json".to_owned(), headers: Vec::new() }
    }

    /// What the gateway in front of DCS says to one who asks too often.
    #[must_use]
    pub fn throttled() -> Self {
        Self::status(
            429,
            r#"{"error_code": "APIGW.0308", "error_msg": "The throttling threshold has been reached: policy user over ratelimit,limit:60,time:1 minute", "request_id": "9c1b0d3e"}"#,
        )
    }

    /// What Heat and Nova say while the Keystone behind them is away: a page, after all others JSON.
    #[must_use]
    pub fn keystone_behind_is_down() -> Self {
        Self::Status {
            code: 503,
            body: b"<html>\n <head>\n  <title>503 Service Unavailable</title>\n </head>\n <body>\n  <h1>503 Service Unavailable</h1>\n  \
                    The server is currently unavailable. Please try again at a later time.<br /><br />\n\n\n\n </body>\n</html>"
                .to_vec(),
            content_type: "text/html; charset=UTF-8".to_owned(),
            headers: Vec::new(),
        }
    }

    /// This fault, only so many times.
    #[must_use]
    pub fn times(self, count: usize) -> Self {
        Self::Times(count, Box::new(self))
    }
}

struct Rule {
    path_contains: String,
    fault: Fault,
}

#[derive(Default)]
pub(super) struct Faults {
    rules: BTreeMap<Service, Vec<Rule>>,
}

impl Faults {
    /// What is wrong with this request: the delays, then at most one other fault.
    fn meet(&mut self, service: Service, path: &str) -> (Duration, Option<Fault>) {
        let mut delay = Duration::ZERO;
        for rule in self.rules.entry(service).or_default() {
            if !path.contains(&rule.path_contains) {
                continue;
            }
            match spend(&mut rule.fault) {
                Some(Fault::Delay(time)) => delay += time,
                None => {}
                fault => return (delay, fault),
            }
        }
        (delay, None)
    }
}

/// The fault itself, one `Times` fewer left.
fn spend(fault: &mut Fault) -> Option<Fault> {
    match fault {
        Fault::Times(0, _) => None,
        Fault::Times(left, inner) => {
            *left -= 1;
            spend(inner)
        }
        other => Some(other.clone()),
    }
}

impl SimulatedCloud {
    /// Makes a service misbehave until [`Self::clear_faults`]. Earlier faults go first.
    pub fn fault(&self, service: Service, fault: Fault) {
        self.fault_on(service, "", fault);
    }

    /// Makes a service misbehave for paths that contain this text. `Unreachable` knows no path.
    pub fn fault_on(&self, service: Service, path_contains: &str, fault: Fault) {
        if matches!(fault, Fault::Unreachable) {
            return self.listen(service, false);
        }
        let rule = Rule { path_contains: path_contains.to_owned(), fault };
        self.shared.lock().faults.rules.entry(service).or_default().push(rule);
    }

    /// Makes a service well again. Requests that hang go on hanging.
    pub fn clear_faults(&self, service: Service) {
        self.shared.lock().faults.rules.remove(&service);
        self.listen(service, true);
    }

    /// Answers with gzip where the client takes it; off at first, as Heat's own API does.
    pub fn compress(&self, on: bool) {
        self.shared.lock().compress = on;
    }
}

/// Marks an answer in whose place the connection is closed.
#[derive(Clone)]
pub(super) struct NoAnswer;

/// Notes the request, applies faults, and sets what every answer has: its date, and gzip if wanted.
pub(super) async fn layer(
    State((service, shared)): State<(Service, Arc<Shared>)>,
    request: Request,
    next: Next,
) -> Response {
    let gzip = answer::get(request.headers(), header::ACCEPT_ENCODING.as_str())
        .is_some_and(|encodings| encodings.contains("gzip"));
    let (delay, fault, outside_rules) = {
        let mut state = shared.lock();
        let seen = RequestSeen::of(&request, state.clock.told());
        state.log.arrived(service, seen);
        let path = request.uri().path();
        let (delay, fault) = state.faults.meet(service, path);
        // A token can always be issued and looked at.
        let exempt = service == Service::Keystone && path.ends_with("/v3/auth/tokens");
        let token = answer::get(request.headers(), "x-auth-token").filter(|_| !exempt);
        let call = (request.method().as_str(), path, service.catalogue_type());
        (delay, fault, state.identity.is_outside_rules(token, call, &state.clock))
    };
    let _in_flight = InFlight { service, shared: &shared };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let mut response = match fault {
        Some(fault) => misbehave(fault).await,
        None if outside_rules => answer::unauthorized(&shared),
        None => next.run(request).await,
    };
    if gzip && shared.lock().compress {
        response = compressed(response).await;
    }
    let date = answer::http_date(shared.lock().clock.told());
    answer::set(response.headers_mut(), header::DATE, &date);
    response
}

async fn misbehave(fault: Fault) -> Response {
    match fault {
        Fault::Status { code, body, content_type, headers } => {
            let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = answer::text(code, &content_type, body);
            for (name, value) in headers {
                if let Ok(name) = header::HeaderName::from_bytes(name.as_bytes()) {
                    answer::set(response.headers_mut(), name, &value);
                }
            }
            response
        }
        Fault::Body(bytes) => answer::text(StatusCode::OK, "application/json", bytes),
        Fault::Hang => std::future::pending().await,
        Fault::Reset | Fault::Unreachable | Fault::Delay(_) | Fault::Times(..) => {
            let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
            response.extensions_mut().insert(NoAnswer);
            response
        }
    }
}

async fn compressed(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let zipped = encoder.write_all(&bytes).and_then(|()| encoder.finish());
    let Ok(zipped) = zipped else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    answer::set(&mut parts.headers, header::CONTENT_ENCODING, "gzip");
    Response::from_parts(parts, Body::from(zipped))
}

/// Counts a request as under way until it is answered or given up.
struct InFlight<'a> {
    service: Service,
    shared: &'a Shared,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.shared.lock().log.left(self.service);
    }
}
