//! Resolves host names. The system's resolver blocks a thread and cannot be cancelled, so the number of lookups is
//! bounded, and the namespaces take turns.

use std::{
    io,
    net::{IpAddr, ToSocketAddrs as _},
    sync::{Arc, LazyLock},
    time::Duration,
};

use tokio::time::{Instant, timeout};

use crate::share::{Priority, Shares, Sharing, namespace};

/// The number of concurrent lookups. The runtime has 512 threads for blocking work, and other work needs some, too.
static LOOKUPS: LazyLock<Shares> = LazyLock::new(|| Shares::new(64, Sharing::LeavesAsMuch));

/// The deadline of a lookup, including the wait for its turn. The system asks a second name server after 5 s.
const DEADLINE: Duration = Duration::from_secs(8);

/// Looks a name up as the system does, with bounds.
pub(super) async fn system(name: String) -> io::Result<Vec<IpAddr>> {
    let lookup = move || Ok((name.as_str(), 0).to_socket_addrs()?.map(|address| address.ip()).collect());
    look_up(&LOOKUPS, namespace(), DEADLINE, lookup).await
}

/// A lookup did not end in time because its namespace has too many under way. It says nothing about the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many lookups of the namespace are under way")]
pub(super) struct Crowded;

/// A lookup that waited longer than this for its place is [`Crowded`] when it misses its deadline.
const SHORT_WAIT: Duration = Duration::from_secs(1);

/// Runs a lookup on another thread. A lookup that misses the deadline keeps its place until its thread is free.
async fn look_up(
    shares: &Shares,
    namespace: Arc<str>,
    deadline: Duration,
    lookup: impl FnOnce() -> io::Result<Vec<IpAddr>> + Send + 'static,
) -> io::Result<Vec<IpAddr>> {
    let began = Instant::now();
    let place = timeout(deadline, shares.one(namespace, Priority::Later)).await;
    let place = place.map_err(|_| io::Error::other(Crowded))?;
    let waited = began.elapsed();
    let looked_up = tokio::task::spawn_blocking(move || {
        let _place = place;
        lookup()
    });
    match timeout(deadline.saturating_sub(waited), looked_up).await {
        Ok(found) => found.map_err(io::Error::other)?,
        Err(_) if waited > SHORT_WAIT => Err(io::Error::other(Crowded)),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn lookups_that_hang_leave_places_for_other_namespaces() {
        let shares = Shares::new(4, Sharing::LeavesAsMuch);
        let (end, ended) = mpsc::channel::<()>();
        let ended = Arc::new(std::sync::Mutex::new(ended));
        let soon = Duration::from_millis(100);
        let hanging = (0..20).map(|_| {
            let ended = ended.clone();
            let lookup = move || {
                let _ = ended.lock().unwrap().recv();
                Ok(Vec::new())
            };
            look_up(&shares, "a".into(), soon, lookup)
        });
        let errors = futures::future::join_all(hanging).await.into_iter().map(|late| late.unwrap_err());
        let (crowded, late): (Vec<_>, Vec<_>) =
            errors.partition(|error| error.get_ref().is_some_and(|inner| inner.is::<Crowded>()));
        assert_eq!((crowded.len(), late.len()), (18, 2), "only those with a place say something about the name");
        assert!(late.iter().all(|error| error.kind() == io::ErrorKind::TimedOut));
        assert_eq!(shares.state(), (2, 0), "their threads still run");
        let found = look_up(&shares, "b".into(), soon, || Ok(vec![[127, 0, 0, 1].into()])).await;
        assert_eq!(found.unwrap().len(), 1);
        drop(end);
        while shares.state().0 < 4 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn names_are_resolved() {
        let found = system("localhost".to_owned()).await.unwrap();
        assert!(found.into_iter().all(|address| address.is_loopback()));
        assert!(system("no-such-host.invalid".to_owned()).await.is_err());
    }
}
