//! The proxy of a kubeconfig's `proxy-url`.

use http::{HeaderValue, Uri};
use hyper_util::client::{
    legacy::connect::proxy::{SocksV5, Tunnel},
    proxy::matcher::Matcher,
};

/// The reasons why a proxy cannot be used. They contain no part of the URL, which may include a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// The value is not a URL with a host.
    #[error("it is no URL: give SCHEME://HOST:PORT, with characters of the password percent-encoded")]
    NoUrl,
    /// The operator does not support the scheme.
    #[error("its scheme is not supported: use http, https or socks5")]
    Scheme,
}

/// A proxy by its scheme.
pub(super) enum Proxy {
    Http(HttpTunnel),
    /// The connection to the proxy uses TLS too.
    Https(HttpTunnel),
    Socks(Socks),
}

/// A proxy that uses CONNECT.
pub(super) struct HttpTunnel {
    proxy: Uri,
    login: Option<HeaderValue>,
}

/// A SOCKS5 proxy. It resolves the API server's name.
pub(super) struct Socks {
    proxy: Uri,
    login: Option<(String, String)>,
}

impl Proxy {
    /// # Errors
    /// The URL does not name a usable proxy.
    pub(super) fn new(url: &Uri) -> Result<Self, ProxyError> {
        let scheme = url.scheme_str().ok_or(ProxyError::NoUrl)?;
        let port = match scheme {
            "http" => 80,
            "https" => 443,
            "socks5" | "socks5h" => 1080,
            _ => return Err(ProxyError::Scheme),
        };
        let host = url.host().filter(|host| !host.is_empty()).ok_or(ProxyError::NoUrl)?;
        // The matcher extracts and decodes the login, for any address.
        let (all, any) = (Matcher::builder().all(url.to_string()).build(), Uri::from_static("https://kubernetes"));
        let found = all.intercept(&any).ok_or(ProxyError::NoUrl)?;
        let at = |scheme: &str| {
            let port = url.port_u16().unwrap_or(port);
            format!("{scheme}://{host}:{port}").parse::<Uri>().map_err(|_| ProxyError::NoUrl)
        };
        Ok(match scheme {
            "http" => Self::Http(HttpTunnel { proxy: at("http")?, login: found.basic_auth().cloned() }),
            "https" => Self::Https(HttpTunnel { proxy: at("https")?, login: found.basic_auth().cloned() }),
            _ => {
                let login = found.raw_auth().map(|(user, password)| (user.to_owned(), password.to_owned()));
                Self::Socks(Socks { proxy: at("socks5")?, login })
            }
        })
    }
}

impl HttpTunnel {
    pub(super) fn over<C>(self, connector: C) -> Tunnel<C> {
        let tunnel = Tunnel::new(self.proxy, connector);
        match self.login {
            Some(login) => tunnel.with_auth(login),
            None => tunnel,
        }
    }
}

impl Socks {
    pub(super) fn over<C>(self, connector: C) -> SocksV5<C> {
        let socks = SocksV5::new(self.proxy, connector);
        match self.login {
            Some((user, password)) => socks.with_auth(user, password),
            None => socks,
        }
    }
}
