//! Lists the projects of a set from Keystone, with the credential of the set.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt as _;
use tokio::time::Instant;

use crate::{
    api::set::ProjectSource,
    clouds::Cloud,
    cluster::{context::Context, secrets::Named},
    decide::set::{Basis, Filter, Selection, SetTarget},
    observation::{
        ProbeFailure,
        projects::{ProjectList, ProjectState},
    },
    openstack::{
        Failure, Service,
        aside::on_another_thread,
        projects::{self, Narrow, Source},
    },
    probe::failure,
    share::Priority,
};

/// The deadline of one call to Keystone. A list has several if it has several pages.
const DEADLINE: Duration = Duration::from_secs(30);

/// The deadline of all calls about the states of projects. Those without an answer are unknown.
const STATES: Duration = Duration::from_secs(60);

/// The deadline of matching the names of all projects. Patterns are linear, so it is never exceeded.
const MATCHING: Duration = Duration::from_secs(600);

/// Calls about the states of projects under way.
const STATES_IN_FLIGHT: usize = 4;

/// The projects, and the names of their domains.
pub(super) struct Listing {
    pub(super) list: Selection,
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
    let list = list.map_err(|failure| failure::of_listing(&failure, &source))?;
    // The login may have brought more than the namespace may keep.
    cloud.settle()?;
    let list = select(list, &target.filter).await.map_err(|failure| failure::of_listing(&failure, &source))?;
    let ids: Vec<&str> = list.selected().map(|project| &*project.domain_id).collect();
    let domains = cloud.query(Priority::Later, || cloud.session.domain_names(ids, DEADLINE)).await;
    Ok(Listing { list, domains })
}

/// Matches the projects' names. A pattern takes long for many long names, so another thread does that.
async fn select(list: ProjectList, filter: &Filter) -> Result<Selection, Failure> {
    if !filter.has_pattern() {
        return Ok(Selection::new(list, filter));
    }
    let filter = filter.clone();
    let selection = on_another_thread(Instant::now() + MATCHING, move || Selection::new(list, &filter));
    selection.await.map_err(|error| error.at(Service::Identity))
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

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::{api::set::ProjectFilter, observation::projects::Project};

    #[tokio::test]
    async fn a_pattern_is_matched_on_another_thread() {
        let project = |name: &str| Project {
            id: name.into(),
            name: name.into(),
            domain_id: "d".into(),
            parent_id: None,
            tags: Vec::new(),
            enabled: true,
            is_domain: false,
        };
        // More work than there are threads for it, until the test ends it.
        let (mut ends, mut busy) = (Vec::new(), Vec::new());
        for _ in 0..8 {
            let (end, ended) = std::sync::mpsc::channel::<()>();
            let mut work = Box::pin(on_another_thread(Instant::now() + MATCHING, move || ended.recv()));
            assert!((&mut work).now_or_never().is_none());
            ends.push(end);
            busy.push(work);
        }
        for (pattern, selected) in [(None, vec!["a", "b"]), (Some("^b$"), vec!["b"])] {
            let list = ProjectList { projects: vec![project("a"), project("b")], whole: true };
            let name_pattern = pattern.map(str::to_owned);
            let filter = Filter::new(&ProjectFilter { name_pattern, ..ProjectFilter::default() }).unwrap();
            let mut selecting = Box::pin(select(list, &filter));
            let here = (&mut selecting).now_or_never();
            assert_eq!(here.is_some(), pattern.is_none());
            let found = match here {
                Some(found) => found,
                None => {
                    ends.clear();
                    busy.clear();
                    selecting.await
                }
            };
            let found = found.unwrap();
            assert_eq!(found.selected().map(|project| &*project.id).collect::<Vec<_>>(), selected);
        }
    }
}
