//! The texts of `/metrics`. A text has about 5.5 KB for each CloudTenant, so that few may exist at the same time.

use std::sync::{Arc, Weak};

use axum::body::Bytes;
use tokio::{sync::Mutex, task::spawn_blocking, time::Instant};

use crate::metrics::Metrics;

/// The maximum number of texts of one format that are being sent. A slow reader may keep one for a minute.
const MOST: usize = 2;

/// A text format of Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    OpenMetrics,
    Plain,
}

/// Encodes one text at a time and shares it between clients.
#[derive(Debug)]
pub(super) struct Texts {
    metrics: Arc<Metrics>,
    openmetrics: Mutex<Vec<Sent>>,
    plain: Mutex<Vec<Sent>>,
}

/// A text that some clients may still receive.
#[derive(Debug)]
struct Sent {
    /// When its encoding began.
    began: Instant,
    text: Weak<str>,
}

/// A share of a text. The text ends with its last share.
struct Share(Arc<str>);

impl AsRef<[u8]> for Share {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Texts {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, openmetrics: Mutex::default(), plain: Mutex::default() }
    }

    /// Returns a text that is not older than the call. If other clients are still receiving as many texts as may exist,
    /// it is the newest of these. `None` if the encoding failed.
    pub(super) async fn get(&self, format: Format) -> Option<Bytes> {
        let arrived = Instant::now();
        let mut sent = match format {
            Format::OpenMetrics => self.openmetrics.lock().await,
            Format::Plain => self.plain.lock().await,
        };
        sent.retain(|one| one.text.strong_count() > 0);
        let newest = sent.last().and_then(|newest| Some((newest.began, newest.text.upgrade()?)));
        let is_full = sent.len() >= MOST;
        if let Some((_, text)) = newest.filter(|(began, _)| is_full || *began >= arrived) {
            return Some(Bytes::from_owner(Share(text)));
        }
        let metrics = self.metrics.clone();
        let began = Instant::now();
        let encode = move || match format {
            Format::OpenMetrics => metrics.encode(),
            Format::Plain => metrics.encode_plain(),
        };
        // A long text must not delay `/healthz`.
        let text: Arc<str> = spawn_blocking(encode).await.ok()?.into();
        sent.push(Sent { began, text: Arc::downgrade(&text) });
        Some(Bytes::from_owner(Share(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clients_share_the_texts_that_exist() {
        let metrics = Arc::new(Metrics::default());
        let texts = Texts::new(metrics.clone());
        let get = async || texts.get(Format::Plain).await.unwrap();
        let leading = |text: &Bytes| {
            let text = std::str::from_utf8(text).unwrap();
            text.lines().find(|line| line.starts_with("cloudtenant_leader ")).unwrap().to_owned()
        };
        let first = get().await;
        let second = get().await;
        assert_ne!(first.as_ptr(), second.as_ptr(), "a text that is older than the call");
        let third = get().await;
        assert_eq!(second.as_ptr(), third.as_ptr(), "a third text");
        // As soon as one has been sent, there is room for a new one.
        drop(first);
        assert_ne!(get().await.as_ptr(), second.as_ptr());
        assert_eq!(leading(&second), leading(&third));
        let other = texts.get(Format::OpenMetrics).await.unwrap();
        assert!(other.ends_with(b"# EOF\n") && !second.ends_with(b"# EOF\n"));
    }

    #[tokio::test]
    async fn clients_that_wait_get_one_text() {
        let texts = Arc::new(Texts::new(Arc::new(Metrics::default())));
        let held = texts.plain.lock().await;
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                let texts = texts.clone();
                tokio::spawn(async move { texts.get(Format::Plain).await.unwrap() })
            })
            .collect();
        tokio::task::yield_now().await;
        drop(held);
        let mut found = Vec::new();
        for one in waiting {
            found.push(one.await.unwrap());
        }
        assert!(found.iter().all(|text| text.as_ptr() == found[0].as_ptr()));
    }
}
