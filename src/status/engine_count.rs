//! Pure: which rows of Heat's list count, and on which hosts.
//!
//! A killed and restarted engine leaves a row behind that stays down for hours. So "a row is down" does not
//! mean that an engine is down.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use crate::{
    api::{EngineHost, EnginesStatus, time},
    observation::engines::{EngineList, EngineRow, age},
    target::EnginesTarget,
};

/// Hosts in the status.
const MOST_HOSTS: usize = 50;

/// The newest report of each host that has been recorded, by the cloud's clock.
pub type Recorded<'a> = HashMap<&'a str, Timestamp>;

/// Counts engines by host.
#[must_use]
pub fn count(list: &EngineList, recorded: &Recorded<'_>, rules: &EnginesTarget) -> EnginesStatus {
    let kinds = kinds(list);
    let mut block = EnginesStatus::default();
    let mut hosts: BTreeMap<&str, EngineHost> = BTreeMap::new();
    for row in list.rows.iter().filter(|row| !rules.ignore_hosts.contains(&row.host)) {
        // One in the cloud's future is no memory: its clock was put back.
        let recorded = recorded.get(&*row.host).copied().filter(|beat| *beat <= list.cloud_now);
        let says_down = row.is_down(list.cloud_now);
        let ghost = says_down && kinds.get(&key(row)).is_some_and(|kind| kind.makes_ghost(row, recorded));
        let down = says_down && !ghost;
        if down && row.heartbeat.is_some_and(|beat| age(beat, list.cloud_now) > rules.forget_after) {
            block.forgotten += 1;
            continue;
        }
        let host = hosts.entry(&row.host).or_insert_with(|| EngineHost {
            host: row.host.clone(),
            last_heartbeat: recorded.map(time),
            ..EngineHost::default()
        });
        host.last_heartbeat = host.last_heartbeat.take().max(row.heartbeat.map(time));
        host.down += u32::from(down);
        host.up += u32::from(!down && !ghost);
    }
    let mut hosts: Vec<_> = hosts.into_values().collect();
    block.up = hosts.iter().map(|host| host.up).sum();
    block.down = hosts.iter().map(|host| host.down).sum();
    block.total = block.up + block.down;
    hosts.sort_by_key(|host| host.down == 0);
    block.hosts_omitted = u32::try_from(hosts.len().saturating_sub(MOST_HOSTS)).unwrap_or(u32::MAX);
    hosts.truncate(MOST_HOSTS);
    block.hosts = hosts;
    block
}

/// All rows of one kind of engine on one host.
struct Kind {
    /// When the youngest row came to be.
    newest_birth: Option<Timestamp>,
    /// All of them are down.
    down: bool,
    /// The last report of all of them; `None` if one of them cannot be read.
    last_beat: Option<Timestamp>,
}

/// Host, binary, topic.
type Key<'a> = (&'a str, &'a str, &'a str);

fn key(row: &EngineRow) -> Key<'_> {
    (&row.host, &row.binary, &row.topic)
}

fn kinds(list: &EngineList) -> HashMap<Key<'_>, Kind> {
    let mut kinds: HashMap<_, Kind> = HashMap::with_capacity(list.rows.len());
    for row in &list.rows {
        let of_row = Kind { newest_birth: row.created, down: row.is_down(list.cloud_now), last_beat: row.heartbeat };
        kinds
            .entry(key(row))
            .and_modify(|kind| {
                kind.newest_birth = kind.newest_birth.max(of_row.newest_birth);
                kind.down &= of_row.down;
                kind.last_beat = kind.last_beat.zip(of_row.last_beat).map(|(one, other)| one.max(other));
            })
            .or_insert(of_row);
    }
    kinds
}

impl Kind {
    /// Whether a row of this kind that is down is only what an engine left behind.
    fn makes_ghost(&self, row: &EngineRow, recorded: Option<Timestamp>) -> bool {
        self.supersedes(row) || recorded.is_some_and(|recorded| self.has_come_back(recorded))
    }

    /// A row of the same engine came to be after this one's last report: the engine was restarted. The workers of
    /// one process, all created together, are not superseded by each other.
    fn supersedes(&self, row: &EngineRow) -> bool {
        row.heartbeat.zip(self.newest_birth).is_some_and(|(beat, birth)| birth > beat)
    }

    /// The row that superseded the others left gracefully, and what is left of the host is older than what we had
    /// recorded for it.
    fn has_come_back(&self, recorded: Timestamp) -> bool {
        self.down && self.last_beat.is_some_and(|beat| beat < recorded)
    }
}
