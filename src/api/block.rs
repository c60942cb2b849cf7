//! The data of one probe in a status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{CachesStatus, CloudTenantStatus, EnginesStatus, ProbeKind, UsageStatus};

/// The data of one probe.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// Heat's engines.
    Engines(EnginesStatus),
    /// DCS instances.
    Caches(CachesStatus),
    /// Nova's usage.
    Usage(UsageStatus),
}

impl Block {
    /// When the data were observed.
    #[must_use]
    pub const fn observed_at(&self) -> Option<&Time> {
        match self {
            Self::Engines(block) => block.observed_at.as_ref(),
            Self::Caches(block) => block.observed_at.as_ref(),
            Self::Usage(block) => block.observed_at.as_ref(),
        }
    }

    /// When the data were observed, to change it.
    pub const fn observed_at_mut(&mut self) -> &mut Option<Time> {
        match self {
            Self::Engines(block) => &mut block.observed_at,
            Self::Caches(block) => &mut block.observed_at,
            Self::Usage(block) => &mut block.observed_at,
        }
    }
}

impl CloudTenantStatus {
    /// When this probe's data were observed. `None` without data.
    #[must_use]
    pub fn block_observed_at(&self, kind: ProbeKind) -> Option<&Time> {
        match kind {
            ProbeKind::Engines => self.engines.as_ref()?.observed_at.as_ref(),
            ProbeKind::Caches => self.caches.as_ref()?.observed_at.as_ref(),
            ProbeKind::Usage => self.usage.as_ref()?.observed_at.as_ref(),
        }
    }

    /// Returns a copy of this probe's data.
    #[must_use]
    pub fn block(&self, kind: ProbeKind) -> Option<Block> {
        match kind {
            ProbeKind::Engines => self.engines.clone().map(Block::Engines),
            ProbeKind::Caches => self.caches.clone().map(Block::Caches),
            ProbeKind::Usage => self.usage.clone().map(Block::Usage),
        }
    }

    /// Whether the status has data of this probe.
    #[must_use]
    pub const fn has_block(&self, kind: ProbeKind) -> bool {
        match kind {
            ProbeKind::Engines => self.engines.is_some(),
            ProbeKind::Caches => self.caches.is_some(),
            ProbeKind::Usage => self.usage.is_some(),
        }
    }

    /// Stores a probe's data.
    pub fn set_block(&mut self, block: Block) {
        match block {
            Block::Engines(block) => self.engines = Some(block),
            Block::Caches(block) => self.caches = Some(block),
            Block::Usage(block) => self.usage = Some(block),
        }
    }
}
