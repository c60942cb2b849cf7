//! Keystone: `GET /v3/projects/{project}`, whether the observed project exists.
//!
//! DCS and Nova return the same answer for a missing project as for an empty one.

use crate::{
    openstack::{Error, Failure, Service, Session},
    target::Target,
};

/// Checks that Keystone knows the project. Without the right to query Keystone, the project is assumed to exist.
///
/// # Errors
/// The project does not exist, or the query failed.
pub(super) async fn ensure_known(session: &Session, target: &Target) -> Result<(), Failure> {
    match session.knows_project(&target.project_id, target.timeout).await? {
        Some(false) => Err(Error::ProjectUnknown.at(Service::Identity)),
        Some(true) | None => Ok(()),
    }
}
