//! Pure: which rows of Heat's list count, and on which hosts.
//!
//! A killed and restarted engine leaves a row behind that stays down for hours. So "a row is down" does not
//! mean that an engine is down.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    api::{EngineHost, EnginesStatus, time},
    observation::engines::{EngineList, EngineRow, age},
    target::EnginesTarget,
};

/// Hosts in the status.
const MOST_HOSTS: usize = 50;

/// Counts engines by host. `remembered` are the hosts as the status has them.
#[must_use]
pub fn count(list: &EngineList, remembered: &[EngineHost], rules: &EnginesTarget) -> EnginesStatus {
    let mut block = EnginesStatus::default();
    let mut hosts: BTreeMap<&str, EngineHost> = BTreeMap::new();
    for row in list.rows.iter().filter(|row| !rules.ignore_hosts.contains(&row.host)) {
        let before = remembered.iter().find(|host| host.host == row.host);
        let ghost = row.is_down(list.cloud_now) && (is_superseded(row, list) || has_come_back(row, list, before));
        let down = row.is_down(list.cloud_now) && !ghost;
        if down && row.heartbeat.is_some_and(|beat| age(beat, list.cloud_now) > rules.forget_after) {
            block.forgotten += 1;
            continue;
        }
        let host = hosts.entry(&row.host).or_insert_with(|| EngineHost {
            host: row.host.clone(),
            last_heartbeat: before.and_then(|before| recorded(before, list)).map(time),
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

/// A row of the same engine came to be after this one's last report: the engine was restarted. The workers of
/// one process, all created together, are not superseded by each other.
fn is_superseded(row: &EngineRow, list: &EngineList) -> bool {
    let Some(beat) = row.heartbeat else { return false };
    list.rows.iter().any(|other| other.is_beside(row) && other.created.is_some_and(|created| created > beat))
}

/// The row that superseded this one left gracefully, and what is left of the host is older than what we had
/// recorded for it.
fn has_come_back(row: &EngineRow, list: &EngineList, before: Option<&EngineHost>) -> bool {
    let Some(recorded) = before.and_then(|before| recorded(before, list)) else { return false };
    let older = |row: &EngineRow| row.heartbeat.is_some_and(|beat: Timestamp| beat < recorded);
    list.rows.iter().filter(|other| other.is_beside(row)).all(|other| other.is_down(list.cloud_now) && older(other))
}

/// The host's newest report as the status has it. One in the cloud's future is no memory: its clock was put back.
fn recorded(before: &EngineHost, list: &EngineList) -> Option<Timestamp> {
    before.last_heartbeat.as_ref().map(|beat| beat.0).filter(|beat| *beat <= list.cloud_now)
}
