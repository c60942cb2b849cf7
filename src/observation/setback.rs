//! Reports that went back in time: the same row of Heat's list with an earlier report than before. A clock was set
//! back, or a database was restored. Such a row says nothing about its engine until the engine had time to report.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::engine_list::{EngineList, EngineRow, RecordId, age};

/// One row whose report went back in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Setback {
    /// When this was first seen, by the operator's clock.
    since: Timestamp,
    /// The report that the row had before.
    before: Timestamp,
    /// Whether the row was down then.
    was_down: bool,
    /// Whether it is down in the latest list.
    is_down: bool,
    /// How long the row is judged as it was before: two report intervals.
    wait: Duration,
}

/// All rows of the latest list whose reports went back in time, by the row's id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setbacks(BTreeMap<RecordId, Setback>);

impl Setbacks {
    /// The setbacks after one more list. One ends when the row's report has caught up, or with the row.
    pub(super) fn after(&self, before: Option<&EngineList>, list: &EngineList, now: Timestamp) -> Self {
        let Some(before) = before else { return Self::default() };
        let rows: HashMap<_, _> = before.rows.iter().map(|row| (row.id, row)).collect();
        let setback = |row: &EngineRow| {
            let (beat, is_down) = (row.heartbeat?, row.is_down(list.cloud_now));
            if let Some(known) = self.0.get(&row.id) {
                return Some(Setback { is_down, ..*known }).filter(|known| beat < known.before);
            }
            // Without ids, rows cannot be told apart.
            let earlier = rows.get(&row.id).filter(|_| !row.id.is_empty())?;
            let report = earlier.heartbeat.filter(|report| beat < *report)?;
            let was_down = earlier.is_down(before.cloud_now);
            Some(Setback { since: now, before: report, was_down, is_down, wait: row.two_intervals() })
        };
        Self(list.rows.iter().filter_map(|row| Some((row.id, setback(row)?))).collect())
    }

    /// Whether this row's report went back in time.
    #[must_use]
    pub fn has(&self, row: &EngineRow) -> bool {
        self.0.contains_key(&row.id)
    }

    /// Whether the row counts as down: by its own report, or as it was before while it is too early to judge.
    #[must_use]
    pub fn is_down(&self, row: &EngineRow, cloud_now: Timestamp, now: Timestamp) -> bool {
        let waits = self.0.get(&row.id).filter(|setback| setback.waits(now));
        let is_down = row.is_down(cloud_now);
        waits.map_or(is_down, |setback| is_down && setback.was_down)
    }

    /// How many rows that are down it is too early to judge.
    pub(super) fn waiting(&self, now: Timestamp) -> usize {
        self.0.values().filter(|setback| setback.is_down && !setback.was_down && setback.waits(now)).count()
    }

    /// How many bytes they keep, about.
    pub(super) fn kept_bytes(&self) -> usize {
        self.0.len() * size_of::<(RecordId, Setback)>() * 2
    }

    /// Our clock was set back by so much.
    pub(super) fn shift(&mut self, by: SignedDuration) {
        self.0
            .values_mut()
            .for_each(|setback| setback.since = setback.since.saturating_add(by).unwrap_or(setback.since));
    }
}

impl Setback {
    fn waits(&self, now: Timestamp) -> bool {
        age(self.since, now) < self.wait
    }
}
