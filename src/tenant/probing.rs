//! A probe that is one tenant's own: when it is asked, what is under way, and what it found.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    clouds::Wake,
    identity::TenantName,
    observation::{Outcome, ProbeFailure, ProbeKind},
    panics::{Part, caught},
    schedule::Turn,
    status::{Look, interval_of},
    target::Target,
};

/// A probe that is the tenant's own.
#[derive(Debug)]
pub struct Probing<T> {
    /// When it is asked.
    pub turn: Turn,
    running: Option<Running<T>>,
    answer: Option<Outcome<T>>,
    /// What was found and is not in the status yet.
    found: Look<T>,
    /// It is among the verdicts in a row.
    counted: bool,
}

/// A question under way; dropped, it is given up.
#[derive(Debug)]
struct Running<T> {
    end: Arc<End<T>>,
    _task: AbortOnDropHandle<()>,
}

/// How a question ends.
#[derive(Debug)]
struct End<T> {
    state: Mutex<State<T>>,
    come: Notify,
}

#[derive(Debug)]
struct State<T> {
    answer: Option<Outcome<T>>,
    /// Who is woken by the answer.
    waits: Option<(Wake, TenantName)>,
}

impl<T> End<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone + Send + 'static> Probing<T> {
    pub(super) const fn new(turn: Turn) -> Self {
        Self { turn, running: None, answer: None, found: Look::NotDue, counted: true }
    }

    /// Whether it is to be asked now.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.running.is_none() && self.turn.is_due(now)
    }

    /// Whether it is being asked.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Asks, in the background.
    pub fn start(&mut self, question: impl Future<Output = Outcome<T>> + Send + 'static) {
        let end = Arc::new(End { state: Mutex::new(State { answer: None, waits: None }), come: Notify::new() });
        let question = tracing::Instrument::in_current_span(question);
        let at_end = end.clone();
        let task = tokio::spawn(async move {
            let outcome = caught(Part::Probe, question).await;
            let outcome = outcome.unwrap_or_else(|_| Outcome::Failed(ProbeFailure::broke_off()));
            let waits = {
                let mut state = at_end.lock();
                state.answer = Some(outcome);
                state.waits.take()
            };
            at_end.come.notify_one();
            if let Some((wake, tenant)) = waits {
                // Nobody listens any more only while the work ends.
                let _ = wake.send(tenant).await;
            }
        });
        self.running = Some(Running { end, _task: AbortOnDropHandle::new(task) });
    }

    /// Waits for the answer; at once where nothing is asked, or where [somebody is woken](Self::wake_later) by it. May
    /// be dropped half-way.
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

    /// Has the tenant looked at again when the answer comes.
    pub fn wake_later(&mut self, wake: &Wake, tenant: &TenantName) {
        if let Some(running) = &self.running {
            let mut state = running.end.lock();
            if state.answer.is_none() {
                state.waits.get_or_insert_with(|| (wake.clone(), tenant.clone()));
            }
        }
    }

    /// Takes the answer, if it has come.
    fn collect(&mut self) {
        let come = self.running.as_ref().and_then(|running| running.end.lock().answer.take());
        if come.is_some() {
            (self.answer, self.running) = (come, None);
        }
    }

    /// Takes the answer into account, once, and says what is known.
    pub fn look(&mut self, target: &Target, kind: ProbeKind, share: f64, now: Timestamp) -> Look<T> {
        self.collect();
        let interval = interval_of(target, kind);
        match self.answer.take() {
            Some(Outcome::Seen(seen)) => {
                self.counted = false;
                self.turn.seen(interval, share, now);
                self.found = Look::Seen(seen);
            }
            Some(Outcome::NotOffered(elsewhere)) => {
                self.turn.seen(interval, share, now);
                self.found = Look::NotOffered(elsewhere);
            }
            Some(Outcome::Failed(failure)) => {
                self.turn.failed(&failure, interval, share, now);
                self.found = Look::Failed(failure, self.turn.failures);
            }
            None if self.running.is_some() => return Look::UnderWay,
            None => {}
        }
        self.found.clone()
    }

    /// Whether what was found has not been counted among the verdicts in a row yet; asked once.
    pub(super) const fn is_new(&mut self) -> bool {
        !std::mem::replace(&mut self.counted, true)
    }

    /// What was found is in the status.
    pub(super) fn wrote(&mut self) {
        self.found = Look::NotDue;
    }

    /// What is under way was asked for another wish. It is asked again now, or when the cloud allows it.
    pub(super) fn ask_anew(&mut self, now: Timestamp) {
        (self.running, self.answer) = (None, None);
        self.turn.hurry(now);
    }

    /// Nothing is known, and all is asked now.
    pub(super) fn reset(&mut self, now: Timestamp) {
        (self.running, self.answer, self.found) = (None, None, Look::NotDue);
        self.turn = Turn { next: now, failures: 0, not_before: None, ..self.turn.clone() };
    }
}
