//! What the tenants of one cloud require of its engines' task.

use std::{cell::Cell, collections::HashMap, sync::Arc, time::Duration};

use super::{Account, Demand};

/// A demand with the account of the tenant's namespace.
type Subscriber = (Demand, Arc<Account>);

/// The demands by the tenant's UID. Each pass of each tenant states its demand, and the task asks for the shortest ones
/// after each change, so neither may take longer with more tenants.
#[derive(Debug, Default)]
pub(super) struct Demands {
    /// Boxed, since a table has free places.
    subscribers: HashMap<Arc<str>, Box<Subscriber>>,
    /// The shortest interval and the shortest deadline. `None` if they are unknown.
    least: Cell<Option<(Duration, Duration)>>,
}

impl Demands {
    /// Sets a tenant's demand. Returns whether it has changed.
    pub(super) fn set(&mut self, uid: &Arc<str>, demand: Demand, account: &Arc<Account>) -> bool {
        let new = (demand.interval, demand.deadline);
        let Some(known) = self.subscribers.get_mut(uid) else {
            let is_first = self.subscribers.is_empty();
            self.subscribers.insert(uid.clone(), Box::new((demand, account.clone())));
            let shorter = |(interval, deadline): (Duration, Duration)| (interval.min(new.0), deadline.min(new.1));
            self.least.set(if is_first { Some(new) } else { self.least.get().map(shorter) });
            return true;
        };
        if !Arc::ptr_eq(&known.1, account) {
            known.1 = account.clone();
        }
        if known.0 == demand {
            return false;
        }
        if (known.0.interval, known.0.deadline) != new {
            self.least.set(None);
        }
        known.0 = demand;
        true
    }

    /// Removes a tenant.
    pub(super) fn remove(&mut self, uid: &str) {
        let Some(removed) = self.subscribers.remove(uid) else { return };
        let was_least = |(interval, deadline)| removed.0.interval <= interval || removed.0.deadline <= deadline;
        if self.least.get().is_some_and(was_least) {
            self.least.set(None);
        }
    }

    /// Whether there is no tenant.
    pub(super) fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    /// The shortest interval and the shortest deadline. `None` without tenants.
    pub(super) fn least(&self) -> Option<(Duration, Duration)> {
        if self.least.get().is_none() {
            let shortest = |of: fn(&Demand) -> Duration| self.all().map(|subscriber| of(&subscriber.0)).min();
            self.least.set(shortest(|demand| demand.interval).zip(shortest(|demand| demand.deadline)));
        }
        self.least.get()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Subscriber> {
        self.subscribers.values().map(|subscriber| &**subscriber)
    }

    pub(super) fn by_uid(&self) -> impl Iterator<Item = (&str, &Subscriber)> {
        self.subscribers.iter().map(|(uid, subscriber)| (&**uid, &**subscriber))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        budget::Budget,
        identity::TenantName,
        openstack::{CloudConfig, Session},
    };

    fn demand(interval: u64, deadline: u64) -> Demand {
        let tenant = TenantName { namespace: "n".to_owned(), name: "t".to_owned() };
        let [interval, deadline] = [interval, deadline].map(Duration::from_secs);
        Demand { tenant, interval, deadline, doubts: false }
    }

    /// Each line: a tenant, and its demand as interval and deadline, or none if it leaves | whether that is a change |
    /// the shortest interval and deadline of all.
    #[test]
    fn the_shortest_demands_are_those_of_the_tenants_that_are_left() {
        let yaml = "clouds: {c: {auth: {auth_url: 'http://k', token: t}}}";
        let config = CloudConfig::parse(yaml, "c", None, None).unwrap();
        let account = Account::open(&Budget::default(), "n", &config, Session::ORDINARY_BYTES).unwrap();
        let mut demands = Demands::default();
        assert_eq!(demands.least(), None);
        for (line, (uid, new, changes, least)) in [
            ("a", Some((60, 90)), true, Some((60, 90))),
            ("a", Some((60, 90)), false, Some((60, 90))),
            ("b", Some((30, 120)), true, Some((30, 90))),
            ("c", Some((90, 75)), true, Some((30, 75))),
            ("b", Some((40, 120)), true, Some((40, 75))),
            ("c", Some((90, 100)), true, Some((40, 90))),
            ("a", None, true, Some((40, 100))),
            ("b", None, true, Some((90, 100))),
            ("c", None, true, None),
            ("d", Some((300, 300)), true, Some((300, 300))),
        ]
        .into_iter()
        .enumerate()
        {
            match new {
                Some((interval, deadline)) => {
                    assert_eq!(demands.set(&uid.into(), demand(interval, deadline), &account), changes, "{line}");
                }
                None => demands.remove(uid),
            }
            let least =
                least.map(|(interval, deadline)| (Duration::from_secs(interval), Duration::from_secs(deadline)));
            assert_eq!((demands.least(), demands.is_empty()), (least, least.is_none()), "{line}");
        }
    }
}
