//! Bounds the sets that the operator serves, in all and in one namespace.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::decide::set::status::Full;

/// The number of sets that the operator serves. Each keeps a listing of up to 20,000 projects only during its passes, but
/// also a session, its memory of missing projects and a list of the namespace's CloudTenants at each pass.
pub(super) const MOST: usize = 1000;

/// The number of sets in one namespace. Each pass lists all CloudTenants of its namespace.
pub(super) const MOST_IN_NAMESPACE: usize = 100;

/// The sets that are served: their UIDs and namespaces. A set stays until it is deleted.
#[derive(Debug, Default)]
pub(super) struct Served(Mutex<HashMap<String, String>>);

impl Served {
    /// Serves the set with this UID, if there is room for it.
    ///
    /// # Errors
    /// Why it is not served.
    pub(super) fn admit(&self, uid: &str, namespace: &str) -> Result<(), Full> {
        let mut served = self.lock();
        if served.contains_key(uid) {
            return Ok(());
        }
        if served.values().filter(|known| *known == namespace).count() >= MOST_IN_NAMESPACE {
            return Err(Full::Namespace(MOST_IN_NAMESPACE));
        }
        if served.len() >= MOST {
            return Err(Full::All(MOST));
        }
        served.insert(uid.to_owned(), namespace.to_owned());
        Ok(())
    }

    /// Drops all sets but these.
    pub(super) fn retain(&self, alive: impl Fn(&str) -> bool) {
        self.lock().retain(|uid, _| alive(uid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_with_many_sets_leaves_room_for_others() {
        let served = Served::default();
        let admitted = |namespace: &str, number: usize| {
            (0..number).filter(|index| served.admit(&format!("{namespace}-{index}"), namespace).is_ok()).count()
        };
        assert_eq!(admitted("a", 500), MOST_IN_NAMESPACE);
        assert_eq!(admitted("b", 20), 20);
        assert_eq!(admitted("a", 500), MOST_IN_NAMESPACE, "the same ones again");
        served.retain(|uid| uid != "a-7");
        assert_eq!(served.admit("a-900", "a"), Ok(()), "one that left makes room");
        assert_eq!(served.admit("a-901", "a"), Err(Full::Namespace(MOST_IN_NAMESPACE)));
        let others: usize = (0..30).map(|number| admitted(&format!("c{number}"), 40)).sum();
        assert_eq!(others, MOST - MOST_IN_NAMESPACE - 20);
        assert_eq!(served.admit("d", "d"), Err(Full::All(MOST)));
    }
}
