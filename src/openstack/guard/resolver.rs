//! The guard as the DNS resolver of an HTTP client.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use futures::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

use super::{Guard, Route};
use crate::share;

/// Looks names up for one [`Route`], and gives the client the addresses that it may connect to.
#[derive(Clone)]
pub(in crate::openstack) struct Resolver {
    guard: Arc<Guard>,
    route: Route,
}

/// There is no address of a name that may be called.
#[derive(Debug, thiserror::Error)]
#[error("the name has no address that may be called")]
pub(in crate::openstack) struct Unresolved(#[source] io::Error);

impl Resolver {
    pub(in crate::openstack) const fn new(guard: Arc<Guard>, route: Route) -> Self {
        Self { guard, route }
    }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future = BoxFuture<'static, Result<Self::Response, Unresolved>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (guard, route) = (self.guard.clone(), self.route);
        // Here and not within the future, since the client may continue it in another task.
        let namespace = share::namespace();
        Box::pin(share::on_behalf_of(namespace, async move {
            let addresses = guard.resolve(name.as_str(), route).await.map_err(Unresolved)?;
            // The client sets the port.
            let addresses: Vec<_> = addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect();
            Ok(addresses.into_iter())
        }))
    }
}
