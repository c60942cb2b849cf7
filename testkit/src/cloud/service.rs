//! The services and their addresses.

use std::collections::BTreeMap;

/// A service of the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Identity.
    Keystone,
    /// Orchestration.
    Heat,
    /// Distributed cache.
    Dcs,
    /// Compute.
    Nova,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 4] = [Self::Keystone, Self::Heat, Self::Dcs, Self::Nova];

    /// The service's type in catalogues and access rules.
    pub(super) fn catalogue_type(self) -> &'static str {
        match self {
            Self::Keystone => "identity",
            Self::Heat => "orchestration",
            Self::Dcs => "dcs",
            Self::Nova => "compute",
        }
    }
}

/// Scheme, address and port of each service.
pub(super) struct Addresses(BTreeMap<Service, String>);

impl Addresses {
    pub(super) fn new(addresses: BTreeMap<Service, String>) -> Self {
        Self(addresses)
    }

    pub(super) fn of(&self, service: Service) -> &str {
        self.0.get(&service).map_or("", String::as_str)
    }
}
