//! The questions that the cloud is asked. Each file says where it asks and how the answer is read; what
//! it means is decided in [`crate::decide::status`].

pub mod failure;

pub mod caches;
pub mod engines;
mod project;
pub mod second_entry;
pub mod usage;
mod version;

use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;
use usage::Window;

use crate::{
    observation::{Data, Elsewhere, Outcome, ProbeKind},
    openstack::{Error, Failure, NoProject, Service, Session, listed, service::RequiredScope},
    target::Target,
};

/// Runs the query of one probe. `frozen` is the closed period of usage that the status already contains, and `now` is
/// the operator's clock.
pub async fn ask(
    kind: ProbeKind,
    session: &Session,
    target: &Target,
    frozen: Option<Window>,
    now: Timestamp,
) -> Outcome<Data> {
    let answer = match kind {
        ProbeKind::Engines => engines::ask(session, target.engines_deadline(), now).await.map(Data::Engines),
        ProbeKind::Caches => caches::ask(session, target).await.map(Data::Caches),
        ProbeKind::Usage => usage::ask(session, target, frozen, now).await.map(Data::Usage),
    };
    outcome(session, answer)
}

/// How a question ended. A token carries the roles and the catalogue of its login, so after some failures a new
/// one may know better.
pub fn outcome<T>(session: &Session, answer: Result<T, Failure>) -> Outcome<T> {
    let mut failure = match answer {
        Ok(seen) => return Outcome::Seen(seen),
        Err(failure) => failure,
    };
    if failure.error == Error::Forbidden {
        failure.error = refused_for_scope(session, failure.service).unwrap_or(Error::Forbidden);
    }
    tracing::debug!(%failure, "could not see");
    if let Error::Forbidden | Error::NotFound | Error::RegionNotFound { .. } = failure.error {
        session.doubt_token();
    }
    match (failure::of_call(&failure), failure.error) {
        (Some(failure), _) => Outcome::Failed(failure),
        (None, Error::ServiceElsewhere { region, offered_in }) => {
            let (region, offered_in) = (listed(&[region]), listed(&offered_in));
            let service = failure.service.name();
            Outcome::NotOffered(Some(Elsewhere { service, region, offered_in }))
        }
        (None, _) => Outcome::NotOffered(None),
    }
}

/// A role would not help where the token is for no project.
fn refused_for_scope(session: &Session, service: Service) -> Option<Error> {
    let error = session.no_project()?;
    let allowed = match service.row().scope {
        RequiredScope::Any => true,
        RequiredScope::Project => false,
        RequiredScope::ProjectOrSystem => error == Error::NoProject(NoProject::System),
    };
    (!allowed).then_some(error)
}

/// A link in a service's answer.
#[derive(Debug, Deserialize)]
struct Link {
    #[serde(default)]
    rel: String,
    href: String,
}

/// Adds segments to an endpoint's path.
fn join(endpoint: &Url, segments: &[&str]) -> Result<Url, Error> {
    let mut url = endpoint.clone();
    {
        let mut path = url.path_segments_mut().map_err(|()| Error::Unexpected("the endpoint is not a web address"))?;
        path.pop_if_empty().extend(segments);
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// Whether a list of versions names one that is spoken here; for `tests/growth`.
#[doc(hidden)]
#[must_use]
pub fn offers_version(body: &[u8], service: Service) -> bool {
    version::newest(body, service).is_ok()
}

/// Whether a path segment is an API version, such as `v2.1`.
fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn read<T: DeserializeOwned>(body: &[u8], problem: &'static str) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|_| Error::Unexpected(problem))
}
