//! One pass: resolve, observe, decide, write.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    api::{CloudTenant, CloudTenantStatus},
    clouds::{Cloud, handles::Handles},
    cluster::{
        context::{Context, Tenant},
        observe::{self, InPlace},
        passes::PANIC_RETRY,
        writer::{Base, WriteError},
    },
    decide::{Decision, Memory, Next, REFUSED_RETRY, Write, Written, decide, status},
    identity::{TenantId, TenantName},
    panics::{Part, caught},
    share::{Priority, Turn},
    target::Target,
    watched::kept::Kept,
};

/// Wait until the operator retries a failed write of the status for an invalid spec.
const REJECT_RETRY: Duration = Duration::from_secs(30);

/// Wait until the operator checks again whether a lost namespace is back.
const LOST_RETRY: Duration = Duration::from_secs(10);

/// The result of a pass, or why the status was not written and when the operator retries.
type Done = Result<Reconciled, (WriteError, Duration)>;

/// The result of a pass.
#[derive(Debug)]
pub enum Reconciled {
    /// It has ended. The next one starts after this duration; `None` means that only a change starts it.
    Ended(Option<Duration>),
    /// It has changed nothing, and starts again once it may wait for this cloud.
    Waits(Arc<Cloud>, Priority),
}

/// Reconciles one tenant. The operator logs, counts and retries failures.
pub async fn reconcile(
    kept: Arc<Kept>,
    context: Arc<Context>,
    (mut turn, place): (Turn, Option<InPlace>),
) -> Reconciled {
    if kept.is_deleted {
        return Reconciled::Ended(None);
    }
    let id = TenantId {
        uid: kept.uid.as_deref().unwrap_or_default().to_owned(),
        generation: kept.generation.unwrap_or_default(),
        name: TenantName::clone(&kept.name),
    };
    let tenant = context.tenant(&id.uid);
    let mut tenant = tenant.lock().await;
    if context.is_lost(&id.name.namespace) {
        // Nothing can be read or written for it, so nothing is asked of its cloud either.
        *tenant = None;
        return Reconciled::Ended(Some(LOST_RETRY));
    }
    // Boxed: a future that is an argument takes its memory twice, and a pass may wait for long.
    let resumed = Box::pin(resume(&context, &id, &kept, &mut tenant, (&mut turn, place)));
    let done = match caught(Part::Pass, resumed).await {
        Ok(done) => done,
        Err(_) => {
            // After a panic the state may be inconsistent.
            *tenant = None;
            let written = caught(Part::Pass, Box::pin(write_broke_off(&context, &id))).await;
            written.unwrap_or(Ok(Reconciled::Ended(Some(PANIC_RETRY))))
        }
    };
    if !matches!(done, Ok(Reconciled::Waits(..))) {
        context.metrics.reconciled(done.is_ok());
    }
    done.unwrap_or_else(|(error, wait)| {
        tracing::warn!(%error, "the status was not written");
        Reconciled::Ended(Some(wait))
    })
}

/// Runs a pass with the tenant's state if the spec is valid.
async fn resume(
    context: &Context,
    id: &TenantId,
    kept: &Kept,
    tenant: &mut Option<Tenant>,
    (turn, place): (&mut Turn, Option<InPlace>),
) -> Done {
    match kept.read().map(|object| (Target::new(&object.spec), object)) {
        Ok((Ok(target), object)) => {
            let target = Arc::new(target);
            let tenant = tenant.get_or_insert_with(|| {
                let stored = object.status.clone().unwrap_or_default();
                let memory = Memory::new(&id.uid, &target, &stored, Timestamp::now());
                Tenant::new(memory)
            });
            let is_whole = !kept.omits_conditions_of_others;
            pass(context, (id, &object, is_whole), &target, tenant, (turn, place)).await
        }
        Ok((Err(invalid), _)) => Box::pin(reject(context, id, &invalid.to_string())).await,
        Err(unreadable) => {
            tracing::warn!("{}", unreadable.why);
            Box::pin(reject(context, id, &unreadable.why)).await
        }
    }
}

/// Writes that the spec is invalid. The next change of the spec starts the next pass.
async fn reject(context: &Context, id: &TenantId, message: &str) -> Done {
    let now = Timestamp::now();
    let written = rewrite(context, id, |old| status::invalid(message, id.generation, old, now)).await;
    let again = |written| matches!(written, Written::Refused(_)).then_some(REFUSED_RETRY);
    written.map(|written| Reconciled::Ended(again(written))).map_err(|error| (error, REJECT_RETRY))
}

/// Writes that the pass panicked.
async fn write_broke_off(context: &Context, id: &TenantId) -> Done {
    let now = Timestamp::now();
    let written = rewrite(context, id, |old| status::broke_off(id.generation, old, now)).await;
    written.map(|_| Reconciled::Ended(Some(PANIC_RETRY))).map_err(|error| (error, PANIC_RETRY))
}

/// Writes the changed status if it differs from the stored one.
async fn rewrite(
    context: &Context,
    id: &TenantId,
    change: impl FnOnce(&CloudTenantStatus) -> CloudTenantStatus,
) -> Result<Written, WriteError> {
    let (old, base) = context.writer.stored::<CloudTenant>(&id.name).await?;
    let new = change(&old);
    if status::differs(&old, &new) {
        context.writer.write::<CloudTenant>(&id.name, base, &new).await
    } else {
        Ok(Written::Skipped)
    }
}

/// The four stages of a pass. All rules are in [`decide`](crate::decide). Each stage has a box of its own, since many
/// passes may wait for their clouds. `is_whole` is whether no condition of others was left out of the object.
async fn pass(
    context: &Context,
    (id, object, is_whole): (&TenantId, &CloudTenant, bool),
    target: &Arc<Target>,
    tenant: &mut Tenant,
    (turn, place): (&mut Turn, Option<InPlace>),
) -> Done {
    let decision = {
        let resolved = Box::pin(observe::resolve(context, id, target)).await;
        tenant.keep_time();
        let place = match &resolved {
            Ok(Some(cloud)) => observe::place(object, target, (&tenant.memory, &tenant.handles), cloud, place),
            Ok(None) | Err(_) => Ok(None),
        };
        let place = match place {
            Ok(place) => place,
            Err((cloud, priority)) => return Ok(Reconciled::Waits(cloud, priority)),
        };
        let state = (&mut tenant.memory, &mut tenant.handles);
        let observed = Box::pin(observe::observe(context, (id, object), target, state, (resolved, place), turn)).await;
        let Some((start, observed)) = observed else { return Ok(Reconciled::Ended(None)) };
        // Observations take seconds.
        tenant.keep_time();
        Box::new(decide(&tenant.memory, target, start, observed, Timestamp::now()))
    };
    let Tenant { memory, handles, .. } = tenant;
    let written = Box::pin(write(context, (id, object, is_whole), target, handles, &decision)).await;
    let (end, error) = match written {
        Ok(end) => (end, None),
        Err(error) if error.is_conflict() => (Written::Conflict, Some(error)),
        Err(error) => (Written::Failed, Some(error)),
    };
    match (memory.commit(*decision, end), error) {
        (Next::Retry(wait), Some(error)) => Err((error, wait)),
        (Next::Retry(wait), None) => Ok(Reconciled::Ended(Some(wait))),
        (Next::Pass(next), _) => Ok(Reconciled::Ended(next)),
    }
}

/// Carries out a decision: first tokens and Secrets, then the events, then the status.
async fn write(
    context: &Context,
    (id, object, is_whole): (&TenantId, &CloudTenant, bool),
    target: &Target,
    handles: &Handles,
    decision: &Decision,
) -> Result<Written, WriteError> {
    if decision.doubts_tokens {
        handles.doubt_tokens();
    }
    if decision.expires_secret {
        context.secrets.expire(&id.name.namespace, &target.secret_name);
    }
    if decision.write != Write::Now {
        return Ok(Written::Skipped);
    }
    let Decision { notices, waits_for_events, version, status, .. } = decision;
    let base = base(object, version.clone(), is_whole);
    context.writer.tell_and_write((id, object), notices, *waits_for_events, base, status).await
}

/// The status that a pass began with. Only the version of the object that was read shows the conditions of others.
fn base(object: &CloudTenant, version: Option<String>, is_whole: bool) -> Base {
    match version {
        version if !is_whole => Base::Shared(version),
        Some(version) if object.metadata.resource_version.as_ref() == Some(&version) => {
            Base::read::<CloudTenant>(version, object.status.as_ref().map_or(&[], |status| &status.conditions))
        }
        version => Base::Written(version),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::json;
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        cluster::{context::Settings, leader::Mandate},
        metrics::Metrics,
        share::{Priority, Shares, Sharing},
        watched::{object::Watched, store::Keep as _},
    };

    /// Each line: the version of the object, and the one that the status was computed from | the base.
    #[test]
    fn only_the_version_that_was_read_shows_the_conditions_of_others() {
        let condition = |type_: &str| {
            json!({
                "type": type_, "status": "True", "reason": "R", "message": "m",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        let object = json!({
            "metadata": { "name": "shop", "namespace": "n", "resourceVersion": "7" },
            "spec": { "projectID": "p", "cloudCredentialsRef": { "secretName": "s" } },
            "status": { "conditions": [condition("Ready"), condition("Backup"), condition("Stalled")] },
        });
        let object: CloudTenant = serde_json::from_value(object).unwrap();
        for (version, is_whole, expected) in [
            (Some("7"), true, "read 7 with [Backup]"),
            (Some("8"), true, "written 8"),
            (None, true, "written"),
            (Some("7"), false, "shared 7"),
            (Some("8"), false, "shared 8"),
        ] {
            let of = |version: Option<String>| version.map(|version| format!(" {version}")).unwrap_or_default();
            let found = match base(&object, version.map(str::to_owned), is_whole) {
                Base::Read { version, others } => {
                    let others: Vec<_> = others.into_iter().map(|condition| condition.type_).collect();
                    format!("read {version} with [{}]", others.join(" "))
                }
                Base::Written(version) => format!("written{}", of(version)),
                Base::Shared(version) => format!("shared{}", of(version)),
            };
            assert_eq!(found, expected, "{version:?} {is_whole}");
        }
    }

    /// Many passes may wait for their clouds at a time.
    #[test]
    fn a_pass_that_waits_needs_little_memory() {
        fn size<A, B, C, D, E, F>(_: impl FnOnce(A, B, C, D, E) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size(resume) <= 3 << 10, "{} bytes", size(resume));
    }

    /// The API server denies everything in the namespace. Each line: whether the namespace is known as lost | requests,
    /// and failed passes.
    #[tokio::test]
    async fn a_tenant_of_a_lost_namespace_causes_no_request_and_no_error() {
        let requests = Arc::new(AtomicU32::new(0));
        let counted = requests.clone();
        let server = axum::Router::new().fallback(async move || {
            counted.fetch_add(1, Ordering::Relaxed);
            (axum::http::StatusCode::FORBIDDEN, r#"{"kind":"Status","status":"Failure","code":403,"message":""}"#)
        });
        let client = testkit::router::kube_client(server).await.unwrap();
        let (settings, metrics) = (Settings::default(), Arc::new(Metrics::new()));
        let (wake, _woken) = mpsc::channel(1);
        let mandate = Mandate::unlimited();
        let context = Context::new(&client, &settings, mandate, metrics.clone(), wake, CancellationToken::new());
        let context = Arc::new(context);
        let object = json!({
            "metadata": { "name": "shop", "namespace": "n", "uid": "u", "generation": 1, "resourceVersion": "1" },
            "spec": { "projectID": "p", "cloudCredentialsRef": { "secretName": "s" } },
        });
        let watched = Watched::read(&object.to_string());
        let kept = Arc::new(Kept::keep(&watched, TenantName::of(kube::Resource::meta(&watched)).into()));
        let has_failed = || metrics.encode().contains(r#"cloudtenant_reconciles_total{outcome="error"} 1"#);
        let turn = async || Turn::begin(&Shares::new(1, Sharing::Everything), "n".into(), Priority::First).await;
        context.lose("n", true);
        for _ in 0..3 {
            let next = reconcile(kept.clone(), context.clone(), (turn().await, None)).await;
            assert!(matches!(next, Reconciled::Ended(Some(LOST_RETRY))), "{next:?}");
        }
        assert_eq!((requests.load(Ordering::Relaxed), has_failed()), (0, false));
        context.lose("n", false);
        let last = reconcile(kept, context, (turn().await, None));
        assert!(size_of_val(&last) < 1024, "a pass that waits for its state takes {} bytes", size_of_val(&last));
        last.await;
        assert!(requests.load(Ordering::Relaxed) > 0);
        assert!(has_failed(), "{}", metrics.encode());
    }
}
