//! Identifies a tenant, or a set of tenants.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The namespace and name of a CloudTenant or a CloudTenantSet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TenantName {
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

impl TenantName {
    /// The name of the object with these metadata.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }
}

/// A CloudTenant or a CloudTenantSet with a generation of its spec.
#[derive(Debug, Clone)]
pub struct TenantId {
    /// The UID.
    pub uid: String,
    /// The spec's generation.
    pub generation: i64,
    /// The namespace and name.
    pub name: TenantName,
}
