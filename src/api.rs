//! The `CloudTenant` resource as the CRD has it: fields, conditions and the closed set of reasons.
//!
//! Types and constants only. [`crate::decide::status`] decides what a field's value leads to.

pub mod block;
pub mod duration;
pub mod event_reason;
mod flat;
pub mod probe;
pub mod reason;
pub mod set;
pub mod spec;
pub mod status;

pub use block::Block;
pub use duration::GoDuration;
pub use event_reason::EventReason;
use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::CustomResourceExt as _;
pub use probe::{ByProbe, ProbeKind};
pub use reason::Reason;
pub use spec::{
    CacheState, CachesProbe, CloudCredentialsRef, CloudTenant, CloudTenantSpec, CredentialScope, EnginesProbe, Period,
    Policy, ProbeRules, Probes, ReadyWhen, UsageProbe,
};
pub use status::{
    CacheCounts, CachesStatus, CloudTenantStatus, DownEngine, EngineHost, EnginesStatus, FlavorUsage, KindCounts,
    OtherCount, PreviousUsage, Source, UsageFigures, UsageStatus,
};

/// The condition types that this operator sets. It does not change other types on the same object.
pub mod condition_type {
    /// The worst of the counted conditions below.
    pub const READY: &str = "Ready";
    /// The verdict on Heat's orchestration engines.
    pub const ENGINES_HEALTHY: &str = "EnginesHealthy";
    /// The verdict on the project's DCS instances.
    pub const CACHES_HEALTHY: &str = "CachesHealthy";
    /// Whether the operator could read Nova's usage of the current period. Never False.
    pub const USAGE_REPORTED: &str = "UsageReported";
    /// Present only while True: the first pass over a new generation has not ended.
    pub const RECONCILING: &str = "Reconciling";
    /// Present only while True: a person must act.
    pub const STALLED: &str = "Stalled";
    /// All of them, in the order in which they are written.
    pub const ALL: [&str; 6] = [READY, ENGINES_HEALTHY, CACHES_HEALTHY, USAGE_REPORTED, RECONCILING, STALLED];
}

/// Bounds of what the operator writes, for those who write it and those who read it.
pub mod bound {
    /// A condition's message in characters, and an event's note in bytes, of which Kubernetes takes 1,024.
    pub const MESSAGE: usize = 1000;
    /// Hosts of engines in a status.
    pub const HOSTS: usize = 50;
    /// Kinds of caches in a status.
    pub const CACHE_KINDS: usize = 20;
}

/// The field manager of every write, and the first label of the operator's own names.
pub const FIELD_MANAGER: &str = "cloudtenant-operator";

/// A change of this annotation's value runs all probes now (Flux's convention).
pub const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";

/// A point in time as statuses carry it: whole seconds.
#[must_use]
pub fn time(at: jiff::Timestamp) -> Time {
    Time(jiff::Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// The CRD that `cloudtenant-operator crd` prints.
///
/// The status defaults to observedGeneration -1, so that kstatus reports a new resource as "in progress". Each object in
/// it has one field manager, because each owned field costs the API server time at every write.
#[must_use]
pub fn crd() -> CustomResourceDefinition {
    finished(CloudTenant::crd())
}

/// What the types cannot say: the status's default and its field managers, and what Kubernetes does not know.
fn finished(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        let Some(schema) = schema else { continue };
        tidy(schema);
        if let Some(status) = schema.properties.as_mut().and_then(|fields| fields.get_mut("status")) {
            status.default = Some(JSON(serde_json::json!({ "observedGeneration": -1 })));
            status.properties.iter_mut().flatten().for_each(|(_, field)| own_as_a_whole(field));
        }
    }
    crd
}

/// Server-side apply records the owner of an atomic object once, and not of each field in it. A list keeps one owner for
/// each item.
fn own_as_a_whole(field: &mut JSONSchemaProps) {
    match &mut field.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => own_as_a_whole(item),
        _ if field.type_.as_deref() == Some("object") => field.x_kubernetes_map_type = Some("atomic".to_owned()),
        _ => {}
    }
}

/// Kubernetes warns of Rust's unsigned formats, and `kubectl explain` breaks its lines itself.
fn tidy(schema: &mut JSONSchemaProps) {
    schema.format = schema.format.take().filter(|format| !format.starts_with("uint"));
    schema.description = schema.description.take().map(|text| {
        let paragraphs: Vec<_> = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
        paragraphs.join("\n\n")
    });
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        tidy(items);
    }
    schema.properties.iter_mut().flatten().for_each(|(_, field)| tidy(field));
}

/// The CRD as YAML, as `crds/` has it.
///
/// # Errors
/// It cannot be written as YAML, which would be a defect.
pub fn crd_yaml() -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(&crd())
}
