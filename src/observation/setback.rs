//! Reports that went back in time: a record of Heat's list has an earlier report than before. The cause is a clock that
//! stepped back or a restored database. Such a record proves nothing until its engine has had time to report.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::engine_list::{EngineList, EngineRow, RecordId, age, shift};

/// A record whose report went back in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Setback {
    /// Time of the first observation, by the operator's clock.
    since: Timestamp,
    /// The record's earlier report.
    before: Timestamp,
    /// Whether the record was down in the earlier list.
    was_down: bool,
    /// Whether the record is down in the latest list.
    is_down: bool,
    /// Time during which the earlier state counts: two report intervals.
    wait: Duration,
}

/// All records of the latest list whose reports went back in time, by the record's ID.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setbacks(BTreeMap<RecordId, Setback>);

impl Setbacks {
    /// Returns the setbacks after another list. One ends when the record's report has caught up, or when the record is
    /// gone.
    pub(super) fn after(&self, before: Option<&EngineList>, list: &EngineList, now: Timestamp) -> Self {
        let Some(before) = before else { return Self::default() };
        let rows: HashMap<_, _> = before.rows.iter().map(|row| (row.id, row)).collect();
        let setback = |row: &EngineRow| {
            let (beat, is_down) = (row.heartbeat?, row.is_down(list.cloud_now));
            if let Some(known) = self.0.get(&row.id) {
                return Some(Setback { is_down, ..*known }).filter(|known| beat < known.before);
            }
            // Records without IDs cannot be identified.
            let earlier = rows.get(&row.id).filter(|_| !row.id.is_empty())?;
            let report = earlier.heartbeat.filter(|report| beat < *report)?;
            let was_down = earlier.is_down(before.cloud_now);
            Some(Setback { since: now, before: report, was_down, is_down, wait: row.two_intervals() })
        };
        Self(list.rows.iter().filter_map(|row| Some((row.id, setback(row)?))).collect())
    }

    /// Whether this record's report went back in time.
    #[must_use]
    pub fn has(&self, row: &EngineRow) -> bool {
        self.0.contains_key(&row.id)
    }

    /// Whether the record counts as down: by its own report or, during the wait, by the earlier state too.
    #[must_use]
    pub fn is_down(&self, row: &EngineRow, cloud_now: Timestamp, now: Timestamp) -> bool {
        let waits = self.0.get(&row.id).filter(|setback| setback.waits(now));
        let is_down = row.is_down(cloud_now);
        waits.map_or(is_down, |setback| is_down && setback.was_down)
    }

    /// Number of down records that cannot be judged yet.
    pub(super) fn waiting(&self, now: Timestamp) -> usize {
        self.0.values().filter(|setback| setback.is_down && !setback.was_down && setback.waits(now)).count()
    }

    /// Estimates the memory that the setbacks keep, in bytes.
    pub(super) fn kept_bytes(&self) -> usize {
        self.0.len() * size_of::<(RecordId, Setback)>() * 2
    }

    /// Moves all times by this duration after the local clock was set.
    pub(super) fn shift(&mut self, by: SignedDuration) {
        self.0.values_mut().for_each(|setback| shift(&mut setback.since, by));
    }
}

impl Setback {
    fn waits(&self, now: Timestamp) -> bool {
        age(self.since, now) < self.wait
    }
}
