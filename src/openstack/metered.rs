//! Bounds for what a server sends besides a body: the bytes on the wire, and the time of an answer's head.
//!
//! An HTTP client gives its caller the head of an answer once it is complete. Interim answers (1xx) without end, a
//! head that arrives byte by byte and the framing of chunks are seen only where the bytes are read:
//! docs/decisions/0047.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// In bytes: what a server may send before the head of its answer has ended. This includes interim answers, and the
/// handshake of a new connection.
const HEAD: u64 = 256 << 10;
/// A head has to end within this time of its first byte, interim answers included.
const HEAD_TIME: Duration = Duration::from_secs(15);

/// The longest head of one answer, in bytes. It is also the longest part of a body that is read ahead, so it has to be
/// well below [`HEAD`].
pub(super) const LONGEST_HEAD: usize = 64 << 10;

/// Why a connection ends although the server did not end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Excess {
    /// The server sent [`HEAD`] bytes, and the head has not ended.
    #[error("too many bytes before the end of a head")]
    Head,
    /// The server sent far more bytes than the body may have.
    #[error("too many bytes around a body")]
    Body,
    /// The head has not ended within [`HEAD_TIME`].
    #[error("a head that does not end")]
    Late,
}

/// What a server has sent on one connection since the latest request.
#[derive(Debug)]
pub(super) struct Meter {
    received: AtomicU64,
    /// The bound for `received`.
    most: AtomicU64,
    /// A request was sent, and the head of its answer has not ended.
    in_head: AtomicBool,
}

impl Default for Meter {
    fn default() -> Self {
        Self { received: AtomicU64::new(0), most: AtomicU64::new(HEAD), in_head: AtomicBool::new(false) }
    }
}

impl Meter {
    /// Records that the head has ended. `most` bytes may follow, with all framing.
    pub(super) fn head_ended(&self, most: u64) {
        self.in_head.store(false, Relaxed);
        self.most.store(self.received.load(Relaxed).saturating_add(most), Relaxed);
    }

    /// Records that a request is sent.
    fn asked(&self) {
        self.received.store(0, Relaxed);
        self.most.store(HEAD, Relaxed);
        self.in_head.store(true, Relaxed);
    }

    fn add(&self, bytes: usize) -> io::Result<()> {
        let received = self.received.fetch_add(bytes as u64, Relaxed) + bytes as u64;
        if received <= self.most.load(Relaxed) {
            return Ok(());
        }
        Err(io::Error::other(if self.in_head.load(Relaxed) { Excess::Head } else { Excess::Body }))
    }
}

/// A connection whose incoming bytes are bounded.
#[derive(Debug)]
pub(super) struct Metered<T> {
    inner: T,
    meter: Arc<Meter>,
    layer: Layer,
}

#[derive(Debug)]
enum Layer {
    /// Below TLS: counts all bytes.
    Wire,
    /// Above TLS: sees when a request is sent and when an answer begins. Below, TLS has messages of its own.
    Http(Heads),
}

/// The time of the heads on one connection.
#[derive(Debug)]
struct Heads {
    /// Nothing was received since the latest request.
    is_quiet: bool,
    deadline: Option<Pin<Box<Sleep>>>,
    /// The connection goes to a proxy that forwards requests.
    is_forwarded: bool,
}

impl<T> Metered<T> {
    /// A connection as the network carries it.
    pub(super) fn wire(inner: T, meter: Arc<Meter>) -> Self {
        Self { inner, meter, layer: Layer::Wire }
    }

    /// The same connection above TLS, if there is TLS.
    pub(super) fn http(inner: T, meter: Arc<Meter>, is_forwarded: bool) -> Self {
        Self { inner, meter, layer: Layer::Http(Heads { is_quiet: false, deadline: None, is_forwarded }) }
    }

    fn before_write(&mut self) {
        if let Layer::Http(heads) = &mut self.layer
            && !heads.is_quiet
        {
            (heads.is_quiet, heads.deadline) = (true, None);
            self.meter.asked();
        }
    }
}

impl Heads {
    /// Checks the time after a read of so many bytes, possibly none.
    fn check(&mut self, bytes: usize, meter: &Meter, context: &mut Context<'_>) -> io::Result<()> {
        self.is_quiet &= bytes == 0;
        if self.is_quiet || !meter.in_head.load(Relaxed) {
            self.deadline = None;
            return Ok(());
        }
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(HEAD_TIME)));
        match deadline.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::Error::other(Excess::Late)),
            Poll::Pending => Ok(()),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Metered<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.inner).poll_read(context, buffer);
        let bytes = buffer.filled().len() - before;
        match &mut this.layer {
            Layer::Wire => this.meter.add(bytes)?,
            Layer::Http(heads) => heads.check(bytes, &this.meter, context)?,
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Metered<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.before_write();
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.before_write();
        Pin::new(&mut self.inner).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<T: Connection> Connection for Metered<T> {
    fn connected(&self) -> Connected {
        match &self.layer {
            Layer::Wire => self.inner.connected(),
            Layer::Http(heads) => self.inner.connected().proxy(heads.is_forwarded).extra(self.meter.clone()),
        }
    }
}

#[cfg(test)]
#[path = "metered_tests.rs"]
mod tests;
