//! Keystone's projects: the listing for a CloudTenantSet, and the state of one project.
//!
//! Calls go to the identity endpoint alone. Of a link to the next page only the query is used, because Keystone builds
//! links from its own idea of its address. Docs: docs/decisions/0062.

mod page;

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use page::Rows;
pub(super) use page::{Page, parse, parse_in_parts};
use serde::Deserialize;
use url::Url;

use super::{Error, Failure, Service, Session, stream::RowStream, token::says_not_found};
use crate::observation::projects::{ProjectList, ProjectState};

/// The maximum number of pages of one listing.
const MOST_PAGES: usize = 1000;

/// Number of calls whose deadlines bound one listing, however many pages it has.
const LISTING_CALLS: u32 = 4;

/// What is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The projects on which the user has a role: `GET /v3/auth/projects`.
    Accessible,
    /// The projects that the user may list: `GET /v3/projects`.
    All(Narrow),
}

/// What Keystone is asked to leave out. A cloud may ignore it, so callers filter the listing again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Narrow {
    /// Projects of this domain only. Keystone accepts one.
    pub domain_id: Option<Box<str>>,
    /// Projects directly below this project or domain only.
    pub parent_id: Option<Box<str>>,
    /// Projects with all these tags only.
    pub tags: Vec<Box<str>>,
}

/// Lists projects with the user and the scope of the session. `timeout` is for one call, and four times as long for all
/// pages together.
///
/// # Errors
/// A failed login, no answer, an answer that is not Keystone's list, or links that cannot be followed.
pub async fn list(session: &Session, source: &Source, timeout: Duration) -> Result<ProjectList, Failure> {
    let all = timeout.saturating_mul(LISTING_CALLS);
    let read = tokio::time::timeout(all, read(session, source, timeout)).await;
    let listed = read.unwrap_or_else(|_| Err(Error::Timeout.at(Service::Identity)));
    // A token has the roles of the time of its login.
    if matches!(&listed, Err(Failure { error: Error::Forbidden | Error::NotFound, .. })) {
        session.doubt_token();
    }
    listed
}

async fn read(session: &Session, source: &Source, timeout: Duration) -> Result<ProjectList, Failure> {
    let service = Service::Identity;
    let mut url = address(session, source, timeout).await?;
    let mut all = Rows::default();
    // Hashes bound the memory that a thousand queries take.
    let (hasher, mut followed) = (RandomState::new(), HashSet::new());
    for _ in 0..MOST_PAGES {
        let (answer, rows) = session.get_into::<RowStream<Rows>>(&[], service, url.clone(), &[], timeout).await?;
        let read = answer.of(service)?.read(service, move |body| page::finish(rows, body));
        let Page { rows, is_truncated, next } = read.await?;
        all.append(rows);
        let Some(query) = next.filter(|_| !all.is_full()) else {
            return Ok(all.finish(is_truncated));
        };
        if !followed.insert(hasher.hash_one(&query)) {
            return Err(Error::Unexpected("Keystone's links lead back to a page that was read already").at(service));
        }
        url.set_query(Some(&query));
    }
    Ok(all.finish(true))
}

/// The address of the first page. It asks for no page size, because a Keystone without pages may refuse the question.
async fn address(session: &Session, source: &Source, timeout: Duration) -> Result<Url, Failure> {
    let endpoint = session.endpoint(Service::Identity, timeout).await?.url;
    match source {
        Source::Accessible => below(endpoint, &["auth", "projects"]),
        Source::All(narrow) => {
            let mut url = below(endpoint, &["projects"])?;
            narrow.add_to(&mut url);
            Ok(url)
        }
    }
}

impl Narrow {
    fn add_to(&self, url: &mut Url) {
        let mut query = url.query_pairs_mut();
        query.append_pair("enabled", "true");
        for (key, value) in [("domain_id", &self.domain_id), ("parent_id", &self.parent_id)] {
            if let Some(value) = value {
                query.append_pair(key, value);
            }
        }
        // Keystone splits at commas, and no tag has one.
        if !self.tags.is_empty() && !self.tags.iter().any(|tag| tag.contains(',')) {
            query.append_pair("tags", &self.tags.join(","));
        }
    }
}

/// Adds segments to the endpoint's path, each encoded.
fn below(mut endpoint: Url, segments: &[&str]) -> Result<Url, Failure> {
    let problem = || Error::Unexpected("the endpoint is not a web address").at(Service::Identity);
    endpoint.path_segments_mut().map_err(|()| problem())?.pop_if_empty().extend(segments);
    endpoint.set_query(None);
    endpoint.set_fragment(None);
    Ok(endpoint)
}

/// What Keystone says about one project. [`ProjectState::Unknown`] if the call fails.
pub async fn state(session: &Session, id: &str, timeout: Duration) -> ProjectState {
    let asked = query_state(session, id, timeout).await;
    asked.inspect_err(|failure| tracing::debug!(%failure, "could not see a project")).unwrap_or(ProjectState::Unknown)
}

async fn query_state(session: &Session, id: &str, timeout: Duration) -> Result<ProjectState, Failure> {
    // In a URL these are steps in the path.
    if id.is_empty() || id.bytes().all(|byte| byte == b'.') {
        return Ok(ProjectState::Unknown);
    }
    let service = Service::Identity;
    let endpoint = session.endpoint(service, timeout).await?.url;
    let url = below(endpoint, &["projects", id])?;
    // Access rules that do not include this call cause a 401.
    let answer = session.get_expecting(&[401, 403, 404], service, url, &[], timeout).await?;
    let id = id.to_owned();
    match answer.status {
        403 => Ok(ProjectState::Forbidden),
        401 if session.known_holder().is_some_and(|holder| holder.has_access_rules) => Ok(ProjectState::Forbidden),
        401 => Ok(ProjectState::Unknown),
        // Any other 404 comes from a proxy in front of Keystone, or from a server that is not Keystone.
        404 if says_not_found(&answer.body) => Ok(ProjectState::Absent),
        404 => Ok(ProjectState::Unknown),
        _ => answer.of(service)?.read(service, move |body| Ok(state_in(body, &id))).await,
    }
}

#[derive(Deserialize)]
struct Member {
    project: MemberState,
}

#[derive(Deserialize)]
struct MemberState {
    id: String,
    enabled: bool,
}

/// Reads `GET /v3/projects/{id}`.
pub(super) fn state_in(body: &[u8], id: &str) -> ProjectState {
    match serde_json::from_slice::<Member>(body) {
        Ok(Member { project }) if project.id != id => ProjectState::Unknown,
        Ok(Member { project: MemberState { enabled: true, .. } }) => ProjectState::Enabled,
        Ok(Member { project: MemberState { enabled: false, .. } }) => ProjectState::Disabled,
        Err(_) => ProjectState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keystone_is_asked_to_leave_out() {
        let narrow = |domain: Option<&str>, parent: Option<&str>, tags: &[&str]| Narrow {
            domain_id: domain.map(Into::into),
            parent_id: parent.map(Into::into),
            tags: tags.iter().map(|tag| (*tag).into()).collect(),
        };
        for (narrow, query) in [
            (narrow(None, None, &[]), "enabled=true"),
            (narrow(Some("d"), Some("p"), &["a"]), "enabled=true&domain_id=d&parent_id=p&tags=a"),
            (narrow(None, None, &["a b", "c&d"]), "enabled=true&tags=a+b%2Cc%26d"),
            (narrow(None, None, &["a,b", "c"]), "enabled=true"),
            (narrow(Some("d&enabled=false"), None, &[]), "enabled=true&domain_id=d%26enabled%3Dfalse"),
        ] {
            let mut url = below("http://k/identity/v3/".parse().unwrap(), &["projects"]).unwrap();
            narrow.add_to(&mut url);
            assert_eq!(url.as_str(), format!("http://k/identity/v3/projects?{query}"));
        }
    }

    #[test]
    fn an_id_is_one_segment() {
        for (id, path) in
            [("p", "/v3/projects/p"), ("../x", "/v3/projects/..%2Fx"), ("a?b#c", "/v3/projects/a%3Fb%23c")]
        {
            let url = below("http://k/v3?x=y".parse().unwrap(), &["projects", id]).unwrap();
            assert_eq!((url.path(), url.query()), (path, None), "{id}");
        }
    }

    #[test]
    fn states() {
        use ProjectState::{Disabled, Enabled, Unknown};
        for (body, state) in [
            (r#"{"project": {"id": "p", "enabled": true, "name": "n"}}"#, Enabled),
            (r#"{"project": {"id": "p", "enabled": false}}"#, Disabled),
            (r#"{"project": {"id": "q", "enabled": false}}"#, Unknown),
            (r#"{"project": {"id": "p", "enabled": "false"}}"#, Unknown),
            (r#"{"project": {"id": "p"}}"#, Unknown),
            (r#"{"project": null}"#, Unknown),
            ("{}", Unknown),
            ("<html>", Unknown),
            ("", Unknown),
        ] {
            assert_eq!(state_in(body.as_bytes(), "p"), state, "{body}");
        }
    }
}
