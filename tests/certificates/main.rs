//! Servers with certificates of every kind, and what a session and a Kubernetes client make of them.

// clippy.toml lets tests unwrap, but not the helpers of an integration test.
#![allow(clippy::unwrap_used)]

mod issued;
mod kubeconfig;
mod openssl;
mod shared;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use cloudtenant_operator::{
    api::Reason,
    metrics::Metrics,
    openstack::{CloudConfig, Error, Network, Service, Session},
    probe::failure,
};

const LONG: Duration = Duration::from_secs(20);

fn with_provider() {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// What comes of a call to this server, whose Secret has this `cacert`.
async fn greet(server: SocketAddr, host: &str, cacert: Option<&str>, network: &Network) -> Result<(), Error> {
    greet_with(server, host, cacert, true, network).await
}

/// [`greet`] with this `verify` in the entry.
async fn greet_with(
    server: SocketAddr,
    host: &str,
    cacert: Option<&str>,
    verify: bool,
    network: &Network,
) -> Result<(), Error> {
    with_provider();
    let auth = format!("auth_url: 'https://{host}:{}', token: t", server.port());
    let yaml = format!("clouds: {{c: {{verify: {verify}, auth: {{{auth}}}}}}}");
    let config = CloudConfig::parse(&yaml, "c", cacert, None).unwrap();
    let session = Session::new(Arc::new(config), network, Arc::new(Metrics::new())).unwrap();
    session.greet(LONG).await.map_err(|failure| failure.error)
}

/// The sentence that stands in the condition, which is Stalled if the certificate is why.
fn sentence(error: Error) -> String {
    let is_certificate = matches!(error, Error::CertificateUntrusted(_));
    let told = failure::of_call(&error.at(Service::Identity)).unwrap();
    let reason = if is_certificate { Reason::CertificateUntrusted } else { Reason::ConnectionFailed };
    assert_eq!((told.reason, told.transient), (reason, !is_certificate), "{}", told.message);
    told.message
}
