//! Signed requests, as the vendor's gateways in front of the services verify them.

use axum::{
    body::{self, Body},
    extract::Request,
    http::{StatusCode, header, request::Parts},
    response::Response,
};
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::json;

use crate::{
    cloud::{
        answer, clock,
        identity::{Scope, Token},
        ids,
        service::Service,
        state::{Shared, State},
    },
    signature::{Claim, Received},
};

/// A signature of a time that is further from the gateway's is refused.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(15);
/// After more consecutive wrong signatures the access key is locked.
const MOST_WRONG: usize = 5;
const LOCKED: SignedDuration = SignedDuration::from_mins(5);

/// Verifies a signed request. What the services get carries a token of the access key's user for the project that the
/// request names. Other requests pass.
pub(super) async fn pass(service: Service, shared: &Shared, request: Request) -> Result<Request, Response> {
    let authorization = answer::get(request.headers(), header::AUTHORIZATION.as_str()).map(str::to_owned);
    let Some(authorization) = authorization else {
        let state = shared.lock();
        let unsigned = service == Service::Dcs && state.dcs.accepts_signatures_alone;
        return if unsigned { Err(refused("x-auth-token is not supported").answer()) } else { Ok(request) };
    };
    let (mut parts, body) = request.into_parts();
    let body = body::to_bytes(body, 1 << 20).await.unwrap_or_default();
    let outcome = {
        let mut state = shared.lock();
        if state.refuses_signatures.contains(&service) {
            return Err(answer::unauthorized(shared.base(Service::Keystone)));
        }
        verify(&mut state, &authorization, &parts, &body)
    };
    let token = outcome.map_err(Refused::answer)?;
    answer::set(&mut parts.headers, header::HeaderName::from_static("x-auth-token"), &token);
    Ok(Request::from_parts(parts, Body::from(body)))
}

/// The token that stands for the signature.
fn verify(state: &mut State, authorization: &str, parts: &Parts, body: &[u8]) -> Result<String, Refused> {
    let claim = Claim::read(authorization).ok_or_else(|| refused("the authorization header is malformed"))?;
    let told = state.clock.told();
    let keys = &mut state.identity.access_keys;
    let Some(key) = keys.iter_mut().find(|key| key.access == claim.access) else {
        return Err(refused("Get secretKey failed,ak:******,err:ak not exist"));
    };
    if key.wrong.0 > MOST_WRONG && told.duration_since(key.wrong.1) < LOCKED {
        return Err(refused("AK access failed to reach the limit,forbidden."));
    }
    let date = answer::get(&parts.headers, "x-sdk-date").unwrap_or_default();
    let signed = DateTime::strptime("%Y%m%dT%H%M%SZ", date).ok();
    let signed = signed.and_then(|time| time.to_zoned(TimeZone::UTC).ok()).map(|time| time.timestamp());
    if signed.is_none_or(|signed| told.duration_since(signed).abs() > TOLERANCE) {
        let server = told.strftime("%Y%m%dT%H%M%SZ");
        let text = format!("calc aksk signature fail:signature expired, signature time:{date},server time:{server}");
        return Err(refused(&text));
    }
    let headers: Vec<_> = parts
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect();
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
    let received = Received { method: parts.method.as_str(), path, query, headers: &headers, body };
    let covers = |name: &str| claim.signed_headers.iter().any(|signed| signed == name);
    let unsigned = |name: &str| answer::get(&parts.headers, name).is_some() && !covers(name);
    let is_right = received.signature(&claim, &key.secret) == claim.signature;
    if !is_right || !covers("x-sdk-date") || unsigned("x-project-id") || unsigned("x-security-token") {
        key.wrong = (key.wrong.0 + 1, told);
        let canonical = received.canonical(&claim).replace('\n', "|");
        return Err(refused(&format!("verify aksk signature fail, canonicalRequest:{canonical}")));
    }
    if answer::get(&parts.headers, "x-security-token") != key.security_token.as_deref() {
        return Err(refused("decrypt securityToken fail"));
    }
    if key.expires.is_some_and(|end| end <= state.clock.now()) {
        return Err(refused("the securityToken has expired"));
    }
    key.wrong = (0, Timestamp::UNIX_EPOCH);
    let (user, access) = (key.user.clone(), key.access.clone());
    let project = answer::get(&parts.headers, "x-project-id").map(str::to_owned);
    if let Some(project) = &project
        && state.identity.roles(&user, project).is_empty()
    {
        let message = "The IAM user is not allowed to access the API".to_owned();
        return Err(Refused { status: StatusCode::FORBIDDEN, code: "APIGW.0302", message });
    }
    let now = state.clock.now();
    let id = format!("signed-{access}-{}", project.as_deref().unwrap_or_default());
    let token = Token {
        user,
        scope: Scope { project, ..Scope::default() },
        credential: None,
        methods: vec!["aksk".to_owned()],
        issued: now,
        expires: clock::shift(now, SignedDuration::from_mins(1)),
        zoneless: false,
    };
    state.identity.tokens.insert(id.clone(), token);
    Ok(id)
}

/// A refusal of the gateway.
struct Refused {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refused {
    fn answer(self) -> Response {
        let Self { status, code, message } = self;
        answer::json(status, &json!({"error_msg": message, "error_code": code, "request_id": ids::new_id()}))
    }
}

fn refused(why: &str) -> Refused {
    let message = format!("Incorrect IAM authentication information: {why}");
    Refused { status: StatusCode::UNAUTHORIZED, code: "APIGW.0301", message }
}
