//! Writes the events and then the status to the API server.

mod place;

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::{
    HeaderValue,
    header::{ACCEPT, CONTENT_TYPE},
};
use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{Condition, MicroTime},
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions, Request},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    api::{
        CloudTenant, CloudTenantStatus, FIELD_MANAGER, Reason, bound,
        set::{CloudTenantSet, CloudTenantSetStatus},
    },
    cluster::leader::Mandate,
    decide::{
        Written,
        event::Notice,
        set,
        status::{self, StatusRefusal},
    },
    identity::{TenantId, TenantName},
    metrics::{Metrics, Told},
    watched::object::{Kind, Object, members, metadata},
    words::escaped,
};

/// Longest wait for the API server.
const DEADLINE: Duration = Duration::from_secs(10);

/// Codes of events that can never be created: malformed, no namespace, invalid.
const REFUSED: [u16; 3] = [400, 404, 422];

/// Asks for the object's metadata instead of the object. Each API server knows this form (Kubernetes API Concepts).
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

/// The reporting controller of events.
const CONTROLLER: &str = "cloudtenant.dev/cloudtenant-operator";

/// The reasons why the API server did not accept a write.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There was no answer in time.
    #[error("the API server did not answer in time")]
    Timeout,
    /// Another process may lead by now.
    #[error("the Lease was not renewed in time")]
    NotLeading,
    /// The API server refused the write or was not reached.
    #[error(transparent)]
    Kube(#[from] Box<kube::Error>),
}

impl WriteError {
    /// Whether the API server answered with one of these codes.
    pub(super) fn is_status(&self, codes: &[u16]) -> bool {
        self.answer().is_some_and(|status| codes.contains(&status.code))
    }

    /// The API server's answer, if it refused the write.
    pub(super) fn answer(&self) -> Option<&kube::core::Status> {
        match self {
            Self::Kube(error) => match &**error {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether the object's namespace is being deleted. Nothing can be created in it, and nobody reads its events.
    pub(super) fn is_terminating(&self) -> bool {
        let Some(status) = self.answer() else { return false };
        let mut causes = status.details.iter().flat_map(|details| &details.causes);
        status.code == 403 && causes.any(|cause| cause.reason == "NamespaceTerminating")
    }

    /// Whether a policy or a webhook refuses the write.
    pub(super) fn is_by_policy(&self) -> bool {
        place::is_by_policy(self)
    }

    /// Whether a ResourceQuota refuses the write.
    pub(super) fn exceeds_quota(&self) -> bool {
        place::exceeds_quota(self)
    }

    /// Whether a policy, a webhook or a quota refuses the write, and not a missing right.
    pub(super) fn is_denied(&self) -> bool {
        place::is_denied(self)
    }

    /// Whether the object has changed since it was read, so that it needs another pass.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.is_status(&[409])
    }
}

/// A kind of object whose status the operator writes.
pub trait Reported: Kind<Status: Serialize + Send + Sync> {
    /// Whether the statuses differ in more than times.
    fn differs(old: &Self::Status, new: &Self::Status) -> bool;

    /// The conditions of a status.
    fn conditions(status: &mut Self::Status) -> &mut Vec<Condition>;

    /// Whether the object has the minimal status in the place of one that the API server refused.
    fn is_refused(&self) -> bool;

    /// Returns the status in the place of one that the API server refused. `stored` is the one until now.
    fn refused(cause: StatusRefusal, status: &Self::Status, stored: &Self::Status, now: Timestamp) -> Self::Status;
}

impl Reported for CloudTenant {
    fn differs(old: &CloudTenantStatus, new: &CloudTenantStatus) -> bool {
        status::differs(old, new)
    }

    fn conditions(status: &mut CloudTenantStatus) -> &mut Vec<Condition> {
        &mut status.conditions
    }

    fn is_refused(&self) -> bool {
        self.status.as_ref().is_some_and(|status| is_minimal(&status.conditions))
    }

    fn refused(
        cause: StatusRefusal,
        status: &CloudTenantStatus,
        stored: &CloudTenantStatus,
        now: Timestamp,
    ) -> CloudTenantStatus {
        status::refused(cause, status, stored, now)
    }
}

impl Reported for CloudTenantSet {
    fn differs(old: &CloudTenantSetStatus, new: &CloudTenantSetStatus) -> bool {
        set::status::differs(old, new)
    }

    fn conditions(status: &mut CloudTenantSetStatus) -> &mut Vec<Condition> {
        &mut status.conditions
    }

    fn is_refused(&self) -> bool {
        self.status.as_ref().is_some_and(|status| is_minimal(&status.conditions))
    }

    fn refused(
        cause: StatusRefusal,
        status: &CloudTenantSetStatus,
        stored: &CloudTenantSetStatus,
        now: Timestamp,
    ) -> CloudTenantSetStatus {
        set::status::refused(cause, status, stored, now)
    }
}

fn is_minimal(conditions: &[Condition]) -> bool {
    conditions.iter().any(|condition| condition.reason == Reason::StatusRefused.as_str())
}

/// The stored status from which a new one was computed, with its resource version. The API server therefore rejects a
/// delayed write if another process has written since. How each one is replaced: docs/decisions/0038.
#[derive(Debug, Clone)]
pub enum Base {
    /// It was read, and these are the conditions of other controllers in it.
    Read {
        /// Its resource version.
        version: String,
        /// The conditions of other controllers.
        others: Vec<Condition>,
    },
    /// The operator has written it, and the watch has not brought it yet.
    Written(Option<String>),
    /// Other controllers may have conditions in it that cannot be read.
    Shared(Option<String>),
}

impl Base {
    /// A status that was read, with all of its conditions.
    #[must_use]
    pub fn read<K: Reported>(version: String, conditions: &[Condition]) -> Self {
        Self::Read { version, others: place::of_others::<K>(conditions) }
    }

    /// As if others might have conditions in it that cannot be read.
    #[must_use]
    pub fn shared(self) -> Self {
        Self::Shared(self.version().map(str::to_owned))
    }

    /// The conditions of other controllers. `None` if they are not known.
    fn others(self) -> Option<Vec<Condition>> {
        match self {
            Self::Read { others, .. } => Some(others),
            Self::Written(_) | Self::Shared(_) => None,
        }
    }

    fn version(&self) -> Option<&str> {
        match self {
            Self::Read { version, .. } => Some(version),
            Self::Written(version) | Self::Shared(version) => version.as_deref(),
        }
    }
}

/// Writes statuses and events.
pub struct StatusWriter {
    client: Client,
    instance: String,
    metrics: Arc<Metrics>,
    mandate: Mandate,
}

impl StatusWriter {
    /// Creates a writer. `instance` is the name of this process in events. Nothing is written after the mandate's end.
    #[must_use]
    pub fn new(client: Client, instance: &str, metrics: Arc<Metrics>, mandate: Mandate) -> Self {
        Self { client, instance: instance.to_owned(), metrics, mandate }
    }

    /// Returns the stored status, also as the base of a new one. The status is empty if it is unreadable or the object
    /// is gone.
    ///
    /// # Errors
    /// The API server did not answer.
    pub async fn stored<K: Reported>(&self, name: &TenantName) -> Result<(K::Status, Base), WriteError> {
        let objects: Api<Object<K>> = Api::namespaced(self.client.clone(), &name.namespace);
        let Some(found) = self.within(objects.get_opt(&name.name)).await? else {
            return Ok((K::Status::default(), Base::Shared(None)));
        };
        let (version, is_whole) = (found.meta().resource_version.clone(), !found.omits_conditions_of_others());
        let mut status = found.into_status();
        let base = match version {
            Some(version) if is_whole => Base::read::<K>(version, K::conditions(&mut status)),
            version => Base::Shared(version),
        };
        Ok((status, base))
    }

    /// Writes the status in the place of whatever is stored. The result has no resource version if the object is gone.
    ///
    /// # Errors
    /// The API server did not accept the write, or has a newer version ([`WriteError::is_conflict`]).
    pub async fn write<K: Reported>(
        &self,
        name: &TenantName,
        base: Base,
        status: &K::Status,
    ) -> Result<Written, WriteError> {
        let written = self.put::<K>(name, base, status).await;
        self.conclude::<K>(name, status, written).await
    }

    /// Counts the result of a write. If the API server refuses the status, a minimal one replaces the stored one.
    async fn conclude<K: Reported>(
        &self,
        name: &TenantName,
        status: &K::Status,
        written: Result<Option<String>, WriteError>,
    ) -> Result<Written, WriteError> {
        if !written.as_ref().is_err_and(WriteError::is_conflict) {
            self.metrics.status_written(written.is_ok());
        }
        let error = match written {
            Ok(version) => return Ok(Written::As(version)),
            Err(error) if error.is_status(&[404]) => return Ok(Written::As(None)),
            Err(error) => error,
        };
        match place::refusal(&error) {
            Some(cause) => self.write_refused::<K>(name, cause, status, error).await.map(Written::Refused),
            None => Err(error),
        }
    }

    /// Replaces the status, together with the conditions of others in it. Applies it where some of them may be
    /// unreadable; if that is not enough, it replaces the stored one, too. Returns the resource version.
    async fn put<K: Reported>(
        &self,
        name: &TenantName,
        base: Base,
        status: &K::Status,
    ) -> Result<Option<String>, WriteError> {
        let (base, others) = match base {
            Base::Read { version, others } => (Some(version), Some(others)),
            Base::Written(version) => (version, self.stored::<K>(name).await?.1.others()),
            Base::Shared(version) => (version, None),
        };
        if let Some(others) = others {
            return self.replace::<K>(name, base.as_deref(), status, others).await;
        }
        let patch = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": { "resourceVersion": base },
            "status": status,
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        match self.within(self.send(patch_status::<K>(name, &parameters, &Patch::Apply(&patch)))).await {
            Ok(object) => {
                let object = Object::<K>::read(&object);
                let version = object.meta().resource_version.clone();
                if !place::has_rest(&object, status) {
                    return Ok(version);
                }
                let others = place::of_others::<K>(K::conditions(&mut object.into_status()));
                match self.replace::<K>(name, version.as_deref(), status, others).await {
                    // Somebody else was faster, so another pass follows at once.
                    Err(error) if error.is_conflict() => Err(error),
                    Err(error) => {
                        tracing::warn!(%error, "what else is in the status was not removed");
                        Ok(version)
                    }
                    replaced => replaced,
                }
            }
            Err(error) if place::is_unapplicable(&error) => self.overwrite::<K>(name, base.as_deref(), status).await,
            Err(error) => Err(error),
        }
    }

    /// Replaces the whole status in one step, whatever is stored. Returns its resource version.
    async fn overwrite<K: Reported>(
        &self,
        name: &TenantName,
        base: Option<&str>,
        status: &K::Status,
    ) -> Result<Option<String>, WriteError> {
        let (mut stored, _) = self.stored::<K>(name).await?;
        self.replace::<K>(name, base, status, place::of_others::<K>(K::conditions(&mut stored))).await
    }

    /// Writes a minimal status in the place of a refused one. Returns its resource version.
    async fn write_refused<K: Reported>(
        &self,
        name: &TenantName,
        cause: StatusRefusal,
        refused: &K::Status,
        error: WriteError,
    ) -> Result<Option<String>, WriteError> {
        let (mut stored, base) = self.stored::<K>(name).await?;
        let mut version = base.version().map(str::to_owned);
        let minimal = K::refused(cause, refused, &stored, Timestamp::now());
        if K::differs(&stored, &minimal) {
            // If this write is refused too, the first error shows the cause.
            let others = place::of_others::<K>(K::conditions(&mut stored));
            let Ok(written) = self.replace::<K>(name, version.as_deref(), &minimal, others).await else {
                return Err(error);
            };
            version = written;
        }
        tracing::warn!(%error, "the API server refuses the status; a minimal one is in its place");
        Ok(version)
    }

    /// Replaces the whole status by this one and the conditions of others. Returns its resource version.
    async fn replace<K: Reported>(
        &self,
        name: &TenantName,
        base: Option<&str>,
        status: &K::Status,
        others: Vec<Condition>,
    ) -> Result<Option<String>, WriteError> {
        let status = match others.is_empty() {
            true => Cow::Borrowed(status),
            false => Cow::Owned(place::with_others::<K>(status.clone(), others)),
        };
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patch = place::replacement(base, &*status);
        let request = patch_status::<K>(name, &parameters, &Patch::Merge(&patch)).map(|mut request| {
            // kube offers this kind of patch only with another crate.
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json-patch+json"));
            request.headers_mut().insert(ACCEPT, HeaderValue::from_static(METADATA));
            request
        });
        let answer = self.within(self.send(request)).await?;
        Ok(metadata(&members(&answer)).0.resource_version)
    }

    /// Applies an object for a field manager, without force. Returns the object.
    ///
    /// # Errors
    /// The API server did not accept the write.
    pub async fn apply<K: Reported>(
        &self,
        name: &TenantName,
        manager: &str,
        document: &Value,
    ) -> Result<String, WriteError> {
        let request = Request::new(K::url_path(&(), Some(&name.namespace)));
        let request = request.patch(&name.name, &PatchParams::apply(manager), &Patch::Apply(document));
        self.within(self.send(request)).await
    }

    /// Deletes an object if it still has this UID and resource version. One that is gone counts as deleted.
    ///
    /// # Errors
    /// The API server did not delete it.
    pub async fn delete<K: Reported>(&self, name: &TenantName, uid: &str, version: &str) -> Result<(), WriteError> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: Some(version.to_owned()) };
        let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let request = Request::new(K::url_path(&(), Some(&name.namespace))).delete(&name.name, &parameters);
        match self.within(self.send(request)).await {
            Err(error) if !error.is_status(&[404]) => Err(error),
            _ => Ok(()),
        }
    }

    /// Creates the events of what has happened already, whatever becomes of the status. Returns the notices of those that
    /// may still be created later.
    pub async fn tell<K: Reported>(&self, (id, object): (&TenantId, &K), notices: Vec<Notice>) -> Vec<Notice> {
        let mut left = Vec::new();
        for notice in notices {
            match self.emit(id, object, &notice).await {
                Ok(()) => {}
                Err(error) if is_permanent(&error) => self.metrics.event(notice.reason, Told::Error),
                Err(error) => {
                    if !matches!(error, WriteError::NotLeading) {
                        self.metrics.event(notice.reason, Told::Retried);
                    }
                    left.push(notice);
                }
            }
        }
        left
    }

    /// Creates the notices' events and then writes the status, as [`write`](Self::write) does. A permanently refused
    /// event does not prevent the write. An event that may still be created does if `waits` is set, because no later
    /// pass would emit it.
    ///
    /// # Errors
    /// The status was not written. The next pass begins with the same notices.
    pub async fn tell_and_write<K: Reported>(
        &self,
        (id, object): (&TenantId, &K),
        notices: &[Notice],
        waits: bool,
        base: Base,
        status: &K::Status,
    ) -> Result<Written, WriteError> {
        let mut failed = Vec::new();
        let written = async {
            for notice in notices {
                if let Err(error) = self.emit(id, object, notice).await {
                    failed.push(notice.reason);
                    if waits && !is_permanent(&error) {
                        return Err(error);
                    }
                }
            }
            if object.is_refused() && matches!(base, Base::Shared(_)) {
                // The minimal status replaced another one, so its Stalled would outlast an applied status for a moment.
                let written = self.overwrite::<K>(&id.name, base.version(), status).await;
                return self.conclude::<K>(&id.name, status, written).await;
            }
            self.write::<K>(&id.name, base, status).await
        }
        .await;
        let outcome = match &written {
            Ok(_) => Told::Error,
            // The next leader emits these events.
            Err(WriteError::NotLeading) => return written,
            Err(_) => Told::Retried,
        };
        for reason in failed {
            self.metrics.event(reason, outcome);
        }
        written
    }

    /// Creates the notice's event. The same transition always has the same name, so "already exists" is success and was
    /// counted before. An event in a namespace that is being deleted is dropped and not counted.
    async fn emit<K: Reported>(&self, id: &TenantId, object: &K, notice: &Notice) -> Result<(), WriteError> {
        let name = notice.name(&id.name.name, &id.uid);
        let reason = notice.reason.to_string();
        let event = Event {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(id.name.namespace.clone()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(Timestamp::now())),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            action: Some("Observe".to_owned()),
            reason: Some(reason.clone()),
            note: Some(escaped(&notice.note, bound::MESSAGE)),
            type_: Some(notice.reason.type_().to_owned()),
            regarding: Some(ObjectReference { resource_version: None, ..object.object_ref(&()) }),
            ..Event::default()
        };
        let event = serde_json::to_vec(&event).map_err(|error| Box::new(kube::Error::SerdeError(error)))?;
        let request = Request::new(Event::url_path(&(), Some(&id.name.namespace)));
        match self.within(self.send(request.create(&PostParams::default(), event))).await {
            Ok(_) => {
                tracing::info!(reason, note = notice.note, "event");
                self.metrics.event(notice.reason, Told::Ok);
                Ok(())
            }
            Err(error) if error.is_status(&[409]) => Ok(()),
            Err(error) if error.is_terminating() => {
                tracing::debug!(reason, note = notice.note, "no event: the namespace is being deleted");
                Ok(())
            }
            Err(error @ WriteError::NotLeading) => Err(error),
            Err(error) => {
                tracing::warn!(%error, reason, note = notice.note, "an event was not created");
                Err(error)
            }
        }
    }

    /// Sends a write. A successful write counts as such even if its answer is unreadable.
    async fn send(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<String, kube::Error> {
        self.client.request_text(request.map_err(kube::Error::BuildRequest)?).await
    }

    async fn within<T>(&self, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, WriteError> {
        if !self.mandate.is_valid() {
            return Err(WriteError::NotLeading);
        }
        let answer = tokio::time::timeout(DEADLINE, call).await.map_err(|_| WriteError::Timeout)?;
        answer.map_err(|error| WriteError::Kube(Box::new(error)))
    }
}

/// Whether this event can never be created.
fn is_permanent(error: &WriteError) -> bool {
    error.is_status(&REFUSED) || place::is_denied(error)
}

fn patch_status<K: Resource<DynamicType = ()>>(
    name: &TenantName,
    parameters: &PatchParams,
    patch: &Patch<impl Serialize>,
) -> Result<http::Request<Vec<u8>>, kube::core::request::Error> {
    Request::new(K::url_path(&(), Some(&name.namespace))).patch_subresource("status", &name.name, parameters, patch)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::{
        Router,
        extract::Path,
        http::{HeaderMap, StatusCode},
        routing::{get, patch, post},
    };

    use super::*;
    use crate::{cluster::leader::RENEW_DEADLINE, decide::event::EventReason};

    /// A 403 whose cause is that the namespace is being deleted.
    const TERMINATING: u16 = 1403;
    /// A 403 of an admission policy.
    const DENIED: u16 = 2403;
    /// A 403 of a ResourceQuota.
    const QUOTA: u16 = 3403;

    /// An API server whose answer to an event is the code in its namespace, and to a status the code in its name.
    async fn writer(mandate: Mandate) -> StatusWriter {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = |code: u16, done: Value| {
            let refusal = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code });
            (StatusCode::from_u16(code).unwrap(), if code < 300 { done } else { refusal }.to_string())
        };
        // The answer to a write is an object that kube's own types do not accept.
        let event = async move |Path(code): Path<u16>| match code {
            DENIED | QUOTA => {
                let message = if code == DENIED { "policy \"p\" denied request: no" } else { "exceeded quota: q" };
                let (code, refusal) = answer(403, Value::Null);
                let mut refusal: Value = serde_json::from_str(&refusal).unwrap();
                refusal["message"] = json!(message);
                (code, refusal.to_string())
            }
            TERMINATING => {
                let causes =
                    json!([{ "reason": "NamespaceTerminating", "message": "namespace shop is being terminated" }]);
                let (code, refusal) = answer(403, Value::Null);
                let mut refusal: Value = serde_json::from_str(&refusal).unwrap();
                refusal["details"] = json!({ "causes": causes });
                (code, refusal.to_string())
            }
            _ => answer(code, json!({ "metadata": 5 })),
        };
        let status = async move |Path((_, code)): Path<(u16, u16)>| {
            let odd = json!([{ "time": "9999-12-31T23:59:59Z" }]);
            answer(code, json!({ "metadata": { "name": "shop", "resourceVersion": "2", "managedFields": odd } }))
        };
        let server = Router::new()
            .route("/apis/events.k8s.io/v1/namespaces/{code}/events", post(event))
            .route("/apis/cloudtenant.dev/v1alpha1/namespaces/{of}/cloudtenants/{code}/status", patch(status));
        tokio::spawn(axum::serve(listener, server).into_future());
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = kube::Config::new(url.parse().unwrap());
        config.default_retry = false;
        StatusWriter::new(Client::try_from(config).unwrap(), "me", Arc::new(Metrics::new()), mandate)
    }

    /// Writes one notice and one status, with these answers of the API server.
    async fn write_once(writer: &StatusWriter, event: u16, status: u16, waits: bool) -> Result<Written, WriteError> {
        let tenant = json!({
            "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant", "metadata": { "name": "shop" },
            "spec": { "projectID": "p", "cloudCredentialsRef": { "secretName": "s" } },
        });
        let tenant: CloudTenant = serde_json::from_value(tenant).unwrap();
        let name = TenantName { namespace: event.to_string(), name: status.to_string() };
        let id = TenantId { uid: "u".to_owned(), generation: 1, name };
        let [about, note, left] = ["engine-1", "It stopped.", ""].map(str::to_owned);
        let notices = [Notice { reason: EventReason::EngineDown, about, note, left }];
        writer.tell_and_write((&id, &tenant), &notices, waits, Base::Shared(None), &CloudTenantStatus::default()).await
    }

    /// Returns the outcomes that were counted once.
    fn counted(writer: &StatusWriter) -> Vec<&'static str> {
        let text = writer.metrics.encode();
        let has = |outcome: &&str| {
            let line = format!(r#"cloudtenant_events_total{{reason="EngineDown",outcome="{outcome}"}} 1"#);
            text.lines().any(|have| have == line)
        };
        ["ok", "retried", "error"].into_iter().filter(has).collect()
    }

    /// Each line: the event's code, the status' code, whether the status waits | whether it was written, the event's
    /// outcomes.
    #[tokio::test]
    async fn an_event_that_may_still_be_created_holds_back_the_status_and_is_not_lost() {
        for (event, status, waits, written, outcomes) in [
            (201, 200, true, true, vec!["ok"]),
            // Counted when it was created.
            (409, 200, true, true, vec![]),
            (400, 200, true, true, vec!["error"]),
            // An API server that has just started does not know the rights yet.
            (403, 200, true, false, vec!["retried"]),
            (403, 200, false, true, vec!["error"]),
            (DENIED, 200, true, true, vec!["error"]),
            (QUOTA, 200, true, true, vec!["error"]),
            (TERMINATING, 200, true, true, vec![]),
            (TERMINATING, 503, true, false, vec![]),
            (404, 200, true, true, vec!["error"]),
            (422, 200, true, true, vec!["error"]),
            (429, 200, true, false, vec!["retried"]),
            (500, 200, true, false, vec!["retried"]),
            (503, 200, true, false, vec!["retried"]),
            // The retries are exhausted.
            (503, 200, false, true, vec!["error"]),
            // The next pass emits it again.
            (503, 503, false, false, vec!["retried"]),
            (403, 503, true, false, vec!["retried"]),
            (403, 409, true, false, vec!["retried"]),
            (201, 503, true, false, vec!["ok"]),
        ] {
            let writer = writer(Mandate::unlimited()).await;
            let done = write_once(&writer, event, status, waits).await;
            let row = format!("{event} {status} {waits}");
            assert_eq!(done.is_ok(), written, "{row}");
            assert!(!done.is_ok_and(|written| written != Written::As(Some("2".to_owned()))), "{row}");
            assert_eq!(counted(&writer), outcomes, "{row}");
        }
    }

    #[tokio::test]
    async fn a_former_leader_counts_nothing() {
        let long_ago = std::time::Instant::now().checked_sub(RENEW_DEADLINE).unwrap();
        let writer = writer(Mandate::since(long_ago)).await;
        for waits in [true, false] {
            let done = write_once(&writer, 201, 200, waits).await;
            assert!(matches!(done, Err(WriteError::NotLeading)), "{done:?}");
            assert_eq!(counted(&writer), Vec::<&str>::new());
        }
    }

    /// A CloudTenant whose writes have these codes: applied, replaced, replaced by a minimal status. Returns the writer
    /// and the kinds of writes that the API server receives.
    async fn refusing(codes: [u16; 3], message: &'static str) -> (StatusWriter, Arc<Mutex<Vec<&'static str>>>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let writes = Arc::<Mutex<Vec<&'static str>>>::default();
        let received = writes.clone();
        let object = |version: &str| {
            let metadata = json!({ "name": "shop", "resourceVersion": version });
            json!({ "metadata": metadata, "status": { "observedGeneration": 1 } }).to_string()
        };
        let write = async move |headers: HeaderMap, body: String| {
            let is_applied = headers[CONTENT_TYPE] == "application/apply-patch+yaml";
            let kind = match (is_applied, body.contains("StatusRefused")) {
                (true, _) => 0,
                (false, false) => 1,
                (false, true) => 2,
            };
            received.lock().unwrap().push(["applied", "replaced", "minimal"][kind]);
            let code = codes[kind];
            let refusal = json!({ "kind": "Status", "status": "Failure", "code": code, "message": message });
            let body = if code < 300 { object(["2", "3", "4"][kind]) } else { refusal.to_string() };
            (StatusCode::from_u16(code).unwrap(), body)
        };
        let server = Router::new()
            .route("/apis/cloudtenant.dev/v1alpha1/namespaces/n/cloudtenants/t/status", patch(write))
            .route("/apis/cloudtenant.dev/v1alpha1/namespaces/n/cloudtenants/t", get(async move || object("1")));
        tokio::spawn(axum::serve(listener, server).into_future());
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = kube::Config::new(url.parse().unwrap());
        config.default_retry = false;
        let client = Client::try_from(config).unwrap();
        (StatusWriter::new(client, "me", Arc::new(Metrics::new()), Mandate::unlimited()), writes)
    }

    /// A status that was applied would leave the minimal one's condition Stalled for a moment. Each line: the reason of
    /// the stored condition Stalled, whether others have conditions, the codes | the writes.
    #[tokio::test]
    async fn a_status_replaces_a_minimal_one_and_the_operators_own_in_one_step() {
        let name = TenantName { namespace: "n".to_owned(), name: "t".to_owned() };
        let id = TenantId { uid: "u".to_owned(), generation: 1, name };
        let status = CloudTenantStatus { observed_generation: Some(1), ..CloudTenantStatus::default() };
        for (reason, is_shared, codes, expected) in [
            ("StatusRefused", true, [0, 200, 0], &["replaced"][..]),
            ("StatusRefused", true, [0, 422, 200], &["replaced", "minimal"]),
            ("StatusRefused", false, [0, 200, 0], &["replaced"]),
            ("Forbidden", true, [200, 0, 0], &["applied"]),
            ("Forbidden", false, [0, 200, 0], &["replaced"]),
            ("Forbidden", false, [0, 422, 200], &["replaced", "minimal"]),
        ] {
            let tenant = json!({
                "metadata": { "name": "t", "namespace": "n" },
                "spec": { "projectID": "p", "cloudCredentialsRef": { "secretName": "s" } },
                "status": { "conditions": [{
                    "type": "Stalled", "status": "True", "reason": reason, "message": "m",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }] },
            });
            let tenant: CloudTenant = serde_json::from_value(tenant).unwrap();
            let (writer, writes) = refusing(codes, "").await;
            let version = "1".to_owned();
            let base = match is_shared {
                true => Base::Shared(Some(version)),
                false => Base::Read { version, others: Vec::new() },
            };
            let done = writer.tell_and_write((&id, &tenant), &[], true, base, &status).await;
            assert!(done.is_ok(), "{reason} {codes:?}: {done:?}");
            assert_eq!(*writes.lock().unwrap(), expected, "{reason} {is_shared} {codes:?}");
        }
    }

    /// Each line: the codes of the writes | the writes, and the result.
    #[tokio::test]
    async fn a_status_that_cannot_be_applied_replaces_and_a_refused_one_is_replaced_by_a_minimal_one() {
        let written = |version: &str| Some(Written::As(Some(version.to_owned())));
        let refused = || Some(Written::Refused(Some("4".to_owned())));
        let (applied, replaced, minimal) =
            (&["applied"][..], &["applied", "replaced"][..], &["applied", "replaced", "minimal"][..]);
        let without_replacement = &["applied", "minimal"][..];
        let rows = [
            ([200, 500, 500], "", applied, written("2")),
            ([500, 200, 0], "failed to create typed live object", replaced, written("3")),
            ([422, 200, 0], "", replaced, written("3")),
            ([400, 200, 0], "", replaced, written("3")),
            ([422, 422, 200], "", minimal, refused()),
            ([500, 422, 200], "failed to create typed live object", minimal, refused()),
            ([413, 413, 200], "", minimal, refused()),
            ([500, 500, 200], "trying to send message larger than max", minimal, refused()),
            ([500, 500, 200], "etcdserver: request is too large", minimal, refused()),
            ([403, 0, 200], "admission webhook \"w\" denied the request: no", without_replacement, refused()),
            ([403, 0, 403], "admission webhook \"w\" denied the request: no", without_replacement, None),
            ([403, 0, 200], "is forbidden: User \"u\" cannot patch resource", applied, None),
            ([403, 0, 200], "is forbidden: not yet ready to handle request", applied, None),
            ([422, 422, 422], "", minimal, None),
            ([500, 0, 0], "etcdserver: leader changed", applied, None),
            ([422, 409, 0], "", replaced, None),
            ([409, 0, 0], "", applied, None),
            ([429, 0, 0], "", applied, None),
            ([503, 0, 0], "", applied, None),
            ([404, 0, 0], "", applied, Some(Written::As(None))),
        ];
        for (codes, message, expected, result) in rows {
            let (writer, writes) = refusing(codes, message).await;
            let name = TenantName { namespace: "n".to_owned(), name: "t".to_owned() };
            let status = CloudTenantStatus { observed_generation: Some(1), ..CloudTenantStatus::default() };
            let base = Base::Shared(Some("1".to_owned()));
            let done = writer.write::<CloudTenant>(&name, base, &status).await;
            assert_eq!(done.ok(), result, "{codes:?} {message}");
            assert_eq!(*writes.lock().unwrap(), expected, "{codes:?} {message}");
        }
    }

    /// Nothing is applied, and the object is not read. Each line: the codes of the replacement and of the minimal status |
    /// the writes, and the result.
    #[tokio::test]
    async fn a_status_without_conditions_of_others_is_replaced_at_once() {
        let (replaced, minimal) = (&["replaced"][..], &["replaced", "minimal"][..]);
        let rows = [
            ([200, 0], "", replaced, Some(Written::As(Some("3".to_owned())))),
            ([422, 200], "", minimal, Some(Written::Refused(Some("4".to_owned())))),
            ([403, 200], "policy \"p\" denied request: no", minimal, Some(Written::Refused(Some("4".to_owned())))),
            ([403, 0], "is forbidden: User \"u\" cannot patch resource", replaced, None),
            ([404, 0], "", replaced, Some(Written::As(None))),
            ([409, 0], "", replaced, None),
            ([500, 0], "etcdserver: leader changed", replaced, None),
            ([503, 0], "", replaced, None),
        ];
        for ([replacement, last], message, expected, result) in rows {
            let (writer, writes) = refusing([200, replacement, last], message).await;
            let name = TenantName { namespace: "n".to_owned(), name: "t".to_owned() };
            let status = CloudTenantStatus { observed_generation: Some(1), ..CloudTenantStatus::default() };
            let base = Base::Read { version: "1".to_owned(), others: Vec::new() };
            let done = writer.write::<CloudTenant>(&name, base, &status).await;
            assert_eq!(done.ok(), result, "{replacement} {message}");
            assert_eq!(*writes.lock().unwrap(), expected, "{replacement} {message}");
        }
    }

    /// A status that the watch has not brought yet is read before it is replaced. A line: the stored conditions | the
    /// writes.
    #[tokio::test]
    async fn what_the_watch_has_not_brought_is_read_first() {
        let condition = |type_: &str| json!({ "type": type_, "status": "True", "reason": "R", "message": "m" });
        let whole = |type_: &str| {
            let mut whole = condition(type_);
            whole["lastTransitionTime"] = json!("2026-01-01T00:00:00Z");
            whole
        };
        for (conditions, expected) in [
            (json!([whole("Ready")]), "replaced []"),
            (json!([whole("Ready"), whole("Backup")]), "replaced [Backup]"),
            (json!([whole("Ready"), condition("Backup")]), "applied"),
        ] {
            let written = Arc::<Mutex<Vec<String>>>::default();
            let received = written.clone();
            let write = async move |headers: HeaderMap, body: String| {
                let body: Value = serde_json::from_str(&body).unwrap();
                let kind = match headers[CONTENT_TYPE] == "application/apply-patch+yaml" {
                    true => "applied".to_owned(),
                    false => {
                        assert_eq!(body[0]["value"], "8", "the lock is the version that was computed from");
                        let others = body[1]["value"]["conditions"].as_array().into_iter().flatten();
                        let others: Vec<_> = others.filter_map(|condition| condition["type"].as_str()).collect();
                        format!("replaced [{}]", others.join(" "))
                    }
                };
                received.lock().unwrap().push(kind);
                let metadata = json!({ "name": "t", "resourceVersion": "9" });
                json!({ "metadata": metadata, "status": { "observedGeneration": 1 } }).to_string()
            };
            let object = json!({
                "metadata": { "name": "t", "namespace": "n", "resourceVersion": "8" },
                "spec": { "projectID": "p", "cloudCredentialsRef": { "secretName": "s" } },
                "status": { "conditions": conditions },
            });
            let object = object.to_string();
            let path = "/apis/cloudtenant.dev/v1alpha1/namespaces/n/cloudtenants/t";
            let server = Router::new()
                .route(&format!("{path}/status"), patch(write))
                .route(path, get(async move || object.clone()));
            let client = testkit::router::kube_client(server).await.unwrap();
            let writer = StatusWriter::new(client, "me", Arc::new(Metrics::new()), Mandate::unlimited());
            let name = TenantName { namespace: "n".to_owned(), name: "t".to_owned() };
            let status = CloudTenantStatus { observed_generation: Some(1), ..CloudTenantStatus::default() };
            let done = writer.write::<CloudTenant>(&name, Base::Written(Some("8".to_owned())), &status).await;
            assert_eq!(done.unwrap(), Written::As(Some("9".to_owned())));
            assert_eq!(*written.lock().unwrap(), [expected]);
        }
    }
}
