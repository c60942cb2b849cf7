//! Network settings for all clouds: additional certificate authorities, proxies, and the guard of addresses.

use std::{
    fmt, io,
    net::IpAddr,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use rustls::ClientConfig;
use url::Url;

use super::{
    CloudConfig, Error, Refusal,
    brake::Brakes,
    circuit::Circuits,
    clients::{AllClients, Setting},
    connector::{CONNECT_TIMEOUT, Connector},
    credential::Credentials,
    guard::{Cidr, Guard, LookUp, Resolver, Route, Rules},
    hosts::Hosts,
    http::Room,
    pace::Pace,
    proving::Provers,
};
use crate::trust::{Authorities, Reliance, System, Trust, Unreadable};

/// The default number of queries under way for one host of a cloud.
const QUERIES_IN_FLIGHT: u32 = 128;

/// The settings for all clouds, and the state that their sessions share. They do not apply to the Kubernetes API.
#[derive(Clone, Default)]
pub struct Network {
    authorities: Arc<Authorities>,
    keeps_system: bool,
    reliance: Reliance,
    proxies: Proxies,
    guard: Arc<Guard>,
    credentials: Arc<Credentials>,
    brakes: Arc<Brakes>,
    provers: Arc<Provers>,
    clients: Arc<AllClients>,
    room: Arc<Room>,
    pace: Arc<Pace>,
    /// `None` is the default.
    queries_in_flight: Option<u32>,
    circuits: Arc<Circuits>,
    /// `None` is the default.
    connect_timeout: Option<Duration>,
}

/// Hosts, and the proxy for them. `Debug` omits the proxy's address, which may contain a password.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyRule {
    hosts: Hosts,
    proxy: Url,
}

/// Which proxy a call goes through. Without explicit rules, the environment's apply (`HTTPS_PROXY`, `HTTP_PROXY`,
/// `NO_PROXY`).
#[derive(Clone, Default)]
pub(super) struct Proxies {
    rules: Arc<[ProxyRule]>,
    environment: Environment,
}

impl Proxies {
    /// The proxy for calls to this URI, if there is one.
    pub(super) fn of(&self, uri: &Uri) -> Option<Intercept> {
        if self.rules.is_empty() {
            return self.environment.0.intercept(uri);
        }
        let proxy = proxy_for(&self.rules, uri.host()?)?;
        Matcher::builder().all(proxy.as_str()).build().intercept(uri)
    }
}

/// The proxies of the environment.
#[derive(Clone)]
struct Environment(Arc<Matcher>);

impl Default for Environment {
    fn default() -> Self {
        Self(Arc::new(Matcher::from_system()))
    }
}

/// Why a setting cannot be used. It never contains a proxy's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The text has no certificate, or a damaged one.
    #[error("the file of certificate authorities {0}")]
    Authorities(Unreadable),
    /// The text is not a rule.
    #[error("a proxy is written HOST=URL, as in *.example.com=http://proxy.example.net:3128")]
    Form,
    /// The text is not a host name.
    #[error("{0:?} is no host: give a name without a port, [IPv6], *.suffix, or * for all")]
    Host(String),
    /// The text is not a proxy's address.
    #[error("the proxy for {0:?} is no address: give http://host:port or http://user:password@host:port")]
    Address(String),
}

impl Network {
    /// `authorities` is PEM text. The first of `proxies` that matches a host applies.
    ///
    /// # Errors
    /// The PEM text contains no certificate, or one that cannot be read.
    pub fn new(authorities: Option<&str>, proxies: Vec<ProxyRule>) -> Result<Self, NetworkError> {
        let authorities = authorities.map(Authorities::from_pem).transpose().map_err(NetworkError::Authorities)?;
        let proxies = Proxies { rules: proxies.into(), ..Proxies::default() };
        Ok(Self { authorities: Arc::new(authorities.unwrap_or_default()), proxies, ..Self::default() })
    }

    /// Sets whether the system's authorities are trusted beside a Secret's `cacert`, which otherwise replaces them.
    #[must_use]
    pub fn keeping_system(mut self, keeps: bool) -> Self {
        self.keeps_system = keeps;
        self
    }

    /// Sets which addresses are called.
    #[must_use]
    pub fn guarded_by(mut self, rules: Rules) -> Self {
        self.set_guard(Guard::new(rules, true));
        self
    }

    /// Makes the guard of addresses refuse nothing. [`Network::objection`] still says what it would refuse.
    #[must_use]
    pub fn only_warning(mut self) -> Self {
        self.set_guard(Guard::new(self.guard.rules().clone(), false));
        self
    }

    /// Also calls 127.0.0.0/8, where the clouds of tests and of the demo are.
    #[must_use]
    pub fn allowing_loopback(self) -> Self {
        self.guarded_by(Rules { allowed: vec![Cidr::LOOPBACK], ..Rules::default() })
    }

    /// Sets the longest wait for a connection, so that tests need not wait for ten seconds.
    #[doc(hidden)]
    #[must_use]
    pub fn with_connect_timeout(mut self, most: Duration) -> Self {
        self.connect_timeout = Some(most);
        // Clients keep the time-out that they were built with.
        self.clients = Arc::default();
        self
    }

    /// Looks host names up by this function instead of the system's, so that tests need no name server. Call it after
    /// the rules are set.
    #[doc(hidden)]
    #[must_use]
    pub fn resolving_by(mut self, look_up: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        let look_up: LookUp = Arc::new(move |name| Box::pin(std::future::ready(look_up(&name))));
        self.set_guard(Guard::new(self.guard.rules().clone(), true).resolving_by(look_up));
        self
    }

    #[cfg(test)]
    pub(super) fn with_guard(mut self, guard: Guard) -> Self {
        self.set_guard(guard);
        self
    }

    fn set_guard(&mut self, guard: Guard) {
        self.guard = Arc::new(guard);
        // Clients keep the guard that they were built with.
        self.clients = Arc::default();
    }

    /// Why the operator would not call this URL. Looks its host up.
    pub async fn objection(&self, url: &Url) -> Option<Refusal> {
        self.guard.objection(url, self.leads_by_proxy(url)).await
    }

    /// The route to this URL's host.
    ///
    /// # Errors
    /// The guard of addresses refuses the URL.
    pub(super) async fn route(&self, url: &Url) -> Result<Route, Error> {
        self.guard.route(url, self.leads_by_proxy(url)).await
    }

    /// Sets the number of requests a second to one host. Further ones wait.
    #[must_use]
    pub fn with_requests_per_second(mut self, most: u32) -> Self {
        self.pace = Arc::new(Pace::new(most));
        self
    }

    /// Sets the number of queries under way for one host of a cloud. Further ones wait. One namespace gets at most half.
    #[must_use]
    pub fn with_queries_in_flight(mut self, most: u32) -> Self {
        self.queries_in_flight = Some(most);
        self
    }

    /// The number of queries under way for one host of a cloud.
    #[must_use]
    pub fn queries_in_flight(&self) -> u32 {
        self.queries_in_flight.unwrap_or(QUERIES_IN_FLIGHT)
    }

    /// Whether the server's certificate was trusted only by the system's authorities although there is a `cacert`.
    #[must_use]
    pub fn relies_on_system(&self, url: &Url) -> bool {
        url.host_str().is_some_and(|host| self.reliance.includes(host.trim_matches(['[', ']'])))
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub(super) fn brakes(&self) -> &Arc<Brakes> {
        &self.brakes
    }

    pub(super) fn provers(&self) -> &Provers {
        &self.provers
    }

    /// Removes shared state that no session needs any more.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.credentials.sweep(now);
        self.brakes.sweep(now);
        self.provers.sweep();
        self.clients.sweep(now);
        self.circuits.sweep(now);
        self.pace.sweep(now);
    }

    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    pub(super) fn circuits(&self) -> &Circuits {
        &self.circuits
    }

    pub(super) fn clients(&self) -> &AllClients {
        &self.clients
    }

    /// The TLS setting of this entry's sessions.
    pub(super) fn setting(&self, config: &CloudConfig) -> Setting {
        Setting::of(config, self.keeps_system)
    }

    pub(super) fn room(&self) -> &Room {
        &self.room
    }

    /// The trust for a cloud, with the `cacert` of its Secret if it has one.
    pub(super) fn trust(&self, cacert: Option<Authorities>) -> Trust {
        let system = match (&cacert, self.keeps_system) {
            (None, _) => System::Trusted,
            (Some(_), false) => System::Replaced,
            (Some(_), true) => System::Kept(self.reliance.clone()),
        };
        let given = cacert.map(Arc::new).into_iter().chain([self.authorities.clone()]);
        Trust::new(given.collect(), Some(system))
    }

    /// Whether calls to this URL go through a proxy.
    #[must_use]
    pub fn leads_by_proxy(&self, url: &Url) -> bool {
        url.as_str().parse().is_ok_and(|uri| self.proxies.of(&uri).is_some())
    }

    /// The connections for calls on this route.
    pub(super) fn connector(&self, tls: ClientConfig, route: Route) -> Connector {
        let proxies = match route {
            Route::Direct(_) | Route::Within(_) => None,
            Route::Proxy => Some(self.proxies.clone()),
        };
        let connect_timeout = self.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        Connector::new(Resolver::new(self.guard.clone(), route), tls, proxies, connect_timeout)
    }
}

fn proxy_for<'a>(rules: &'a [ProxyRule], host: &str) -> Option<&'a Url> {
    rules.iter().find(|rule| rule.hosts.include(host)).map(|rule| &rule.proxy)
}

impl FromStr for ProxyRule {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (host, address) = text.trim().split_once('=').ok_or(NetworkError::Form)?;
        let hosts = host.parse().map_err(NetworkError::Host)?;
        // What `Proxies::of` could not read would be no proxy.
        let is_usable = |url: &Url| url.scheme() == "http" && url.has_host() && url.as_str().parse::<Uri>().is_ok();
        let proxy = Url::parse(address.trim()).ok().filter(is_usable);
        let unusable = || NetworkError::Address(host.trim().to_ascii_lowercase());
        Ok(Self { hosts, proxy: proxy.ok_or_else(unusable)? })
    }
}

impl fmt::Debug for ProxyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyRule").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("authorities", &self.authorities)
            .field("proxies", &self.proxies.rules)
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matching_proxy_rule_applies() {
        let rules: Vec<ProxyRule> = [
            "keystone.one.example=http://a:1",
            "*.one.example=http://u:secret@b:2",
            "[2001:db8::1]=http://d:4",
            "*=http://c:3",
        ]
        .iter()
        .map(|rule| rule.parse().unwrap())
        .collect();
        for (host, proxy) in [
            ("keystone.one.example", "http://a:1/"),
            ("heat.one.example", "http://u:secret@b:2/"),
            ("one.example", "http://c:3/"),
            ("[2001:db8::1]", "http://d:4/"),
            ("notone.example", "http://c:3/"),
        ] {
            assert_eq!(proxy_for(&rules, host).map(Url::as_str), Some(proxy), "{host}");
        }
        assert_eq!(proxy_for(&rules[..1], "heat.one.example"), None, "directly");
        assert!(!format!("{rules:?}").contains("secret"));
    }

    #[test]
    fn wrong_rules_are_refused_and_not_repeated() {
        for (rule, error) in [
            ("http://proxy:3128", NetworkError::Form),
            ("*suffix=http://proxy", NetworkError::Host("*suffix".to_owned())),
            ("*.=http://proxy", NetworkError::Host("*.".to_owned())),
            ("keystone.example:5000=http://proxy", NetworkError::Host("keystone.example:5000".to_owned())),
            ("::1=http://proxy", NetworkError::Host("::1".to_owned())),
            ("[host]=http://proxy", NetworkError::Host("[host]".to_owned())),
            ("a b=http://proxy", NetworkError::Host("a b".to_owned())),
            ("host=proxy:3128", NetworkError::Address("host".to_owned())),
            ("host=ftp://u:secret@proxy", NetworkError::Address("host".to_owned())),
            ("host=", NetworkError::Address("host".to_owned())),
        ] {
            let refused = rule.parse::<ProxyRule>().unwrap_err();
            assert_eq!(refused, error, "{rule}");
            assert!(!refused.to_string().contains("secret"), "{refused}");
        }
    }

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let refused = Network::new(Some("none"), Vec::new()).unwrap_err();
        assert_eq!(refused, NetworkError::Authorities(Unreadable::Empty));
    }
}
