//! How far a service's clock is ahead of the operator's, also after the operator's clock was set to another time.

use jiff::SignedDuration;

use crate::openstack::clock::ClockReading;

/// A difference of two clocks, and when it was measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Skew {
    /// The difference when it was measured.
    pub(super) ahead: SignedDuration,
    measured: ClockReading,
}

impl Skew {
    /// The service's clock is ahead by so much now.
    pub(super) fn new(ahead: SignedDuration) -> Self {
        Self { ahead, measured: ClockReading::now() }
    }

    /// The difference now. If the operator's clock has been set since, that is no change of the service's.
    pub(super) fn now(&self) -> SignedDuration {
        self.ahead.saturating_sub(self.measured.set_until(ClockReading::now()))
    }
}
