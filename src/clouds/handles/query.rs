//! The query of one tenant's own probe. It runs in the background and wakes the tenant when it ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    clouds::Wake,
    decide::Answer,
    identity::TenantName,
    observation::{Data, Outcome, ProbeFailure},
    panics::{Part, caught},
};

/// The query of one tenant's own probe.
#[derive(Debug, Default)]
pub struct Query {
    running: Option<Running>,
    /// Boxed, since most of the time there is none.
    answer: Option<Box<Outcome<Data>>>,
}

/// A query under way. Dropping it aborts the query.
#[derive(Debug)]
struct Running {
    end: Arc<End>,
    _task: AbortOnDropHandle<()>,
}

/// The shared end of a query.
#[derive(Debug)]
struct End {
    state: Mutex<State>,
    come: Notify,
}

#[derive(Debug)]
struct State {
    answer: Option<Box<Outcome<Data>>>,
    /// The tenant that the answer wakes.
    waits: Option<(Wake, TenantName)>,
}

impl End {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Query {
    /// Whether the query is under way.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Starts the query in the background.
    pub fn start(&mut self, query: impl Future<Output = Outcome<Data>> + Send + 'static) {
        let end = Arc::new(End { state: Mutex::new(State { answer: None, waits: None }), come: Notify::new() });
        // Boxed: the task would contain it several times.
        let query = Box::pin(tracing::Instrument::in_current_span(query));
        let at_end = end.clone();
        let task = tokio::spawn(async move {
            let outcome = caught(Part::Probe, query).await;
            let outcome = outcome.unwrap_or_else(|_| Outcome::Failed(ProbeFailure::broke_off()));
            let waits = {
                let mut state = at_end.lock();
                state.answer = Some(Box::new(outcome));
                state.waits.take()
            };
            at_end.come.notify_one();
            if let Some((wake, tenant)) = waits {
                // The channel is closed only during a shutdown.
                let _ = wake.send(tenant).await;
            }
        });
        self.running = Some(Running { end, _task: AbortOnDropHandle::new(task) });
    }

    /// Waits for the answer. Returns at once if there is no query, or if its answer [wakes the
    /// tenant](Self::wake_later). The future may be dropped at any time.
    pub async fn finish(&mut self) {
        while let Some(running) = &self.running {
            let end = running.end.clone();
            if end.lock().waits.is_some() {
                return;
            }
            self.collect();
            if self.running.is_some() {
                end.come.notified().await;
            }
        }
    }

    /// Wakes the tenant when the answer arrives.
    pub fn wake_later(&mut self, wake: &Wake, tenant: &TenantName) {
        if let Some(running) = &self.running {
            let mut state = running.end.lock();
            if state.answer.is_none() {
                state.waits.get_or_insert_with(|| (wake.clone(), tenant.clone()));
            }
        }
    }

    /// Takes the answer if it has arrived.
    fn collect(&mut self) {
        let come = self.running.as_ref().and_then(|running| running.end.lock().answer.take());
        if come.is_some() {
            (self.answer, self.running) = (come, None);
        }
    }

    /// Returns the result. Each answer is returned once.
    pub fn take(&mut self) -> Answer {
        self.collect();
        match self.answer.take() {
            Some(outcome) => Answer::Came(*outcome),
            None if self.running.is_some() => Answer::UnderWay,
            None => Answer::Nothing,
        }
    }

    /// Aborts the query and drops its answer.
    pub fn stop(&mut self) {
        *self = Self::default();
    }
}
