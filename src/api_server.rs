//! The way to the Kubernetes API, and how soon one that is dead is noticed.

mod lists;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::{Api, Client, Config, Resource, config::InferConfigError, runtime::watcher};
use rustls::pki_types::{CertificateDer, ServerName};
use serde::de::DeserializeOwned;
use tower::ServiceBuilder;

pub use lists::{AfterError, LISTING, Lists, follow};

use crate::trust::{Authorities, Trust};

/// How long a connection may be silent that something is awaited on; client-go takes as long to notice a dead one.
const SILENCE: Duration = Duration::from_secs(45);
const _: () = assert!((lists::WATCH as u64) < SILENCE.as_secs());

/// What the environment says: a kubeconfig, or the Pod that we run in. Never by its proxies, which are for clouds.
///
/// # Errors
/// It says nothing that can be used.
pub async fn config() -> Result<Config, InferConfigError> {
    Config::infer().await.map(settled)
}

/// The configuration with our own time-outs, and without retries and proxies.
#[must_use]
pub fn settled(mut config: Config) -> Config {
    config.proxy_url = None;
    // A call that hangs or that the API server refuses for now is ours to try again, and not for minutes.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(10));
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    config
}

/// A client of the API server.
///
/// It is kube's own, unless the kubeconfig's authority is the server's own certificate: webpki, which kube asks,
/// would refuse that, and OpenSSL and client-go take it.
///
/// # Errors
/// The configuration cannot be used.
pub fn client(config: Config) -> Result<Client, kube::Error> {
    match own_authorities(&config) {
        Some(authorities) => trusting(config, authorities),
        None => Client::try_from(config),
    }
}

/// The certificates that a kubeconfig names as authority, if one of them may be a server's own. In a Pod the
/// authority is in a file that changes, and kube's client reads it again.
fn own_authorities(config: &Config) -> Option<Authorities> {
    if config.accept_invalid_certs || config.root_cert_file.is_some() {
        return None;
    }
    let certificates = config.root_cert.as_ref()?.iter().map(|der| CertificateDer::from(der.clone()));
    Some(Authorities::from_der(certificates.collect())).filter(Authorities::name_servers)
}

/// Builds a client as kube does (`ClientBuilder::try_from`, kube 5.0), with our verifier of certificates. Retries and
/// proxies are left out: [`settled`] switches them off.
fn trusting(config: Config, authorities: Authorities) -> Result<Client, kube::Error> {
    let mut tls = config.rustls_client_config()?;
    tls.dangerous().set_certificate_verifier(Arc::new(Trust::new(vec![Arc::new(authorities)], None)));
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let mut https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    if let Some(name) = &config.tls_server_name {
        // kube says what is wrong with it.
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
        .map_err(tower::BoxError::from)
        .service(http);
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}

/// What a watch brings. An event that is no JSON or not of the form of one ends neither the watch nor its first list.
/// The log does not have its text: the object may be a Secret.
fn events<K>(api: Api<K>, how: watcher::Config) -> impl Stream<Item = Result<watcher::Event<K>, watcher::Error>>
where
    K: Resource<DynamicType: Default> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher(api, how).filter(|event| {
        let odd = match event {
            Err(watcher::Error::WatchFailed(kube::Error::SerdeError(_))) => true,
            // What kube makes of an event that it cannot read and that is JSON: a Status in which nothing is set.
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
