//! The clock of the simulated cloud, and how it computes and writes times.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The cloud's clock. The cloud itself uses `now`, and its answers show `told`.
///
/// Two readings, so that a wrong clock shows in every time of the cloud but ages nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Clock {
    offset: SignedDuration,
    /// Where it was stopped.
    stopped: Option<Timestamp>,
    skew: SignedDuration,
}

impl Clock {
    pub(super) fn now(&self) -> Timestamp {
        shift(self.stopped.unwrap_or_else(Timestamp::now), self.offset)
    }

    pub(super) fn told(&self) -> Timestamp {
        self.tell(self.now())
    }

    /// The time that an answer shows for this time of the cloud.
    pub(super) fn tell(&self, time: Timestamp) -> Timestamp {
        shift(time, self.skew)
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.offset = self.offset.saturating_add(signed(by));
    }

    /// Stops at that time; `advance` moves it on from there.
    pub(super) fn stop_at(&mut self, time: Timestamp) {
        self.stopped = Some(time);
        self.offset = SignedDuration::ZERO;
    }

    pub(super) fn set_skew(&mut self, skew: SignedDuration) {
        self.skew = skew;
    }
}

pub(super) fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

pub(super) fn shift(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_add(by).unwrap_or(time)
}

/// How the services write a time: UTC without a zone, six digits of fraction.
pub(super) fn zoneless(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string()
}
