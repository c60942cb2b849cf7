//! Nova's API: its versions and a tenant's usage.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderName, Method, StatusCode, header},
    response::Response,
};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::cloud::{
    answer,
    identity::Access,
    ids,
    microversion::{self, Microversion},
    service::Service,
    state::Shared,
    usage::{Page, Window},
};

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(dispatch).with_state(shared)
}

/// What a request asks for, once its path is understood.
struct Asked<'a> {
    /// The part of the path before `os-simple-tenant-usage`.
    prefix: String,
    project: Option<&'a str>,
    tenant: &'a str,
    query: Vec<(String, String)>,
    version: Microversion,
}

impl Asked<'_> {
    /// The first value, where it is not empty: Python's `parse_qs` drops the empty ones.
    fn value(&self, name: &str) -> Option<&str> {
        let values = |(key, value): &(String, String)| key == name && !value.is_empty();
        self.query.iter().find(|pair| values(pair)).map(|(_, value)| value.as_str())
    }
}

async fn dispatch(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    if let Some(version) = version_of(&shared, &path) {
        return with_version(answer::json(StatusCode::OK, &version), path.starts_with("/v2.1").then_some("2.1"));
    }
    let access = {
        let state = shared.lock();
        state.identity.access(request.headers(), &state.clock)
    };
    let Some(access) = access else {
        return answer::unauthorized(shared.base(Service::Keystone));
    };
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let (root, project, tenant) = match segments[..] {
        [root @ ("v2" | "v2.1"), "os-simple-tenant-usage", tenant] => (root, None, tenant),
        [root @ ("v2" | "v2.1"), project, "os-simple-tenant-usage", tenant] => (root, Some(project), tenant),
        _ => return answer::html_not_found(),
    };
    if request.method() != Method::GET || tenant.is_empty() {
        return answer::html_not_found();
    }
    // The older API takes the headers off before it looks, and answers without them.
    let known = root == "v2.1" && shared.lock().nova.microversions;
    let version = if known { microversion::asked(request.headers()) } else { Ok(Microversion::OLDEST) };
    let version = match version {
        Ok(version) => version,
        Err(garbage) => {
            let message =
                format!("API Version String {garbage} is of invalid format. Must be of format MajorNum.MinorNum.");
            return error(StatusCode::BAD_REQUEST, "badRequest", &message);
        }
    };
    let query = request.uri().query().unwrap_or_default();
    let asked = Asked {
        prefix: project.map_or_else(|| format!("/{root}"), |project| format!("/{root}/{project}")),
        project,
        tenant,
        query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        version,
    };
    let response = show(&shared, &access, &asked);
    with_version(response, known.then(|| version.to_string()).as_deref())
}

fn show(shared: &Shared, access: &Access, asked: &Asked<'_>) -> Response {
    if !asked.version.is_supported() {
        let message = format!(
            "Version {} is not supported by the API. Minimum is {} and maximum is {}.",
            asked.version,
            Microversion::OLDEST,
            Microversion::LATEST
        );
        return error(StatusCode::NOT_ACCEPTABLE, "computeFault", &message);
    }
    let of_token = access.project.as_deref().unwrap_or_default();
    if let Some(project) = asked.project.filter(|project| *project != of_token) {
        // An admin, too, is held to the project in the URL's prefix.
        return bad_request(&format!(
            "Malformed request URL: URL's project_id '{project}' doesn't match Context's project_id '{of_token}'"
        ));
    }
    if let Some(message) = invalid_query(asked) {
        return bad_request(&message);
    }
    if !access.is_admin() && !access.is_of(asked.tenant) {
        let message = "Policy doesn't allow os_compute_api:os-simple-tenant-usage:show to be performed.";
        return error(StatusCode::FORBIDDEN, "forbidden", message);
    }
    let state = shared.lock();
    let now = state.clock.told();
    let window = match Window::parse(asked.value("start"), asked.value("end"), now) {
        Ok(window) => window,
        Err(message) => return bad_request(message),
    };
    let pages = asked.version.has_usage_pages();
    let max_limit = state.nova.max_limit;
    let limit = asked.value("limit").filter(|_| pages).and_then(|limit| limit.parse().ok());
    let limit = limit.unwrap_or(max_limit).min(max_limit);
    let marker = asked.value("marker").filter(|_| pages);
    let servers = state.nova.servers.get(asked.tenant).map_or(&[][..], Vec::as_slice);
    let Some(page) = Page::of(servers, &window, limit, marker) else {
        return bad_request(&format!("Marker {} could not be found.", marker.unwrap_or_default()));
    };
    let mut body = json!({"tenant_usage": page.usage(asked.tenant, &window, now)});
    // A full page has a link, whether or not another server follows.
    if let Some(last) = page.last().filter(|_| pages && page.len() == limit) {
        let base = state.nova.link_host.as_deref().unwrap_or_else(|| shared.base(Service::Nova));
        body["tenant_usage_links"] = json!([{"rel": "next", "href": next_link(base, asked, last)}]);
    }
    answer::json(StatusCode::OK, &body)
}

/// What the schema of the query has against it.
fn invalid_query(asked: &Asked<'_>) -> Option<String> {
    let pages = asked.version.has_usage_pages();
    let limit = asked.query.iter().find(|(name, _)| name == "limit").filter(|_| pages);
    if let Some((_, limit)) = limit.filter(|(_, limit)| !limit.bytes().all(|byte| byte.is_ascii_digit())) {
        return Some(format!(
            "Invalid input for query parameters limit. Value: {limit}. '{limit}' does not match '^[0-9]*$'"
        ));
    }
    let known = ["start", "end", "limit", "marker"];
    let unknown = asked.query.iter().find(|(name, _)| !known.contains(&name.as_str()));
    let (name, _) = unknown.filter(|_| asked.version.refuses_unknown_parameters())?;
    Some(format!("Additional properties are not allowed ('{name}' was unexpected)"))
}

fn next_link(base: &str, asked: &Asked<'_>, last: &str) -> String {
    let mut query: Vec<(&str, &str)> = asked.query.iter().map(|(name, value)| (&**name, &**value)).collect();
    query.sort_unstable();
    match query.iter_mut().find(|(name, _)| *name == "marker") {
        Some((_, marker)) => *marker = last,
        None => query.push(("marker", last)),
    }
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    format!("{base}{}/os-simple-tenant-usage/{}?{query}", asked.prefix, asked.tenant)
}

fn version_of(shared: &Shared, path: &str) -> Option<Value> {
    let latest = Microversion::LATEST.to_string();
    let version = |id: &str, status: &str, version: &str, oldest: &str, updated: &str, root: &str| {
        let link = format!("{}/{root}/", shared.base(Service::Nova));
        json!({
            "id": id,
            "status": status,
            "version": version,
            "min_version": oldest,
            "updated": updated,
            "links": [{"rel": "self", "href": link}],
        })
    };
    let older = version("v2.0", "SUPPORTED", "", "", "2011-01-21T11:33:21Z", "v2");
    let newer = version("v2.1", "CURRENT", &latest, "2.1", "2013-07-23T11:33:21Z", "v2.1");
    match path.trim_end_matches('/') {
        "" => Some(json!({"versions": [older, newer]})),
        "/v2" => Some(detailed(older, "2")),
        "/v2.1" => Some(detailed(newer, "2.1")),
        _ => None,
    }
}

fn detailed(mut version: Value, number: &str) -> Value {
    let document = json!({"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"});
    if let Some(links) = version["links"].as_array_mut() {
        links.push(document);
    }
    let kind = format!("application/vnd.openstack.compute+json;version={number}");
    version["media-types"] = json!([{"base": "application/json", "type": kind}]);
    json!({"version": version})
}

fn with_version(mut response: Response, version: Option<&str>) -> Response {
    let headers = response.headers_mut();
    if let Some(version) = version {
        let (newer, older) = (microversion::NEWER_HEADER, microversion::OLDER_HEADER);
        answer::set(headers, HeaderName::from_static(newer), &format!("compute {version}"));
        answer::set(headers, HeaderName::from_static(older), version);
        answer::set(headers, header::VARY, "OpenStack-API-Version, X-OpenStack-Nova-API-Version");
    }
    let request_id = format!("req-{}", ids::new_uuid());
    answer::set(headers, HeaderName::from_static("x-openstack-request-id"), &request_id);
    answer::set(headers, HeaderName::from_static("x-compute-request-id"), &request_id);
    response
}

fn bad_request(message: &str) -> Response {
    error(StatusCode::BAD_REQUEST, "badRequest", message)
}

/// An error; the key of its envelope depends on the status.
fn error(status: StatusCode, envelope: &str, message: &str) -> Response {
    let body = json!({envelope: {"code": status.as_u16(), "message": message}});
    answer::text(status, "application/json; charset=UTF-8", body.to_string())
}
