//! What the pages say: the reasons with their status, and the bounds of the faults.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

const REASONS: &str = include_str!("../../docs/reasons.md");
const CHAOS: &str = include_str!("../../docs/chaos.md");

/// The three conditions of probes, in the order that decides between equals.
pub const PROBES: [&str; 3] = ["EnginesHealthy", "CachesHealthy", "UsageReported"];

/// What docs/reasons.md says of a reason.
#[derive(Debug, Clone)]
pub struct Reason {
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// `no`, `yes` or `after 2 minutes`.
    pub stalled: String,
}

/// A row of docs/chaos.md.
#[derive(Debug, Clone)]
pub struct Bound {
    /// The conditions that the fault concerns, as indexes into [`PROBES`].
    pub probes: Vec<usize>,
    /// The reasons that are right while the fault lasts; none if it need not be seen.
    pub words: Vec<String>,
    /// Reasons that are right until the bound has passed.
    pub meanwhile: Vec<String>,
    /// Seconds until only the words are right.
    pub seen: f64,
    /// Seconds after the fault until its words are wrong.
    pub gone: f64,
}

/// Both tables.
pub struct Pages {
    /// By name.
    pub reasons: BTreeMap<String, Reason>,
    /// By the fault's name.
    pub bounds: BTreeMap<String, Bound>,
}

fn rows(page: &str) -> impl Iterator<Item = Vec<&str>> {
    page.lines()
        .filter(|line| line.starts_with("| [`") || line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
}

fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

impl Pages {
    /// Reads them.
    ///
    /// # Errors
    /// A table is missing or a cell has no number.
    pub fn read() -> Result<Self> {
        let mut reasons = BTreeMap::new();
        let tables = REASONS.split("\n## ").next().and(REASONS.split("\n## Reasons by condition").nth(1));
        let tables = tables.and_then(|rest| rest.split("\n## ").next()).context("reasons.md has no tables")?;
        for row in rows(tables).filter(|row| row.len() == 4) {
            let name = quoted(row[0]).pop().context("a reason without a name")?;
            reasons.insert(name, Reason { status: row[1].to_owned(), stalled: row[2].to_owned() });
        }
        let mut bounds = BTreeMap::new();
        for row in rows(CHAOS).filter(|row| row.len() == 7) {
            let seconds =
                |cell: &str| if cell == "–" { Ok(0.0) } else { cell.parse::<f64>().context(cell.to_owned()) };
            let probes = match row[1] {
                "all" => vec![0, 1, 2],
                one => vec![PROBES.iter().position(|probe| *probe == one).context(one.to_owned())?],
            };
            let (words, meanwhile) = (quoted(row[2]), quoted(row[3]));
            for word in words.iter().chain(&meanwhile) {
                ensure!(reasons.contains_key(word), "docs/chaos.md: no reason is called {word}");
            }
            let bound = Bound { probes, words, meanwhile, seen: seconds(row[4])?, gone: seconds(row[5])? };
            bounds.insert(quoted(row[0]).concat(), bound);
        }
        ensure!(reasons.len() > 30 && bounds.len() > 20, "{} reasons, {} bounds", reasons.len(), bounds.len());
        Ok(Self { reasons, bounds })
    }
}
