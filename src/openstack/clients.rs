//! HTTP clients, one per TLS setting. All sessions with the same setting share it: docs/decisions/0024.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::OnceCell, time::Instant as Deadline};
use url::Origin;

use super::{
    CloudConfig, Error, Network,
    aside::on_another_thread,
    bundle::{Bundle, Digest},
    connector::{Client, POOL_IDLE},
    guard::Route,
    tls,
};
use crate::trust::Authorities;

/// Idle connections that a client keeps for each origin.
const MOST_IDLE: usize = 8;
/// Origins whose connections are kept, over all clients. For further origins the connection closes after each call.
const MOST_ORIGINS: usize = 256;

/// The number of clients with a `cacert` that are kept. A further setting gets a new client at each use.
const MOST_BUNDLES: usize = 64;
/// The bound for the sum of their PEM texts, in bytes. A client takes 25 KiB, plus about the size of its text.
const MOST_BYTES: usize = 8 << 20;
/// A client is dropped when it was not used for this time.
const UNUSED: Duration = Duration::from_secs(600);
/// The deadline for building a client, including the wait for a free thread.
const BUILDING: Duration = Duration::from_secs(10);

/// The settings that decide which servers a client trusts. All other settings are the same for the whole [`Network`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Setting {
    /// Certificates are not checked.
    Unchecked,
    /// The system's authorities are trusted.
    System,
    /// A `cacert` is trusted; the flag says whether the system's authorities are trusted, too.
    Bundle(Digest, bool),
}

impl Setting {
    pub(super) fn of(config: &CloudConfig, keeps_system: bool) -> Self {
        match &config.cacert {
            _ if !config.verify => Self::Unchecked,
            None => Self::System,
            Some(bundle) => Self::Bundle(bundle.digest(), keeps_system),
        }
    }
}

/// The clients of one setting and one route, with the same trust.
pub(super) struct Clients {
    /// Keeps its connections open between calls.
    pooled: Client,
    /// Closes each connection after its call.
    unpooled: Client,
}

/// The clients of one setting and one route, built at the first use.
type Cell = Arc<OnceCell<Arc<Clients>>>;

struct Cached {
    clients: Cell,
    /// The length of the PEM text.
    bytes: usize,
    used: Instant,
}

/// All clients in use.
#[derive(Default)]
pub(super) struct AllClients {
    built: Mutex<HashMap<(Setting, Route), Cached>>,
    /// When each origin last answered through a client that keeps its connections.
    answered: Mutex<HashMap<(Setting, Origin), Instant>>,
}

/// The client for one call.
pub(super) struct Choice {
    pub(super) client: Client,
    /// Whether the client keeps its connections.
    pub(super) keeps: bool,
    /// Whether the call may use a connection that was idle.
    pub(super) may_reuse: bool,
}

impl AllClients {
    /// The client for a call to this origin on its route. It is built on another thread; concurrent calls share the
    /// result.
    pub(super) async fn choose(
        &self,
        network: &Network,
        config: &CloudConfig,
        origin: &Origin,
        route: Route,
    ) -> Result<Choice, Error> {
        let setting = network.setting(config);
        let bytes = config.cacert.as_ref().map_or(0, |bundle| bundle.pem().len());
        let cell = self.cell((setting, route), bytes, Instant::now());
        let build = || async {
            let (network, bundle, verify) = (network.clone(), config.cacert.clone(), config.verify);
            let build = move || Clients::build(&network, bundle.as_ref(), verify, route);
            on_another_thread(Deadline::now() + BUILDING, build).await?
        };
        let clients = cell.get_or_try_init(build).await?;
        let (keeps, may_reuse) = self.keeps(setting, origin, Instant::now());
        let client = if keeps { clients.pooled.clone() } else { clients.unpooled.clone() };
        Ok(Choice { client, keeps, may_reuse })
    }

    /// Records that the origin has answered, so that an idle connection to it exists now.
    pub(super) fn note(&self, setting: Setting, origin: Origin, now: Instant) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (setting, origin);
        if answered.contains_key(&key) || answered.len() < MOST_ORIGINS {
            answered.insert(key, now);
        }
    }

    /// Drops clients that were not used for [`UNUSED`].
    pub(super) fn sweep(&self, now: Instant) {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        built.retain(|_, cached| now.saturating_duration_since(cached.used) < UNUSED);
    }

    /// The entry of this setting and route. A new `cacert` replaces the least recently used ones. The two settings
    /// without a `cacert` are never replaced, because most sessions use them.
    fn cell(&self, key: (Setting, Route), bytes: usize, now: Instant) -> Cell {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = built.get_mut(&key) {
            cached.used = now;
            return cached.clients.clone();
        }
        if matches!(key.0, Setting::Bundle(..)) {
            make_room(&mut built, bytes);
        }
        let clients = Cell::default();
        built.insert(key, Cached { clients: clients.clone(), bytes, used: now });
        clients
    }

    /// Whether connections to this origin are kept, and whether one may be idle.
    fn keeps(&self, setting: Setting, origin: &Origin, now: Instant) -> (bool, bool) {
        let is_fresh = |at: &Instant| now.saturating_duration_since(*at) < POOL_IDLE;
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if answered.get(&(setting, origin.clone())).is_some_and(is_fresh) {
            return (true, true);
        }
        if answered.len() >= MOST_ORIGINS {
            answered.retain(|_, at| is_fresh(at));
        }
        (answered.len() < MOST_ORIGINS, false)
    }
}

/// Drops the least recently used clients with a `cacert` until a further one of this size fits.
fn make_room(built: &mut HashMap<(Setting, Route), Cached>, bytes: usize) {
    let is_bundle = |(setting, _): &(Setting, Route)| matches!(setting, Setting::Bundle(..));
    loop {
        let bundles = || built.iter().filter(|(key, _)| is_bundle(key));
        let sum: usize = bundles().map(|(_, cached)| cached.bytes).sum();
        if bundles().count() < MOST_BUNDLES && sum + bytes <= MOST_BYTES {
            return;
        }
        let oldest = bundles().min_by_key(|(_, cached)| cached.used).map(|(key, _)| *key);
        let Some(oldest) = oldest else { return };
        built.remove(&oldest);
    }
}

impl Clients {
    fn build(network: &Network, bundle: Option<&Bundle>, verify: bool, route: Route) -> Result<Arc<Self>, Error> {
        let unusable = || Error::Unexpected("the operator could not build an HTTP client");
        let config = if verify {
            // The process reads the system's authorities once. It does so here, not on a thread that serves
            // connections.
            Authorities::system();
            let cacert = bundle.map(|bundle| Authorities::from_pem(bundle.pem())).transpose();
            let trust = network.trust(cacert.map_err(|_| unusable())?);
            tls::client_config(trust, bundle.is_some())
        } else {
            tls::unchecked_config()
        };
        let connector = network.connector(config.map_err(|_| unusable())?, route);
        Ok(Arc::new(Self { pooled: Client::new(connector.clone(), MOST_IDLE), unpooled: Client::new(connector, 0) }))
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    const ROUTE: Route = Route::Direct(None);

    fn bundle(number: usize) -> (Setting, Route) {
        (Setting::Bundle(Digest::of(&[&number.to_string()]), false), ROUTE)
    }

    fn has(all: &AllClients, key: (Setting, Route)) -> bool {
        all.built.lock().unwrap().contains_key(&key)
    }

    /// A line is: the number of settings in use, the bytes of each, and how many are kept.
    #[test]
    fn clients_have_a_bound_by_number_and_by_bytes() {
        for (used, bytes, kept) in [
            (10, 2000, 10),
            (MOST_BUNDLES, 2000, MOST_BUNDLES),
            (300, 2000, MOST_BUNDLES),
            (300, 512 << 10, 16),
            (3, MOST_BYTES, 1),
        ] {
            let (all, start) = (AllClients::default(), Instant::now());
            let ordinary = [Setting::System, Setting::Unchecked].map(|setting| all.cell((setting, ROUTE), 0, start));
            for number in 0..used {
                all.cell(bundle(number), bytes, start + Duration::from_secs(number as u64));
            }
            let newest = (0..used).filter(|number| has(&all, bundle(*number))).collect::<Vec<_>>();
            assert_eq!(newest, (used - kept..used).collect::<Vec<_>>(), "{used} of {bytes} bytes");
            for (setting, cell) in [Setting::System, Setting::Unchecked].into_iter().zip(ordinary) {
                assert!(Arc::ptr_eq(&cell, &all.cell((setting, ROUTE), 0, start)), "{used} of {bytes} bytes");
            }
        }
    }

    #[test]
    fn a_client_in_use_is_kept_and_an_unused_one_is_dropped() {
        let (all, start) = (AllClients::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let used = all.cell(bundle(0), 1, start);
        for number in 1..200 {
            all.cell(bundle(number), 1, at(number as u64));
            assert!(Arc::ptr_eq(&used, &all.cell(bundle(0), 1, at(number as u64))), "{number}");
        }
        all.cell(bundle(1000), 1, at(700));
        all.sweep(at(199 + 600));
        assert!(has(&all, bundle(1000)) && !has(&all, bundle(0)));
    }

    #[test]
    fn the_number_of_origins_with_kept_connections_is_bounded() {
        let (all, start) = (AllClients::default(), Instant::now());
        let origin = |number: usize| Url::parse(&format!("http://k:{number}")).unwrap().origin();
        let at = |seconds| start + Duration::from_secs(seconds);
        for number in 1..=MOST_ORIGINS {
            assert_eq!(all.keeps(Setting::System, &origin(number), start), (true, false), "{number}");
            all.note(Setting::System, origin(number), start);
        }
        let more = origin(MOST_ORIGINS + 1);
        all.note(Setting::System, more.clone(), start);
        for (name, setting, origin, seconds, expected) in [
            ("known", Setting::System, origin(1), 1, (true, true)),
            ("one more", Setting::System, more.clone(), 1, (false, false)),
            ("another trust", Setting::Unchecked, origin(1), 1, (false, false)),
            ("after the others were idle", Setting::System, more, 30, (true, false)),
        ] {
            assert_eq!(all.keeps(setting, &origin, at(seconds)), expected, "{name}");
        }
    }
}
