//! Keystone: `GET /v3/projects/{project}`, whether the project that is observed exists at all.
//!
//! DCS and Nova answer for a project that does not exist as for one that is empty.

use crate::{
    openstack::{Error, Failure, Service, Session},
    target::Target,
};

/// Makes sure that Keystone knows the project. Where it may not be asked, the project is taken to exist.
///
/// # Errors
/// It does not, or could not be asked.
pub(super) async fn ensure_known(session: &Session, target: &Target) -> Result<(), Failure> {
    match session.knows_project(&target.project_id, target.timeout).await? {
        Some(false) => Err(Error::ProjectUnknown.at(Service::Identity)),
        Some(true) | None => Ok(()),
    }
}
