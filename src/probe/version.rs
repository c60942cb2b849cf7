//! Chooses the version of a service's API if the catalogue's address contains none.

use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::{Link, is_version, join, read};
use crate::openstack::{Error, Failure, Service, Session};

#[derive(Deserialize)]
struct Versions {
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    links: Vec<Link>,
}

/// The service's address with a version: the one in the catalogue, or else one that the service lists at its root.
///
/// # Errors
/// The errors of [`Session::get`], or the service has no supported version.
pub(super) async fn address(session: &Session, service: Service, deadline: Duration) -> Result<Url, Failure> {
    let endpoint = session.endpoint(service, deadline).await?;
    if endpoint.url.path_segments().into_iter().flatten().any(is_version) {
        return Ok(endpoint.url);
    }
    let failure = |error: Error| error.at(service);
    let mut root = endpoint.url.clone();
    root.path_segments_mut().map_err(|()| failure(Error::Unexpected(NO_VERSION)))?.pop_if_empty().push("");
    // Heat returns 300, Nova returns 200.
    let answer = session.get_short(&[300], service, root, deadline).await?;
    let answer = if answer.status == 300 { answer } else { answer.of(service)? };
    let version = answer.read(service, move |body| newest(body, service)).await?;
    let project = endpoint.token_project.as_deref().filter(|_| service.row().project_in_path);
    let path: Vec<&str> = std::iter::once(version.as_str()).chain(project).collect();
    join(&endpoint.url, &path).map_err(failure)
}

const NO_VERSION: &str = "it names no version of its API that is known here";

/// The link's host may be an internal name, so the operator uses only the link's last segment.
pub(super) fn newest(body: &[u8], service: Service) -> Result<String, Error> {
    let versions: Versions = read(body, NO_VERSION)?;
    let links = versions.versions.iter().flat_map(|version| &version.links).filter(|link| link.rel == "self");
    let offered: Vec<_> = links.filter_map(|link| link.href.trim_end_matches('/').rsplit('/').next()).collect();
    let best = service.row().versions.iter().find(|version| offered.contains(version));
    best.map(|version| (*version).to_owned()).ok_or(Error::Unexpected(NO_VERSION))
}

#[cfg(test)]
mod tests {
    use testkit::recorded::Recorded;

    use super::*;

    #[test]
    fn the_roots_as_recorded() {
        for (name, service, version) in
            [("nova/root-versions", Service::Compute, "v2.1"), ("heat/root-versions", Service::Orchestration, "v1")]
        {
            let body = Recorded::load(name).unwrap().body;
            assert_eq!(newest(&body, service).unwrap(), version, "{name}");
        }
        assert!(newest(br#"{"versions": []}"#, Service::Compute).is_err());
        assert!(newest(b"<html>", Service::Compute).is_err());
    }
}
