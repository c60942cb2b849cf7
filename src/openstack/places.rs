//! The part of the service catalogue that a session keeps.

use url::Url;

use super::{CloudConfig, Error, Service, catalogue::Catalogue};

/// The services' addresses for the region and the interfaces of one entry. The rest of the catalogue is dropped: in a
/// large cloud it has hundreds of addresses, and each token would keep them.
#[derive(Debug)]
pub(super) struct Places {
    region: Option<Box<str>>,
    /// Indexed by [`Service`], in the order of [`Service::ALL`].
    services: [Place; Service::ALL.len()],
}

#[derive(Debug)]
struct Place {
    /// The address as text, since a parsed one takes 88 bytes more.
    found: Result<Box<str>, Box<Error>>,
    /// Whether the catalogue lists the service, with or without an address.
    is_listed: bool,
}

impl Places {
    pub(super) fn of(catalogue: &Catalogue, config: &CloudConfig) -> Self {
        let place = |service| Place {
            found: catalogue.find(service, config).map(|url| String::from(url).into()).map_err(Box::new),
            is_listed: catalogue.lists(service),
        };
        Self { region: catalogue.region(config).map(Box::from), services: Service::ALL.map(place) }
    }

    /// The memory that it takes besides its own size, in bytes (estimated).
    pub(super) fn kept_bytes(&self) -> usize {
        let names = |names: &[String]| names.iter().map(|name| name.len() + size_of::<String>()).sum();
        let of = |error: &Error| match error {
            Error::ServiceElsewhere { region, offered_in } => region.len() + names(offered_in),
            Error::RegionNotFound { known, .. } => names(known),
            _ => 0,
        };
        let found = |place: &Place| match &place.found {
            Ok(url) => url.len(),
            Err(error) => size_of::<Error>() + of(error),
        };
        self.region.as_ref().map_or(0, |region| region.len()) + self.services.iter().map(found).sum::<usize>()
    }

    /// The region whose addresses are used.
    pub(super) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The service's address, or the reason why there is none.
    pub(super) fn find(&self, service: Service) -> Result<Url, Error> {
        match &self.services[service as usize].found {
            Ok(url) => Url::parse(url).map_err(|_| Error::Unexpected("the service's address is no URL")),
            Err(error) => Err(Error::clone(error)),
        }
    }

    pub(super) fn lists(&self, service: Service) -> bool {
        self.services[service as usize].is_listed
    }
}
