//! Collects the observations for a target: opens the cloud, starts due queries and takes their results.

use std::{sync::Arc, time::Duration};

use futures::FutureExt as _;
use jiff::Timestamp;

use crate::{
    api::{self, CloudTenant, CloudTenantStatus, Source},
    clouds::{Cloud, Place, engines_task::Demand, handles::Handles},
    cluster::context::Context,
    decide::{
        Access, EnginesAnswer, Memory, Observed, Start, has_own_query,
        schedule::after,
        status::{
            engines::{Said, said},
            is_same_place,
        },
    },
    identity::TenantId,
    metrics::{CredentialKind, Metrics},
    observation::{Elsewhere, Outcome, ProbeFailure, ProbeKind},
    openstack::{CloudConfig, Session},
    probe::{self, failure, usage::Window},
    share::{Priority, Turn},
    target::Target,
    words::word,
};

/// Longest wait of a pass for its queries, without its turn. Later results go into a later write.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest wait of a pass for the credential's expiry from Keystone.
const CREDENTIAL_DEADLINE: Duration = Duration::from_secs(2);

/// The status shows credentials that expire within this time.
const EXPIRES_SOON: Duration = Duration::from_secs(7 * 24 * 3600);

/// Returns the tenant's cloud. `None` while the tenant is suspended.
///
/// # Errors
/// The failure that the status reports if there is no cloud.
pub async fn resolve(context: &Context, id: &TenantId, target: &Target) -> Result<Option<Arc<Cloud>>, ProbeFailure> {
    if target.suspend {
        return Ok(None);
    }
    let mut config = context.secrets.config(id, target, &target.cloud_name).await?;
    if target.logs_in_for_project() {
        config = config.for_project(&target.project_id).map_err(|error| failure::of_config(&error))?;
    }
    let cloud = context.clouds.open(&id.name.namespace, &config)?;
    cloud.settle()?;
    Ok(Some(cloud))
}

/// A pass' right to wait for this cloud.
#[derive(Debug)]
pub struct InPlace {
    cloud: Arc<Cloud>,
    place: Place,
}

impl InPlace {
    /// Waits until the pass may begin to wait for the cloud.
    pub async fn at(cloud: Arc<Cloud>, priority: Priority) -> Self {
        let place = cloud.wait(priority).await;
        Self { cloud, place }
    }
}

/// Returns the place of a pass that will begin queries. `Ok(None)` if it begins none, as far as is known.
///
/// # Errors
/// The cloud at which no place is free, and the priority of this pass there. The pass has to start again once it has one.
pub fn place(
    object: &CloudTenant,
    target: &Target,
    (memory, handles): (&Memory, &Handles),
    cloud: &Arc<Cloud>,
    place: Option<InPlace>,
) -> Result<Option<Place>, (Arc<Cloud>, Priority)> {
    let now = Timestamp::now();
    let restarts = !handles.is_at(cloud) || memory.restarts(object);
    let begins = |kind| restarts || memory.is_due(kind, now) && !handles.queries[kind].is_running();
    if !ProbeKind::ALL.into_iter().any(|kind| has_own_query(target, kind) && begins(kind)) {
        return Ok(None);
    }
    match place.filter(|place| Arc::ptr_eq(&place.cloud, cloud)) {
        Some(place) => Ok(Some(place.place)),
        None => {
            let priority = priority(handles);
            cloud.wait(priority).now_or_never().map(Some).ok_or_else(|| (cloud.clone(), priority))
        }
    }
}

/// The first queries of a tenant go before later ones of others in its namespace.
const fn priority(handles: &Handles) -> Priority {
    if handles.is_unused() { Priority::First } else { Priority::Later }
}

/// Begins a pass: starts due queries and takes results. Returns `None` on shutdown.
pub async fn observe<'a>(
    context: &Context,
    (id, object): (&TenantId, &'a CloudTenant),
    target: &Arc<Target>,
    (memory, handles): (&mut Memory, &mut Handles),
    (resolved, mut place): (Result<Option<Arc<Cloud>>, ProbeFailure>, Option<Place>),
    turn: &mut Turn,
) -> Option<(Start<'a>, Observed)> {
    let now = Timestamp::now();
    let cloud = match resolved {
        Ok(Some(cloud)) => cloud,
        Ok(None) | Err(_) => {
            let access = resolved.map_or_else(Access::Missing, |_| Access::Suspended);
            let start = memory.begin(target, object, access, now);
            handles.follow(start.plan, now);
            return Some((start, Observed::nothing()));
        }
    };
    let priority = priority(handles);
    let start = memory.begin(target, object, handles.turn_to(&cloud), now);
    handles.follow(start.plan, now);
    if !ProbeKind::ALL.into_iter().any(|kind| begins(kind, handles, &start)) {
        place = None;
    } else if place.is_none() {
        let wait = Box::pin(context.shutdown.run_until_cancelled(cloud.wait(priority)));
        place = Some(turn.without(wait).await?);
    }
    start_queries(target, handles, &cloud, &start, priority);
    // Boxed: a future that is an argument takes its memory twice, and a pass may wait for long.
    let unanswered = turn.without(Box::pin(subscribe_engines(context, id, target, handles, &cloud, &start))).await;
    let finished = turn.without(async {
        tokio::select! {
            () = context.shutdown.cancelled() => false,
            _ = tokio::time::timeout(PATIENCE, handles.finish_with(place)) => true,
        }
    });
    if !finished.await {
        return None;
    }
    let old = start.stored.source.as_ref();
    let source = turn.without(Box::pin(async {
        note_credentials(&context.metrics, &id.uid, target, handles, &cloud).await;
        source(target, &cloud.config, &cloud.session, old, Timestamp::now()).await
    }));
    let source = source.await;
    handles.wake_later(&context.wake, &id.name);
    let own = handles.take();
    let shared = handles.engines();
    let engines = match unanswered {
        Some(Missing::Failed(failure)) => EnginesAnswer::Missing(failure, shared),
        Some(Missing::NotOffered(elsewhere)) => EnginesAnswer::NotOffered(elsewhere),
        None => shared.map_or(EnginesAnswer::NotAsked, EnginesAnswer::Shared),
    };
    Some((start, Observed { engines, own, source }))
}

/// Returns the closed period that the status already contains for this cloud.
#[must_use]
pub fn frozen(old: &CloudTenantStatus, config: &CloudConfig, region: Option<&str>) -> Option<Window> {
    old.source.as_ref().filter(|source| is_same_place(source, &word(&config.host()), region))?;
    let previous = &old.usage.as_ref()?.previous.as_ref()?.figures;
    Some(Window { start: previous.start.as_ref()?.0, end: previous.end.as_ref()?.0 })
}

/// Subscribes to the engines with the tenant's entry as it is written, or the engines' own. Returns why there is no
/// subscription, or why it could not be renewed.
async fn subscribe_engines(
    context: &Context,
    id: &TenantId,
    target: &Target,
    handles: &mut Handles,
    cloud: &Arc<Cloud>,
    start: &Start<'_>,
) -> Option<Missing> {
    if !target.is_enabled(ProbeKind::Engines) {
        handles.leave_engines();
        return None;
    }
    let written = cloud.as_written();
    let engines = match &target.engines.cloud_name {
        None => Ok(written.clone()),
        Some(name) => open_for_engines(context, id, target, name, written).await,
    };
    match engines {
        Ok(engines) => {
            let (interval, deadline) = (target.interval, target.engines_deadline());
            let doubts = said(start.stored.engines.as_ref()) == Said::Unresponsive;
            let demand = Demand { tenant: id.name.clone(), interval, deadline, doubts };
            handles.subscribe_engines(&id.uid, &engines, demand, start.plan, Timestamp::now());
            return None;
        }
        Err(Missing::Failed(ref failure)) => handles.miss_engines(failure),
        Err(Missing::NotOffered(_)) => handles.leave_engines(),
    }
    engines.err()
}

/// The reasons why there is no cloud for the engines' probe.
enum Missing {
    Failed(ProbeFailure),
    /// The tenant's own catalogue has no address of Heat to use.
    NotOffered(Option<Elsewhere>),
}

impl From<ProbeFailure> for Missing {
    fn from(failure: ProbeFailure) -> Self {
        Self::Failed(failure)
    }
}

/// Opens the cloud of the entry for the engines alone.
async fn open_for_engines(
    context: &Context,
    id: &TenantId,
    target: &Target,
    cloud_name: &str,
    cloud: &Cloud,
) -> Result<Arc<Cloud>, Missing> {
    let entry = context.secrets.config(id, target, cloud_name).await?;
    let config = match probe::second_entry::complete(entry, &cloud.config, &cloud.session).await {
        Outcome::Seen(config) => config,
        Outcome::NotOffered(elsewhere) => return Err(Missing::NotOffered(elsewhere)),
        Outcome::Failed(failure) => return Err(failure.into()),
    };
    let engines = context.clouds.open(&id.name.namespace, &config)?;
    engines.settle()?;
    Ok(engines)
}

/// Whether a query of the tenant's own is due and not under way.
fn begins(kind: ProbeKind, handles: &Handles, start: &Start<'_>) -> bool {
    start.plan.due[kind] && !handles.queries[kind].is_running()
}

/// Starts the tenant's own queries that are due and not under way.
fn start_queries(
    target: &Arc<Target>,
    handles: &mut Handles,
    cloud: &Arc<Cloud>,
    start: &Start<'_>,
    priority: Priority,
) {
    for kind in ProbeKind::ALL {
        if begins(kind, handles, start) {
            let frozen = frozen(&start.stored, &cloud.config, cloud.session.known_region().as_deref());
            let (cloud, target) = (cloud.clone(), target.clone());
            handles.queries[kind].start(async move {
                let ask = async || probe::ask(kind, &cloud.session, &target, frozen, Timestamp::now()).await;
                within_budget(&cloud, cloud.query(priority, ask).await)
            });
        }
    }
}

/// Returns the outcome, unless the login brought more data than the namespace may keep.
fn within_budget<T>(cloud: &Cloud, outcome: Outcome<T>) -> Outcome<T> {
    cloud.settle().map_or_else(Outcome::Failed, |()| outcome)
}

/// Returns the cloud in use. `None` before the first login. `old` is the stored source: its credential expiry stays
/// while Keystone cannot report it.
pub async fn source(
    target: &Target,
    config: &CloudConfig,
    session: &Session,
    old: Option<&Source>,
    now: Timestamp,
) -> Option<Source> {
    session.known_holder()?;
    let (secret_name, cloud_name, host) = (word(&target.secret_name), word(&target.cloud_name), word(&config.host()));
    let is_same = |old: &&Source| (&old.secret_name, &old.cloud_name, &old.host) == (&secret_name, &cloud_name, &host);
    let credentials_expire_at = match credential_end(session).await {
        Some(end) => end.filter(|end| *end < after(now, EXPIRES_SOON)).map(api::time),
        None => old.filter(is_same).and_then(|old| old.credentials_expire_at.clone()),
    };
    let project = session.known_project();
    Some(Source {
        secret_name,
        cloud_name,
        host,
        region: session.known_region(),
        token_project_id: project.as_ref().map(|project| project.id.clone()),
        token_project_name: project.map(|project| project.name).filter(|name| !name.is_empty()),
        credentials_expire_at,
    })
}

/// Returns the expiry of the session's credential, if it has one. `None` before the first login, or while Keystone
/// cannot report it.
pub async fn credential_end(session: &Session) -> Option<Option<Timestamp>> {
    let holder = session.known_holder()?;
    session.credential_ends(&holder, CREDENTIAL_DEADLINE).await
}

/// Records in the metrics when the credentials in use expire. Until a new credential has logged in, the value of the
/// previous one stays.
async fn note_credentials(metrics: &Metrics, uid: &str, target: &Target, handles: &Handles, cloud: &Cloud) {
    let own = target.engines.cloud_name.is_some() && target.is_enabled(ProbeKind::Engines);
    let engines = async {
        if !own {
            return Some(None);
        }
        credential_end(&handles.engines_cloud()?.session).await
    };
    let (main, engines) = tokio::join!(credential_end(&cloud.session), engines);
    for (credential, end) in [(CredentialKind::Main, main), (CredentialKind::Engines, engines)] {
        if let Some(end) = end {
            metrics.credential_ends(uid, credential, end);
        }
    }
}
