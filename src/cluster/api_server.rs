//! The connection to the Kubernetes API, with the timeouts that detect a dead one.

mod kubeconfig;
mod lists;
mod pace;
mod proxy;

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _};
use http::Uri;
use hyper::rt::{Read, Write};
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::{
    client::legacy::connect::{Connection, HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    Api, Client, Config, Resource,
    client::{Body, ClientBuilder, ConfigExt as _},
    runtime::watcher,
};
pub use kubeconfig::{ConfigError, from_kubeconfig};
pub use lists::{AfterError, LISTING, Lists, follow, is_refusal, is_refused};
use proxy::Proxy;
pub use proxy::ProxyError;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::de::DeserializeOwned;
use tower::{BoxError, Service, ServiceBuilder};

use crate::trust::{Authorities, Trust};

/// Longest silence on a connection while a response is due. client-go also detects a dead connection after 45 seconds.
const SILENCE: Duration = Duration::from_secs(45);
const _: () = assert!((lists::WATCH as u64) < SILENCE.as_secs());

/// Returns the configuration of the environment: a kubeconfig, or the Pod's service account. The environment's proxies
/// are for clouds. The API server is reached through a proxy only if the kubeconfig has a `proxy-url`.
///
/// # Errors
/// The environment has no usable configuration, or the kubeconfig has a field that the operator does not support.
pub async fn config() -> Result<Config, ConfigError> {
    kubeconfig::infer().await.map(settled)
}

/// Returns the hosts and ports of the API server: the configuration's, and those in the environment of every Pod.
#[must_use]
pub fn addresses(config: Option<&Config>) -> Vec<(String, u16)> {
    let configured = config.and_then(|config| {
        let url = &config.cluster_url;
        let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("http") { 80 } else { 443 });
        Some((url.host()?.to_owned(), port))
    });
    let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    let in_cluster = variable("KUBERNETES_SERVICE_HOST").map(|host| {
        let port = variable("KUBERNETES_SERVICE_PORT").and_then(|port| port.parse().ok()).unwrap_or(443);
        (host, port)
    });
    // In a Pod they are the same.
    let other = in_cluster.filter(|server| configured.as_ref() != Some(server));
    configured.into_iter().chain(other).collect()
}

/// Sets the operator's timeouts and disables kube's retries.
#[must_use]
pub fn settled(mut config: Config) -> Config {
    // The operator itself repeats a call that hangs or is refused, within seconds instead of minutes.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(10));
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    config
}

/// Creates a client of the API server, with pauses between watches that end at once.
///
/// # Errors
/// The configuration cannot be used.
pub fn client(config: Config) -> Result<Client, kube::Error> {
    Ok(pace::paced(&unpaced(config)?))
}

/// This is kube's own client in most cases. The operator builds its own if the kubeconfig has a proxy, or if the
/// authority is the server's own certificate: webpki rejects that, while OpenSSL and client-go accept it.
fn unpaced(config: Config) -> Result<Client, kube::Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    match &config.proxy_url {
        None if own_authorities(&config).is_none() => Client::try_from(config),
        None => built(config, tcp),
        Some(url) => match Proxy::new(url).map_err(|error| kube::Error::Service(error.into()))? {
            Proxy::Http(tunnel) => built(config, tunnel.over(tcp)),
            Proxy::Https(tunnel) => {
                // As in client-go, the cluster's authority applies to the proxy too.
                let https = HttpsConnectorBuilder::new().with_tls_config(client_tls(&config)?).https_only();
                built(config, tunnel.over(https.enable_http1().wrap_connector(tcp)))
            }
            Proxy::Socks(socks) => built(config, socks.over(tcp)),
        },
    }
}

/// Returns the authorities of a kubeconfig if one of them may be a server's own certificate. In a Pod the authority is
/// in a file that changes, and kube's client reads that again itself.
fn own_authorities(config: &Config) -> Option<Authorities> {
    if config.accept_invalid_certs || config.root_cert_file.is_some() {
        return None;
    }
    let certificates = config.root_cert.as_ref()?.iter().map(|der| CertificateDer::from(der.clone()));
    Some(Authorities::from_der(certificates.collect())).filter(Authorities::name_servers)
}

/// Returns the TLS configuration, with the operator's verifier if the authority may be the server's own certificate.
fn client_tls(config: &Config) -> Result<rustls::ClientConfig, kube::Error> {
    let mut tls = config.rustls_client_config()?;
    if let Some(authorities) = own_authorities(config) {
        tls.dangerous().set_certificate_verifier(Arc::new(Trust::new(vec![Arc::new(authorities)], None)));
    }
    Ok(tls)
}

/// Builds a client over these connections as kube does (`ClientBuilder::try_from`, kube 5.0). It leaves out the
/// retries, which [`settled`] disables.
fn built<C>(config: Config, tcp: C) -> Result<Client, kube::Error>
where
    C: Service<Uri, Error: Into<BoxError>, Future: Send + 'static> + Clone + Send + Sync + 'static,
    C::Response: Connection + Read + Write + Send + Unpin + 'static,
{
    let tls = client_tls(&config)?;
    let mut https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    if let Some(name) = &config.tls_server_name {
        // kube reports what is wrong with the name.
        let Ok(name) = ServerName::try_from(name.clone()) else { return Client::try_from(config) };
        https = https.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let mut connector = TimeoutConnector::new(https.enable_http1().wrap_connector(tcp));
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build::<_, Body>(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}

/// Returns the same client, to which the API server sends only the metadata of objects: contents of Secrets that no
/// CloudTenant names must not come into this process.
#[must_use]
pub fn metadata_only(client: &Client) -> Client {
    const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,\
                            application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let inner = client.clone();
    let service = tower::service_fn(move |mut request: http::Request<Body>| {
        let client = inner.clone();
        request.headers_mut().insert(http::header::ACCEPT, http::HeaderValue::from_static(METADATA));
        async move { client.send(request).await }
    });
    Client::new(service, client.default_namespace())
}

/// Returns the events of a watch. An event that is invalid JSON or malformed ends neither the watch nor its first list.
/// The operator does not log its text, because the object may be a Secret.
fn events<K>(api: Api<K>, how: watcher::Config) -> impl Stream<Item = Result<watcher::Event<K>, watcher::Error>>
where
    K: Resource<DynamicType: Default> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher(api, how).filter(|event| {
        let odd = match event {
            Err(watcher::Error::WatchFailed(kube::Error::SerdeError(_))) => true,
            // kube turns an unreadable event that is JSON into a Status in which nothing is set.
            Err(watcher::Error::WatchFailed(kube::Error::Api(status))) => status.code == 0,
            _ => false,
        };
        if odd {
            tracing::warn!(
                "an event of a watch on {} cannot be read and is skipped",
                K::plural(&K::DynamicType::default())
            );
        }
        std::future::ready(!odd)
    })
}

/// Names the scope of a watch for the log: one namespace, or all.
#[must_use]
pub fn scope_name(namespace: Option<&str>) -> String {
    namespace.map_or_else(|| "all namespaces".to_owned(), |name| format!("namespace {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_servers_host_and_port_are_those_of_its_url() {
        for (url, host, port) in [
            ("https://10.96.0.1", "10.96.0.1", 443),
            ("https://api.example.com:6443/clusters/c", "api.example.com", 6443),
            ("http://127.0.0.1", "127.0.0.1", 80),
            ("https://[fd00:10:96::1]:443", "[fd00:10:96::1]", 443),
        ] {
            let found = addresses(Some(&Config::new(url.parse().unwrap())));
            assert_eq!(found[0], (host.to_owned(), port), "{url}");
        }
    }
}
