//! The latest answers of one engines' task, which its tenants read and wait for.
//!
//! A `watch` channel of tokio takes 400 bytes more for each credential.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, futures::Notified};

use crate::observation::EngineAnswers;

#[derive(Debug, Default)]
pub(super) struct Latest {
    answers: Mutex<Arc<EngineAnswers>>,
    replaced: Notify,
}

impl Latest {
    pub(super) fn get(&self) -> Arc<EngineAnswers> {
        self.lock().clone()
    }

    /// Replaces the answers, and wakes those that wait for others.
    pub(super) fn set(&self, answers: EngineAnswers) {
        let answers = Arc::new(answers);
        // The old ones are dropped without the lock.
        let before = std::mem::replace(&mut *self.lock(), answers);
        drop(before);
        self.replaced.notify_waiters();
    }

    /// Waits until the answers are replaced. What happens between this call and the first poll counts.
    pub(super) fn replaced(&self) -> Notified<'_> {
        self.replaced.notified()
    }

    fn lock(&self) -> MutexGuard<'_, Arc<EngineAnswers>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::observation::Outcome;

    #[test]
    fn answers_that_come_before_the_first_poll_are_not_missed() {
        let latest = Latest::default();
        let (waits, later) = (latest.replaced(), latest.replaced());
        let outcome = Outcome::NotOffered(None);
        latest.set(EngineAnswers::default().and(outcome, jiff::Timestamp::UNIX_EPOCH));
        assert_eq!((waits.now_or_never(), latest.get().number), (Some(()), 1));
        assert_eq!(latest.replaced().now_or_never(), None);
        assert_eq!(later.now_or_never(), Some(()));
    }
}
