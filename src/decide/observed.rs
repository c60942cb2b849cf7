//! Plain data: the observations of one pass.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    api::Source,
    observation::{ByProbe, Data, Elsewhere, EngineAnswers, Outcome, ProbeFailure},
};

/// How the tenant reaches its cloud in this pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// `spec.suspend` is set, so the operator sends no query.
    Suspended,
    /// The tenant has a cloud, and had none before.
    First,
    /// The tenant has the same cloud as in the last pass.
    Same,
    /// The tenant has another cloud than in the last pass.
    Other,
    /// The Secret or its entry cannot be used.
    Missing(ProbeFailure),
}

/// The result of a probe that belongs to one tenant.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a pass has one for each probe, and drops them")]
pub enum Answer {
    /// There is nothing new.
    #[default]
    Nothing,
    /// The query has not ended.
    UnderWay,
    /// The query has ended.
    Came(Outcome<Data>),
}

/// Heat's answers, which all tenants of a credential share, as far as this tenant may use them.
#[derive(Debug, Clone, PartialEq)]
pub struct Shared {
    /// The tenant's subscription. Numbers of answers are comparable only within one subscription.
    pub subscription: u64,
    /// The answers so far.
    pub answers: Arc<EngineAnswers>,
    /// The latest answer counts for this tenant's verdict. It does not while the tenant waits for a later one.
    pub is_current: bool,
    /// The latest answer also serves the tenant's latest request.
    pub serves_request: bool,
}

impl Shared {
    /// When Heat gave the latest answer that counts for this tenant.
    fn answered_at(&self, now: Timestamp) -> Option<Timestamp> {
        let answers = &self.answers;
        if !self.is_current || answers.number == 0 {
            return None;
        }
        let answered_at = if answers.not_offered { Some(answers.at) } else { answers.answered_at };
        // After the clock stepped back, the answers may still have a later time.
        answered_at.map(|at| at.min(now))
    }
}

/// The result of the engines' probe.
#[derive(Debug, Clone, PartialEq)]
pub enum EnginesAnswer {
    /// The probe is disabled, or there is no cloud.
    NotAsked,
    /// Heat's answers.
    Shared(Shared),
    /// The tenant's own catalogue has no address of Heat to use.
    NotOffered(Option<Elsewhere>),
    /// The entry for the engines alone cannot be used. The answers are present while the subscription continues.
    Missing(ProbeFailure, Option<Shared>),
}

impl EnginesAnswer {
    /// When Heat gave the latest answer that counts for this tenant.
    pub(super) fn answered_at(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Shared(shared) | Self::Missing(_, Some(shared)) => shared.answered_at(now),
            Self::NotAsked | Self::NotOffered(_) | Self::Missing(_, None) => None,
        }
    }
}

/// All observations of one pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Heat.
    pub engines: EnginesAnswer,
    /// The tenant's own queries. There is none for the engines.
    pub own: ByProbe<Answer>,
    /// The cloud that was used, once known.
    pub source: Option<Source>,
}

impl Observed {
    /// Returns the observations of a pass that has no cloud.
    #[must_use]
    pub fn nothing() -> Self {
        Self { engines: EnginesAnswer::NotAsked, own: ByProbe::default(), source: None }
    }
}
