//! Whether what was seen is what had to be seen, and nothing else.

use std::collections::HashMap;

use crate::{
    record::{Entries, Entry},
    scenario::{Scenario, Seen, Step},
};

/// Seen of a tenant in health, and of one that nobody has looked at yet.
const WELL: [&str; 5] = ["Progressing", "Healthy", "AllEnginesUp", "AllCachesHealthy", "Reported"];

/// How far each kind of entry has been read. Conditions and events come by watches of their own, so there is an
/// order only within a kind.
#[derive(Debug, Default)]
pub struct Cursors(HashMap<String, usize>);

impl Cursors {
    /// Everything up to now is read.
    pub fn skip(&mut self, entries: &Entries) {
        for (index, (_, entry)) in entries.iter().enumerate() {
            self.0.insert(kind(entry), index + 1);
        }
    }

    /// Where the first entry is that was not read and is this.
    pub fn find(&self, entries: &Entries, seen: &Seen) -> Option<usize> {
        let fresh = |index: usize, entry: &Entry| index >= self.0.get(&kind(entry)).copied().unwrap_or(0);
        let found = entries.iter().enumerate().find(|(index, (_, entry))| entry.is(seen) && fresh(*index, entry));
        found.map(|(index, _)| index)
    }

    /// These entries are read, and all before them of their kinds. Events are read one by one.
    pub fn read(&mut self, entries: &Entries, found: &[usize]) {
        for index in found {
            let cursor = self.0.entry(kind(&entries[*index].1)).or_default();
            *cursor = (*cursor).max(index + 1);
        }
    }
}

fn kind(entry: &Entry) -> String {
    match entry {
        Entry::Condition { type_, .. } => type_.clone(),
        Entry::Summary(_) => "summary".to_owned(),
        Entry::Event { .. } => "event".to_owned(),
    }
}

/// Whether the one takes the place of the other.
pub fn same_kind(entry: &Entry, seen: &Seen) -> bool {
    match (entry, seen) {
        (Entry::Condition { type_, .. }, Seen::Condition(of, _, _)) => type_ == of,
        (Entry::Summary(_), Seen::Summary(_)) | (Entry::Event { .. }, Seen::Event(..)) => true,
        _ => false,
    }
}

/// What is in the record since `from` that the scenario does not name; and events, told more than once.
pub fn unexpected(scenario: &Scenario, entries: &Entries, from: usize) -> Vec<String> {
    let steps = scenario.steps.iter().filter_map(|step| if let Step::See(_, seen) = step { Some(*seen) } else { None });
    let named: Vec<&Seen> = steps.flatten().collect();
    let words: Vec<&str> = named
        .iter()
        .filter_map(|seen| match seen {
            Seen::Condition(_, _, reason) | Seen::Event(reason, _) => Some(*reason),
            Seen::Summary(_) => None,
        })
        .collect();
    let mut wrong = Vec::new();
    let mut told = vec![0; named.len()];
    for (_, entry) in &entries[from..] {
        let word = entry.word().unwrap_or(WELL[0]);
        if scenario.may.contains(&word) || WELL.contains(&word) {
            continue;
        }
        if !words.contains(&word) {
            wrong.push(format!("must not be seen: {entry}"));
        } else if matches!(entry, Entry::Event { .. }) {
            // The one that is named and has been told least.
            let named = (0..named.len()).filter(|index| entry.is(named[*index])).min_by_key(|index| told[*index]);
            match named {
                Some(index) if told[index] == 0 => told[index] = 1,
                _ => wrong.push(format!("told once too often: {entry}")),
            }
        }
    }
    wrong
}
