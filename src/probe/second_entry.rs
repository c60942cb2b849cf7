//! The entry of clouds.yaml for the engines alone, completed from the tenant's main entry.

use std::{sync::Arc, time::Duration};

use super::outcome;
use crate::{
    observation::Outcome,
    openstack::{CloudConfig, Service, Session},
};

/// How long the main entry's login may take where its catalogue is needed. A pass waits for it.
const CATALOGUE_DEADLINE: Duration = Duration::from_secs(2);

/// The entry with what it takes from the `main` entry of the same cloud: the region where it names none, and Heat's
/// address for a system scope, whose catalogue has none. `session` is the main entry's.
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
