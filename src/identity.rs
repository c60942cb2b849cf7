//! Which tenant is meant.

/// A tenant by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TenantName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// One tenant, and one state of its spec.
#[derive(Debug, Clone)]
pub struct TenantId {
    /// The UID.
    pub uid: String,
    /// The spec's generation.
    pub generation: i64,
    /// Where it is found.
    pub name: TenantName,
}
