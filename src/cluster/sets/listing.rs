//! Lists the projects of a set from Keystone, with the credential of the set.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt as _;

use crate::{
    api::set::ProjectSource,
    clouds::Cloud,
    cluster::{context::Context, secrets::Named},
    decide::set::{Basis, SetTarget},
    observation::{
        ProbeFailure,
        projects::{ProjectList, ProjectState},
    },
    openstack::projects::{self, Narrow, Source},
    probe::failure,
    share::Priority,
};

/// The deadline of one call to Keystone. A list has several if it has several pages.
const DEADLINE: Duration = Duration::from_secs(30);

/// The deadline of all calls about the states of projects. Those without an answer are unknown.
const STATES: Duration = Duration::from_secs(60);

/// Calls about the states of projects under way.
const STATES_IN_FLIGHT: usize = 4;

/// The projects, and the names of their domains.
pub(super) struct Listing {
    pub(super) list: ProjectList,
    pub(super) domains: BTreeMap<Box<str>, Box<str>>,
}

/// Opens the cloud that the set names, with its entry as it is written.
pub(super) async fn open(context: &Context, namespace: &str, target: &SetTarget) -> Result<Arc<Cloud>, ProbeFailure> {
    let named = Named {
        uid: &target.uid,
        namespace,
        secret_name: &target.secret_name,
        cloud_name: &target.cloud_name,
        region: None,
    };
    // The Secret's list of projects limits each CloudTenant, and not the list.
    let config = context.secrets.entry(named, |_| Ok(())).await?;
    let cloud = context.clouds.open(namespace, &config)?;
    cloud.settle()?;
    Ok(cloud)
}

/// Lists the projects.
pub(super) async fn list(cloud: &Cloud, target: &SetTarget) -> Result<Listing, ProbeFailure> {
    let source = source(target);
    let list = cloud.query(Priority::Later, || projects::list(&cloud.session, &source, DEADLINE)).await;
    let list = list.map_err(|failure| failure::of_listing(&failure))?;
    // The login may have brought more than the namespace may keep.
    cloud.settle()?;
    let selected = list.projects.iter().filter(|project| target.filter.selects(project));
    let ids: Vec<&str> = selected.map(|project| &*project.domain_id).collect();
    let domains = cloud.query(Priority::Later, || cloud.session.domain_names(ids, DEADLINE)).await;
    Ok(Listing { list, domains })
}

/// Asks Keystone for the states of these projects.
pub(super) async fn states(cloud: &Cloud, ids: Vec<String>) -> BTreeMap<String, ProjectState> {
    let asked = ids.into_iter().map(|id| async move {
        let state = cloud.query(Priority::Later, || projects::state(&cloud.session, &id, DEADLINE)).await;
        (id, state)
    });
    let mut answers = futures::stream::iter(asked).buffer_unordered(STATES_IN_FLIGHT);
    let mut states = BTreeMap::new();
    let reading = async {
        while let Some((id, state)) = answers.next().await {
            states.insert(id, state);
        }
    };
    if tokio::time::timeout(STATES, reading).await.is_err() {
        tracing::warn!("Keystone did not return the states of all projects in time");
    }
    states
}

/// What two lists must have in common, so that what both lack is gone.
pub(super) fn basis(cloud: &Cloud, target: &SetTarget) -> Basis {
    let mut hasher = DefaultHasher::new();
    cloud.config.hash(&mut hasher);
    let credential = format!("{:016x}", hasher.finish()).into();
    Basis { credential, source: target.source, generation: target.generation }
}

fn source(target: &SetTarget) -> Source {
    let only = |ids: &[String]| match ids {
        [id] => Some(id.as_str().into()),
        _ => None,
    };
    match target.source {
        ProjectSource::AccessibleProjects => Source::Accessible,
        ProjectSource::Projects => Source::All(Narrow {
            domain_id: only(&target.domain_ids),
            parent_id: target.parent_id.as_deref().map(Into::into),
            tags: target.tags.iter().map(|tag| tag.as_str().into()).collect(),
        }),
    }
}
