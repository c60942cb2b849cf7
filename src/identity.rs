//! Identifies a tenant.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The namespace and name of a CloudTenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TenantName {
    /// The CloudTenant's namespace.
    pub namespace: String,
    /// The CloudTenant's name.
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

/// A CloudTenant with a generation of its spec.
#[derive(Debug, Clone)]
pub struct TenantId {
    /// The UID.
    pub uid: String,
    /// The spec's generation.
    pub generation: i64,
    /// The namespace and name.
    pub name: TenantName,
}
