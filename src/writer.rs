//! What is written to the API server: the status, and before it the events.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::{
    api::{CloudTenant, CloudTenantStatus, FIELD_MANAGER},
    event::Notice,
    identity::{TenantId, TenantName},
    leader::Mandate,
    metrics::Metrics,
};

/// How long the API server may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Who reports, in events.
const CONTROLLER: &str = "cloudtenant.dev/cloudtenant-operator";

/// The API server did not take a write.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// No answer in time.
    #[error("the API server did not answer in time")]
    Timeout,
    /// Another process may lead by now.
    #[error("the Lease was not renewed in time")]
    NotLeading,
    /// It refused, or was not reached.
    #[error(transparent)]
    Kube(#[from] Box<kube::Error>),
}

/// Writes statuses and events.
pub struct Writer {
    client: Client,
    instance: String,
    metrics: Arc<Metrics>,
    mandate: Mandate,
}

impl Writer {
    /// `instance` is this process, in events. Nothing is written once the mandate has ended.
    #[must_use]
    pub fn new(client: Client, instance: &str, metrics: Arc<Metrics>, mandate: Mandate) -> Self {
        Self { client, instance: instance.to_owned(), metrics, mandate }
    }

    /// The object as far as any object can be read: a malformed spec must not hinder a status.
    fn objects(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &ApiResource::erase::<CloudTenant>(&()))
    }

    /// The status as the API server has it; an empty one where it cannot be read or the tenant is gone.
    ///
    /// # Errors
    /// The API server did not answer.
    pub async fn stored(&self, tenant: &TenantName) -> Result<CloudTenantStatus, WriteError> {
        let found = self.within(self.objects(&tenant.namespace).get_opt(&tenant.name)).await?;
        let status = found.and_then(|object| serde_json::from_value(object.data.get("status")?.clone()).ok());
        Ok(status.unwrap_or_default())
    }

    /// Writes the status and returns the resource version that it got; none where the tenant is gone.
    ///
    /// # Errors
    /// The API server did not take it.
    pub async fn write(&self, tenant: &TenantName, status: &CloudTenantStatus) -> Result<Option<String>, WriteError> {
        let patch = json!({
            "apiVersion": CloudTenant::api_version(&()),
            "kind": CloudTenant::kind(&()),
            "status": status,
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let objects = self.objects(&tenant.namespace);
        let written = self.within(objects.patch_status(&tenant.name, &parameters, &Patch::Apply(&patch))).await;
        self.metrics.status_written(written.is_ok());
        match written {
            Ok(object) => Ok(object.metadata.resource_version),
            Err(WriteError::Kube(error)) if is_status(&error, 404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates the notice's event. The same transition always has the same name, so "it exists" is success. An
    /// event that is refused is logged and counted; the status is written all the same.
    pub async fn tell(&self, id: &TenantId, tenant: &CloudTenant, notice: &Notice) {
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
            note: Some(notice.note.chars().take(1000).collect()),
            type_: Some(notice.reason.type_().to_owned()),
            regarding: Some(ObjectReference { resource_version: None, ..tenant.object_ref(&()) }),
            ..Event::default()
        };
        let events: Api<Event> = Api::namespaced(self.client.clone(), &id.name.namespace);
        let created = self.within(events.create(&PostParams::default(), &event)).await;
        let told = match &created {
            Ok(_) => true,
            Err(WriteError::Kube(error)) => is_status(error, 409),
            Err(WriteError::Timeout | WriteError::NotLeading) => false,
        };
        match created {
            Err(error) if !told => tracing::warn!(%error, reason, note = notice.note, "an event was not created"),
            Err(_) => {}
            Ok(_) => tracing::info!(reason, note = notice.note, "event"),
        }
        self.metrics.event(notice.reason, told);
    }

    async fn within<T>(&self, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, WriteError> {
        if !self.mandate.is_valid() {
            return Err(WriteError::NotLeading);
        }
        let answer = tokio::time::timeout(DEADLINE, call).await.map_err(|_| WriteError::Timeout)?;
        answer.map_err(|error| WriteError::Kube(Box::new(error)))
    }
}

fn is_status(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}
