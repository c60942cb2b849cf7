//! Network settings for all clouds: additional certificate authorities, and proxies.

use std::{fmt, str::FromStr, sync::Arc, time::Instant};

use reqwest::{ClientBuilder, Proxy};
use url::Url;

use super::{
    CloudConfig,
    brake::Brakes,
    clients::{AllClients, Setting},
    credential::Credentials,
    http::Room,
};
use crate::trust::{Authorities, Reliance, System, Trust, Unreadable};

/// The settings for all clouds, and the state that their sessions share. They do not apply to the Kubernetes API.
#[derive(Clone, Default)]
pub struct Network {
    authorities: Arc<Authorities>,
    keeps_system: bool,
    reliance: Reliance,
    proxies: Arc<[ProxyRule]>,
    credentials: Arc<Credentials>,
    brakes: Arc<Brakes>,
    clients: Arc<AllClients>,
    room: Arc<Room>,
}

/// Hosts, and the proxy for them. `Debug` omits the proxy's address, which may contain a password.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyRule {
    hosts: Hosts,
    proxy: Url,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    All,
    /// The suffix with its leading dot.
    Below(String),
    One(String),
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
        Ok(Self { authorities: Arc::new(authorities.unwrap_or_default()), proxies: proxies.into(), ..Self::default() })
    }

    /// Sets whether the system's authorities are trusted beside a Secret's `cacert`, which otherwise replaces them.
    #[must_use]
    pub fn keeping_system(mut self, keeps: bool) -> Self {
        self.keeps_system = keeps;
        self
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

    /// Removes shared state that no session needs any more.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.credentials.sweep(now);
        self.brakes.sweep(now);
        self.clients.sweep(now);
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

    /// Whether a proxy rule matches the address's host.
    #[must_use]
    pub fn leads_by_proxy(&self, url: &Url) -> bool {
        url.host_str().is_some_and(|host| proxy_for(&self.proxies, host).is_some())
    }

    /// Without explicit rules, the environment's apply (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`).
    pub(super) fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
        if self.proxies.is_empty() {
            return builder;
        }
        let rules = self.proxies.clone();
        builder.no_proxy().proxy(Proxy::custom(move |url| proxy_for(&rules, url.host_str()?).cloned()))
    }
}

fn proxy_for<'a>(rules: &'a [ProxyRule], host: &str) -> Option<&'a Url> {
    let rule = rules.iter().find(|rule| match &rule.hosts {
        Hosts::All => true,
        Hosts::Below(suffix) => host.ends_with(suffix),
        Hosts::One(name) => host == name,
    });
    rule.map(|rule| &rule.proxy)
}

impl FromStr for ProxyRule {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (host, address) = text.trim().split_once('=').ok_or(NetworkError::Form)?;
        let host = host.trim().to_ascii_lowercase();
        let name = |name: &str| {
            let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let fine = |character: char| character.is_ascii_alphanumeric() || "-._".contains(character);
            let named = !name.is_empty() && name.chars().all(fine);
            named || address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
        };
        let hosts = match host.strip_prefix('*') {
            Some("") => Hosts::All,
            Some(suffix) if suffix.starts_with('.') && name(&suffix[1..]) => Hosts::Below(suffix.to_owned()),
            None if name(&host) => Hosts::One(host.clone()),
            _ => return Err(NetworkError::Host(host)),
        };
        let proxy = Url::parse(address.trim()).ok().filter(|url| url.scheme() == "http" && url.has_host());
        Ok(Self { hosts, proxy: proxy.ok_or(NetworkError::Address(host))? })
    }
}

impl fmt::Debug for ProxyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyRule").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("authorities", &self.authorities).field("proxies", &self.proxies).finish()
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
