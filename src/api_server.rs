//! The way to the Kubernetes API, and how soon one that is dead is noticed.

use std::time::Duration;

use kube::{Config, config::InferConfigError, runtime::watcher};

/// How long a connection may be silent that something is awaited on; client-go takes as long to notice a dead one.
const SILENCE: Duration = Duration::from_secs(45);
/// How long a watch lasts, in seconds, until it goes on anew: one on which nothing happens is silent for no longer.
const WATCH: u32 = 30;
const _: () = assert!((WATCH as u64) < SILENCE.as_secs());

/// What the environment says: a kubeconfig, or the Pod that we run in. Never by its proxies, which are for clouds.
///
/// # Errors
/// It says nothing that can be used.
pub async fn config() -> Result<Config, InferConfigError> {
    let mut config = Config::infer().await?;
    config.proxy_url = None;
    // A call that hangs or that the API server refuses for now is ours to try again, and not for minutes.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(10));
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    Ok(config)
}

/// How anything is watched: what is there comes as a stream, too.
#[must_use]
pub fn watch() -> watcher::Config {
    watcher::Config::default().streaming_lists().timeout(WATCH)
}
