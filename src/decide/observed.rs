//! Plain data: what `observe` brings from the cloud in one pass.

use std::sync::Arc;

use crate::{
    api::Source,
    observation::{Caches, Elsewhere, EngineAnswers, Outcome, Periods, ProbeFailure},
};

/// How the tenant reaches its cloud in this pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// `spec.suspend` is set: nothing is asked.
    Suspended,
    /// A cloud, after none.
    First,
    /// The same cloud as in the last pass.
    Same,
    /// Another cloud than in the last pass.
    Other,
    /// The Secret or its entry cannot be used.
    Missing(ProbeFailure),
}

/// What came of a probe that is the tenant's own.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer<T> {
    /// Nothing new.
    Nothing,
    /// The query has not ended.
    UnderWay,
    /// The query ended.
    Came(Outcome<T>),
}

/// Heat's answers, which all tenants of the credential share, as far as this tenant may use them.
#[derive(Debug, Clone, PartialEq)]
pub struct Shared {
    /// The tenant's subscription. The numbers of the answers go on only within one.
    pub subscription: u64,
    /// The answers up to now.
    pub answers: Arc<EngineAnswers>,
    /// The latest answer was asked for after what this tenant waits for.
    pub is_current: bool,
    /// It was also asked for after the tenant's latest request.
    pub serves_request: bool,
}

/// What came of the engines' probe.
#[derive(Debug, Clone, PartialEq)]
pub enum EnginesAnswer {
    /// The probe is disabled, or there is no cloud.
    NotAsked,
    /// Heat's answers.
    Shared(Shared),
    /// The tenant's own catalogue has no address of Heat that it could lend.
    NotOffered(Option<Elsewhere>),
    /// The entry for the engines alone cannot be used; with the answers, if the subscription goes on.
    Missing(ProbeFailure, Option<Shared>),
}

/// All that came from the cloud in one pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Heat.
    pub engines: EnginesAnswer,
    /// DCS.
    pub caches: Answer<Caches>,
    /// Nova.
    pub usage: Answer<Periods>,
    /// The cloud that was used, once known.
    pub source: Option<Source>,
}

impl Observed {
    /// There was no cloud to ask.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { engines: EnginesAnswer::NotAsked, caches: Answer::Nothing, usage: Answer::Nothing, source: None }
    }
}
