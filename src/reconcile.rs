//! The one sequence: resolve, observe, compute, tell, write.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use kube::{Client, core::DeserializeGuard, runtime::controller::Action};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{CloudTenant, CloudTenantStatus, Reason, Source, condition_type as ty},
    clouds::{Cloud, Clouds, Wake, engines::Wish},
    condition, event, failure,
    identity::{TenantId, TenantName},
    metrics::Metrics,
    observation::{Caches, Failure, ProbeKind, Usage, engines::age},
    probe,
    schedule::{backoff, shortened},
    secrets::Secrets,
    status::{self, Engines, Look, Pass, is_enabled},
    target::Target,
    tenant::Tenant,
    writer::{WriteError, Writer},
};

/// What has not ended after this long is written later.
const PATIENCE: Duration = Duration::from_secs(5);

/// How soon a Secret is read again that people may still be about to apply, and how long that is believed.
const SECRET_RETRY: Duration = Duration::from_secs(5);
const SECRET_GRACE: Duration = Duration::from_secs(120);

/// How soon a Secret is read again while a person has to act.
const STALLED_RETRY: Duration = Duration::from_secs(30);

/// How soon after a refused login the Secret is read again, once: it may just have been corrected.
const REFUSED_RETRY: Duration = Duration::from_secs(1);

/// A tenant as the watch brings it: one that cannot be read stops nobody else.
pub type Watched = DeserializeGuard<CloudTenant>;

/// What every pass needs.
pub struct Context {
    /// The clouds in use.
    pub clouds: Clouds,
    /// The Secrets.
    pub secrets: Secrets,
    /// Status and events.
    pub writer: Writer,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Who is looked at again.
    pub wake: Wake,
    /// The process ends.
    pub shutdown: CancellationToken,
    tenants: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Tenant>>>>>,
}

impl Context {
    /// A context that has met no tenant yet.
    #[must_use]
    pub fn new(
        client: &Client,
        instance: &str,
        metrics: Arc<Metrics>,
        wake: Wake,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            clouds: Clouds::new(metrics.clone(), wake.clone()),
            secrets: Secrets::new(client.clone()),
            writer: Writer::new(client.clone(), instance, metrics.clone()),
            metrics,
            wake,
            shutdown,
            tenants: Mutex::default(),
        }
    }

    /// Forgets all tenants but these, by UID, and what only they needed.
    pub fn retain(&self, alive: impl Fn(&str) -> bool) {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| alive(uid));
        self.clouds.sweep();
        self.secrets.sweep(Duration::from_secs(24 * 3600));
    }

    fn tenant(&self, uid: &str) -> Arc<tokio::sync::Mutex<Option<Tenant>>> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.entry(uid.to_owned()).or_default().clone()
    }
}

/// One pass over one tenant.
///
/// # Errors
/// None: what goes wrong is logged, counted and tried again.
pub async fn reconcile(watched: Arc<Watched>, context: Arc<Context>) -> Result<Action, Infallible> {
    let metadata = kube::Resource::meta(watched.as_ref());
    if metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let id = TenantId {
        uid: metadata.uid.clone().unwrap_or_default(),
        generation: metadata.generation.unwrap_or_default(),
        name: TenantName {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        },
    };
    let memory = context.tenant(&id.uid);
    let mut memory = memory.lock().await;
    let now = Timestamp::now();
    let done = match watched.0.as_ref().map(|tenant| (tenant, Target::new(&tenant.spec))) {
        Ok((tenant, Ok(target))) => {
            let stored = tenant.status.clone().unwrap_or_default();
            let memory = memory.get_or_insert_with(|| Tenant::new(&id.uid, &target, &stored, now));
            let done = pass(&context, &id, tenant, &target, memory).await;
            memory.failed_writes = if done.is_ok() { 0 } else { memory.failed_writes.saturating_add(1) };
            done.map_err(|error| (error, backoff(memory.failed_writes).min(target.interval)))
        }
        Ok((_, Err(invalid))) => reject(&context, &id, &invalid.to_string()).await,
        Err(invalid) => {
            let message = format!("The spec cannot be read: {}.", invalid.error.trim_end_matches('.'));
            reject(&context, &id, &message).await
        }
    };
    context.metrics.reconciled(done.is_ok());
    Ok(done.unwrap_or_else(|(error, wait)| {
        tracing::warn!(%error, "the status was not written");
        Action::requeue(wait)
    }))
}

/// Tells that the spec cannot be read. Its next change is looked at again.
async fn reject(context: &Context, id: &TenantId, message: &str) -> Result<Action, (WriteError, Duration)> {
    let write = async {
        let old = context.writer.stored(&id.name).await?;
        let new = status::invalid(message, id.generation, &old, Timestamp::now());
        if status::differs(&old, &new) {
            context.writer.write(&id.name, &new).await?;
        }
        Ok(Action::await_change())
    };
    write.await.map_err(|error| (error, STALLED_RETRY))
}

async fn pass(
    context: &Context,
    id: &TenantId,
    tenant: &CloudTenant,
    target: &Target,
    memory: &mut Tenant,
) -> Result<Action, WriteError> {
    let old = memory.current(tenant);
    let mut looks = Looks::default();
    let mut opened = Ok(None);
    if target.suspend {
        memory.pause(Timestamp::now());
    } else {
        memory.heed(tenant, &old, Timestamp::now());
        opened = open(context, id, target).await.map(Some);
        match &opened {
            Ok(Some(cloud)) => {
                memory.turn_to(cloud, Timestamp::now());
                ask(id, target, memory, cloud, Timestamp::now());
                tokio::select! {
                    () = context.shutdown.cancelled() => return Ok(Action::await_change()),
                    _ = tokio::time::timeout(PATIENCE, memory.finish()) => {}
                }
                memory.caches.wake_later(&context.wake, &id.name);
                memory.usage.wake_later(&context.wake, &id.name);
                looks = Looks::of(target, memory, Timestamp::now());
            }
            Err(failure) => looks = Looks::failed(failure, memory.miss(failure, Timestamp::now())),
            Ok(None) => {}
        }
    }
    let now = Timestamp::now();
    let source = opened.as_ref().ok().and_then(|cloud| source(target, cloud.as_ref()?));
    let mut pass = Pass {
        target,
        generation: id.generation,
        engines: looks.engines,
        caches: looks.caches,
        usage: looks.usage,
        source,
        verdict_at: memory.verdict_at(),
        waited: memory.missing.is_some_and(|(since, _)| age(since, now) >= SECRET_GRACE),
        handled: None,
        now,
    };
    if pass.has_ended() {
        pass.handled = memory.requested.clone();
    }
    let relevant = status::about(&old, pass.source.as_ref());
    let new = status::compute(&pass, &relevant);
    if status::differs(&old, &new) || status::is_heartbeat_due(target, &old, &new) {
        for notice in event::transitions(target, &old, &new) {
            context.writer.tell(id, tenant, &notice).await;
        }
        let version = context.writer.write(&id.name, &new).await?;
        memory.remember(version.as_deref(), new.clone());
    }
    memory.wrote(&pass.engines);
    if refused_anew(&old, &new) {
        context.secrets.expire(&id.name.namespace, &target.secret_name);
    }
    Ok(next_pass(target, memory, &old, &new, now))
}

async fn open(context: &Context, id: &TenantId, target: &Target) -> Result<Arc<Cloud>, Failure> {
    let config = context.secrets.config(&id.name.namespace, target).await?;
    context.clouds.open(&config).map_err(|error| failure::of_config(&error))
}

/// Starts what is due.
fn ask(id: &TenantId, target: &Target, memory: &mut Tenant, cloud: &Arc<Cloud>, now: Timestamp) {
    if is_enabled(target, ProbeKind::Engines) {
        let (interval, deadline) = (target.interval, target.engines_deadline());
        memory.wish_engines(&id.uid, Wish { tenant: id.name.clone(), interval, deadline });
    } else {
        memory.leave_engines();
    }
    if is_enabled(target, ProbeKind::Caches) && memory.caches.is_due(now) {
        let (cloud, target) = (cloud.clone(), target.clone());
        memory
            .caches
            .start(async move { failure::outcome(&cloud.session, probe::caches::ask(&cloud.session, &target).await) });
    }
    if is_enabled(target, ProbeKind::Usage) && memory.usage.is_due(now) {
        let (cloud, target) = (cloud.clone(), target.clone());
        memory.usage.start(async move {
            failure::outcome(&cloud.session, probe::usage::ask(&cloud.session, &target, now).await)
        });
    }
}

/// The cloud as it was used; nothing before the first login.
fn source(target: &Target, cloud: &Cloud) -> Option<Source> {
    let project = cloud.session.known_project()?;
    Some(Source {
        secret_name: target.secret_name.clone(),
        cloud_name: target.cloud_name.clone(),
        host: cloud.config.host(),
        region: cloud.config.region().map(str::to_owned),
        token_project_id: Some(project.id),
        token_project_name: Some(project.name),
    })
}

/// Whether a login was refused that had not been refused before.
fn refused_anew(old: &CloudTenantStatus, new: &CloudTenantStatus) -> bool {
    let refused = |status: &CloudTenantStatus| {
        let reasons = ProbeKind::ALL.map(|kind| condition::reason(&status.conditions, status::condition_of(kind)));
        reasons.contains(&Some(Reason::AuthenticationFailed))
    };
    refused(new) && !refused(old)
}

/// The shortest wait wins.
fn next_pass(
    target: &Target,
    memory: &Tenant,
    old: &CloudTenantStatus,
    new: &CloudTenantStatus,
    now: Timestamp,
) -> Action {
    if target.suspend {
        return Action::await_change();
    }
    let until = |next: Timestamp| Duration::try_from(next.duration_since(now)).unwrap_or_default();
    let mut wait = shortened(target.interval, memory.share);
    if target.caches.enabled && !memory.caches.is_running() {
        wait = wait.min(until(memory.caches.turn.next));
    }
    if target.usage.enabled && !memory.usage.is_running() {
        wait = wait.min(until(memory.usage.turn.next));
    }
    if let Some((since, times)) = memory.missing {
        let arriving = age(since, now) < SECRET_GRACE;
        wait = if arriving { SECRET_RETRY } else { backoff(times).min(STALLED_RETRY) };
    } else if refused_anew(old, new) {
        wait = REFUSED_RETRY;
    } else if condition::find(&new.conditions, ty::STALLED).is_some() {
        wait = wait.min(STALLED_RETRY);
    }
    Action::requeue(wait.max(Duration::from_millis(100)))
}

/// What has come of each probe.
#[derive(Debug)]
struct Looks {
    engines: Look<Engines>,
    caches: Look<Caches>,
    usage: Look<Usage>,
}

impl Default for Looks {
    fn default() -> Self {
        Self { engines: Look::NotDue, caches: Look::NotDue, usage: Look::NotDue }
    }
}

impl Looks {
    fn of(target: &Target, memory: &mut Tenant, now: Timestamp) -> Self {
        let share = memory.share;
        Self {
            engines: memory.look_at_engines(),
            caches: memory.caches.look(target, ProbeKind::Caches, share, now),
            usage: memory.usage.look(target, ProbeKind::Usage, share, now),
        }
    }

    /// The way to the cloud is missing for all alike.
    fn failed(failure: &Failure, times: u32) -> Self {
        Self {
            engines: Look::Failed(failure.clone(), times),
            caches: Look::Failed(failure.clone(), times),
            usage: Look::Failed(failure.clone(), times),
        }
    }
}
