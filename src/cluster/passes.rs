//! Starts the passes: one at a time for each object, when it is triggered or when its wait is over.
//!
//! kube's controller polls all passes that have begun whenever one of them goes on, and its queue knows no namespaces.
//! Here each pass is a task. It waits for its turn, so the order is that of the turns: docs/decisions/0041.

mod ticks;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::{FutureExt as _, Stream, StreamExt as _};
use ticks::Ticks;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::{
    sync::CancellationToken,
    time::{DelayQueue, delay_queue::Key},
};

use crate::{
    identity::TenantName,
    panics::{Part, caught},
};

/// Wait until the operator repeats a pass that panicked, with fresh state.
pub(super) const PANIC_RETRY: Duration = Duration::from_secs(60);

/// A pass sets this when its turn comes. Later triggers cause another pass.
pub(super) type Begun = Arc<AtomicBool>;

#[derive(Debug)]
enum State {
    /// The pass waits for its turn or is under way.
    Started { begun: Begun, again: bool },
    /// The next pass starts at this time, or earlier after a trigger.
    Waits(Key),
}

/// Runs passes until the shutdown, or until the triggers end. Then it waits for the passes under way. `pass` returns
/// when the next one starts; `None` means that only a trigger starts it.
pub(super) async fn run<F>(
    triggers: impl Stream<Item = Arc<TenantName>>,
    pass: impl Fn(Arc<TenantName>, Begun) -> F,
    shutdown: &CancellationToken,
) where
    F: Future<Output = Option<Duration>> + Send + 'static,
{
    let mut triggers = std::pin::pin!(triggers.fuse());
    let mut states: HashMap<Arc<TenantName>, State> = HashMap::new();
    let (mut waits, mut ticks) = (DelayQueue::new(), Ticks::since(Instant::now()));
    let mut passes = JoinSet::new();
    let start = |name: &Arc<TenantName>, passes: &mut JoinSet<_>| {
        let begun = Begun::default();
        let (pass, name) = (caught(Part::Pass, pass(name.clone(), begun.clone())), name.clone());
        // Not an async block: that would contain the pass twice.
        passes.spawn(pass.map(move |next| (name, next.unwrap_or(Some(PANIC_RETRY)))));
        State::Started { begun, again: false }
    };
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(Ok(first)) = passes.join_next() => {
                // The others that have ended follow at once, since each poll of the triggers takes time.
                let mut ended = Some(first);
                while let Some((name, next)) = ended {
                    match (states.remove(&name), next) {
                        (Some(State::Started { again: true, .. }), _) => {
                            let state = start(&name, &mut passes);
                            states.insert(name, state);
                        }
                        (_, Some(wait)) => {
                            let key = waits.insert_at(name.clone(), ticks.begin(Instant::now(), wait));
                            states.insert(name, State::Waits(key));
                        }
                        (_, None) => {}
                    }
                    ended = passes.try_join_next().and_then(Result::ok);
                }
            }
            Some(first) = waits.next() => {
                let mut due = Some(first);
                while let Some(expired) = due {
                    let name = expired.into_inner();
                    let state = start(&name, &mut passes);
                    states.insert(name, state);
                    due = waits.next().now_or_never().flatten();
                }
            }
            trigger = triggers.next() => {
                let Some(name) = trigger else { break };
                // All share one copy of the name.
                let name = states.get_key_value(&name).map_or(name, |(known, _)| known.clone());
                match states.get_mut(&name) {
                    Some(State::Started { begun, again }) => *again |= begun.load(SeqCst),
                    waiting => {
                        if let Some(State::Waits(key)) = waiting {
                            waits.remove(key);
                        }
                        let state = start(&name, &mut passes);
                        states.insert(name, state);
                    }
                }
            }
        }
    }
    while passes.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::{sync::mpsc, time::sleep};

    use super::*;

    fn tenant(name: &str) -> Arc<TenantName> {
        TenantName { namespace: "n".to_owned(), name: name.to_owned() }.into()
    }

    /// Each pass waits 10 ms for its turn and lasts 10 ms. A line has the triggers at milliseconds, what each pass
    /// returns, and when passes of `a` and `b` begin.
    #[tokio::test(start_paused = true)]
    async fn a_tenant_has_one_pass_at_a_time_and_misses_no_trigger() {
        let second = Some(Duration::from_secs(1));
        for (name, triggers, next, expected) in [
            ("none", vec![], None, ""),
            ("one", vec![(0, "a")], None, "a10"),
            ("two tenants", vec![(0, "a"), (0, "b")], None, "a10 b10"),
            ("again before the turn", vec![(0, "a"), (5, "a")], None, "a10"),
            ("again during the pass", vec![(0, "a"), (15, "a"), (16, "a")], None, "a10 a30"),
            ("again after the pass", vec![(0, "a"), (25, "a")], None, "a10 a35"),
            ("after a wait", vec![(0, "a")], second, "a10 a1030 a2050"),
            ("during a wait", vec![(0, "a"), (500, "a")], second, "a10 a510 a1530 a2550"),
            ("during the pass, which then waits", vec![(0, "a"), (15, "a")], second, "a10 a30 a1050 a2070"),
            ("two that wait", vec![(3, "a"), (5, "b")], second, "a13 b15 a1050 b1050 a2070 b2070"),
        ] {
            let (trigger, mut woken) = mpsc::channel(10);
            let began = tokio::time::Instant::now();
            let passes: Arc<Mutex<Vec<String>>> = Arc::default();
            let (stop, seen) = (CancellationToken::new(), passes.clone());
            let pass = |name: Arc<TenantName>, begun: Begun| {
                let passes = passes.clone();
                async move {
                    sleep(Duration::from_millis(10)).await;
                    begun.store(true, SeqCst);
                    passes.lock().unwrap().push(format!("{}{}", name.name, began.elapsed().as_millis()));
                    sleep(Duration::from_millis(10)).await;
                    next
                }
            };
            let story = async {
                for (at, name) in triggers {
                    tokio::time::sleep_until(began + Duration::from_millis(at)).await;
                    trigger.send(tenant(name)).await.unwrap();
                }
                tokio::time::sleep_until(began + Duration::from_millis(2800)).await;
                stop.cancel();
            };
            let woken = futures::stream::poll_fn(|context| woken.poll_recv(context));
            tokio::join!(run(woken, pass, &stop), story);
            let mut seen = seen.lock().unwrap().clone();
            if seen.len() == 2 {
                seen.sort();
            }
            assert_eq!(seen.join(" "), expected, "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_that_panics_is_repeated_later() {
        let stop = CancellationToken::new();
        let count = Arc::new(Mutex::new(0));
        let pass = |_, _| {
            let count = count.clone();
            async move {
                *count.lock().unwrap() += 1;
                panic!("on purpose")
            }
        };
        let triggers = futures::stream::iter([tenant("a")]).chain(futures::stream::pending());
        let ended = tokio::time::timeout(PANIC_RETRY * 2 + Duration::from_secs(1), run(triggers, pass, &stop)).await;
        assert!(ended.is_err());
        assert_eq!(*count.lock().unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_waits_for_passes_under_way() {
        let stop = CancellationToken::new();
        let done = Arc::new(AtomicBool::new(false));
        let pass = |_, _| {
            let done = done.clone();
            async move {
                sleep(Duration::from_secs(1)).await;
                done.store(true, SeqCst);
                None
            }
        };
        let triggers = futures::stream::iter([tenant("a")]).chain(futures::stream::pending());
        let story = async {
            sleep(Duration::from_millis(500)).await;
            stop.cancel();
        };
        tokio::join!(run(triggers, pass, &stop), story);
        assert!(done.load(SeqCst));
    }
}
