//! The output of a check: each step as it ends, then the resulting status.

use serde::Serialize;

use super::{Mark, Outlook, Step};
use crate::api::CloudTenantStatus;

/// Formats the steps, or collects them for JSON.
#[derive(Debug)]
pub struct Report {
    json: bool,
    colours: bool,
    steps: Vec<Step>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole<'a> {
    steps: &'a [Step],
    first_failure: Option<&'a str>,
    status: &'a CloudTenantStatus,
    exit_code: u8,
}

impl Report {
    /// Creates a report: text, with colours in a terminal, or one JSON document.
    #[must_use]
    pub const fn new(json: bool, colours: bool) -> Self {
        Self { json, colours, steps: Vec::new() }
    }

    /// Returns the output for a step that has ended.
    pub fn step(&mut self, step: &Step) -> String {
        self.steps.push(step.clone());
        if self.json {
            return String::new();
        }
        let (sign, colour) = match step.mark {
            Mark::Ok => ("✔", "32"),
            Mark::Note => ("!", "33"),
            Mark::Bad => ("✘", "31"),
            Mark::Failed => ("✘", "31;1"),
            Mark::Skipped => ("-", "2"),
        };
        let sign = if self.colours { format!("\x1b[{colour}m{sign}\x1b[0m") } else { sign.to_owned() };
        format!("{sign} {:<12} {} ({} ms)\n", step.name, step.found, step.milliseconds)
    }

    /// Returns the output at the end.
    ///
    /// # Errors
    /// The status cannot be serialized, which would be a defect.
    pub fn outlook(&self, outlook: &Outlook) -> anyhow::Result<String> {
        let first = outlook.first_failure.as_ref();
        if self.json {
            let whole = Whole {
                steps: &self.steps,
                first_failure: first.map(|step| step.name),
                status: &outlook.status,
                exit_code: outlook.exit_code(),
            };
            return Ok(serde_json::to_string_pretty(&whole)? + "\n");
        }
        let first = first.map(|step| format!("\nFix first: {}. {}\n", step.name, step.found)).unwrap_or_default();
        let status = serde_saphyr::to_string(&outlook.status)?;
        let status: String = status.lines().map(|line| format!("  {line}\n")).collect();
        Ok(format!("{first}\nThe operator would write:\n{status}"))
    }
}
