//! Selects the records of Heat's list that count, and groups them by host.
//!
//! A killed and restarted engine leaves a record that stays down for hours. Therefore a record that is down does not
//! prove that an engine is down.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
};

use jiff::Timestamp;

use crate::{
    api::{DownEngine, EngineHost, EnginesStatus, bound, time},
    observation::engine_answers::{EngineList, EngineRow, Setbacks, age},
    target::EnginesTarget,
};

/// Number of down engines that the status lists.
const MOST_DOWN: usize = 20;

/// The state from before this list.
#[derive(Debug, Default)]
pub struct KnownHosts<'a> {
    /// The newest report of each recorded host, by the cloud's clock.
    pub recorded: HashMap<&'a str, Timestamp>,
    /// The newest report of all hosts, by the cloud's clock, and its host.
    pub newest_report: Option<(Timestamp, &'a str)>,
    /// Records whose reports went back in time.
    pub setbacks: Cow<'a, Setbacks>,
    /// Hosts that counted when no engine answered and have not had the time to report since. They are not forgotten.
    pub kept: HashSet<&'a str>,
    /// The operator's clock when the list arrived.
    pub now: Timestamp,
}

impl<'a> KnownHosts<'a> {
    /// Whether this down engine no longer counts. Its silence is measured against the newest report of all engines, so
    /// that no engine is forgotten because all reports are old.
    fn forgets(&self, row: &EngineRow, newest: Option<(Timestamp, &str)>, rules: &EnginesTarget) -> bool {
        let silent = |(newest, _)| row.heartbeat.is_some_and(|report| age(report, newest) > rules.forget_after);
        newest.is_some_and(silent) && !self.kept.contains(&*row.host)
    }

    /// Returns the newest report of all engines if only an earlier list shows that an engine is forgotten. The block
    /// must keep it, or that engine would count again after a restart of the operator.
    fn to_keep(
        &self,
        list: &EngineList,
        forgotten: &[&EngineRow],
        rules: &EnginesTarget,
    ) -> Option<(Timestamp, &'a str)> {
        let listed = list.newest_report();
        let by_memory = forgotten.iter().any(|row| !self.forgets(row, listed, rules));
        self.newest_report.filter(|(_, host)| by_memory && !rules.ignore_hosts.iter().any(|ignored| ignored == host))
    }
}

/// Counts the engines by host.
#[must_use]
pub fn count(list: &EngineList, known: &KnownHosts<'_>, rules: &EnginesTarget) -> EnginesStatus {
    let is_down = |row: &EngineRow| known.setbacks.is_down(row, list.cloud_now, known.now);
    let kinds = kinds(list, is_down);
    let mut block = EnginesStatus::default();
    let mut hosts: BTreeMap<&str, EngineHost> = BTreeMap::new();
    let newest = known.newest_report.max(list.newest_report());
    let (mut down_rows, mut forgotten) = (Vec::new(), Vec::new());
    for row in list.rows.iter().filter(|row| !rules.ignore_hosts.iter().any(|ignored| **ignored == *row.host)) {
        // A record in the cloud's future is invalid: the cloud's clock stepped back.
        let recorded = known.recorded.get(&*row.host).copied().filter(|report| *report <= list.cloud_now);
        // If a report went back in time, the record cannot show what an engine left behind.
        let memory = recorded.filter(|_| !known.setbacks.has(row));
        let says_down = is_down(row);
        let leftover = says_down && kinds.get(&key(row)).is_some_and(|kind| kind.is_leftover(row, memory));
        let down = says_down && !leftover;
        if down && known.forgets(row, newest, rules) {
            forgotten.push(row);
            continue;
        }
        if down {
            down_rows.push(row);
        }
        let host = hosts.entry(&row.host).or_insert_with(|| EngineHost {
            host: row.host.to_string(),
            last_heartbeat: recorded.map(time),
            ..EngineHost::default()
        });
        host.last_heartbeat = host.last_heartbeat.take().max(row.heartbeat.map(time));
        host.down += u32::from(down);
        host.up += u32::from(!down && !leftover);
    }
    if let Some((report, name)) = known.to_keep(list, &forgotten, rules) {
        let host = hosts.entry(name).or_insert_with(|| EngineHost { host: name.to_owned(), ..EngineHost::default() });
        host.last_heartbeat = host.last_heartbeat.take().max(Some(time(report)));
    }
    block.forgotten = u32::try_from(forgotten.len()).unwrap_or(u32::MAX);
    let mut hosts: Vec<_> = hosts.into_values().collect();
    block.up = hosts.iter().map(|host| host.up).sum();
    block.down = hosts.iter().map(|host| host.down).sum();
    block.total = block.up + block.down;
    hosts.sort_by_key(|host| host.down == 0);
    block.hosts_omitted = u32::try_from(hosts.len().saturating_sub(bound::HOSTS)).unwrap_or(u32::MAX);
    hosts.truncate(bound::HOSTS);
    block.hosts = hosts;
    down_rows.sort_by_key(|row| (&row.host, &row.binary, &row.topic, &row.engine_id, row.heartbeat));
    block.down_engines = down_rows.into_iter().take(MOST_DOWN).map(down_engine).collect();
    block
}

fn down_engine(row: &EngineRow) -> DownEngine {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    DownEngine {
        engine_id: text(&row.engine_id),
        host: row.host.to_string(),
        binary: text(&row.binary),
        topic: text(&row.topic),
        last_heartbeat: row.heartbeat.map(time),
    }
}

/// All records of one kind of engine on one host.
struct Kind {
    /// Creation time of the youngest record.
    newest_creation: Option<Timestamp>,
    /// All of them are down.
    down: bool,
    /// The latest report of all. `None` if one of them is unreadable.
    last_report: Option<Timestamp>,
}

/// Host, binary, topic.
type Key<'a> = (&'a str, &'a str, &'a str);

fn key(row: &EngineRow) -> Key<'_> {
    (&row.host, &row.binary, &row.topic)
}

fn kinds(list: &EngineList, is_down: impl Fn(&EngineRow) -> bool) -> HashMap<Key<'_>, Kind> {
    let mut kinds: HashMap<_, Kind> = HashMap::with_capacity(list.rows.len());
    for row in list.rows.iter() {
        let of_row = Kind { newest_creation: row.created, down: is_down(row), last_report: row.heartbeat };
        kinds
            .entry(key(row))
            .and_modify(|kind| {
                kind.newest_creation = kind.newest_creation.max(of_row.newest_creation);
                kind.down &= of_row.down;
                kind.last_report = kind.last_report.zip(of_row.last_report).map(|(one, other)| one.max(other));
            })
            .or_insert(of_row);
    }
    kinds
}

impl Kind {
    /// Whether a down record of this kind is only the remains of an earlier process.
    fn is_leftover(&self, row: &EngineRow, recorded: Option<Timestamp>) -> bool {
        self.supersedes(row) || recorded.is_some_and(|recorded| self.has_come_back(recorded))
    }

    /// Whether a younger record of the same engine was created after this one's last report, which shows a restart.
    /// Workers of one process have the same creation time and do not supersede each other.
    fn supersedes(&self, row: &EngineRow) -> bool {
        row.heartbeat
            .zip(self.newest_creation)
            .is_some_and(|(report, creation)| creation > report && Some(creation) > row.created)
    }

    /// Whether the superseding record is gone because that process stopped gracefully. The remaining reports are then
    /// older than the recorded one.
    fn has_come_back(&self, recorded: Timestamp) -> bool {
        self.down && self.last_report.is_some_and(|report| report < recorded)
    }
}
