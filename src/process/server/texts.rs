//! The texts of `/metrics`. A text has about 7 KB for each CloudTenant, so it is kept compressed, to about a twentieth.

use std::{
    convert::Infallible,
    fmt,
    io::{BufWriter, Read as _, Write as _},
    sync::{Arc, Weak},
};

use axum::body::Bytes;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use tokio::{sync::Mutex, task::spawn_blocking, time::Instant};

use crate::metrics::{Format, Metrics};

/// The maximum number of texts of one format that are being sent. A slow reader may keep one for a minute.
const MOST: usize = 2;

/// Bytes that are compressed at a time, or decompressed for a client that does not accept gzip.
const PIECE: usize = 64 << 10;

/// Encodes one text at a time and shares it between clients.
#[derive(Debug)]
pub(super) struct Texts {
    metrics: Arc<Metrics>,
    openmetrics: Arc<Mutex<Vec<Sent>>>,
    plain: Arc<Mutex<Vec<Sent>>>,
}

/// A text that some clients may still receive.
#[derive(Debug)]
struct Sent {
    /// When its encoding began.
    began: Instant,
    text: Weak<[u8]>,
}

/// A share of a text. The text ends with its last share.
struct Share(Arc<[u8]>);

impl AsRef<[u8]> for Share {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Texts {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, openmetrics: Arc::default(), plain: Arc::default() }
    }

    /// Returns a gzip-compressed text that is not older than the call. If other clients are still receiving as many
    /// texts as may exist, it is the newest of these. `None` if the encoding failed.
    pub(super) async fn get(&self, format: Format) -> Option<Bytes> {
        let arrived = Instant::now();
        let texts = match format {
            Format::OpenMetrics => &self.openmetrics,
            Format::Plain => &self.plain,
        };
        let mut sent = texts.clone().lock_owned().await;
        sent.retain(|one| one.text.strong_count() > 0);
        let newest = sent.last().and_then(|newest| Some((newest.began, newest.text.upgrade()?)));
        let is_full = sent.len() >= MOST;
        if let Some((_, text)) = newest.filter(|(began, _)| is_full || *began >= arrived) {
            return Some(Bytes::from_owner(Share(text)));
        }
        let metrics = self.metrics.clone();
        let began = Instant::now();
        // A long text must not delay `/healthz`. A client that leaves does not end the encoding, so the lock is kept until
        // then: otherwise each such client would begin another one.
        let encode = move || {
            let text: Arc<[u8]> = deflated(&metrics, format)?.into();
            sent.push(Sent { began, text: Arc::downgrade(&text) });
            Some(text)
        };
        let text = spawn_blocking(encode).await.ok()??;
        Some(Bytes::from_owner(Share(text)))
    }
}

/// Compresses the text while it is encoded, so that it is never in memory as a whole. `None` cannot happen: writing to
/// memory does not fail.
fn deflated(metrics: &Metrics, format: Format) -> Option<Vec<u8>> {
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut text = Deflated(BufWriter::with_capacity(PIECE, encoder));
    metrics.write(format, &mut text).ok()?;
    text.0.into_inner().ok()?.finish().ok()
}

/// Text that is compressed in pieces.
struct Deflated(BufWriter<GzEncoder<Vec<u8>>>);

impl fmt::Write for Deflated {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write_all(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// The text in pieces, each decompressed when the client has read most of the last one.
pub(super) fn inflated(text: Bytes) -> impl Iterator<Item = Result<Bytes, Infallible>> {
    let mut decoder = GzDecoder::new(std::io::Cursor::new(text));
    std::iter::from_fn(move || {
        let mut piece = Vec::with_capacity(PIECE);
        decoder.by_ref().take(PIECE as u64).read_to_end(&mut piece).ok()?;
        (!piece.is_empty()).then(|| Ok(piece.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clients_share_the_texts_that_exist() {
        let metrics = Arc::new(Metrics::default());
        let texts = Texts::new(metrics.clone());
        let get = async || texts.get(Format::Plain).await.unwrap();
        let read = |text: &Bytes| {
            let pieces: Vec<_> = inflated(text.clone()).map(|piece| piece.unwrap()).collect();
            String::from_utf8(pieces.concat()).unwrap()
        };
        let leading =
            |text: &Bytes| read(text).lines().find(|line| line.starts_with("cloudtenant_leader ")).unwrap().to_owned();
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
        assert!(read(&other).ends_with("# EOF\n") && !read(&second).ends_with("# EOF\n"));
    }

    #[tokio::test]
    async fn a_client_that_leaves_does_not_start_another_encoding() {
        let texts = Texts::new(Arc::new(Metrics::default()));
        for _ in 0..20 {
            let get = texts.get(Format::Plain);
            tokio::pin!(get);
            assert!(futures::poll!(get.as_mut()).is_pending() || texts.plain.try_lock().is_ok());
        }
        // The lock is free only when the encoding has ended.
        let _ended = texts.plain.lock().await;
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
