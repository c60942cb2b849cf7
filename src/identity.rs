//! Identifies a tenant.

/// The namespace and name of a CloudTenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TenantName {
    /// The CloudTenant's namespace.
    pub namespace: String,
    /// The CloudTenant's name.
    pub name: String,
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
