//! The guard as the DNS resolver of an HTTP client.

use std::{net::SocketAddr, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{Guard, Route};
use crate::share;

/// Looks names up for one [`Route`], and gives the client the addresses that it may connect to.
pub(in crate::openstack) struct Resolver {
    guard: Arc<Guard>,
    route: Route,
}

impl Resolver {
    pub(in crate::openstack) const fn new(guard: Arc<Guard>, route: Route) -> Self {
        Self { guard, route }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, route) = (self.guard.clone(), self.route);
        // Here and not within the future, since the client may continue it in another task.
        let namespace = share::namespace();
        Box::pin(share::on_behalf_of(namespace, async move {
            let addresses = guard.resolve(name.as_str(), route).await?;
            // The client sets the port.
            let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        }))
    }
}
