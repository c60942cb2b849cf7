//! Resolves host names. The system's resolver blocks a thread and cannot be cancelled, so the number of lookups is
//! bounded, and the namespaces take turns.

use std::{
    io,
    net::{IpAddr, ToSocketAddrs as _},
    sync::{Arc, LazyLock},
    time::Duration,
};

use tokio::time::timeout;

use crate::share::{Priority, Rule, Shares, namespace};

/// The number of concurrent lookups. The runtime has 512 threads for blocking work, and other work needs some, too.
static LOOKUPS: LazyLock<Shares> = LazyLock::new(|| Shares::new(64, Rule::LeavesAsMuch));

/// The deadline of a lookup, including the wait for its turn. The system asks a second name server after 5 s.
const DEADLINE: Duration = Duration::from_secs(8);

/// Looks a name up as the system does, with bounds.
pub(super) async fn system(name: String) -> io::Result<Vec<IpAddr>> {
    let lookup = move || Ok((name.as_str(), 0).to_socket_addrs()?.map(|address| address.ip()).collect());
    look_up(&LOOKUPS, namespace(), DEADLINE, lookup).await
}

/// Runs a lookup on another thread. A lookup that misses the deadline keeps its place until its thread is free.
async fn look_up(
    shares: &Shares,
    namespace: Arc<str>,
    deadline: Duration,
    lookup: impl FnOnce() -> io::Result<Vec<IpAddr>> + Send + 'static,
) -> io::Result<Vec<IpAddr>> {
    let look_up = async {
        let place = shares.one(namespace, Priority::Later).await;
        let looked_up = tokio::task::spawn_blocking(move || {
            let _place = place;
            lookup()
        });
        looked_up.await.map_err(io::Error::other)?
    };
    timeout(deadline, look_up).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn lookups_that_hang_leave_places_for_other_namespaces() {
        let shares = Shares::new(4, Rule::LeavesAsMuch);
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
        for late in futures::future::join_all(hanging).await {
            assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
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
