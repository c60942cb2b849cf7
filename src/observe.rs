//! From the wish to what was seen: the way to the cloud, and the questions that are due.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    api::{self, CloudTenantStatus, Source},
    cloud::{CloudConfig, Service, Session},
    clouds::{Cloud, engines::Wish},
    context::Context,
    failure,
    identity::TenantId,
    observation::{Caches, Elsewhere, Failure, Outcome, Periods, ProbeKind},
    probe::{self, usage::Window},
    schedule::after,
    status::{
        Engines, Look,
        engines::{Said, said},
        is_enabled, is_same_place,
    },
    target::Target,
    tenant::Tenant,
};

/// How long a pass waits for the address of Heat that a system-scoped credential borrows.
const LENT_ADDRESS: Duration = Duration::from_secs(2);

/// How long a pass waits for Keystone to say when the credential ends.
const CREDENTIAL_DEADLINE: Duration = Duration::from_secs(2);

/// Credentials that end sooner are shown.
const EXPIRES_SOON: Duration = Duration::from_secs(7 * 24 * 3600);

/// The cloud that the tenant names.
///
/// # Errors
/// What the tenant is told where there is no way to it.
pub async fn open(context: &Context, id: &TenantId, target: &Target) -> Result<Arc<Cloud>, Failure> {
    let config = context.secrets.config(&id.name.namespace, target, &target.cloud_name).await?;
    context.clouds.open(&config).map_err(|error| failure::of_config(&error))
}

/// The closed period that is in the status already, if it is this cloud's.
pub fn frozen(old: &CloudTenantStatus, config: &CloudConfig, region: Option<&str>) -> Option<Window> {
    old.source.as_ref().filter(|source| is_same_place(source, &config.host(), region))?;
    let previous = &old.usage.as_ref()?.previous.as_ref()?.figures;
    Some(Window { start: previous.start.as_ref()?.0, end: previous.end.as_ref()?.0 })
}

/// Wishes to know the engines, by the tenant's own credential or the one that is for them alone. What comes back
/// is why they cannot be seen, where that is known at once.
pub async fn ask_engines(
    context: &Context,
    id: &TenantId,
    target: &Target,
    memory: &mut Tenant,
    cloud: &Arc<Cloud>,
    old: &CloudTenantStatus,
) -> Option<Look<Engines>> {
    if !is_enabled(target, ProbeKind::Engines) {
        memory.leave_engines();
        return None;
    }
    let engines = match &target.engines.cloud_name {
        None => Ok(cloud.clone()),
        Some(name) => open_for_engines(context, id, target, name, cloud).await,
    };
    match engines {
        Ok(engines) => {
            let (interval, deadline) = (target.interval, target.engines_deadline());
            let doubts = said(old.engines.as_ref()) == Said::Unresponsive;
            let wish = Wish { tenant: id.name.clone(), interval, deadline, doubts };
            memory.wish_engines(&id.uid, &engines, wish, Timestamp::now());
            None
        }
        Err(Missing::Failed(failure)) => memory.miss_engines(failure, Timestamp::now()),
        Err(Missing::NotOffered(elsewhere)) => {
            memory.leave_engines();
            Some(Look::NotOffered(elsewhere))
        }
    }
}

/// Why there is no cloud to ask for the engines.
enum Missing {
    Failed(Failure),
    /// The tenant's own catalogue has no address of Heat that it could lend.
    NotOffered(Option<Elsewhere>),
}

impl From<Failure> for Missing {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A system-scoped catalogue has no address of Heat: the tenant's own catalogue lends its.
async fn open_for_engines(
    context: &Context,
    id: &TenantId,
    target: &Target,
    cloud_name: &str,
    cloud: &Cloud,
) -> Result<Arc<Cloud>, Missing> {
    let mut config = context.secrets.config(&id.name.namespace, target, cloud_name).await?;
    // The same region as for the other probes, where the entry names none.
    if config.region().is_none() && config.is_of_same_cloud(&cloud.config) {
        config = Arc::new(config.as_ref().clone().or_region(cloud.config.region()));
    }
    if config.is_system_scoped() && config.is_of_same_cloud(&cloud.config) {
        let endpoint = cloud.session.endpoint(Service::Orchestration, LENT_ADDRESS).await;
        let endpoint = match probe::outcome(&cloud.session, endpoint) {
            Outcome::Seen(endpoint) => endpoint,
            Outcome::NotOffered(elsewhere) => return Err(Missing::NotOffered(elsewhere)),
            Outcome::Failed(failure) => return Err(failure.into()),
        };
        config = Arc::new(config.as_ref().clone().or_endpoint(Service::Orchestration, &endpoint.url));
    }
    Ok(context.clouds.open(&config).map_err(|error| failure::of_config(&error))?)
}

/// Starts what is due of the tenant's own.
pub fn ask(target: &Target, memory: &mut Tenant, cloud: &Arc<Cloud>, frozen: Option<Window>, now: Timestamp) {
    if is_enabled(target, ProbeKind::Caches) && memory.caches.is_due(now) {
        let (cloud, target) = (cloud.clone(), target.clone());
        memory
            .caches
            .start(async move { probe::outcome(&cloud.session, probe::caches::ask(&cloud.session, &target).await) });
    }
    if is_enabled(target, ProbeKind::Usage) && memory.usage.is_due(now) {
        let (cloud, target) = (cloud.clone(), target.clone());
        memory.usage.start(async move {
            probe::outcome(&cloud.session, probe::usage::ask(&cloud.session, &target, frozen, now).await)
        });
    }
}

/// The cloud as it was used; nothing before the first login. `old` is the stored status' source: the end of a credential
/// stays as it is there while Keystone cannot tell it.
pub async fn source(
    target: &Target,
    config: &CloudConfig,
    session: &Session,
    old: Option<&Source>,
    now: Timestamp,
) -> Option<Source> {
    session.known_holder()?;
    let (host, secret_name, cloud_name) = (config.host(), &target.secret_name, &target.cloud_name);
    let is_same = |old: &&Source| (&old.secret_name, &old.cloud_name, &old.host) == (secret_name, cloud_name, &host);
    let credentials_expire_at = match credential_end(session).await {
        Some(end) => end.filter(|end| *end < after(now, EXPIRES_SOON)).map(api::time),
        None => old.filter(is_same).and_then(|old| old.credentials_expire_at.clone()),
    };
    let project = session.known_project();
    Some(Source {
        secret_name: secret_name.clone(),
        cloud_name: cloud_name.clone(),
        host,
        region: session.known_region(),
        token_project_id: project.as_ref().map(|project| project.id.clone()),
        token_project_name: project.map(|project| project.name).filter(|name| !name.is_empty()),
        credentials_expire_at,
    })
}

/// When the session's credential ends, where it does; `None` before the first login, and while Keystone cannot tell.
pub async fn credential_end(session: &Session) -> Option<Option<Timestamp>> {
    let holder = session.known_holder()?;
    session.credential_ends(&holder, CREDENTIAL_DEADLINE).await
}

/// What has come of each probe.
#[derive(Debug)]
pub struct Looks {
    /// Heat.
    pub engines: Look<Engines>,
    /// DCS.
    pub caches: Look<Caches>,
    /// Nova.
    pub usage: Look<Periods>,
}

impl Default for Looks {
    fn default() -> Self {
        Self { engines: Look::NotDue, caches: Look::NotDue, usage: Look::NotDue }
    }
}

impl Looks {
    /// What is known now.
    pub fn of(target: &Target, memory: &mut Tenant, old: &CloudTenantStatus, now: Timestamp) -> Self {
        let share = memory.share;
        Self {
            engines: memory.look_at_engines(old),
            caches: memory.caches.look(target, ProbeKind::Caches, share, now),
            usage: memory.usage.look(target, ProbeKind::Usage, share, now),
        }
    }

    /// The way to the cloud is missing for all alike.
    pub fn failed(failure: &Failure, times: u32) -> Self {
        Self {
            engines: Look::Failed(failure.clone(), times),
            caches: Look::Failed(failure.clone(), times),
            usage: Look::Failed(failure.clone(), times),
        }
    }
}
