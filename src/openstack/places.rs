//! What a session keeps of the service catalogue.

use url::Url;

use super::catalogue::Catalogue;
use super::{CloudConfig, Error, Service};

/// The services' addresses in the region and for the interfaces of one entry. The catalogue itself is dropped: a large
/// cloud lists hundreds of addresses, and each token would keep them.
#[derive(Debug)]
pub(super) struct Places {
    region: Option<Box<str>>,
    /// By [`Service`], as in [`Service::ALL`].
    services: [Place; Service::ALL.len()],
}

#[derive(Debug)]
struct Place {
    found: Result<Url, Error>,
    /// The catalogue has the service, with an address or without.
    is_listed: bool,
}

impl Places {
    pub(super) fn of(catalogue: &Catalogue, config: &CloudConfig) -> Places {
        let place = |service| Place { found: catalogue.find(service, config), is_listed: catalogue.lists(service) };
        Places { region: catalogue.region(config).map(Box::from), services: Service::ALL.map(place) }
    }

    /// How many bytes it keeps beside itself, about.
    pub(super) fn kept_bytes(&self) -> usize {
        let found = |place: &Place| match &place.found {
            Ok(url) => url.as_str().len(),
            Err(Error::RegionNotFound { known, .. }) => known.iter().map(|name| name.len() + size_of::<String>()).sum(),
            Err(_) => 0,
        };
        self.region.as_ref().map_or(0, |region| region.len()) + self.services.iter().map(found).sum::<usize>()
    }

    /// The region whose addresses are used.
    pub(super) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The service's address, or why there is none.
    pub(super) fn find(&self, service: Service) -> Result<Url, Error> {
        self.services[service as usize].found.clone()
    }

    pub(super) fn lists(&self, service: Service) -> bool {
        self.services[service as usize].is_listed
    }
}
