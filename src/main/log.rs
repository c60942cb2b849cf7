//! Sets up the log, and excludes secrets from it.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing::Metadata;
use tracing_subscriber::{EnvFilter, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::arguments::LogFormat;

/// The log target for bodies of the API server's answers, which may contain Secrets.
const BODIES: &str = "kube_client::client";

/// Starts to log to standard error.
///
/// # Errors
/// The filter cannot be parsed.
pub fn begin(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    // The TLS library logs an untrusted certificate of a cloud as an error. The status already reports it.
    let settings = format!("rustls_platform_verifier=off,{filter}");
    let settings = EnvFilter::try_new(&settings).with_context(|| format!("--log {filter}"))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(settings)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // A directive in the filter above would not suffice: a more specific one of the user's would take precedence.
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
