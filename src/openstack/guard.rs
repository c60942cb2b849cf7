//! The guard of addresses: decides for every connection to a cloud whether the operator makes it.
//!
//! Tenants write the addresses of clouds, and the operator's Pod can reach more than they can. [`judge`] is the rule.
//! It judges what a connection goes to, after DNS: [`Guard::route`] judges an address in the URL itself, before the
//! request, and [`Resolver`] gives the client only the addresses of a name that may be called. See
//! docs/decisions/0043.

mod cidr;
mod judge;
mod resolver;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

pub use cidr::{Cidr, CidrError};
use futures::future::BoxFuture;
use judge::is_within;
pub use judge::{AddressRule, AddressVerdict, judge};
pub(super) use resolver::{Resolver, Unresolved};
use tokio::time::{Instant, timeout};
use url::Url;

use super::{
    Error, Refusal,
    hosts::{Hosts, host_of},
    lookup,
};
use crate::share;

/// How long the addresses of the API server's name are used before they are looked up again.
const KNOWN: Duration = Duration::from_secs(60);
/// The same after a lookup that failed. Until then the last addresses apply.
const RETRY: Duration = Duration::from_secs(5);
/// The deadline for this lookup.
const LOOK_UP: Duration = Duration::from_secs(5);

/// The operator's settings for addresses of clouds. By default it calls all addresses that [`judge`] allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Ranges that are called although they are refused by default.
    pub allowed: Vec<Cidr>,
    /// If not empty, no other hosts are called.
    pub hosts: Vec<CloudHost>,
    /// Refuse URLs with `http`.
    pub https_only: bool,
    /// The hosts and ports of the Kubernetes API server.
    pub api_servers: Vec<(String, u16)>,
}

/// Hosts that may be called: a name, all names below a domain, or a range of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudHost(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Named(Hosts),
    Within(Cidr),
}

/// The text is not a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no host: give a name without a port, *.suffix, an address, or a range of addresses as in 10.0.0.0/8")]
pub struct NoCloudHost(String);

impl FromStr for CloudHost {
    type Err = NoCloudHost;

    fn from_str(text: &str) -> Result<Self, NoCloudHost> {
        let text = text.trim();
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        let kind = match (bare.parse::<Cidr>(), text.parse::<Hosts>()) {
            (Ok(range), _) => Kind::Within(range),
            (Err(_), Ok(hosts)) => Kind::Named(hosts),
            (Err(_), Err(_)) => return Err(NoCloudHost(text.to_owned())),
        };
        Ok(Self(kind))
    }
}

/// How a call reaches its host. HTTP clients differ by this, since a client does not tell its resolver the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Route {
    /// To the host itself. The port is given only if the API server has the same.
    Direct(Option<u16>),
    /// The same for a name that is called only at addresses within [`Rules::hosts`].
    Within(Option<u16>),
    /// Through a proxy that the operator's settings or environment name.
    Proxy,
}

/// Looks up the addresses of a host name.
pub(super) type LookUp = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The addresses of the API servers' names, each as last looked up.
#[derive(Default)]
struct ApiServers {
    again_at: Option<Instant>,
    addresses: BTreeMap<(String, u16), Vec<IpAddr>>,
}

/// The settings with what is known about the API server.
pub(super) struct Guard {
    rules: Rules,
    /// Whether refused addresses are not called. `check` calls them with its user's own reach.
    enforces: bool,
    look_up: LookUp,
    /// The addresses of the API servers, and when they were looked up.
    known: tokio::sync::Mutex<ApiServers>,
}

impl Default for Guard {
    fn default() -> Self {
        Self::new(Rules::default(), true)
    }
}

impl Guard {
    pub(super) fn new(rules: Rules, enforces: bool) -> Self {
        Self {
            rules,
            enforces,
            look_up: Arc::new(|name| Box::pin(lookup::system(name))),
            known: tokio::sync::Mutex::default(),
        }
    }

    /// Looks host names up by this function instead of the system's.
    pub(super) fn resolving_by(self, look_up: LookUp) -> Self {
        Self { look_up, ..self }
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The route to this URL's host.
    ///
    /// # Errors
    /// [`Error::AddressRefused`] if the guard refuses the URL without a look-up, and is enforced.
    pub(super) async fn route(&self, url: &Url, proxied: bool) -> Result<Route, Error> {
        match self.admit(url, proxied).await {
            Ok(route) => Ok(route),
            Err(_) if !self.enforces => Ok(if proxied { Route::Proxy } else { Route::Direct(None) }),
            Err(refusal) => Err(Error::AddressRefused(refusal)),
        }
    }

    /// Judges the URL itself.
    async fn admit(&self, url: &Url, proxied: bool) -> Result<Route, Refusal> {
        if self.rules.https_only && url.scheme() != "https" {
            return Err(Refusal::PlainHttp);
        }
        let host = host_of(url);
        let port = url.port_or_known_default().unwrap_or_default();
        let same = |server: &(String, u16)| server.1 == port && server.0.eq_ignore_ascii_case(host);
        if self.rules.api_servers.iter().any(same) {
            return Err(Refusal::Address(AddressRule::ApiServer));
        }
        let is_named = self.is_named(host);
        if let Some(address) = literal(url) {
            self.judge(address, port, is_named).await?;
        } else if !is_named && (proxied || !self.lists_ranges()) {
            // A proxy looks the name up itself, so that no address can be compared.
            return Err(Refusal::Unlisted);
        }
        let critical = self.rules.api_servers.iter().any(|(_, other)| *other == port).then_some(port);
        Ok(match (proxied, is_named) {
            (true, _) => Route::Proxy,
            (false, true) => Route::Direct(critical),
            (false, false) => Route::Within(critical),
        })
    }

    /// Whether a host of this name may be called at any address.
    fn is_named(&self, host: &str) -> bool {
        let includes = |CloudHost(kind): &CloudHost| match kind {
            Kind::Named(hosts) => hosts.include(host),
            Kind::Within(_) => false,
        };
        self.rules.hosts.is_empty() || self.rules.hosts.iter().any(includes)
    }

    fn lists_ranges(&self) -> bool {
        self.rules.hosts.iter().any(|CloudHost(kind)| matches!(kind, Kind::Within(_)))
    }

    /// Judges an address that is about to be connected to.
    async fn judge(&self, address: IpAddr, port: u16, is_named: bool) -> Result<(), Refusal> {
        let servers = self.api_servers(port).await;
        if let AddressVerdict::Refused(rule) = judge(address, port, &self.rules.allowed, &servers) {
            return Err(Refusal::Address(rule));
        }
        let includes = |CloudHost(kind): &CloudHost| match kind {
            Kind::Named(_) => false,
            Kind::Within(range) => is_within(address, *range),
        };
        if is_named || self.rules.hosts.iter().any(includes) { Ok(()) } else { Err(Refusal::Unlisted) }
    }

    /// The addresses of a name that may be called on this route.
    async fn resolve(&self, name: &str, route: Route) -> io::Result<Vec<IpAddr>> {
        let found = (self.look_up)(name.to_owned()).await?;
        let (port, is_named) = match route {
            Route::Direct(port) => (port, true),
            Route::Within(port) => (port, false),
            // A proxy is exempt.
            Route::Proxy => return Ok(found),
        };
        if !self.enforces {
            return Ok(found);
        }
        let (mut fine, mut refused) = (Vec::new(), BTreeSet::new());
        for address in found {
            match self.judge(address, port.unwrap_or_default(), is_named).await {
                Ok(()) => fine.push(address),
                Err(refusal) => {
                    refused.insert(refusal);
                }
            }
        }
        // The least, so that the message does not depend on the order of DNS.
        match refused.pop_first() {
            Some(refusal) if fine.is_empty() => Err(io::Error::other(refusal)),
            _ => Ok(fine),
        }
    }

    /// Why the operator would refuse this URL.
    pub(super) async fn objection(&self, url: &Url, proxied: bool) -> Option<Refusal> {
        let strict = Self {
            rules: self.rules.clone(),
            enforces: true,
            look_up: self.look_up.clone(),
            known: tokio::sync::Mutex::default(),
        };
        let route = match strict.admit(url, proxied).await {
            Ok(route) => route,
            Err(refusal) => return Some(refusal),
        };
        let name = url.host_str().filter(|_| literal(url).is_none() && route != Route::Proxy)?;
        let error = strict.resolve(name, route).await.err()?;
        error.get_ref()?.downcast_ref().copied()
    }

    /// The addresses of the API servers, if one of them has this port.
    async fn api_servers(&self, port: u16) -> Vec<SocketAddr> {
        if !self.rules.api_servers.iter().any(|(_, at)| *at == port) {
            return Vec::new();
        }
        let mut servers = Vec::new();
        let mut names = Vec::new();
        for (host, at) in &self.rules.api_servers {
            match host.trim_matches(['[', ']']).parse::<IpAddr>() {
                Ok(address) => servers.push(SocketAddr::new(address, *at)),
                Err(_) => names.push((host.clone(), *at)),
            }
        }
        if names.is_empty() {
            return servers;
        }
        let mut known = self.known.lock().await;
        if known.again_at.is_none_or(|at| Instant::now() >= at) {
            let mut failed = false;
            for server in names {
                // On the operator's own behalf: a tenant's namespace may have no place for a lookup.
                let look_up = share::on_behalf_of("".into(), (self.look_up)(server.0.clone()));
                match timeout(LOOK_UP, look_up).await.map(Result::ok) {
                    Ok(Some(addresses)) if !addresses.is_empty() => drop(known.addresses.insert(server, addresses)),
                    _ => failed = true,
                }
            }
            known.again_at = Some(Instant::now() + if failed { RETRY } else { KNOWN });
        }
        let addresses = known.addresses.iter();
        servers.extend(addresses.flat_map(|((_, port), found)| found.iter().map(|one| SocketAddr::new(*one, *port))));
        servers
    }
}

/// The address in a URL, in place of a name.
fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("rules", &self.rules).field("enforces", &self.enforces).finish_non_exhaustive()
    }
}
