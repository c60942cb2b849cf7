//! The events that a change of the status has to have, by docs/reasons.md.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    pages::{PROBES, Pages},
    status::{failed, reason},
};

/// The last verdicts of a CloudTenant. Unknown leaves them as they are.
#[derive(Debug, Default, Clone)]
pub struct Verdicts {
    engines: String,
    caches: String,
    /// The hosts with an engine down.
    down: BTreeSet<String>,
    /// The reasons of failed probes.
    failed: BTreeMap<usize, String>,
    /// For each probe, whether it has had an `ObservationFailed` since its last verdict: for a missing Secret or entry, and
    /// for another failure.
    known: BTreeSet<(usize, bool)>,
}

/// An event that a change of the status must have, or may have.
pub struct Due {
    /// The event's reason.
    pub reason: String,
    /// A word of the note.
    pub about: String,
    /// A failure of a kind that is known since the last verdict needs no second event.
    pub may_lack: bool,
}

/// The hosts of the block, and those with an engine down.
fn hosts(object: &Value) -> (BTreeSet<String>, BTreeSet<String>) {
    let rows = object["status"]["engines"]["hosts"].as_array().cloned().unwrap_or_default();
    let name = |row: &Value| row["host"].as_str().unwrap_or_default().to_owned();
    let down = rows.iter().filter(|row| row["down"].as_i64() > Some(0)).map(name).collect();
    (rows.iter().map(name).collect(), down)
}

impl Verdicts {
    /// Takes the next status, and returns its events.
    pub fn step(&mut self, pages: &Pages, object: &Value) -> Vec<Due> {
        let mut events = Vec::new();
        let mut add = |reason: &str, about: &str| {
            events.push(Due { reason: reason.to_owned(), about: about.to_owned(), may_lack: false });
        };
        let verdict = |word: &str| pages.reasons.get(word).is_some_and(|row| row.status != "Unknown");

        let engines = reason(object, PROBES[0]);
        if verdict(engines) {
            let (listed, down) = hosts(object);
            if engines == "AllEnginesDown" {
                if self.engines != engines {
                    add("AllEnginesDown", "");
                }
            } else if engines == "EngineUnresponsive" {
                if self.engines != engines {
                    add("EngineUnresponsive", "");
                }
            } else {
                for host in down.difference(&self.down) {
                    add("EngineDown", host);
                }
                for host in self.down.difference(&down).filter(|host| listed.contains(*host)) {
                    add("EngineRecovered", host);
                }
                if self.engines == "EngineUnresponsive" && engines == "AllEnginesUp" && self.down.is_empty() {
                    add("EngineRecovered", "");
                }
            }
            self.down = down;
            engines.clone_into(&mut self.engines);
        }

        let caches = reason(object, PROBES[1]);
        if verdict(caches) {
            match caches {
                "CacheErrors" | "CacheStateUnhealthy" if self.caches != caches => add("CachesUnhealthy", ""),
                "CacheCreateFailed" if self.caches != caches => add("CacheCreateFailed", ""),
                "AllCachesHealthy" if !["", caches].contains(&self.caches.as_str()) => add("CachesRecovered", ""),
                _ => {}
            }
            caches.clone_into(&mut self.caches);
        }

        let now: BTreeMap<usize, String> = PROBES
            .iter()
            .enumerate()
            .filter(|(_, probe)| failed(pages, object, reason(object, probe)))
            .map(|(index, probe)| (index, reason(object, probe).to_owned()))
            .collect();
        let new: Vec<_> = now.iter().filter(|(index, _)| !self.failed.contains_key(index)).collect();
        let refused = |failed: &BTreeMap<usize, String>| failed.values().any(|word| word == "AuthenticationFailed");
        if refused(&now) {
            if !refused(&self.failed) {
                add("AuthenticationFailed", "");
            }
        } else if let Some((_, first)) = new.first() {
            // The note has the reason of the first probe.
            add("ObservationFailed", first);
            let missing = |word: &str| pages.reasons.get(word).is_some_and(|row| row.stalled.starts_with("after"));
            let kinds: Vec<_> = new.iter().map(|(index, word)| (**index, missing(word))).collect();
            if let Some(event) = events.last_mut() {
                event.may_lack = kinds.iter().all(|kind| self.known.contains(kind));
            }
            self.known.extend(kinds);
        }
        self.known.retain(|(index, _)| !verdict(reason(object, PROBES[*index])));
        // Below failureThreshold a verdict shows as Progressing.
        let works = |word: &str| verdict(word) || ["Progressing", "NoEnginesListed"].contains(&word);
        let back = |index: &usize| !now.contains_key(index) && works(reason(object, PROBES[*index]));
        if self.failed.keys().any(back) {
            events.push(Due { reason: "ObservationRecovered".to_owned(), about: String::new(), may_lack: false });
        }
        // A Secret that may still arrive ends a failure without an event.
        let waits = |index: &usize| {
            let row = pages.reasons.get(reason(object, PROBES[*index]));
            row.is_some_and(|row| row.stalled.starts_with("after")) && !now.contains_key(index)
        };
        self.failed.retain(|index, _| !back(index) && !waits(index));
        self.failed.extend(now);
        events
    }
}
