//! The layer through which every request passes: it notes the request and applies faults.

use std::{io::Write, sync::Arc};

use axum::{
    body::{self, Body},
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};

use crate::cloud::{answer, faults::Fault, log::RequestSeen, service::Service, signed, state::Shared};

/// Marks an answer that is not sent, and says what happens on the connection in its place.
#[derive(Debug, Clone, Copy)]
pub(super) enum NoAnswer {
    Close,
    EndlessInterim,
    SlowHead,
}

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
        // A token can always be issued and checked.
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
        None if outside_rules => answer::unauthorized(shared.base(Service::Keystone)),
        None => match signed::pass(service, &shared, request).await {
            Ok(request) => next.run(request).await,
            Err(refusal) => refusal,
        },
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
        Fault::EndlessInterim => instead(NoAnswer::EndlessInterim),
        Fault::SlowHead => instead(NoAnswer::SlowHead),
        Fault::Reset | Fault::Unreachable | Fault::Delay(_) | Fault::Times(..) => instead(NoAnswer::Close),
    }
}

fn instead(what: NoAnswer) -> Response {
    let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
    response.extensions_mut().insert(what);
    response
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
