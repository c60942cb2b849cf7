//! What the simulated cloud knows, and its clock.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    Service, catalogue::Catalogue, dcs::Dcs, engines::Engines, faults::Faults, identity::Identity, log::RequestLog,
    nova::Nova,
};

/// The state that the services answer from and a test changes.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Scheme, address and port of each service.
    pub(super) bases: BTreeMap<Service, String>,
}

impl Shared {
    pub(super) fn new(bases: BTreeMap<Service, String>) -> Self {
        let clock = Clock::default();
        let state = State {
            identity: Identity::new(),
            catalogue: Catalogue::new(),
            engines: Engines::new(clock.now()),
            dcs: Dcs::default(),
            nova: Nova::new(),
            faults: Faults::default(),
            log: RequestLog::default(),
            compress: false,
            system_scope_for_engines: false,
            clock,
        };
        Self { state: Mutex::new(state), bases }
    }

    /// The state; a test that panicked while it held it harms no other.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn base(&self, service: Service) -> &str {
        self.bases.get(&service).map_or("", String::as_str)
    }
}

pub(super) struct State {
    pub(super) clock: Clock,
    pub(super) identity: Identity,
    pub(super) catalogue: Catalogue,
    pub(super) engines: Engines,
    pub(super) dcs: Dcs,
    pub(super) nova: Nova,
    pub(super) faults: Faults,
    pub(super) log: RequestLog,
    pub(super) compress: bool,
    /// Heat's policy has `service:index` for admins of the whole system alone.
    pub(super) system_scope_for_engines: bool,
}

/// The cloud's clock: what happens inside goes by `now`, what is told to the outside by `told`.
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

    /// A time of the cloud's inside as the outside is told it.
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

/// Keystone's form of an id: 32 hexadecimal digits.
pub(super) fn new_id() -> String {
    let half = || RandomState::new().hash_one(0_u8);
    format!("{:016x}{:016x}", half(), half())
}

/// Heat's and Nova's form of an id, with hyphens.
pub(super) fn new_uuid() -> String {
    let id = new_id();
    let parts = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]];
    parts.join("-")
}

/// How the services write a time: UTC without a zone, six digits of fraction.
pub(super) fn zoneless(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string()
}
