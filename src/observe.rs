//! From the wish to what was seen: the way to the cloud, and the questions that are due.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    api::{self, CloudTenantStatus, Source},
    cloud::{CloudConfig, Session},
    clouds::{Cloud, engines::Wish},
    context::Context,
    identity::TenantId,
    observation::{Caches, Elsewhere, Outcome, Periods, ProbeFailure, ProbeKind},
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

/// How long a pass waits for Keystone to say when the credential ends.
const CREDENTIAL_DEADLINE: Duration = Duration::from_secs(2);

/// Credentials that end sooner are shown.
const EXPIRES_SOON: Duration = Duration::from_secs(7 * 24 * 3600);

/// The cloud that the tenant names.
///
/// # Errors
/// What the tenant is told where there is no way to it.
pub async fn open(context: &Context, id: &TenantId, target: &Target) -> Result<Arc<Cloud>, ProbeFailure> {
    let config = context.secrets.config(id, target, &target.cloud_name).await?;
    let cloud = context.clouds.open(&id.name.namespace, &config)?;
    cloud.settle()?;
    Ok(cloud)
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
    Failed(ProbeFailure),
    /// The tenant's own catalogue has no address of Heat that it could lend.
    NotOffered(Option<Elsewhere>),
}

impl From<ProbeFailure> for Missing {
    fn from(failure: ProbeFailure) -> Self {
        Self::Failed(failure)
    }
}

/// The cloud of the entry for the engines alone.
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

/// Starts what is due of the tenant's own.
pub fn ask(target: &Target, memory: &mut Tenant, cloud: &Arc<Cloud>, frozen: Option<Window>, now: Timestamp) {
    if is_enabled(target, ProbeKind::Caches) && memory.caches.is_due(now) {
        let (cloud, target) = (cloud.clone(), target.clone());
        memory.caches.start(async move {
            within_budget(&cloud, probe::outcome(&cloud.session, probe::caches::ask(&cloud.session, &target).await))
        });
    }
    if is_enabled(target, ProbeKind::Usage) && memory.usage.is_due(now) {
        let (cloud, target) = (cloud.clone(), target.clone());
        memory.usage.start(async move {
            let answer = probe::usage::ask(&cloud.session, &target, frozen, now).await;
            within_budget(&cloud, probe::outcome(&cloud.session, answer))
        });
    }
}

/// The outcome, unless the login for it brought more than the namespace may keep.
fn within_budget<T>(cloud: &Cloud, outcome: Outcome<T>) -> Outcome<T> {
    cloud.settle().map_or_else(Outcome::Failed, |()| outcome)
}

/// The cloud as it was used; nothing before the first login.
pub async fn source(target: &Target, config: &CloudConfig, session: &Session, now: Timestamp) -> Option<Source> {
    let ends = credential_end(session).await?;
    let project = session.known_project();
    Some(Source {
        secret_name: target.secret_name.clone(),
        cloud_name: target.cloud_name.clone(),
        host: config.host(),
        region: session.known_region(),
        token_project_id: project.as_ref().map(|project| project.id.clone()),
        token_project_name: project.map(|project| project.name).filter(|name| !name.is_empty()),
        credentials_expire_at: ends.filter(|end| *end < after(now, EXPIRES_SOON)).map(api::time),
    })
}

/// When the session's credential ends, where it does; `None` before the first login.
pub async fn credential_end(session: &Session) -> Option<Option<Timestamp>> {
    let holder = session.known_holder()?;
    Some(session.credential_ends(&holder, CREDENTIAL_DEADLINE).await)
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
    pub fn failed(failure: &ProbeFailure, times: u32) -> Self {
        Self {
            engines: Look::Failed(failure.clone(), times),
            caches: Look::Failed(failure.clone(), times),
            usage: Look::Failed(failure.clone(), times),
        }
    }
}
