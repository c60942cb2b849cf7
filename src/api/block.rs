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

    /// Takes this probe's data out of the status.
    pub fn take_block(&mut self, kind: ProbeKind) -> Option<Block> {
        match kind {
            ProbeKind::Engines => self.engines.take().map(Block::Engines),
            ProbeKind::Caches => self.caches.take().map(Block::Caches),
            ProbeKind::Usage => self.usage.take().map(Block::Usage),
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
