//! A circuit breaker for each origin. An origin that cannot be connected to gets one request at a time until one
//! connects. The others fail at once, with the error of the latest attempt: docs/decisions/0042.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use url::Origin;

use super::{Error, connector::CONNECT_TIMEOUT};

/// The number of consecutive failures to connect that open the circuit.
const FAILURES: u32 = 5;

/// An origin without a failure for this time is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// The number of origins that are remembered. The circuits of further ones stay closed.
const MOST_ORIGINS: usize = 4096;

#[derive(Debug)]
struct State {
    /// Consecutive failures to connect.
    failures: u32,
    /// The latest of them.
    error: Error,
    failed_at: Instant,
    /// When the attempt began that is under way although the circuit is open.
    tried_since: Option<Instant>,
}

/// The origins that could not be connected to.
#[derive(Debug, Default)]
pub(super) struct Circuits(Mutex<HashMap<Origin, State>>);

/// A request that may be sent.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    circuits: &'a Circuits,
    origin: &'a Origin,
    began: Instant,
    /// The circuit is open, and other requests fail meanwhile.
    is_probe: bool,
}

impl Circuits {
    /// Begins a request to this origin.
    ///
    /// # Errors
    /// The circuit is open, and another request is under way.
    pub(super) fn begin<'a>(&'a self, origin: &'a Origin, now: Instant) -> Result<Attempt<'a>, Error> {
        let mut all = self.lock();
        let is_probe = match all.get_mut(origin) {
            Some(state) if state.failures >= FAILURES => {
                // Later, an attempt has its connection and waits for the answer, which may take Heat a minute.
                let connects = |since: Instant| now.saturating_duration_since(since) < CONNECT_TIMEOUT;
                if state.tried_since.is_some_and(connects) {
                    return Err(state.error.clone());
                }
                state.tried_since = Some(now);
                true
            }
            _ => false,
        };
        Ok(Attempt { circuits: self, origin, began: now, is_probe })
    }

    /// Forgets origins that have not failed for long.
    pub(super) fn sweep(&self, now: Instant) {
        self.lock().retain(|_, state| now.saturating_duration_since(state.failed_at) < FORGOTTEN);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// Records why there was no connection; `None` if there was one. A certificate that is not trusted means that the
    /// origin was reached. A time-out of the whole call does not get here: its length is the tenant's choice, and other
    /// tenants must not depend on it.
    pub(super) fn ended(self, failed: Option<&Error>, now: Instant) {
        let mut all = self.circuits.lock();
        match failed {
            Some(error @ (Error::ConnectionFailed | Error::Dns)) => {
                let is_known = all.contains_key(self.origin);
                if is_known || all.len() < MOST_ORIGINS {
                    let state = all.entry(self.origin.clone()).or_insert_with(|| State {
                        failures: 0,
                        error: error.clone(),
                        failed_at: now,
                        tried_since: None,
                    });
                    state.failures = state.failures.saturating_add(1);
                    (state.error, state.failed_at) = (error.clone(), now);
                }
            }
            // The namespace's own lookups were too many.
            Some(Error::Timeout) => {}
            Some(_) | None => drop(all.remove(self.origin)),
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.is_probe {
            return;
        }
        let mut all = self.circuits.lock();
        if self.began.elapsed() >= CONNECT_TIMEOUT {
            // A request that was given up after this time had a connection.
            all.remove(self.origin);
        } else if let Some(state) = all.get_mut(self.origin).filter(|state| state.tried_since == Some(self.began)) {
            state.tried_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn origin(host: &str) -> Origin {
        Url::parse(&format!("http://{host}")).unwrap().origin()
    }

    /// Each story has requests, one after the other: `o` is answered, `t` is not trusted, `c` does not connect, `d` does
    /// not resolve, `l` waited for other lookups, `-` is given up, `=` is given up after its connection. After `=`: what happens to a request now, and to one beside it.
    #[test]
    fn an_origin_that_cannot_be_reached_gets_one_request_at_a_time() {
        let (sent, connection, dns) = ("sent", "connection_failed", "dns");
        for (story, first, second) in [
            ("", sent, sent),
            ("cccc", sent, sent),
            ("ccccc", sent, connection),
            ("ccccd", sent, dns),
            ("cccccccc", sent, connection),
            ("cccco", sent, sent),
            ("ccccoc", sent, sent),
            ("ccccct", sent, sent),
            ("ccccco", sent, sent),
            ("ccccc-", sent, connection),
            ("cc-cc", sent, sent),
            ("cccclc", sent, connection),
            ("cccll", sent, sent),
            ("ccccc=", sent, sent),
        ] {
            let (circuits, origin, now) = (Circuits::default(), origin("k"), Instant::now());
            for step in story.chars() {
                let mut attempt = circuits.begin(&origin, now).unwrap();
                let failed = match step {
                    'o' => None,
                    't' => Some(Error::CertificateUntrusted(crate::trust::Distrust::Expired)),
                    'c' => Some(Error::ConnectionFailed),
                    'd' => Some(Error::Dns),
                    'l' => Some(Error::Timeout),
                    '=' => {
                        attempt.began -= CONNECT_TIMEOUT;
                        continue;
                    }
                    _ => {
                        drop(attempt);
                        continue;
                    }
                };
                attempt.ended(failed.as_ref(), now);
            }
            let one = circuits.begin(&origin, now);
            let other = circuits.begin(&origin, now);
            let found = [&one, &other].map(|attempt| attempt.as_ref().map_or_else(Error::kind, |_| sent));
            assert_eq!(found, [first, second], "{story}");
            assert!(circuits.begin(&self::origin("other"), now).is_ok(), "{story}");
            let later = circuits.begin(&origin, now + CONNECT_TIMEOUT);
            assert!(later.is_ok(), "{story}: the first one has its connection by now");
            drop((one, other, later));
            assert!(circuits.begin(&origin, now).is_ok(), "{story}");
        }
    }

    #[test]
    fn the_number_of_origins_is_bounded_and_they_are_forgotten() {
        let (circuits, now) = (Circuits::default(), Instant::now());
        for number in 0..2 * MOST_ORIGINS {
            let origin = origin(&format!("k{number}"));
            circuits.begin(&origin, now).unwrap().ended(Some(&Error::ConnectionFailed), now);
        }
        assert_eq!(circuits.lock().len(), MOST_ORIGINS);
        circuits.sweep(now + FORGOTTEN / 2);
        assert_eq!(circuits.lock().len(), MOST_ORIGINS);
        circuits.sweep(now + FORGOTTEN);
        assert!(circuits.lock().is_empty());
    }
}
