//! The same sequence as a pass, for a person: each step is told, and nothing is written.

mod admission;
mod document;
mod report;
mod steps;
mod subject;
mod trust;

use jiff::Timestamp;
use serde::Serialize;

pub use report::Report;

use crate::{
    api::{CloudTenantStatus, condition_type as ty},
    cluster::secrets::Texts,
    decide::{
        condition,
        status::{self, Pass},
    },
    observation::ProbeFailure,
    openstack::Network,
    target::Target,
};

/// What is to be checked.
#[derive(Debug)]
pub struct Subject {
    /// The wish.
    pub target: Target,
    /// The Secret's content, or why it cannot be had.
    pub secret: Result<Texts, ProbeFailure>,
    /// How the cloud is reached.
    pub network: Network,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// As it should be.
    Ok,
    /// Worth a look, and no hindrance.
    Note,
    /// Seen, and bad.
    Bad,
    /// The step failed.
    Failed,
    /// Nobody asked for it, or the cloud does not offer it.
    Skipped,
}

/// One step on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What was tried.
    pub name: &'static str,
    /// How it ended.
    pub mark: Mark,
    /// What was found, or what to do.
    pub found: String,
    /// How long it took.
    pub milliseconds: u64,
}

/// What is left to be said when all steps are done.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    /// The status that the operator would write at a first visit.
    pub status: CloudTenantStatus,
    /// The first step that failed.
    pub first_failure: Option<Step>,
}

impl Outlook {
    /// 0 well, 1 not well, 2 could not see.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match condition::find(&self.status.conditions, ty::READY).map(|ready| ready.status.as_str()) {
            Some("True") => 0,
            Some("False") => 1,
            _ => 2,
        }
    }
}

/// Takes one look at everything. `tell` is given each step as it ends.
pub async fn check(subject: &Subject, tell: &mut (dyn FnMut(&Step) + Send)) -> Outlook {
    let mut first_failure = None;
    let mut tell = |step: Step| {
        tell(&step);
        if step.mark == Mark::Failed && first_failure.is_none() {
            first_failure = Some(step);
        }
    };
    let looks = steps::look(subject, &mut tell).await;
    let now = Timestamp::now();
    let pass = Pass {
        target: &subject.target,
        generation: 1,
        engines: looks.engines,
        caches: looks.caches,
        usage: looks.usage,
        source: looks.source,
        verdict_at: [now; 3],
        streaks: [u32::MAX; 2],
        waited: true,
        handled: None,
        now,
    };
    Outlook { status: status::compute(&pass, &CloudTenantStatus::default()), first_failure }
}
