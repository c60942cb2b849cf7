//! The one sequence: resolve, observe, compute, tell, write.

use std::{convert::Infallible, sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::runtime::controller::Action;

use crate::{
    api::{CloudTenant, CloudTenantStatus, Reason, condition_type as ty, reason::Class},
    clouds::Cloud,
    condition,
    context::Context,
    event,
    identity::{TenantId, TenantName},
    metrics::{Credential, Metrics},
    observation::{ProbeKind, engines::age},
    observe::{self, Looks},
    panics::{Part, caught},
    roster::Watched,
    schedule::{backoff, shortened},
    status::{self, Pass, is_enabled},
    target::Target,
    tenant::Tenant,
    writer::WriteError,
};

/// What has not ended after this long is written later.
const PATIENCE: Duration = Duration::from_secs(5);

/// How soon a Secret is read again that people may still be about to apply, and how long that is believed.
const SECRET_RETRY: Duration = Duration::from_secs(5);
const SECRET_GRACE: Duration = Duration::from_secs(120);

/// How soon a Secret is read again while a person has to act.
const STALLED_RETRY: Duration = Duration::from_secs(30);

/// How soon an object is looked at again that has changed while its status was made.
const CONFLICT_RETRY: Duration = Duration::from_secs(1);

/// After so many in a row the watch does not bring what they wrote.
const CONFLICTS: u32 = 10;

/// So many times a status waits for its events.
const EVENT_RETRIES: u32 = 3;

/// How soon after a refused login the Secret is read again, once: it may just have been corrected.
const REFUSED_RETRY: Duration = Duration::from_secs(5);

/// How soon a pass that panicked is tried again, with nothing remembered.
const PANIC_RETRY: Duration = Duration::from_secs(60);

/// A pass' end: when the next one is, or that the status was not written and when that is tried again.
type Done = Result<Action, (WriteError, Duration)>;

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
    let done = match caught(Part::Pass, look_after(&context, &id, &watched, &mut memory)).await {
        Ok(done) => done,
        Err(_) => {
            // It may be half changed.
            *memory = None;
            let told = caught(Part::Pass, tell_broke_off(&context, &id)).await;
            told.unwrap_or(Ok(Action::requeue(PANIC_RETRY)))
        }
    };
    context.metrics.reconciled(done.is_ok());
    Ok(done.unwrap_or_else(|(error, wait)| {
        tracing::warn!(%error, "the status was not written");
        Action::requeue(wait)
    }))
}

async fn look_after(context: &Context, id: &TenantId, watched: &Watched, memory: &mut Option<Tenant>) -> Done {
    let now = Timestamp::now();
    match watched.0.as_ref().map(|tenant| (tenant, Target::new(&tenant.spec))) {
        Ok((tenant, Ok(target))) => {
            let stored = tenant.status.clone().unwrap_or_default();
            let memory = memory.get_or_insert_with(|| Tenant::new(&id.uid, &target, &stored, now));
            let done = pass(context, id, tenant, &target, memory).await;
            match done {
                Ok(action) => {
                    (memory.failed_writes, memory.conflicts) = (0, 0);
                    Ok(action)
                }
                // Somebody was faster: nothing is wrong, and the watch brings what they wrote.
                Err(error) if error.is_conflict() && memory.conflicts < CONFLICTS => {
                    memory.conflicts += 1;
                    Ok(Action::requeue(CONFLICT_RETRY))
                }
                Err(error) => {
                    memory.failed_writes = memory.failed_writes.saturating_add(1);
                    Err((error, backoff(memory.failed_writes).min(target.interval)))
                }
            }
        }
        Ok((_, Err(invalid))) => reject(context, id, &invalid.to_string()).await,
        Err(unreadable) => {
            tracing::warn!("{}", unreadable.why);
            reject(context, id, &unreadable.why).await
        }
    }
}

/// Tells that the spec cannot be read. Its next change is looked at again.
async fn reject(context: &Context, id: &TenantId, message: &str) -> Done {
    let now = Timestamp::now();
    let written = rewrite(context, id, |old| status::invalid(message, id.generation, old, now)).await;
    written.map(|()| Action::await_change()).map_err(|error| (error, STALLED_RETRY))
}

/// Writes that the pass panicked.
async fn tell_broke_off(context: &Context, id: &TenantId) -> Done {
    let now = Timestamp::now();
    let written = rewrite(context, id, |old| status::broke_off(id.generation, old, now)).await;
    written.map(|()| Action::requeue(PANIC_RETRY)).map_err(|error| (error, PANIC_RETRY))
}

/// Writes what becomes of the stored status, if that is another one.
async fn rewrite(
    context: &Context,
    id: &TenantId,
    change: impl FnOnce(&CloudTenantStatus) -> CloudTenantStatus,
) -> Result<(), WriteError> {
    let (old, version) = context.writer.stored(&id.name).await?;
    let new = change(&old);
    if status::differs(&old, &new) {
        context.writer.write(&id.name, version, &new).await?;
    }
    Ok(())
}

async fn pass(
    context: &Context,
    id: &TenantId,
    tenant: &CloudTenant,
    target: &Target,
    memory: &mut Tenant,
) -> Result<Action, WriteError> {
    memory.keep_time(target, Timestamp::now());
    let (old, version) = memory.current(tenant);
    let mut looks = Looks::default();
    let mut opened = Ok(None);
    if target.suspend {
        memory.pause(Timestamp::now());
    } else {
        memory.heed(tenant, &old, Timestamp::now());
        opened = observe::open(context, id, target).await.map(Some);
        match &opened {
            Ok(Some(cloud)) => {
                memory.turn_to(cloud, Timestamp::now());
                let region = cloud.session.known_region();
                let frozen = observe::frozen(&old, &cloud.config, region.as_deref());
                observe::ask(target, memory, cloud, frozen, Timestamp::now());
                let unseen = observe::ask_engines(context, id, target, memory, cloud, &old).await;
                tokio::select! {
                    () = context.shutdown.cancelled() => return Ok(Action::await_change()),
                    _ = tokio::time::timeout(PATIENCE, memory.finish()) => {}
                }
                memory.caches.wake_later(&context.wake, &id.name);
                memory.usage.wake_later(&context.wake, &id.name);
                looks = Looks::of(target, memory, &old, Timestamp::now());
                looks.engines = unseen.unwrap_or(looks.engines);
            }
            Err(failure) => {
                if failure.reason.may_still_arrive() {
                    context.secrets.expire(&id.name.namespace, &target.secret_name);
                }
                looks = Looks::failed(failure, memory.miss(failure, Timestamp::now()));
            }
            Ok(None) => {}
        }
    }
    let now = Timestamp::now();
    let source = match &opened {
        Ok(Some(cloud)) => {
            note_credentials(&context.metrics, &id.uid, target, memory, cloud).await;
            observe::source(target, &cloud.config, &cloud.session, old.source.as_ref(), now).await
        }
        _ => None,
    };
    let mut pass = Pass {
        target,
        generation: id.generation,
        engines: looks.engines,
        caches: looks.caches,
        usage: looks.usage,
        source,
        verdict_at: memory.verdict_at(),
        bad_in_row: [0; 2],
        waited: memory.missing.or(memory.engines_missing).is_some_and(|(since, _)| age(since, now) >= SECRET_GRACE),
        handled: None,
        now,
    };
    if pass.has_ended() {
        pass.handled = memory.requested.clone();
    }
    let relevant = status::about(&old, pass.source.as_ref());
    pass.bad_in_row = memory.count_bad(&pass.engines, status::bad_verdicts(&pass, &relevant));
    let new = status::compute(&pass, &relevant);
    let in_progress = memory.note_wish(tenant, &old);
    if has(&new, Reason::EndpointNotFound) {
        memory.doubt_tokens();
    }
    if status::differs(&old, &new) || status::is_heartbeat_due(target, &old, &new) {
        if let Some(wait) = memory.writes.wait(in_progress, now) {
            // What was found stays, as after a write that failed.
            return Ok(Action::requeue(next_pass(target, memory, &old, &new, now).map_or(wait, |next| next.min(wait))));
        }
        let notices = memory.events.admit(event::transitions(target, &old, &new), now);
        // Told late rather than not at all; but a status that nobody may see is worse than an event that is lost.
        let waits = memory.failed_writes < EVENT_RETRIES;
        let version = context.writer.tell_and_write((id, tenant), &notices, waits, version, &new).await?;
        memory.events.wrote();
        memory.writes.wrote(now);
        memory.remember(version.as_deref(), new.clone());
    }
    memory.wrote(&pass.engines);
    if refused_anew(&old, &new) {
        context.secrets.expire(&id.name.namespace, &target.secret_name);
    }
    Ok(next_pass(target, memory, &old, &new, now).map_or_else(Action::await_change, Action::requeue))
}

/// Has the metrics know when the credentials end that are in use. Of one that has not logged in yet, what was known of
/// the one before stays: it is the one that was used last.
async fn note_credentials(metrics: &Metrics, uid: &str, target: &Target, memory: &Tenant, cloud: &Cloud) {
    let own = target.engines.cloud_name.is_some() && is_enabled(target, ProbeKind::Engines);
    let engines = async {
        if !own {
            return Some(None);
        }
        observe::credential_end(&memory.engines_cloud()?.session).await
    };
    let (main, engines) = tokio::join!(observe::credential_end(&cloud.session), engines);
    for (credential, end) in [(Credential::Main, main), (Credential::Engines, engines)] {
        if let Some(end) = end {
            metrics.credential_ends(uid, credential, end);
        }
    }
}

/// Whether a probe has this reason.
fn has(status: &CloudTenantStatus, reason: Reason) -> bool {
    let reasons = ProbeKind::ALL.map(|kind| condition::reason(&status.conditions, status::condition_of(kind)));
    reasons.contains(&Some(reason))
}

/// Whether a person must act: for the CloudTenant, or for a probe that does not count for Ready.
fn takes_a_person(status: &CloudTenantStatus) -> bool {
    let mut probes = ProbeKind::ALL.into_iter().map(status::condition_of);
    let is_stalled = |reason: Reason| reason.class() == Class::Stalled;
    condition::find(&status.conditions, ty::STALLED).is_some()
        || probes.any(|type_| condition::reason(&status.conditions, type_).is_some_and(is_stalled))
}

/// Whether a login was refused that had not been refused before.
fn refused_anew(old: &CloudTenantStatus, new: &CloudTenantStatus) -> bool {
    has(new, Reason::AuthenticationFailed) && !has(old, Reason::AuthenticationFailed)
}

/// The shortest wait wins; nothing while it is suspended.
fn next_pass(
    target: &Target,
    memory: &Tenant,
    old: &CloudTenantStatus,
    new: &CloudTenantStatus,
    now: Timestamp,
) -> Option<Duration> {
    if target.suspend {
        return None;
    }
    let until = |next: Timestamp| Duration::try_from(next.duration_since(now)).unwrap_or_default();
    let mut wait = shortened(target.interval, memory.share);
    if is_enabled(target, ProbeKind::Caches) && !memory.caches.is_running() {
        wait = wait.min(until(memory.caches.turn.next));
    }
    if is_enabled(target, ProbeKind::Usage) && !memory.usage.is_running() {
        wait = wait.min(until(memory.usage.turn.next));
    }
    if let Some((since, times)) = memory.missing {
        let arriving = age(since, now) < SECRET_GRACE;
        wait = if arriving { SECRET_RETRY } else { backoff(times).min(STALLED_RETRY) };
    } else if refused_anew(old, new) {
        wait = REFUSED_RETRY;
    } else if memory.engines_missing.is_some_and(|(since, _)| age(since, now) < SECRET_GRACE) {
        wait = wait.min(SECRET_RETRY);
    } else if takes_a_person(new) {
        wait = wait.min(STALLED_RETRY);
    }
    Some(wait.max(Duration::from_millis(100)))
}
