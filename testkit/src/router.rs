//! A server that a test makes of a router, in the place of a cloud or of a Kubernetes API server.

use anyhow::Result;
use axum::Router;
use kube::{Client, Config};
use tokio::net::TcpListener;

/// Serves the router over HTTP on a port of its own until the test's runtime ends. Returns its URL.
///
/// # Errors
/// No port is free.
pub async fn serve(router: Router) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

/// A client of the router as a Kubernetes API server. It retries nothing.
///
/// # Errors
/// No port is free.
pub async fn kube_client(router: Router) -> Result<Client> {
    // A second installation fails, and is not needed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = Config::new(serve(router).await?.parse()?);
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}
