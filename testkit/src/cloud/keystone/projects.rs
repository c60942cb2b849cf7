//! Projects and domains: the lists, and one of them.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::get,
};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::cloud::{
    answer,
    identity::{Access, Identity},
    projects::{DEFAULT_DOMAIN, Listing, Project},
    refusal::Refusal,
    service::Service,
    state::{Shared, State as Cloud},
};

/// The page that Keystone's web framework sends for a path that it does not know.
const NOT_FOUND: &str = "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>The \
                         requested URL was not found on the server. If you entered the URL manually please check your \
                         spelling and try again.</p>\n";

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/v3/auth/projects", get(accessible))
        .route("/v3/projects", get(all))
        .route("/v3/projects/{id}", get(one))
        .route("/v3/auth/domains", get(accessible_domains))
        .route("/v3/domains/{id}", get(domain))
}

/// What a handler of this file answers with.
type Outcome = Result<Value, Refusal>;

/// Answers with the state locked, and refuses without it.
fn respond(shared: &Shared, headers: &HeaderMap, answer: impl FnOnce(&Cloud, &Access, &str) -> Outcome) -> Response {
    let outcome = {
        let state = shared.lock();
        match state.identity.access(headers, &state.clock) {
            None => Err(Refusal::unauthorized()),
            Some(access) => answer(&state, &access, shared.base(Service::Keystone)),
        }
    };
    match outcome {
        Ok(body) => answer::json(StatusCode::OK, &body),
        Err(refusal) => refusal.answer(&shared.addresses),
    }
}

fn forbidden(action: &str) -> Refusal {
    let message = format!("You are not authorized to perform the requested action: identity:{action}.");
    Refusal::new(StatusCode::FORBIDDEN, message)
}

/// The projects on which the user has a role, whatever the token's scope, disabled ones too.
async fn accessible(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    respond(&shared, &headers, |state, access, keystone| {
        let identity = &state.identity;
        let rows: Vec<_> = identity.projects.iter().filter(|(id, _)| identity.is_assigned(&access.user, id)).collect();
        let request = Request { keystone, path: "/v3/auth/projects", query: query.as_deref() };
        // Keystone's list_limit does not apply here.
        let limited = matches!(identity.listing, Listing::Limited(_));
        let listing = if limited { &Listing::Whole } else { &identity.listing };
        Ok(request.answer(rows, listing).0)
    })
}

/// The projects, to a reader of the system or of the domain and to an administrator. Signed requests get those on which
/// the user has a role, as a vendor's clouds answer.
async fn all(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    respond(&shared, &headers, |state, access, keystone| {
        let identity = &state.identity;
        if !access.reads_all() && !access.domain && !access.signed {
            return Err(forbidden("list_projects"));
        }
        let pairs: Vec<_> = pairs(query.as_deref()).collect();
        let is_listed = |(id, project): &(&String, &Project)| {
            pairs.iter().all(|(key, value)| passes(project, key, value))
                && (!access.signed || identity.is_assigned(&access.user, id))
        };
        let request = Request { keystone, path: "/v3/projects", query: query.as_deref() };
        let rows = identity.projects.iter().filter(is_listed).collect();
        let (mut body, kept) = request.answer(rows, &identity.listing);
        if access.domain {
            // Keystone does so after it has limited the list.
            let own = |(_, project): &&(&String, &Project)| project.domain == DEFAULT_DOMAIN.0;
            body["projects"] =
                kept.iter().filter(own).map(|(id, project)| project_json(id, project, keystone)).collect();
        }
        Ok(body)
    })
}

/// Whether a project passes a filter of the query.
fn passes(project: &Project, key: &str, value: &str) -> bool {
    match key {
        "name" => project.name == value,
        "domain_id" => project.domain == value,
        "parent_id" => project.parent == value,
        "enabled" => project.enabled == !matches!(value, "false" | "False" | "0"),
        "tags" => value.split(',').all(|tag| project.tags.iter().any(|own| own == tag)),
        _ => true,
    }
}

fn pairs(query: Option<&str>) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned()
}

type Rows<'a> = Vec<(&'a String, &'a Project)>;

/// A question for a list.
struct Request<'a> {
    keystone: &'a str,
    path: &'static str,
    query: Option<&'a str>,
}

impl Request<'_> {
    /// The answer, and the rows in it.
    fn answer<'a>(&self, mut rows: Rows<'a>, listing: &Listing) -> (Value, Rows<'a>) {
        let own = format!("{}{}", self.keystone, self.path);
        let (mut next, mut truncated) = (None, false);
        match listing {
            Listing::Whole => {}
            Listing::Empty => rows.clear(),
            Listing::Half => rows.truncate(rows.len() / 2),
            Listing::Limited(most) => {
                truncated = rows.len() > *most;
                rows.truncate(*most);
            }
            Listing::Paged(size) => next = self.page(&mut rows, *size).map(|query| format!("{own}?{query}")),
            Listing::PagedElsewhere(size, address) => {
                next = self.page(&mut rows, *size).map(|query| format!("{address}?{query}"));
            }
            Listing::Loop(size) => {
                rows.truncate(*size);
                next = Some(format!("{own}?limit={size}&marker=x"));
            }
        }
        let listed: Vec<_> = rows.iter().map(|(id, project)| project_json(id, project, self.keystone)).collect();
        let asked = self.query.map_or(own.clone(), |query| format!("{own}?{query}"));
        let mut body = json!({"projects": listed, "links": {"next": next, "self": asked, "previous": null}});
        if truncated {
            body["truncated"] = json!(true);
        }
        (body, rows)
    }

    /// Leaves the page that the query names. Returns the query for the next one, with the same filters.
    fn page(&self, rows: &mut Rows<'_>, size: usize) -> Option<String> {
        let asked: BTreeMap<_, _> = pairs(self.query).collect();
        if let Some(marker) = asked.get("marker") {
            rows.retain(|(id, _)| *id > marker);
        }
        let size = asked.get("limit").and_then(|limit| limit.parse().ok()).map_or(size, |limit: usize| limit.min(size));
        if rows.len() <= size {
            return None;
        }
        rows.truncate(size);
        let (last, _) = rows.last()?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(asked.iter().filter(|(key, _)| !matches!(key.as_str(), "limit" | "marker")));
        Some(query.append_pair("limit", &size.to_string()).append_pair("marker", last).finish())
    }
}

/// A project, to one who may read all projects or those of its domain, or whose token is for it. Others are not told
/// whether there is such a project.
async fn one(State(shared): State<Arc<Shared>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if id.contains('/') {
        return answer::text(StatusCode::NOT_FOUND, "text/html; charset=utf-8", NOT_FOUND);
    }
    respond(&shared, &headers, |state, access, keystone| {
        let project = state.identity.projects.get(&id);
        let of_domain = access.domain && project.is_some_and(|project| project.domain == DEFAULT_DOMAIN.0);
        if !access.reads_all() && !access.is_of(&id) && !of_domain {
            return Err(forbidden("get_project"));
        }
        let unknown = || Refusal::new(StatusCode::NOT_FOUND, format!("Could not find project: {id}."));
        Ok(json!({"project": project_json(&id, project.ok_or_else(unknown)?, keystone)}))
    })
}

/// The domains on which the user has a role.
async fn accessible_domains(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    respond(&shared, &headers, |state, access, keystone| {
        let user = state.identity.user(&access.user);
        let (id, name) = DEFAULT_DOMAIN;
        let has_role = user.is_some_and(|user| !user.domain_roles.is_empty());
        let listed: Vec<_> = has_role.then(|| domain_json(id, name, keystone)).into_iter().collect();
        let own = format!("{keystone}/v3/auth/domains");
        Ok(json!({"domains": listed, "links": {"next": null, "self": own, "previous": null}}))
    })
}

/// A domain, to one who may read all domains, or whose token is for it or for a project in it.
async fn domain(State(shared): State<Arc<Shared>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    respond(&shared, &headers, |state, access, keystone| {
        let identity: &Identity = &state.identity;
        let own = access.project.as_ref().and_then(|project| identity.projects.get(project));
        let of_domain = access.domain && id == DEFAULT_DOMAIN.0;
        if !access.reads_all() && !of_domain && own.is_none_or(|project| project.domain != id) {
            return Err(forbidden("get_domain"));
        }
        let unknown = || Refusal::new(StatusCode::NOT_FOUND, format!("Could not find domain: {id}."));
        let name = identity.domains.get(&id).ok_or_else(unknown)?;
        Ok(json!({"domain": domain_json(&id, name, keystone)}))
    })
}

fn project_json(id: &str, project: &Project, keystone: &str) -> Value {
    json!({
        "id": id,
        "name": project.name,
        "domain_id": project.domain,
        "description": project.description,
        "enabled": project.enabled,
        "parent_id": project.parent,
        "is_domain": false,
        "tags": project.tags,
        "options": {},
        "links": {"self": format!("{keystone}/v3/projects/{id}")},
    })
}

fn domain_json(id: &str, name: &str, keystone: &str) -> Value {
    json!({
        "id": id,
        "name": name,
        "description": "",
        "enabled": true,
        "tags": [],
        "options": {},
        "links": {"self": format!("{keystone}/v3/domains/{id}")},
    })
}
