//! What the terms of this process report. A process has one term for each shard that it serves.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::shard::Shard;

/// The gauges about leadership, and the state of each term, by the index of its shard.
#[derive(Debug, Default)]
pub(super) struct Terms {
    terms: Mutex<BTreeMap<u32, Term>>,
    leader: Gauge,
    synced: Gauge,
    watched: Family<WatchedLabels, Gauge>,
    shard_leader: Family<ShardLabels, Gauge>,
    shard_synced: Family<ShardLabels, Gauge>,
}

#[derive(Debug, Default)]
struct Term {
    synced: bool,
    /// Whether each namespace is watched.
    watched: BTreeMap<String, bool>,
    /// The hosts of the clouds in use. `None` until they are known.
    clouds: Option<HashSet<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WatchedLabels {
    watched_namespace: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShardLabels {
    shard: u32,
}

impl Terms {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let new = Self::default();
        let leader = "Whether this process leads and looks at clouds, 1 or 0";
        registry.register("leader", leader, new.leader.clone());
        registry.register(
            "synced",
            "Whether this process leads and knows the CloudTenants of its namespaces but those that are lost, 1 or 0",
            new.synced.clone(),
        );
        registry.register(
            "namespace_watched",
            "Whether the CloudTenants of a namespace that the operator is to watch are known, 1 or 0",
            new.watched.clone(),
        );
        let leader = "Whether this process serves the CloudTenants of a shard, 1 or 0";
        registry.register("shard_leader", leader, new.shard_leader.clone());
        registry.register(
            "shard_synced",
            "Whether this process serves a shard and knows its CloudTenants but those of lost namespaces, 1 or 0",
            new.shard_synced.clone(),
        );
        new
    }

    /// Exports a series for each shard, so that a shard without a process is noticed.
    pub(super) fn show_shards(&self, shard: Shard) {
        for shard in shard.all() {
            self.export(shard, None);
        }
    }

    fn export(&self, shard: Shard, term: Option<&Term>) {
        if !shard.is_only() {
            let labels = ShardLabels { shard: shard.index() };
            self.shard_leader.get_or_create(&labels).set(term.is_some().into());
            self.shard_synced.get_or_create(&labels).set(term.is_some_and(|term| term.synced).into());
        }
    }

    /// Whether the process serves a shard.
    pub(super) fn leads(&self) -> bool {
        self.leader.get() == 1
    }

    /// Begins the term of a shard.
    pub(super) fn begin(&self, shard: Shard) {
        self.change(shard, |terms| drop(terms.insert(shard.index(), Term::default())));
    }

    /// Ends the term of a shard.
    pub(super) fn end(&self, shard: Shard) {
        self.change(shard, |terms| drop(terms.remove(&shard.index())));
    }

    /// Records whether the shard's CloudTenants are known.
    pub(super) fn sync(&self, shard: Shard, synced: bool) {
        self.change(shard, |terms| {
            if let Some(term) = terms.get_mut(&shard.index()) {
                term.synced = synced;
            }
        });
    }

    /// Records whether the shard's CloudTenants in a namespace are known.
    pub(super) fn watch(&self, shard: Shard, namespace: &str, watched: bool) {
        self.change(shard, |terms| {
            if let Some(term) = terms.get_mut(&shard.index()) {
                term.watched.insert(namespace.to_owned(), watched);
            }
        });
    }

    /// Records the hosts of the clouds that the shard's CloudTenants use.
    pub(super) fn use_clouds(&self, shard: Shard, hosts: HashSet<String>) {
        if let Some(term) = self.lock().get_mut(&shard.index()) {
            term.clouds = Some(hosts);
        }
    }

    /// Returns whether a CloudTenant of any term may use the cloud at a host.
    pub(super) fn uses(&self) -> impl Fn(&str) -> bool {
        let terms = self.lock();
        let clouds: Vec<_> = terms.values().map(|term| term.clouds.clone()).collect();
        move |host| clouds.iter().any(|hosts| hosts.as_ref().is_none_or(|hosts| hosts.contains(host)))
    }

    fn change(&self, shard: Shard, change: impl FnOnce(&mut BTreeMap<u32, Term>)) {
        let mut terms = self.lock();
        change(&mut terms);
        self.export(shard, terms.get(&shard.index()));
        self.leader.set((!terms.is_empty()).into());
        // One shard suffices: the series of a shard name one that is not.
        self.synced.set(terms.values().any(|term| term.synced).into());
        // A namespace is watched if the watches of all shards work.
        let mut watched = BTreeMap::new();
        for (namespace, works) in terms.values().flat_map(|term| &term.watched) {
            *watched.entry(namespace).or_insert(true) &= *works;
        }
        if watched.is_empty() {
            // There are no further updates, so the last values would stay forever.
            self.watched.clear();
        }
        for (namespace, works) in watched {
            self.watched.get_or_create(&WatchedLabels { watched_namespace: namespace.clone() }).set(works.into());
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Term>> {
        self.terms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&Terms, Shard, Shard);
    type Step = (&'static str, Change, [u8; 2], [[u8; 2]; 2], Option<u8>);

    /// Each line: what happens | leader, synced | leader, synced of shard 0 and of shard 1 | the namespace `n`.
    #[test]
    fn the_process_is_synced_if_one_of_its_shards_is() {
        let mut registry = Registry::default();
        let terms = Terms::new(&mut registry);
        let [first, second] = ["0/2", "1/2"].map(|shard| shard.parse::<Shard>().unwrap());
        terms.show_shards(first);
        let steps: [Step; 11] = [
            ("it starts", |_, _, _| (), [0, 0], [[0, 0], [0, 0]], None),
            ("its own shard", |terms, first, _| terms.begin(first), [1, 0], [[1, 0], [0, 0]], None),
            ("has a list", |terms, first, _| terms.sync(first, true), [1, 1], [[1, 1], [0, 0]], None),
            ("watches", |terms, first, _| terms.watch(first, "n", true), [1, 1], [[1, 1], [0, 0]], Some(1)),
            ("the other shard", |terms, _, second| terms.begin(second), [1, 1], [[1, 1], [1, 0]], Some(1)),
            ("has a list", |terms, _, second| terms.sync(second, true), [1, 1], [[1, 1], [1, 1]], Some(1)),
            ("cannot watch", |terms, _, second| terms.watch(second, "n", false), [1, 1], [[1, 1], [1, 1]], Some(0)),
            ("is lost", |terms, _, second| terms.end(second), [1, 1], [[1, 1], [0, 0]], Some(1)),
            ("a late message", |terms, _, second| terms.sync(second, true), [1, 1], [[1, 1], [0, 0]], Some(1)),
            ("another one", |terms, _, second| terms.watch(second, "n", false), [1, 1], [[1, 1], [0, 0]], Some(1)),
            ("its own shard is lost", |terms, first, _| terms.end(first), [0, 0], [[0, 0], [0, 0]], None),
        ];
        for (name, change, process, shards, namespace) in steps {
            change(&terms, first, second);
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            let value =
                |series: &str| text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse::<u8>().ok());
            assert_eq!([value("leader "), value("synced ")], process.map(Some), "{name}");
            for (shard, expected) in shards.into_iter().enumerate() {
                let found = ["leader", "synced"].map(|what| value(&format!("shard_{what}{{shard=\"{shard}\"}} ")));
                assert_eq!(found, expected.map(Some), "{name}: {shard}");
            }
            assert_eq!(value("namespace_watched{watched_namespace=\"n\"} "), namespace, "{name}");
        }
    }

    #[test]
    fn the_only_shard_has_no_series_of_its_own() {
        let mut registry = Registry::default();
        let terms = Terms::new(&mut registry);
        terms.show_shards(Shard::default());
        terms.begin(Shard::default());
        terms.sync(Shard::default(), true);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(!text.contains("shard"), "{text}");
        assert!(text.contains("leader 1\n") && text.contains("synced 1\n"), "{text}");
    }

    #[test]
    fn a_cloud_is_in_use_while_one_shard_uses_it() {
        let terms = Terms::new(&mut Registry::default());
        let [first, second] = ["0/2", "1/2"].map(|shard| shard.parse::<Shard>().unwrap());
        let uses = |host: &str| terms.uses()(host);
        assert!(!uses("a"), "nobody leads");
        terms.begin(first);
        assert!(uses("a"), "it is not known yet");
        terms.use_clouds(first, HashSet::from(["a".to_owned()]));
        assert!(uses("a") && !uses("b"));
        terms.begin(second);
        assert!(uses("b"));
        terms.use_clouds(second, HashSet::from(["b".to_owned()]));
        assert!(uses("a") && uses("b") && !uses("c"));
        terms.end(second);
        assert!(uses("a") && !uses("b"));
    }
}
