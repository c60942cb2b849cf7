//! Parses long texts of clouds and Secrets on separate threads. The runtime's threads stay free for health checks and
//! the Lease.

use std::sync::LazyLock;

use tokio::time::{Instant, timeout_at};

use super::Error;
use crate::share::{Priority, Shares, Sharing, namespace};

/// In bytes. Parsing a text of this length takes less than a millisecond, so it needs no separate thread.
const SHORT: usize = 64 << 10;
/// The number of texts that are parsed concurrently. More threads would take CPU from the runtime. The namespaces take
/// turns.
static THREADS: LazyLock<Shares> = LazyLock::new(|| Shares::new(2, Sharing::Everything));

/// Runs `work` on a text of `length` bytes, and waits for the result until the deadline.
///
/// A thread cannot be stopped, so it continues after the deadline. The length of the text bounds its time, because
/// every parser is linear (`tests/growth`).
///
/// # Errors
/// [`Error::Timeout`], and [`Error::Unexpected`] if `work` panics on the other thread.
pub(crate) async fn aside<T: Send + 'static>(
    length: usize,
    deadline: Instant,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    if length <= SHORT { Ok(work()) } else { on_another_thread(deadline, work).await }
}

/// [`aside`] for work that always takes long, independent of any length.
///
/// # Errors
/// The errors of [`aside`].
pub(crate) async fn on_another_thread<T: Send + 'static>(
    deadline: Instant,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let span = tracing::Span::current();
    let reading = async {
        let turn = THREADS.one(namespace(), Priority::Later).await;
        let work = move || {
            let _turn = turn;
            span.in_scope(work)
        };
        tokio::task::spawn_blocking(work).await
    };
    match timeout_at(deadline, reading).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) => Err(Error::Unexpected("the operator could not finish reading the answer")),
        Err(_) => Err(Error::Timeout),
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn only_long_texts_are_read_on_another_thread() {
        for (length, moved) in [(0, false), (SHORT, false), (SHORT + 1, true)] {
            let here = thread::current().id();
            let there = aside(length, soon(), || thread::current().id()).await.unwrap();
            assert_eq!(there != here, moved, "{length}");
        }
    }

    #[tokio::test]
    async fn parsing_ends_at_the_deadline_and_later_calls_succeed() {
        let (end, ended) = mpsc::channel::<()>();
        let soon = Instant::now() + Duration::from_millis(50);
        let late = aside(SHORT + 1, soon, move || ended.recv()).await;
        assert_eq!(late.unwrap_err(), Error::Timeout);
        end.send(()).unwrap();
        assert_eq!(aside(SHORT + 1, Instant::now() + Duration::from_secs(60), || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_panic_fails_only_its_own_call() {
        for _ in 0..3 {
            let failed = aside(SHORT + 1, soon(), || panic!("a defect")).await;
            assert!(matches!(failed, Err(Error::Unexpected(_))), "{failed:?}");
        }
    }
}
