//! Runs the steps of a pass once for a user, reports each, and writes nothing.

mod admission;
mod document;
mod report;
mod steps;
mod subject;
mod trust;

use jiff::Timestamp;
pub use report::Report;
use serde::Serialize;

use crate::{
    api::{CloudTenantStatus, condition_type as ty},
    cluster::secrets::Texts,
    decide::{
        condition,
        status::{self, Pass},
    },
    observation::{ByProbe, ProbeFailure},
    openstack::Network,
    target::Target,
    words::escaped,
};

/// In bytes. A step names several services with their addresses.
const LONGEST_FOUND: usize = 4096;

/// The input of a check.
#[derive(Debug)]
pub struct Subject {
    /// The parsed spec.
    pub target: Target,
    /// The Secret's content, or why it is unavailable.
    pub secret: Result<Texts, ProbeFailure>,
    /// How the check reaches the cloud.
    pub network: Network,
}

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// The step succeeded.
    Ok,
    /// The step succeeded, with something to note.
    Note,
    /// The observation is unhealthy.
    Bad,
    /// The step failed.
    Failed,
    /// The probe is disabled, or the cloud does not offer the service.
    Skipped,
}

/// A step of the check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What the step checks.
    pub name: &'static str,
    /// The result.
    pub mark: Mark,
    /// The finding, or what to do.
    pub found: String,
    /// Duration in milliseconds.
    pub milliseconds: u64,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    /// The status that the operator would write in a first pass.
    pub status: CloudTenantStatus,
    /// The first step that failed.
    pub first_failure: Option<Step>,
}

impl Outlook {
    /// Returns 0 for healthy, 1 for unhealthy and 2 for unknown.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match condition::find(&self.status.conditions, ty::READY).map(|ready| ready.status.as_str()) {
            Some("True") => 0,
            Some("False") => 1,
            _ => 2,
        }
    }
}

/// Runs the check once. It calls `on_step` at the end of each step.
pub async fn check(subject: &Subject, on_step: &mut (dyn FnMut(&Step) + Send)) -> Outlook {
    let mut first_failure = None;
    let mut on_step = |mut step: Step| {
        step.found = escaped(&step.found, LONGEST_FOUND);
        on_step(&step);
        if step.mark == Mark::Failed && first_failure.is_none() {
            first_failure = Some(step);
        }
    };
    let (probes, source) = steps::run(subject, &mut on_step).await;
    let now = Timestamp::now();
    let pass = Pass {
        target: &subject.target,
        generation: 1,
        probes,
        source,
        verdict_at: ByProbe::from_fn(|_| now),
        streaks: ByProbe::from_fn(|_| u32::MAX),
        waited: true,
        handled: None,
        now,
    };
    Outlook { status: status::compute(&pass, &CloudTenantStatus::default()), first_failure }
}
