//! Fair shares: limited places that the tenants' namespaces take in turn.
//!
//! Waiters queue by namespace, and the namespaces take turns, so a namespace with many tenants delays the others by one
//! place at a time. Docs: docs/decisions/0041.

mod queue;

use std::{
    collections::HashMap,
    fmt,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

pub use queue::{Priority, Sharing};
use queue::{Queue, Ticket};
use tokio::sync::oneshot;

tokio::task_local! {
    static NAMESPACE: Arc<str>;
}

/// Runs work for a namespace. What the work takes is charged to this namespace.
///
/// A spawned task does not inherit the namespace: pass [`namespace`] on.
pub fn on_behalf_of<F: Future>(namespace: Arc<str>, work: F) -> impl Future<Output = F::Output> {
    NAMESPACE.scope(namespace, work)
}

/// The namespace that the current task works for. It is empty for work of the operator itself and in `check`.
#[must_use]
pub fn namespace() -> Arc<str> {
    NAMESPACE.try_with(Clone::clone).unwrap_or_else(|_| Arc::from(""))
}

/// A table for more waiters than this is dropped once nobody waits.
const MANY: usize = 64;

/// A limited number of places. Clones share them.
#[derive(Clone)]
pub struct Shares(Arc<Mutex<Places>>);

#[derive(Debug)]
struct Places {
    queue: Queue,
    waiting: HashMap<Ticket, oneshot::Sender<Permit>>,
}

/// Places in use. They are free again when this is dropped.
pub struct Permit {
    shares: Shares,
    namespace: Arc<str>,
    places: u32,
}

/// The turn of one piece of work. It holds a place, except while it waits for others.
#[derive(Debug)]
pub struct Turn {
    shares: Shares,
    namespace: Arc<str>,
    place: Option<Permit>,
}

impl Turn {
    /// Waits for a place.
    pub async fn begin(shares: &Shares, namespace: Arc<str>, priority: Priority) -> Self {
        let place = shares.one(namespace.clone(), priority).await;
        Self { shares: shares.clone(), namespace, place: Some(place) }
    }

    /// Waits for something else. Meanwhile the place is free for others.
    pub async fn without<F: Future>(&mut self, wait: F) -> F::Output {
        let mut wait = pin!(wait);
        if let Poll::Ready(output) = futures::poll!(wait.as_mut()) {
            return output;
        }
        self.place = None;
        let output = wait.await;
        // Work that has begun ends before other work of the namespace begins.
        self.place = Some(self.shares.one(self.namespace.clone(), Priority::Begun).await);
        output
    }
}

/// A waiter. It leaves the queue if its caller gives up.
struct Waiter<'a> {
    shares: &'a Shares,
    namespace: Arc<str>,
    ticket: Ticket,
}

impl Shares {
    /// Creates free places.
    #[must_use]
    pub fn new(capacity: u32, rule: Sharing) -> Self {
        Self(Arc::new(Mutex::new(Places { queue: Queue::new(capacity, rule), waiting: HashMap::new() })))
    }

    /// Waits for one place.
    pub async fn one(&self, namespace: Arc<str>, priority: Priority) -> Permit {
        self.take(namespace, 1, priority).await
    }

    /// Waits for this number of places, at most for the capacity. The future may be dropped at any time.
    pub async fn take(&self, namespace: Arc<str>, places: u32, priority: Priority) -> Permit {
        let (ticket, receiver) = {
            let mut all = self.lock();
            if let Some(places) = all.queue.take(&namespace, places) {
                return Permit { shares: self.clone(), namespace, places };
            }
            let (given, receiver) = oneshot::channel();
            let ticket = all.queue.join(&namespace, places, priority);
            all.waiting.insert(ticket, given);
            (ticket, receiver)
        };
        let waiter = Waiter { shares: self, namespace: namespace.clone(), ticket };
        self.give();
        let permit = receiver.await;
        drop(waiter);
        // A sender is dropped only with its waiter, so this is always a permit.
        permit.unwrap_or_else(|_| Permit { shares: self.clone(), namespace, places: 0 })
    }

    /// The number of free places, and of waiters.
    #[must_use]
    pub fn state(&self) -> (u32, usize) {
        let all = self.lock();
        (all.queue.free(), all.waiting.len())
    }

    /// Gives free places to the next waiters.
    fn give(&self) {
        loop {
            let (given, permit) = {
                let mut all = self.lock();
                let Some((ticket, namespace, places)) = all.queue.next() else { return };
                let permit = Permit { shares: self.clone(), namespace, places };
                let given = all.waiting.remove(&ticket);
                if all.waiting.is_empty() && all.waiting.capacity() > MANY {
                    // At a start all CloudTenants wait, and a table keeps its size.
                    all.waiting = HashMap::new();
                }
                (given, permit)
            };
            // Without the lock: if the waiter has given up, this drops the permit.
            if let Some(given) = given {
                let _ = given.send(permit);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut all = self.shares.lock();
        let given = all.waiting.remove(&self.ticket);
        all.queue.leave(&self.namespace, self.ticket);
        drop(all);
        if given.is_some() {
            // The place that this waiter was first in line for may suit another one.
            self.shares.give();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shares.lock().queue.release(&self.namespace, self.places);
        self.shares.give();
    }
}

impl fmt::Debug for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (free, waiting) = self.state();
        f.debug_struct("Shares").field("free", &free).field("waiting", &waiting).finish()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("places", &self.places).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::*;

    fn take(shares: &Shares, namespace: &str, places: u32) -> impl Future<Output = Permit> + use<> {
        let (shares, namespace) = (shares.clone(), Arc::from(namespace));
        async move { shares.take(namespace, places, Priority::Later).await }
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_leaves_no_place_behind() {
        let shares = Shares::new(1, Sharing::Everything);
        let first = take(&shares, "a", 1).await;
        let mut never_polled = Box::pin(take(&shares, "a", 1));
        let mut second = Box::pin(take(&shares, "a", 1));
        assert!(second.as_mut().now_or_never().is_none());
        drop(second);
        assert_eq!(shares.state(), (0, 0), "it left the queue");
        let mut third = Box::pin(take(&shares, "a", 1));
        let mut fourth = pin!(take(&shares, "b", 1));
        assert!(third.as_mut().now_or_never().is_none() && fourth.as_mut().now_or_never().is_none());
        drop(first);
        // The third has its place now and has not looked.
        drop(third);
        let fourth = fourth.await;
        assert!(never_polled.as_mut().now_or_never().is_none());
        drop(fourth);
        drop(never_polled.await);
        assert_eq!(shares.state(), (1, 0));
    }

    #[tokio::test]
    async fn one_that_waits_for_too_much_lets_others_pass_when_it_leaves() {
        let shares = Shares::new(4, Sharing::Everything);
        let held = take(&shares, "a", 1).await;
        let mut large = Box::pin(take(&shares, "b", 4));
        assert!(large.as_mut().now_or_never().is_none());
        let permits: Vec<_> = futures::future::join_all((0..3).map(|_| take(&shares, "c", 1))).await;
        drop((large, held, permits));
        assert_eq!(shares.state(), (4, 0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn tasks_that_come_and_go_lose_no_place() {
        let shares = Shares::new(8, Sharing::LeavesAsMuch);
        let tasks = (0..200_u32).map(|number| {
            let shares = shares.clone();
            tokio::spawn(async move {
                for round in 0..20_u32 {
                    let taking = take(&shares, &format!("n{}", number % 5), 1 + (number + round) % 8);
                    let wait = Duration::from_micros((number * 7 + round * 13).into());
                    if let Ok(permit) = tokio::time::timeout(wait, taking).await {
                        tokio::task::yield_now().await;
                        drop(permit);
                    }
                }
            })
        });
        futures::future::join_all(tasks).await.into_iter().for_each(Result::unwrap);
        assert_eq!(shares.state(), (8, 0));
    }

    #[tokio::test]
    async fn a_turn_holds_no_place_while_it_waits() {
        let shares = Shares::new(1, Sharing::Everything);
        let mut turn = Turn::begin(&shares, "a".into(), Priority::Later).await;
        assert_eq!(shares.state(), (0, 0));
        turn.without(async { assert_eq!(shares.state(), (0, 0), "it has not waited yet") }).await;
        turn.without(async {
            tokio::task::yield_now().await;
            assert_eq!(shares.state(), (1, 0));
            drop(take(&shares, "b", 1).await);
        })
        .await;
        assert_eq!(shares.state(), (0, 0));
        drop(turn);
        assert_eq!(shares.state(), (1, 0));
    }

    #[tokio::test]
    async fn work_has_the_namespace_that_it_is_for() {
        assert_eq!(&*namespace(), "");
        on_behalf_of("a".into(), async {
            assert_eq!(&*namespace(), "a");
            on_behalf_of("b".into(), async { assert_eq!(&*namespace(), "b") }).await;
            assert_eq!(&*namespace(), "a");
        })
        .await;
    }
}
