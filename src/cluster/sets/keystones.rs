//! Bounds the passes that wait for one Keystone, so that one that hangs leaves places for the sets of others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::share::{Permit, Priority, Shares, Sharing};

/// The number of passes that list projects at one Keystone at a time, of one namespace at most half. They hold a place
/// among all passes, because a list takes memory.
const AT_ONE: u32 = 3;

/// The passes at each Keystone, by its host.
#[derive(Debug, Default)]
pub(super) struct Keystones(Mutex<HashMap<String, Shares>>);

impl Keystones {
    /// Waits for a place at the Keystone of this host. A caller must not hold a place among all passes meanwhile.
    pub(super) async fn wait(&self, host: String, namespace: Arc<str>) -> Permit {
        let places = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(host).or_insert_with(|| Shares::new(AT_ONE, Sharing::LeavesAsMuch)).clone()
        };
        places.one(namespace, Priority::Later).await
    }

    /// Forgets those that no pass is at.
    pub(super) fn sweep(&self) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, places| places.state() != (AT_ONE, 0));
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_keystone_leaves_places_for_others_and_is_forgotten() {
        let keystones = Keystones::default();
        let take = |host: &str, namespace: &str| keystones.wait(host.to_owned(), namespace.into()).now_or_never();
        let held: Vec<_> = ["a", "b", "c"].into_iter().map_while(|namespace| take("sick", namespace)).collect();
        assert_eq!(held.len(), 3);
        assert!(take("sick", "d").is_none());
        assert!(take("well", "a").is_some());
        keystones.sweep();
        assert_eq!(keystones.0.lock().unwrap().keys().collect::<Vec<_>>(), ["sick"]);
        drop(held);
        let of_one = [take("sick", "a"), take("sick", "a")];
        assert_eq!(of_one.map(|place| place.is_some()), [true, false], "a namespace leaves as much as it takes");
        keystones.sweep();
        assert!(keystones.0.lock().unwrap().is_empty());
    }
}
