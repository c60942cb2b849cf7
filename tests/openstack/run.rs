//! One scenario, from health to its last step.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use tokio::time;

use crate::{
    judge::{Cursors, same_kind, unexpected},
    record::{Entries, Record},
    scenario::{Scenario, Seen, Step, seconds},
    world::World,
};

/// After the worst of scenarios, engines are trusted again only when they have answered for a while.
const HEALTH: Duration = seconds(300);

/// What came of a scenario.
pub struct Report {
    name: &'static str,
    /// What must have been seen, and how long after what was done.
    told: Vec<(String, Duration)>,
    pub wrong: Vec<String>,
    record: Vec<String>,
}

pub async fn run(world: &mut World, scenario: &'static Scenario) -> Report {
    let mut report = Report { name: scenario.name, told: Vec::new(), wrong: Vec::new(), record: Vec::new() };
    if let Err(error) = play(world, scenario, &mut report).await {
        report.wrong.push(format!("{error:#}"));
    }
    if !report.wrong.is_empty() {
        let kept = world.keep_log(scenario.name);
        report.wrong.push(format!("the operator's log: {}", kept.display()));
    }
    if let Err(error) = world.restore(scenario).await {
        report.wrong.push(format!("cannot be put right: {error:#}"));
    }
    report
}

async fn play(world: &mut World, scenario: &'static Scenario, report: &mut Report) -> Result<()> {
    let record = world.create(scenario).await?;
    let mut cursors = Cursors::default();
    let mut from = 0;
    if scenario.tenant.starts_ready {
        from = record.until(HEALTH, healthy_at).await?;
        cursors.skip(&record.entries());
    }
    let began = Instant::now();
    let mut done = began;
    let mut result = Ok(());
    for step in scenario.steps {
        result = match step {
            Step::Do(action) => {
                // Killing is over at once, and starting only when it serves.
                done = Instant::now();
                world.act(action).await
            }
            Step::Stay(time) => {
                time::sleep(*time).await;
                Ok(())
            }
            Step::See(limit, wanted) => see(&record, &mut cursors, *limit, wanted, done, report).await,
        };
        if result.is_err() {
            break;
        }
    }
    let entries = record.entries();
    report.wrong.extend(unexpected(scenario, &entries, from));
    let at = |time: &Instant| format!("{:>6.1}", time.saturating_duration_since(began).as_secs_f64());
    report.record.extend(entries[from..].iter().map(|(time, entry)| format!("{} {entry}", at(time))));
    result
}

/// How many entries there were when the tenant had become Ready with every engine.
fn healthy_at(entries: &Entries) -> Option<usize> {
    let last_is =
        |wanted: Seen| entries.iter().rfind(|(_, entry)| same_kind(entry, &wanted)).map(|(_, e)| e.is(&wanted));
    let ready = last_is(Seen::Condition("Ready", "True", "Healthy"))?;
    let whole = last_is(Seen::Summary("2/2"))?;
    (ready && whole).then_some(entries.len())
}

async fn see(
    record: &Record,
    cursors: &mut Cursors,
    limit: Duration,
    wanted: &[Seen],
    done: Instant,
    report: &mut Report,
) -> Result<()> {
    let found = |entries: &Entries| wanted.iter().map(|seen| cursors.find(entries, seen)).collect::<Option<Vec<_>>>();
    let Ok(found) = record.until(limit, found).await else {
        let entries = record.entries();
        let missing: Vec<_> = wanted.iter().filter(|seen| cursors.find(&entries, seen).is_none()).collect();
        bail!("not seen within {limit:?}: {missing:?}");
    };
    let entries = record.entries();
    let last = found.iter().max_by_key(|index| entries[**index].0).map(|index| &entries[*index]);
    if let (Some((at, _)), Some(first)) = (last, wanted.first()) {
        let what = match first {
            Seen::Condition(_, _, reason) => reason,
            Seen::Summary(summary) => summary,
            Seen::Event(reason, _) => reason,
        };
        report.told.push(((*what).to_owned(), at.saturating_duration_since(done)));
    }
    cursors.read(&entries, &found);
    Ok(())
}

impl Report {
    /// Its row in a table.
    pub fn row(&self) -> String {
        let told: Vec<_> = self.told.iter().map(|(what, after)| format!("{what} {:.0}", after.as_secs_f64())).collect();
        let right = if self.wrong.is_empty() { "yes" } else { "**no**" };
        format!("| {} | {right} | {} |", self.name, told.join(", "))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.record.iter().try_for_each(|line| writeln!(f, "    {line}"))?;
        self.wrong.iter().try_for_each(|line| writeln!(f, "  WRONG: {line}"))?;
        write!(f, "  {}", self.row())
    }
}
