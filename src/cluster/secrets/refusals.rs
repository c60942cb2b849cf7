//! Refused reads of Secrets. The operator doubts a refusal until it has lasted.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use super::Key;
use crate::{cluster::doubt::Doubt, probe::failure::SecretError};

/// The doubts about each Secret that was refused, without another answer since then.
#[derive(Debug, Default)]
pub(super) struct Refusals(HashMap<Key, Doubt<Instant>>);

impl Refusals {
    /// Returns the answer of a read. A refusal that is still in doubt becomes `Unavailable`.
    pub(super) fn judge<T>(
        &mut self,
        key: &Key,
        answer: Result<T, SecretError>,
        now: Instant,
    ) -> Result<T, SecretError> {
        if !matches!(answer, Err(SecretError::Denied { .. })) {
            self.0.remove(key);
            return answer;
        }
        if !self.0.entry(key.clone()).or_default().refused(now) {
            tracing::warn!(secret = key.1, "the API server forbids the read of the Secret; it may have just started");
            return Err(SecretError::Unavailable);
        }
        answer
    }

    /// Forgets a Secret that nobody uses any more.
    pub(super) fn forget(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// Forgets all Secrets but these.
    pub(super) fn retain(&mut self, used: &HashSet<&Key>) {
        self.0.retain(|key, _| used.contains(key));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::doubt::DOUBTED;

    /// Each line: the second and the answer of a read | what the read says.
    #[test]
    fn a_refusal_counts_once_it_has_lasted() {
        let key = |name: &str| ("n".to_owned(), name.to_owned());
        let denied = || Err(SecretError::Denied { secret: "s".to_owned() });
        let missing = || Err(SecretError::NotFound { secret: "s".to_owned() });
        let down = || Err(SecretError::Unavailable);
        for (name, reads) in [
            ("a start", vec![(0, denied(), down()), (5, denied(), down()), (10, Ok(()), Ok(()))]),
            ("a missing right", vec![(0, denied(), down()), (14, denied(), down()), (15, denied(), denied())]),
            ("a verdict stays", vec![(0, denied(), down()), (60, denied(), denied()), (61, denied(), denied())]),
            ("two starts", vec![(0, denied(), down()), (1, Ok(()), Ok(())), (60, denied(), down())]),
            ("down in between", vec![(0, denied(), down()), (5, down(), down()), (60, denied(), down())]),
            ("missing in between", vec![(0, denied(), down()), (5, missing(), missing()), (60, denied(), down())]),
            ("the clock is behind", vec![(60, denied(), down()), (0, denied(), down())]),
        ] {
            let mut refusals = Refusals::default();
            let began = Instant::now();
            for (second, answer, said) in reads {
                let now = began + Duration::from_secs(second);
                assert_eq!(refusals.judge(&key("s"), answer, now), said, "{name}, {second} s");
                assert_eq!(Refusals::default().judge(&key("s"), denied(), now), down(), "{name}");
            }
        }
        let mut refusals = Refusals::default();
        let began = Instant::now();
        assert_eq!(refusals.judge::<()>(&key("one"), denied(), began), down());
        assert_eq!(refusals.judge::<()>(&key("other"), denied(), began + DOUBTED), down(), "each for itself");
        assert_eq!(refusals.judge::<()>(&key("one"), denied(), began + DOUBTED), denied());
    }
}
