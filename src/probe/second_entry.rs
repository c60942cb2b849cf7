//! The entry of clouds.yaml that only the engine probe uses, completed from the tenant's main entry.

use std::{sync::Arc, time::Duration};

use super::outcome;
use crate::{
    observation::Outcome,
    openstack::{CloudConfig, Service, Session},
};

/// The deadline of the main entry's login if its catalogue is needed. The pass waits for it.
const CATALOGUE_DEADLINE: Duration = Duration::from_secs(2);

/// Completes the entry from the `main` entry of the same cloud. It takes the region if the entry names none. For a
/// system scope, whose catalogue lacks Heat, it takes Heat's address. `session` is the main entry's.
pub async fn complete(mut entry: Arc<CloudConfig>, main: &CloudConfig, session: &Session) -> Outcome<Arc<CloudConfig>> {
    if !entry.is_of_same_cloud(main) {
        return Outcome::Seen(entry);
    }
    if entry.region().is_none() && main.region().is_some() {
        entry = Arc::new(Arc::unwrap_or_clone(entry).or_region(main.region()));
    }
    if !entry.is_system_scoped() {
        return Outcome::Seen(entry);
    }
    let endpoint = session.endpoint(Service::Orchestration, CATALOGUE_DEADLINE).await;
    outcome(session, endpoint)
        .map(|endpoint| Arc::new(Arc::unwrap_or_clone(entry).or_endpoint(Service::Orchestration, &endpoint.url)))
}
