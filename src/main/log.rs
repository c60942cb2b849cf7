//! What is logged, and what never is.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing::Metadata;
use tracing_subscriber::{EnvFilter, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::arguments::LogFormat;

/// Where kube logs bodies of the API server's answers. They may be Secrets.
const BODIES: &str = "kube_client::client";

/// Logs to standard error from now on.
///
/// # Errors
/// The filter cannot be read.
pub fn begin(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    // The TLS library logs as an error what the status tells: an untrusted certificate of a cloud.
    let settings = format!("rustls_platform_verifier=off,{filter}");
    let settings = EnvFilter::try_new(&settings).with_context(|| format!("--log {filter}"))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(settings)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // Not a directive of the filter above: a more precise one of the user's would win.
    let bodies = filter_fn(|event| !has_bodies(event));
    match format {
        LogFormat::Text => log.finish().with(bodies).init(),
        LogFormat::Json => log.json().flatten_event(true).finish().with(bodies).init(),
    }
    Ok(())
}

fn has_bodies(event: &Metadata<'_>) -> bool {
    event.is_event() && event.target() == BODIES
}
